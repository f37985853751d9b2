"""What a tokenizer returns: the model's input, which still knows how tokens, words and characters belong together.

    Pieces (a text, cut)  --Row (with special tokens, truncated, padded)-->  BatchEncoding (a dict of lists or tensors)
"""

from collections.abc import Callable
from typing import Any, Self

import numpy as np

Span = tuple[int, int, int | None]                  # start and end in the text, number of the word


def plain(value: Any) -> Any:
    """Tensors, arrays and their numbers, alone or in lists -> Python's own numbers and lists."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def whole(name: str, value: Any, least: int = 1) -> int:
    """A setting that must be a whole number, also one of numpy or a tensor; ValueError otherwise."""
    number = plain(value)
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return number


class Pieces:
    """A text cut into pieces: their ids now, their spans (start, end, word) only when somebody asks."""

    __slots__ = ("_spans", "ids")

    def __init__(self, ids: list[int], spans: Callable[[], list[Span]]):
        self.ids = ids
        self._spans: Any = spans

    @property
    def spans(self) -> list[Span]:
        spans = self._spans                         # another thread may ask at the same time
        if callable(spans):
            spans = self._spans = spans()
        return spans


class Row:
    """One row of a batch: which pieces it holds, where the special tokens stand, how much was cut."""

    __slots__ = ("cut", "ids", "layout", "left", "pad_type", "parts", "right", "source")

    def __init__(self, layout: list[tuple[int | str, int]], parts: dict[str, tuple[Pieces, int, int]], source: int, cut: int):
        self.layout, self.parts, self.source, self.cut = layout, parts, source, cut
        self.left = self.right = self.pad_type = 0   # padding
        self.ids: list[int] = []
        for item, _ in layout:
            if isinstance(item, int):
                self.ids.append(item)
            else:
                pieces, start, end = parts[item]
                self.ids += pieces.ids[start:end]

    def column(self, special: Any, part: Callable[[str, int, Span | None], Any], pad: Any, spans: bool = False) -> list:
        """One value per position: part(name, type, span) for pieces, `special` for special tokens, `pad` for padding."""
        values = []
        for item, kind in self.layout:
            if isinstance(item, int):
                values.append(kind if special == "type" else special)
            else:
                pieces, start, end = self.parts[item]
                values += [part(item, kind, s) for s in pieces.spans[start:end]] if spans else \
                    [part(item, kind, None)] * (end - start)
        return [pad] * self.left + values + [pad] * self.right

    @property
    def types(self) -> list[int]:
        return self.column("type", lambda _, kind, __: kind, self.pad_type)

    @property
    def special(self) -> list[int]:
        return self.column(1, lambda *_: 0, 1)

    @property
    def sequences(self) -> list[int | None]:
        return self.column(None, lambda part, *_: "AB".index(part), None)

    @property
    def offsets(self) -> list[tuple[int, int]]:
        return self.column((0, 0), lambda _, __, span: span[:2], (0, 0), spans=True)

    @property
    def words(self) -> list[int | None]:
        return self.column(None, lambda _, __, span: span[2], None, spans=True)


class BatchEncoding(dict):
    """What a tokenizer returns: a dict of lists or tensors (`batch["input_ids"]`, `batch.input_ids`) that also knows
    how tokens, words and characters belong together."""

    def __init__(self, data: dict[str, Any] | None = None, rows: list[Row] | None = None,
                 tokenizer: Any = None):
        super().__init__(data or {})
        self.rows, self.tokenizer = rows or [], tokenizer

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"this encoding has no {name!r}; it has {', '.join(self)}")

    def __reduce__(self) -> tuple:
        """A pickled copy (a worker's answer, a cache) holds the numbers alone."""
        return type(self), (dict(self),)

    @property
    def data(self) -> dict[str, Any]:
        return dict(self)

    @property
    def is_fast(self) -> bool:
        return bool(self.tokenizer and self.tokenizer.is_fast)

    @property
    def cut(self) -> list[int]:
        """How many tokens truncation left out of each row."""
        return [row.cut for row in self.rows]

    def tokens(self, batch_index: int = 0) -> list[str]:
        row = self._row(batch_index)
        pad = self.tokenizer.pad_token_id if self.tokenizer else 0
        ids = [pad] * row.left + row.ids + [pad] * row.right
        return self.tokenizer.convert_ids_to_tokens(ids)

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """The number of the word that each token belongs to, None for special tokens."""
        return self._row(batch_index).words

    words = word_ids

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """0 for tokens of the first text, 1 for the second, None for special tokens."""
        return self._row(batch_index).sequences

    def char_to_token(self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0) -> int | None:
        """The token that covers a character of the text: char_to_token(char) or char_to_token(row, char)."""
        index, char = (0, batch_or_char_index) if char_index is None else (batch_or_char_index, char_index)
        row = self._row(index)
        for number, ((start, end), sequence) in enumerate(zip(row.offsets, row.sequences, strict=True)):
            if sequence == sequence_index and start <= char < end:
                return number
        return None

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> tuple[int, int] | None:
        """(start, end) of a token in the text; None for special tokens."""
        index, token = (0, batch_or_token_index) if token_index is None else (batch_or_token_index, token_index)
        row = self._row(index)
        return None if row.sequences[token] is None else row.offsets[token]

    def word_to_tokens(self, batch_or_word_index: int, word_index: int | None = None,
                       sequence_index: int = 0) -> tuple[int, int] | None:
        """(first, last + 1) of the tokens of a word."""
        index, word = (0, batch_or_word_index) if word_index is None else (batch_or_word_index, word_index)
        row = self._row(index)
        found = [i for i, (w, s) in enumerate(zip(row.words, row.sequences, strict=True)) if (w, s) == (word, sequence_index)]
        return (found[0], found[-1] + 1) if found else None

    def to(self, device: Any) -> Self:
        """Moves the tensors to a device; returns the same encoding."""
        for key, value in self.items():
            if hasattr(value, "to"):
                self[key] = value.to(device)
        return self

    def convert_to_tensors(self, tensor_type: str | None = None) -> Self:
        for key, value in self.items():
            self[key] = to_tensor(key, value, tensor_type)
        return self

    def _row(self, index: int) -> Row:
        if not self.rows:
            raise ValueError("this encoding does not know its texts any more: only the direct result of tokenizer(text) does")
        return self.rows[index]


def to_tensor(name: str, value: Any, kind: str | None) -> Any:
    """Lists or arrays -> what return_tensors asks for: None (as they are), 'np', or 'pt'."""
    if kind is None:
        return value
    if kind not in ("pt", "np"):
        raise ValueError(f"return_tensors must be 'pt' (torch), 'np' (numpy) or None (lists), got {kind!r}")
    try:
        array = value if isinstance(value, np.ndarray) else np.array(value)
    except ValueError:
        array = np.array(None)
    if array.dtype == object:
        raise ValueError(f"{name} has rows of different length or holds None, so it does not fit into a tensor: "
                         "pass padding=True, and truncation=True for long texts")
    if kind == "np":
        return array
    import torch  # a tokenizer alone works without it
    return torch.from_numpy(array.astype(np.int64) if not array.size else array)
