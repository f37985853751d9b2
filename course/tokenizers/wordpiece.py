"""WordPiece, the tokenizer of BERT and DistilBERT (Schuster & Nakajima 2012; as in Devlin et al. 2018).

What it adds to base.py:
1. clean the text: control characters go, blanks become spaces, capitals and accents go if the model is uncased
2. cut it into words at blanks, punctuation, and around every Chinese character
3. cut each word into the longest pieces that the vocabulary has, from the left; inner pieces begin with ##

    vocabulary: un, happy, ##happi, ##ness, ##able …
    "Unhappiness!"  ->  unhappiness !  ->  un ##happi ##ness !

A word with a part that no piece covers is [UNK] as a whole, and so is one of more than 100 characters.
"""

import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from course import hub
from course.tokenizers.base import PreTrainedTokenizer
from course.tokenizers.encoding import Span
from course.tokenizers.rust import RustEngine
from course.tokenizers.tokenizer_json import vocab_of
from course.tokenizers.words import read_lines

# Chinese characters get blanks around them; the ranges are those of the Rust engine
CHINESE = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B81F), (0x2B920, 0x2CEAF),
           (0x2F800, 0x2FA1F))
MAX_WORD = 100


class Cleaner(dict):
    """Code point -> what stands for it after cleaning, with blanks around characters that are words of their own.
    A table for str.translate that fills itself: each character is looked up once."""

    def __init__(self, lower: bool, strip_accents: bool, chinese: bool):
        super().__init__()
        self.lower, self.strip_accents, self.chinese = lower, strip_accents, chinese

    def __missing__(self, code: int) -> str:
        self[code] = found = self.clean(chr(code))
        return found

    def clean(self, char: str) -> str:
        category = unicodedata.category(char)
        if char in "\t\n\r" or category[0] == "Z":
            return " "
        if char in "\0\ufffd" or category in ("Cc", "Cf", "Co", "Cs"):
            return ""
        if self.strip_accents:
            char = "".join(c for c in unicodedata.normalize("NFD", char) if unicodedata.category(c) != "Mn")
        if self.lower:
            char = char.lower()
        alone = char.isascii() and char.isprintable() and not char.isalnum() or category[0] == "P" \
            or self.chinese and len(char) == 1 and any(a <= ord(char) <= b for a, b in CHINESE)
        return f" {char} " if alone and char else char

    def words(self, text: str) -> list[tuple[str, list[int]]]:
        """The cleaned words, each with the places in the text where its characters stood."""
        looks = [self[ord(char)] for char in text]
        places = [place for place, look in enumerate(looks) for _ in look]
        return [(word[0], places[word.start():word.end()]) for word in re.finditer(r"\S+", "".join(looks))]


class BertTokenizer(PreTrainedTokenizer):
    """[CLS] text [SEP], or [CLS] first [SEP] second [SEP] with token type 1 for the second text."""

    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "vocab.txt"}
    special: ClassVar[dict[str, Any]] = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
                                         "mask_token": "[MASK]"}
    single, pair = "cls:0 A:0 sep:0", "cls:0 A:0 sep:0 B:1 sep:1"

    def __init__(self, vocab_file: str | os.PathLike | None = None, vocab: dict[str, int] | None = None,
                 do_lower_case: bool = True, strip_accents: bool | None = None, tokenize_chinese_chars: bool = True,
                 never_split: Sequence[str] | None = None, do_basic_tokenize: bool = True, **kwargs: Any):
        if vocab is None:
            if vocab_file is None:
                raise TypeError(f"{type(self).__name__} needs vocab_file=… or vocab=…; "
                                f"for a checkpoint use {type(self).__name__}.from_pretrained(name)")
            vocab = read_vocab(Path(vocab_file))
        tokens = self.special | {k: v for k, v in kwargs.items() if k.endswith("_token")}
        needed = {t: str(getattr(tokens[t], "content", tokens[t])) for t in ("unk_token", "sep_token", "cls_token")}
        added = {token.content for token in (kwargs.get("added_tokens_decoder") or {}).values()}
        if not do_basic_tokenize:
            raise ValueError("do_basic_tokenize=False is not known here: words are always cleaned and cut at punctuation. For "
                             "other rules see PreTrainedTokenizerFast(tokenizer_object=…) and pre_tokenizers.WhitespaceSplit")
        if strange := set(never_split or ()) - set(needed.values()) - set(map(str, tokens.values())):
            raise ValueError(f"never_split={sorted(strange)} is not known here: tokenizer.add_tokens([…]) keeps words whole")
        missing = [t for t, token in needed.items() if token not in vocab and token not in added]
        if missing:
            raise ValueError(f"the vocabulary lacks {', '.join(f'{t} {tokens[t]!r}' for t in missing)}: is it a vocabulary of "
                             f"a BERT model? Other spellings can be given, for example {missing[0]}='<unk>'")
        self.do_lower_case = do_lower_case
        self.strip_accents, self.tokenize_chinese_chars = strip_accents, tokenize_chinese_chars
        self.cleaner = Cleaner(do_lower_case, do_lower_case if strip_accents is None else strip_accents, tokenize_chinese_chars)
        super().__init__(vocab, **(kwargs | tokens))
        self.init_kwargs |= {"do_lower_case": do_lower_case, "strip_accents": strip_accents,
                             "tokenize_chinese_chars": tokenize_chinese_chars}

    def tokens_of(self, text: str) -> list[str]:
        return [piece for word in self.words_of(text) for piece in self.split_word(word)]

    def words_of(self, text: str) -> list[str]:
        return text.translate(self.cleaner).split()

    def spans_of(self, text: str) -> list[Span]:
        spans: list[Span] = []
        for number, (word, places) in enumerate(self.cleaner.words(text)):
            start, pieces = 0, self.split_word(word)
            for piece in pieces:
                size = len(word) if len(pieces) == 1 else len(piece) - (2 if start else 0)
                spans.append((places[start], places[start + size - 1] + 1, number))
                start += size
        return spans

    def fold(self, char: str) -> str:
        clean = self.cleaner[ord(char)]
        return clean.strip() or clean[:1]

    def cut_word(self, word: str) -> list[str]:
        """The longest piece that fits, again and again: 'unhappiness' -> ['un', '##happi', '##ness']."""
        pieces: list[str] = []
        start = 0
        while start < len(word) <= MAX_WORD:
            prefix = "##" if start else ""
            end = next((e for e in range(len(word), start, -1) if prefix + word[start:e] in self.vocab), None)
            if end is None:
                break
            pieces.append(prefix + word[start:end])
            start = end
        return pieces if start == len(word) else [self.unk_token]

    def rust(self, alone: bool = False) -> Tokenizer:
        engine = Tokenizer(models.WordPiece(self.vocab_with_unknown(), unk_token=self.unk_token,
                                            max_input_chars_per_word=MAX_WORD))
        engine.normalizer = normalizers.BertNormalizer(
            clean_text=True, handle_chinese_chars=self.tokenize_chinese_chars, strip_accents=self.strip_accents,
            lowercase=self.do_lower_case)
        engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        engine.decoder = decoders.WordPiece(prefix="##", cleanup=self.clean_up_tokenization_spaces)
        return engine

    def join(self, tokens: list[str]) -> str:
        return " ".join(tokens).replace(" ##", "")

    @classmethod
    def expected(cls, content: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        unknown = settings.get("unk_token", cls.special["unk_token"])
        return {"normalizer": {"type": "BertNormalizer", "clean_text": True}, "pre_tokenizer": {"type": "BertPreTokenizer"},
                "decoder": {"type": "WordPiece", "prefix": "##"}, "model": {
                    "type": "WordPiece", "continuing_subword_prefix": "##", "max_input_chars_per_word": MAX_WORD,
                    "unk_token": str(getattr(unknown, "content", unknown))}}

    @classmethod
    def read_model(cls, content: dict[str, Any]) -> dict[str, Any]:
        found, normalizer = {"vocab": vocab_of(content)}, content.get("normalizer") or {}
        for ours, theirs in (("do_lower_case", "lowercase"), ("strip_accents", "strip_accents"),
                             ("tokenize_chinese_chars", "handle_chinese_chars")):
            if theirs in normalizer:
                found[ours] = normalizer[theirs]
        return found

    def save_vocabulary(self, folder: str | os.PathLike, filename_prefix: str | None = None) -> tuple[str, ...]:
        path = Path(folder) / f"{filename_prefix + '-' if filename_prefix else ''}vocab.txt"
        words = sorted(self.vocab, key=self.vocab.__getitem__)
        if [self.vocab[word] for word in words] != list(range(len(words))):
            raise ValueError("vocab.txt gives each piece the number of its line: the vocabulary needs numbers without gaps")
        hub.write_text(path, "".join(f"{word}\n" for word in words))
        return (str(path),)


class DistilBertTokenizer(BertTokenizer):
    """BERT's tokenizer; the model just knows no token types."""

    model_input_names: Sequence[str] = ("input_ids", "attention_mask")


class BertTokenizerFast(RustEngine, BertTokenizer):
    """BertTokenizer on the Rust engine."""


class DistilBertTokenizerFast(RustEngine, DistilBertTokenizer):
    """DistilBertTokenizer on the Rust engine."""


def read_vocab(path: Path) -> dict[str, int]:
    """vocab.txt: one piece per line, the line's number is its id. ValueError names the line that is wrong."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no vocabulary {path}")
    lines = read_lines(path)
    if lines and not lines[-1]:
        lines.pop()
    vocab: dict[str, int] = {}
    for number, line in enumerate(lines):
        piece = line.rstrip("\r")
        if piece in vocab:
            raise ValueError(f"{path}, line {number + 1}: {piece!r} stands in line {vocab[piece] + 1} already")
        vocab[piece] = number
    if not vocab:
        raise ValueError(f"{path} is empty; a vocabulary has one piece per line")
    return vocab
