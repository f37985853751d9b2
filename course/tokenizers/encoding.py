"""What a tokenizer returns: the model's input, which still knows how tokens, words and characters belong together.

    Pieces (a text, cut)  --Row (with special tokens, truncated, padded)-->  BatchEncoding (a dict of lists or tensors)
"""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np

Span = tuple[int, int, int | None]                  # start and end in the text, number of the word


class CharSpan(NamedTuple):
    """From one character of a text to another, which does not belong to it."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """From one token of a row to another, which does not belong to it."""

    start: int
    end: int


class Encoding(NamedTuple):
    """One row of a BatchEncoding, as encoding[0] gives it: a list for each property, an entry for each token."""

    ids: list[int]
    type_ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    attention_mask: list[int]
    special_tokens_mask: list[int]
    word_ids: list[int | None]
    sequence_ids: list[int | None]


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
    how tokens, words and characters belong together. batch[0] is its first row, batch[:2] a dict of the first two entries.

    Methods about one token, word or character take its number, or the number of the row and then that: token_to_word(5) is
    token_to_word(0, 5). sequence_index=1 means the second text of a pair.
    """

    def __init__(self, data: dict[str, Any] | None = None, rows: list[Row] | None = None, tokenizer: Any = None, *,
                 tensor_type: str | None = None):
        super().__init__(data or {})
        self.rows, self.tokenizer = rows or [], tokenizer
        self.convert_to_tensors(tensor_type)

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"this encoding has no {name!r}; it has {', '.join(self)}")

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, (int, np.integer)):
            return self._encoding(self._row(int(item)))
        return {key: self[key][item] for key in self} if isinstance(item, slice) else super().__getitem__(item)

    def __reduce__(self) -> tuple:
        """A pickled copy (a worker's answer, a cache) holds the numbers alone."""
        return type(self), (dict(self),)

    def __copy__(self) -> Self:
        return type(self)(self, self.rows, self.tokenizer)

    copy = __copy__

    def __deepcopy__(self, memo: dict) -> Self:
        return type(self)(copy.deepcopy(dict(self), memo), self.rows, self.tokenizer)

    @property
    def data(self) -> dict[str, Any]:
        return self

    @property
    def is_fast(self) -> bool:
        return bool(self.tokenizer and self.tokenizer.is_fast)

    @property
    def encodings(self) -> list[Encoding] | None:
        """The rows one by one; None when they are not known any more."""
        return [self._encoding(row) for row in self.rows] or None

    @property
    def n_sequences(self) -> int | None:
        """1 for texts, 2 for pairs."""
        return len(self.rows[0].parts) if self.rows else None

    @property
    def cut(self) -> list[int]:
        """How many tokens truncation left out of each row."""
        return [row.cut for row in self.rows]

    def tokens(self, batch_index: int = 0) -> list[str]:
        return self._tokens(self._row(batch_index))

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """The number of the word that each token belongs to, None for special tokens."""
        return self._row(batch_index).words

    words = word_ids

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """0 for tokens of the first text, 1 for the second, None for special tokens."""
        return self._row(batch_index).sequences

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """0 or 1, the text that a token belongs to; None for special tokens."""
        row, token = self._place(batch_or_token_index, token_index)
        return entry(row.sequences, token)

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The number of the word that a token belongs to; None for special tokens."""
        row, token = self._place(batch_or_token_index, token_index)
        return entry(row.words, token)

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """(start, end) of a token in its text; None for special tokens."""
        row, token = self._place(batch_or_token_index, token_index)
        return None if entry(row.sequences, token) is None else CharSpan(*row.offsets[token])

    def char_to_token(self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0) -> int | None:
        """The token that covers a character of the text."""
        row, char = self._place(batch_or_char_index, char_index)
        for number, ((start, end), sequence) in enumerate(zip(row.offsets, row.sequences, strict=True)):
            if sequence == sequence_index and start <= char < end:
                return number
        return None

    def char_to_word(self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0) -> int | None:
        """The number of the word that a character belongs to."""
        row, char = self._place(batch_or_char_index, char_index)
        token = self.char_to_token(self.rows.index(row), char, sequence_index)
        return None if token is None else row.words[token]

    def word_to_tokens(self, batch_or_word_index: int, word_index: int | None = None,
                       sequence_index: int = 0) -> TokenSpan | None:
        """(first, last + 1) of the tokens of a word."""
        row, word = self._place(batch_or_word_index, word_index)
        found = [i for i, (w, s) in enumerate(zip(row.words, row.sequences, strict=True)) if (w, s) == (word, sequence_index)]
        return TokenSpan(found[0], found[-1] + 1) if found else None

    def word_to_chars(self, batch_or_word_index: int, word_index: int | None = None,
                      sequence_index: int = 0) -> CharSpan | None:
        """(start, end) of a word in its text."""
        row, word = self._place(batch_or_word_index, word_index)
        tokens = self.word_to_tokens(self.rows.index(row), word, sequence_index)
        return CharSpan(row.offsets[tokens.start][0], row.offsets[tokens.end - 1][1]) if tokens else None

    def to(self, device: Any, **options: Any) -> Self:
        """Moves the tensors to a device; returns the same encoding."""
        for key, value in self.items():
            if hasattr(value, "to"):
                self[key] = value.to(device, **options)
        return self

    def convert_to_tensors(self, tensor_type: str | None = None, prepend_batch_axis: bool = False) -> Self:
        for key, value in self.items():
            self[key] = to_tensor(key, [value] if prepend_batch_axis else value, tensor_type)
        return self

    def _row(self, index: int) -> Row:
        if not self.rows:
            raise ValueError("this encoding does not know its texts any more: only the direct result of tokenizer(text) does")
        return self.rows[index]

    def _place(self, first: int, second: int | None) -> tuple[Row, int]:
        return (self._row(0), first) if second is None else (self._row(first), second)

    def _tokens(self, row: Row) -> list[str]:
        return self.tokenizer.convert_ids_to_tokens(self._ids(row))

    def _ids(self, row: Row) -> list[int]:
        pad = self.tokenizer.pad_token_id if self.tokenizer else 0
        return [pad] * row.left + row.ids + [pad] * row.right

    def _encoding(self, row: Row) -> Encoding:
        mask = [0] * row.left + [1] * len(row.ids) + [0] * row.right
        return Encoding(self._ids(row), row.types, self._tokens(row), row.offsets, mask, row.special, row.words, row.sequences)


def entry(column: list, place: int) -> Any:
    """None for a place that is not there."""
    return column[place] if -len(column) <= place < len(column) else None


def to_tensor(name: str, value: Any, kind: str | None) -> Any:
    """Lists or arrays -> what return_tensors asks for: None (as they are), 'np', 'pt' or 'tf'."""
    if kind is None:
        return value
    if kind not in ("pt", "np", "tf"):
        raise ValueError(f"return_tensors must be 'pt' (torch), 'np' (numpy), 'tf' (TensorFlow) or None (lists), got {kind!r}")
    try:
        array = value if isinstance(value, np.ndarray) else np.array(value)
    except ValueError:
        array = np.array(None)
    if array.dtype == object:
        cure = ("pad them too, as DataCollatorForTokenClassification and DataCollatorForSeq2Seq do" if "label" in name else
                "pass padding=True, and truncation=True for long texts")
        raise ValueError(f"{name} has rows of different length or holds None, so it does not fit into a tensor: {cure}")
    if kind == "np":
        return array
    if kind == "tf":
        try:
            import tensorflow
        except ImportError:
            raise ImportError("return_tensors='tf' needs TensorFlow, which is not installed: pip install tensorflow-cpu. Keras "
                              "takes the arrays of return_tensors='np' as well") from None
        return tensorflow.constant(array.astype(np.int32) if array.dtype.kind == "i" or not array.size else array)
    import torch  # a tokenizer alone works without it
    return torch.from_numpy(array.astype(np.int64) if not array.size else array)
