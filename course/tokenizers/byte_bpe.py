"""Byte-level BPE, the tokenizer of GPT-2, RoBERTa and BART (Radford et al. 2019, section 2.2).

What it adds to bpe.py:
- it starts from the 256 bytes instead of letters, so no text is ever unknown and every text comes back unchanged
- the blank before a word belongs to it, instead of a mark at the word's end; as a visible letter it is Ġ

    merges, in order: h e · l l · he ll · hell o · Ġ hello
    "hello hello"  ->  hello, " hello"  ->  h e l l o, Ġ h e l l o  ->  he ll o …  ->  hello Ġhello
"""

import os
import re
import unicodedata
from typing import Any, ClassVar

from tokenizers import AddedToken

from course.tokenizers.base import Span
from course.tokenizers.bpe import BPETokenizer, Pair


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


class GPT2Tokenizer(BPETokenizer):
    """No special tokens around a text; <|endoftext|> separates texts."""

    model_input_names: tuple[str, ...] = ("input_ids", "attention_mask")
    special: ClassVar[dict[str, Any]] = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>",
                                         "unk_token": "<|endoftext|>"}

    def __init__(self, vocab_file: str | os.PathLike | None = None, merges_file: str | os.PathLike | None = None,
                 vocab: dict[str, int] | None = None, merges: list[Pair] | None = None,
                 add_prefix_space: bool = False, **kwargs: Any):
        self.add_prefix_space = add_prefix_space
        super().__init__(vocab_file, merges_file, vocab, merges, **kwargs)
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

    def letters(self, word: str) -> list[str]:
        """' low' -> ['Ġ', 'l', 'o', 'w']."""
        return [BYTES[byte] for byte in word.encode()]

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


class RobertaTokenizer(GPT2Tokenizer):
    """<s> text </s>, or <s> first </s></s> second </s>; no token types."""

    single, pair = "cls:0 A:0 sep:0", "cls:0 A:0 sep:0 sep:0 B:0 sep:0"
    special: ClassVar[dict[str, Any]] = {
        "bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>", "unk_token": "<unk>",
        "pad_token": "<pad>", "mask_token": AddedToken("<mask>", lstrip=True, special=True, normalized=False)}
    trims_offsets = True


class BartTokenizer(RobertaTokenizer):
    """RoBERTa's tokenizer under its own name."""
