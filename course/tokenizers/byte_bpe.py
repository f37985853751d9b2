"""Byte-level BPE, the tokenizer of GPT-2, RoBERTa and BART (Radford et al. 2019, section 2.2), and of most large models since.

What it adds to bpe.py:
- it starts from the 256 bytes instead of letters, so no text is ever unknown and every text comes back unchanged
- the blank before a word belongs to it, instead of a mark at the word's end; as a visible letter it is Ġ
- a regular expression says what a word is. Newer models have other expressions, and that is nearly all they change: GPT-2
  keeps a number whole, Llama 3 cuts it into three digits at most, Qwen2 and SmolLM2 into single ones

    merges, in order: h e · l l · he ll · hell o · Ġ hello
    "hello hello"  ->  hello, " hello"  ->  h e l l o, Ġ h e l l o  ->  he ll o …  ->  hello Ġhello
"""

import re
from typing import Any, ClassVar

from tokenizers import AddedToken, PreTokenizedString, Regex, Tokenizer, pre_tokenizers, processors

from course.tokenizers.described import DescribedTokenizer
from course.tokenizers.encoding import Span
from course.tokenizers.rust import RustEngine
from course.tokenizers.tokenizer_json import PLAIN_MODEL

# What is a word? \p{L} is any letter, \p{N} any number, \s white space. In turn: contractions; words, numbers and signs, each
# with one blank before it; white space, of which the last blank is left to the word that follows.
GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# A word may begin with any one sign, line breaks end the signs before them, and numbers stand without a blank.
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)"
          r"|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")


def visible_bytes() -> dict[int, str]:
    """Byte -> a letter that can be printed: itself where possible, else one from U+0100 on. The blank (32) becomes Ġ."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = (byte for byte in range(256) if byte not in plain)
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + number) for number, byte in enumerate(rest)}


BYTES = visible_bytes()
LETTERS = {letter: byte for byte, letter in BYTES.items()}


def cut_by(*patterns: str) -> dict[str, Any]:
    """Words are what these patterns match, and what stands between; as tokenizer.json says it."""
    steps: list[dict[str, Any]] = [{"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
                                   for pattern in patterns]
    last = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"type": "Sequence", "pretokenizers": [*steps, last]}


def patterns_of(step: dict[str, Any] | None) -> list[str]:
    """The other way: the pre_tokenizer of a tokenizer.json -> the patterns, which cut one after the other."""
    match step:
        case {"type": "Sequence", "pretokenizers": steps} if not any(inner.get("add_prefix_space") for inner in steps):
            return [pattern for inner in steps for pattern in patterns_of(inner)]
        case {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}:
            return [pattern]
        case {"type": "Split", "pattern": {"String": text}, "behavior": "Isolated", "invert": False}:
            return [re.escape(text)]
        case {"type": "Digits", "individual_digits": single}:
            return [r"\p{N}" if single else r"\p{N}+"]
        case {"type": "ByteLevel"}:
            return [GPT2] if step.get("use_regex", True) else []
    raise ValueError(f"the Python engine cannot cut texts as this checkpoint's tokenizer.json says (pre_tokenizer: "
                     f"{str(step)[:120]}). use_fast=True, the default, can")


class ByteBPETokenizer(DescribedTokenizer):
    """The byte-level BPE of any checkpoint with a tokenizer.json, such as Llama 3."""

    saved_as = "PreTrainedTokenizerFast"
    special: ClassVar[dict[str, Any]] = {"clean_up_tokenization_spaces": False}

    def __init__(self, *files: Any, add_prefix_space: bool | None = False, pre_tokenizer: dict[str, Any] | None = None,
                 decoder: dict[str, Any] | None = None, **kwargs: Any):
        if pre_tokenizer is None or pre_tokenizer["type"] == "ByteLevel":
            pre_tokenizer = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True} | (pre_tokenizer or {}) | {
                "add_prefix_space": bool(add_prefix_space)}
        elif add_prefix_space:
            raise ValueError("add_prefix_space=True is not possible here: this checkpoint cuts texts by rules of its own "
                             f"first (pre_tokenizer: {str(pre_tokenizer)[:80]}). Begin your texts with a blank instead")
        self.add_prefix_space = bool(add_prefix_space)
        decoder = decoder or {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
        super().__init__(*files, pre_tokenizer=pre_tokenizer, decoder=decoder, **kwargs)
        self.init_kwargs["add_prefix_space"] = self.add_prefix_space
        if not self.is_fast:                          # patterns of the Rust library, because Python's re has no \\p{L}
            self.cutters = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns_of(pre_tokenizer)]

    def words(self, text: str) -> list[str]:
        """A text cut by each pattern in turn."""
        found = PreTokenizedString(text)
        for cutter in self.cutters:
            cutter.pre_tokenize(found)
        return [word for word, *_ in found.get_splits("original", "char")]

    def is_prefixed(self, text: str) -> bool:
        """Whether a text is cut as if a blank stood before it."""
        return self.described["pre_tokenizer"].get("add_prefix_space", False) and text != "" and not text[0].isspace()

    def tokens_of(self, text: str) -> list[str]:
        return [piece for word in self.words_of(text) for piece in self.split_word(word)]

    def words_of(self, text: str) -> list[str]:
        text = self.prepared(text)
        return self.words(" " * self.is_prefixed(text) + text)

    def spans_of(self, text: str) -> list[Span]:
        letters = self.letters_of(text)
        if self.is_prefixed(text):
            letters = [(" ", (0, 0)), *letters]
        # where the letter stood that each byte belongs to
        places = [place for letter, place in letters for _ in letter.encode()]
        spans: list[Span] = []
        next_word = 0
        for number, word in enumerate(self.words("".join(letter for letter, _ in letters))):
            at, next_word = next_word, next_word + len(word.encode())
            for piece in self.split_word(word):
                start, end = places[at][0], places[at + len(piece) - 1][1]
                if self.trims_offsets:
                    blanks = len(piece) - len(piece.lstrip("Ġ"))
                    start = end if blanks == len(piece) else places[at + blanks][0]
                spans.append((start, end, number))
                at += len(piece)
        return spans

    def letters(self, word: str) -> list[str]:
        """' low' -> ['Ġ', 'l', 'o', 'w']; bytes that the vocabulary lacks (SmolLM2's: control characters) are left out."""
        return [letter for byte in word.encode() if (letter := BYTES[byte]) in self.vocab]

    @classmethod
    def read_model(cls, content: dict[str, Any]) -> dict[str, Any]:
        found = super().read_model(content)
        return found | {"add_prefix_space": (found["pre_tokenizer"] or {}).get("add_prefix_space", False)}

    @classmethod
    def expected(cls, content: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        return {"decoder": {"type": "ByteLevel"}, "pre_tokenizer": ({"type": "ByteLevel"}, {"type": "Sequence"}),
                "model": PLAIN_MODEL | {"type": "BPE", "byte_fallback": False} | (
                    {} if set(LETTERS) <= set(content["model"]["vocab"]) else {"unk_token": (None, "")})}

    def rust(self, alone: bool = False, **model: Any) -> Tokenizer:
        engine = super().rust(alone, **model)
        engine.post_processor = processors.ByteLevel(add_prefix_space=self.add_prefix_space, trim_offsets=self.trims_offsets)
        return engine

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


class GPT2Tokenizer(ByteBPETokenizer):
    """No special tokens around a text; <|endoftext|> separates texts."""

    saved_as = ""
    special: ClassVar[dict[str, Any]] = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>",
                                         "unk_token": "<|endoftext|>"}

    def spaced(self, word: str) -> str:
        return word if self.add_prefix_space else f" {word}"


class Qwen2Tokenizer(ByteBPETokenizer):
    """No special tokens around a text. Letters with accents are composed (NFC), and every digit is a piece."""

    saved_as = ""
    special: ClassVar[dict[str, Any]] = {"eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>",
                                         "pad_token": "<|endoftext|>", "clean_up_tokenization_spaces": False}

    def __init__(self, *files: Any, **kwargs: Any):
        super().__init__(*files, **({"normalizer": {"type": "NFC"}, "pre_tokenizer": cut_by(QWEN2)} | kwargs))


class RobertaTokenizer(GPT2Tokenizer):
    """<s> text </s>, or <s> first </s></s> second </s>; no token types."""

    single, pair = "cls:0 A:0 sep:0", "cls:0 A:0 sep:0 sep:0 B:0 sep:0"
    special: ClassVar[dict[str, Any]] = {
        "bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>",
        "cls_token": "<s>", "mask_token": AddedToken("<mask>", lstrip=True, special=True, normalized=False)}
    trims_offsets = True

    def spaced(self, word: str) -> str:
        return word if not word or word[0].isspace() else super().spaced(word)


class BartTokenizer(RobertaTokenizer):
    """RoBERTa's tokenizer under its own name."""


class ByteBPETokenizerFast(RustEngine, ByteBPETokenizer):
    """ByteBPETokenizer on the Rust engine."""


class GPT2TokenizerFast(RustEngine, GPT2Tokenizer):
    """GPT2Tokenizer on the Rust engine."""


class Qwen2TokenizerFast(RustEngine, Qwen2Tokenizer):
    """Qwen2Tokenizer on the Rust engine."""


class RobertaTokenizerFast(RustEngine, RobertaTokenizer):
    """RobertaTokenizer on the Rust engine."""


class BartTokenizerFast(RustEngine, BartTokenizer):
    """BartTokenizer on the Rust engine."""
