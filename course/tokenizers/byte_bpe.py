"""Byte-level BPE, the tokenizer of GPT-2, RoBERTa and BART (Radford et al. 2019, section 2.2; BPE: Sennrich et al. 2016).

What it adds to wordpiece.py:
- it starts from the 256 bytes instead of characters, so no text is ever unknown and every text comes back unchanged
- pieces are not looked up from the left but grown: the pair of neighbours that was merged first in training is merged
  first, again and again, until no known pair is left
- the blank before a word belongs to it; as a visible letter it is Ġ

    merges, in order: h e · l l · he ll · hell o · Ġ hello
    "hello hello"  ->  hello, " hello"  ->  h e l l o, Ġ h e l l o  ->  he ll o …  ->  hello Ġhello
"""

import os
import re
import unicodedata
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import AddedToken

from course import hub
from course.tokenizers.base import PreTrainedTokenizer, Span


def visible_bytes() -> dict[int, str]:
    """Byte -> a letter that can be printed: itself where possible, else one from U+0100 on. The blank (32) becomes Ġ."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = (byte for byte in range(256) if byte not in plain)
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + number) for number, byte in enumerate(rest)}


BYTES = visible_bytes()
LETTERS = {letter: byte for byte, letter in BYTES.items()}


class Kinds(dict):
    """Code point -> one character for its kind, for str.translate: ASCII letters stay, other letters are 'a', numbers '0',
    the blank ' ', other white space '\\n', the apostrophe stays, all else '!'. So a pattern over kinds needs no \\p{L}."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        major = unicodedata.category(char)[0]
        self[code] = kind = char if char in " '" or (char.isascii() and char.isalpha()) else \
            "a" if major == "L" else "0" if major == "N" else \
            "\n" if char.isspace() and not "\x1c" <= char <= "\x1f" else "!"
        return kind


KINDS = Kinds()
# contractions, words, numbers, signs (each with one blank before it); of several blanks the last belongs to the next word
WORDS = re.compile(r"'(?:[stmd]|re|ve|ll)| ?[A-Za-z]+| ?0+| ?[!']+|\s+(?!\S)|\s+")


class GPT2Tokenizer(PreTrainedTokenizer):
    """No special tokens around a text; <|endoftext|> separates texts."""

    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "vocab.json", "merges_file": "merges.txt"}
    model_input_names: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask")
    special: ClassVar[dict[str, str]] = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>",
                                         "unk_token": "<|endoftext|>"}

    def __init__(self, vocab_file: str | os.PathLike | None = None, merges_file: str | os.PathLike | None = None,
                 vocab: dict[str, int] | None = None, merges: list[tuple[str, str]] | None = None,
                 add_prefix_space: bool = False, **kwargs: Any):
        if vocab is None or merges is None:
            if vocab_file is None or merges_file is None:
                raise TypeError(f"{type(self).__name__} needs vocab_file=… and merges_file=…; "
                                f"for a checkpoint use {type(self).__name__}.from_pretrained(name)")
            vocab, merges = read_vocab_json(Path(vocab_file)), read_merges(Path(merges_file))
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}
        for pair in self.ranks:
            if "".join(pair) not in vocab:
                raise ValueError(f"the merge {' '.join(pair)!r} makes {''.join(pair)!r}, which the vocabulary does not have: "
                                 "do vocab.json and merges.txt belong together?")
        self.add_prefix_space = add_prefix_space
        self._words: dict[str, list[str]] = {}
        kwargs.setdefault("clean_up_tokenization_spaces", True)
        super().__init__(vocab, **(self.special | kwargs))
        self.init_kwargs["add_prefix_space"] = add_prefix_space

    def tokens_of(self, text: str) -> list[str]:
        text = self._prefixed(text)
        return [piece for word in WORDS.finditer(text.translate(KINDS)) for piece in self.split_word(text[slice(*word.span())])]

    def _prefixed(self, text: str) -> str:
        return f" {text}" if self.add_prefix_space and text and not text[0].isspace() else text

    def spans_of(self, text: str) -> list[Span]:
        longer = self._prefixed(text)
        shift = len(longer) - len(text)
        spans: list[Span] = []
        for number, word in enumerate(WORDS.finditer(longer.translate(KINDS))):
            # the character that each byte of the word belongs to
            owner = [place for place in range(*word.span()) for _ in longer[place].encode()]
            at = 0
            for piece in self.split_word(longer[slice(*word.span())]):
                start, end = owner[at], owner[at + len(piece) - 1] + 1
                at += len(piece)
                if self.trims_offsets:
                    start = min(end, start + len(piece) - len(piece.lstrip("Ġ")))
                spans.append((max(0, start - shift), max(0, end - shift), number))
        return spans

    def split_word(self, word: str) -> list[str]:
        """Bytes, then the earliest learned merge as long as there is one: ' low' -> ['Ġ', 'l', 'o', 'w'] -> … -> ['Ġlow']."""
        if word in self._words:
            return self._words[word]
        pieces = [BYTES[byte] for byte in word.encode()]
        while len(pieces) > 1:
            pairs = list(zip(pieces, pieces[1:], strict=False))
            first = min(pairs, key=lambda pair: self.ranks.get(pair, len(self.ranks)))
            if first not in self.ranks:
                break
            merged, at = [], 0
            while at < len(pieces):
                both = at < len(pairs) and pairs[at] == first
                merged.append("".join(first) if both else pieces[at])
                at += 2 if both else 1
            pieces = merged
        if len(self._words) >= 100_000:              # a bound, for streams of millions of texts
            self._words.clear()
        self._words[word] = pieces
        return pieces

    def join(self, tokens: list[str]) -> str:
        """Pieces -> bytes -> text; added tokens are text already."""
        text, pending = "", bytearray()
        for token in [*tokens, ""]:
            if token and token not in self.added and all(letter in LETTERS for letter in token):
                pending += bytes(LETTERS[letter] for letter in token)
            else:
                text += pending.decode("utf-8", errors="replace") + token
                pending = bytearray()
        return text

    @classmethod
    def read_files(cls, name: str | os.PathLike, **options: Any) -> dict[str, Any]:
        vocab = hub.find_file(name, "vocab.json", required=False, **options)
        merges = hub.find_file(name, "merges.txt", required=False, **options)
        if vocab and merges:
            return {"vocab_file": vocab, "merges_file": merges}
        path = hub.find_file(name, "tokenizer.json", required=False, **options)
        if path is None:
            hub.find_file(name, "merges.txt" if vocab else "vocab.json", **options)      # raises with the reason
        model = hub.read_json(path).get("model", {})  # type: ignore[arg-type]
        if "merges" not in model:
            raise ValueError(f"{path} holds a {model.get('type')} tokenizer, {cls.__name__} reads byte-level BPE: "
                             "use AutoTokenizer")
        pairs = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
        return {"vocab": model["vocab"], "merges": pairs}

    def save_vocabulary(self, folder: str | os.PathLike, filename_prefix: str | None = None) -> tuple[str, ...]:
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        vocab, merges = Path(folder) / f"{prefix}vocab.json", Path(folder) / f"{prefix}merges.txt"
        hub.write_json(vocab, self.vocab)
        lines = [f"{a} {b}\n" for a, b in sorted(self.ranks, key=self.ranks.__getitem__)]
        hub.write_text(merges, "#version: 0.2\n" + "".join(lines))
        return str(vocab), str(merges)


class RobertaTokenizer(GPT2Tokenizer):
    """<s> text </s>, or <s> first </s></s> second </s>; no token types."""

    single, pair = "cls:0 A:0 sep:0", "cls:0 A:0 sep:0 sep:0 B:0 sep:0"
    special: ClassVar[dict[str, Any]] = {
        "bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>", "unk_token": "<unk>",
        "pad_token": "<pad>", "mask_token": AddedToken("<mask>", lstrip=True, special=True, normalized=False)}
    trims_offsets = True


def read_vocab_json(path: Path) -> dict[str, int]:
    """vocab.json: {piece: id}."""
    vocab = hub.read_json(path)
    if not isinstance(vocab, dict) or not all(isinstance(number, int) for number in vocab.values()):
        raise ValueError(f"{path} should hold one JSON object from pieces to ids, like {{\"hello\": 31373, …}}")
    return vocab


def read_merges(path: Path) -> list[tuple[str, str]]:
    """merges.txt: one pair per line, the earliest learned first. ValueError names the line that is wrong."""
    merges = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")):
        if not line.strip() or (number == 0 and line.startswith("#version")):
            continue
        pair = tuple(line.rstrip("\r").split(" "))
        if len(pair) != 2:
            raise ValueError(f"{path}, line {number + 1}: a merge is two pieces with one blank between them, got {line!r}")
        merges.append(pair)
    return merges
