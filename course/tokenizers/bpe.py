"""BPE, the tokenizer of OpenAI GPT, XLM and CTRL (Sennrich, Haddow & Birch 2016, https://arxiv.org/abs/1508.07909).

What it adds to wordpiece.py:
- pieces are not looked up from the left but grown: a word starts as its letters, and the pair of neighbours that was
  merged first in training is merged first, again and again, until no known pair is left
- the end of a word is marked, not its inside: </w> belongs to the last letter, so "est</w>" (as in newest) and "est" (as
  in estate) are two pieces. CTRL's vocabulary writes it the other way round: inner pieces end in @@, "est" closes a word

    merges, in order: e s · es t</w> · l o · lo w
    "lowest"  ->  l o w e s t</w>  ->  l o w es t</w>  ->  l o w est</w>  ->  lo w est</w>  ->  low est</w>  (CTRL: low@@ est)

A letter that the vocabulary does not have is <unk>; the rest of its word stays readable.
"""

import heapq
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from course import hub
from course.tokenizers.base import PreTrainedTokenizer
from course.tokenizers.encoding import Span
from course.tokenizers.rust import RustEngine
from course.tokenizers.tokenizer_json import PLAIN_MODEL
from course.tokenizers.wordpiece import BertTokenizer, Cleaner
from course.tokenizers.words import moses, placed_words, read_lines

Pair = tuple[str, str]
WORD = re.compile(r"[\S\x1c-\x1f]+\n?")                # CTRL's words; four separators of old data files are no blanks to it

CONTROL_CODES = (
    "Pregnancy Christianity Explain Fitness Saving Ask Ass Joke Questions Thoughts Retail Feminism Writing Atheism Netflix "
    "Computing Opinion Alone Funny Gaming Human India Joker Diet Legal Norman Tip Weight Movies Running Science Horror "
    "Confession Finance Politics Scary Support Technologies Teenage Event Learned Notion Wikipedia Books Extract Confessions "
    "Conspiracy Links Narcissus Relationship Relationships Reviews News Translation multilingual").split()


def merge(pieces: list[str], ranks: dict[Pair, int]) -> list[str]:
    """Merges the earliest learned pair, the leftmost of several, as long as there is one.

    The heap gives that pair without a look at all others, so that a thousand blanks in a row take no longer than a text."""
    heap = [(ranks[pair], at) for at, pair in enumerate(pairwise(pieces)) if pair in ranks]
    heapq.heapify(heap)
    found: list[str | None] = list(pieces)
    after, before = list(range(1, len(pieces) + 1)), list(range(-1, len(pieces)))
    while heap:
        rank, at = heapq.heappop(heap)
        gone = after[at]
        left, right = found[at], found[gone] if gone < len(found) else None
        if left is None or right is None or ranks.get((left, right)) != rank:
            continue                                      # one of both has become part of another piece
        found[at], found[gone] = left + right, None
        after[at] = after[gone]
        before[after[at]] = at
        for start in (before[at], at):                    # the pairs with the new piece
            end = after[start] if start >= 0 else len(found)
            if end < len(found) and (pair := (found[start], found[end])) in ranks:
                heapq.heappush(heap, (ranks[pair], start))  # type: ignore[index]
    return [piece for piece in found if piece is not None]


class BPETokenizer(PreTrainedTokenizer):
    """What all BPE tokenizers share: vocab.json with the pieces, merges.txt with the pairs."""

    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "vocab.json", "merges_file": "merges.txt"}
    special: ClassVar[dict[str, Any]] = {"unk_token": "<unk>"}

    def __init__(self, vocab_file: str | os.PathLike | None = None, merges_file: str | os.PathLike | None = None,
                 vocab: dict[str, int] | None = None, merges: list[Pair] | None = None, **kwargs: Any):
        if vocab is None or merges is None:
            if vocab_file is None or merges_file is None:
                raise TypeError(f"{type(self).__name__} needs vocab_file=… and merges_file=…; "
                                f"for a checkpoint use {type(self).__name__}.from_pretrained(name)")
            vocab, merges = read_vocab_json(Path(vocab_file)), read_merges(Path(merges_file))
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}
        super().__init__(vocab, **(self.special | kwargs))
        self.check_merges()

    @property
    def merges(self) -> list[Pair]:
        """The pairs, the earliest learned first."""
        return sorted(self.ranks, key=self.ranks.__getitem__)

    def check_merges(self) -> None:
        """ValueError where a merge makes a piece that the vocabulary does not have."""
        for pair in self.ranks:
            if "".join(pair) not in self.vocab:
                raise ValueError(f"the merge {' '.join(pair)!r} makes {''.join(pair)!r}, which the vocabulary does not have: "
                                 "do vocab.json and merges.txt belong together?")

    def letters(self, word: str) -> list[str]:
        """What merging starts from: the letters, the last one with the mark that ends a word."""
        return [*word[:-1], f"{word[-1]}</w>"]

    def cut_word(self, word: str) -> list[str]:
        """'low' -> ['l', 'o', 'w</w>'] -> … -> ['low</w>']."""
        return merge(self.letters(word), self.ranks)

    def words_of(self, text: str) -> list[str]:
        """A text as the words that merging never crosses."""
        raise NotImplementedError

    def placed_words(self, text: str) -> Iterable[tuple[str, list[int]]]:
        """Those words, each with the places of its letters in the text."""
        raise NotImplementedError

    def tokens_of(self, text: str) -> list[str]:
        return [piece if piece in self.vocab else self.unk_token
                for word in self.words_of(text) for piece in self.split_word(word)]

    def spans_of(self, text: str) -> list[Span]:
        spans: list[Span] = []
        for number, (word, places) in enumerate(self.placed_words(text)):
            start = 0
            for piece in self.split_word(word):
                end = start + len(piece.removesuffix("</w>"))
                spans.append((places[start], places[end - 1] + 1, number))
                start = end
        return spans

    def join(self, tokens: list[str]) -> str:
        return "".join(tokens).replace("</w>", " ").strip()

    @classmethod
    def read_model(cls, content: dict[str, Any]) -> dict[str, Any]:
        pairs = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in content["model"]["merges"]]
        return {"vocab": content["model"]["vocab"], "merges": pairs}

    def save_vocabulary(self, folder: str | os.PathLike, filename_prefix: str | None = None) -> tuple[str, ...]:
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        vocab, merges = Path(folder) / f"{prefix}vocab.json", Path(folder) / f"{prefix}merges.txt"
        hub.write_json(vocab, self.vocab)
        lines = [f"{a} {b}\n" for a, b in self.merges]
        hub.write_text(merges, "#version: 0.2\n" + "".join(lines))
        return str(vocab), str(merges)


class OpenAIGPTTokenizer(BPETokenizer):
    """Cleans and cuts a text into words as uncased BERT does, then BPE; no special tokens around it."""

    model_input_names: Sequence[str] = ("input_ids", "attention_mask")
    cleaner = Cleaner(lower=True, strip_accents=True, chinese=True)

    words_of = BertTokenizer.words_of

    def placed_words(self, text: str) -> list[tuple[str, list[int]]]:
        return self.cleaner.words(text)

    fold = BertTokenizer.fold

    @classmethod
    def expected(cls, content: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        return {"normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                               "strip_accents": (None, True), "lowercase": True},
                "pre_tokenizer": {"type": "BertPreTokenizer"}, "decoder": {"type": "BPEDecoder", "suffix": "</w>"},
                "model": PLAIN_MODEL | {"type": "BPE", "end_of_word_suffix": "</w>", "fuse_unk": False, "byte_fallback": False,
                                        "ignore_merges": False}}

    def rust(self, alone: bool = False) -> Tokenizer:
        engine = Tokenizer(models.BPE(self.vocab_with_unknown(), self.merges, unk_token=self.unk_token,
                                      end_of_word_suffix="</w>"))
        engine.normalizer = normalizers.BertNormalizer(lowercase=True)
        engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        engine.decoder = decoders.BPEDecoder(suffix="</w>")
        return engine


class OpenAIGPTTokenizerFast(RustEngine, OpenAIGPTTokenizer):
    """OpenAIGPTTokenizer on the Rust engine."""


class XLMTokenizer(BPETokenizer):
    """Cuts a text into words by the rules of its language (words.py), small letters without accents unless the checkpoint
    keeps them; then BPE. <s> text </s>, or <s> first </s> second </s>. There is no Rust engine: it does not know the rules.

    lang: the language of the texts, a key of lang2id where the checkpoint knows several; tokenizer.lang = "fr" changes it.
    Chinese, Japanese and Thai have no blanks between words: put some there first, with a library for that language.
    """

    single, pair = "bos:0 A:0 sep:0", "bos:0 A:0 sep:0 B:1 sep:1"
    special: ClassVar[dict[str, Any]] = {
        "bos_token": "<s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>", "cls_token": "</s>",
        "mask_token": "<special1>", "additional_special_tokens": [f"<special{number}>" for number in range(10)]}

    def __init__(self, *files: Any, do_lowercase_and_remove_accent: bool = True, lang2id: dict[str, int] | None = None,
                 id2lang: dict[int, str] | None = None, lang: str = "en", **kwargs: Any):
        self.lower, self.lang2id, self.lang = do_lowercase_and_remove_accent, lang2id, lang
        self.id2lang = {int(number): name for number, name in id2lang.items()} if id2lang else id2lang
        moses("PunctNormalizer", lang)                # fails now rather than in the middle of the work
        super().__init__(*files, **kwargs)
        self.init_kwargs |= {"do_lowercase_and_remove_accent": self.lower, "lang": lang}
        self.init_kwargs |= {"lang2id": lang2id, "id2lang": self.id2lang} if lang2id else {}

    def check_merges(self) -> None:
        """Pieces that only lead to others are not in XLM's vocabulary."""

    def words_of(self, text: str) -> list[str]:
        if self.lang2id and self.lang not in self.lang2id:
            raise ValueError(f"lang={self.lang!r} is no language of this tokenizer; it knows {', '.join(sorted(self.lang2id))}")
        if self.lower:
            text = "".join(map(str.lower, text))      # letter by letter: the sigma at the end of a word stays an ordinary one
        text = moses("PunctNormalizer", self.lang, pre_replace_unicode_punct=True).normalize(text)
        text = "".join(char for char in text if unicodedata.category(char)[0] != "C")
        words = text.split() if self.lang in ("zh", "ja", "th") else moses("Tokenizer", self.lang).tokenize(text, escape=False)
        if self.lower:
            words = ["".join(char for char in unicodedata.normalize("NFD", word) if unicodedata.category(char) != "Mn")
                     for word in words]
        return [word for word in words if word]

    def placed_words(self, text: str) -> Iterable[tuple[str, list[int]]]:
        return placed_words(text, self.words_of)

    def fold(self, char: str) -> str:
        return char.lower() if self.lower else char


class CTRLTokenizer(BPETokenizer):
    """Cuts at blanks alone and keeps capitals; a line break belongs to the word before it.

    A text for CTRL starts with a control code, a word such as Links, News or Reviews that sets the style. There is no Rust
    engine: the library looks up what its merges make, and CTRL's vocabulary spells that differently.
    """

    @property
    def control_codes(self) -> dict[str, int]:
        """The words that set a style, with their ids (Keskar et al. 2019, table 7)."""
        return {code: self.vocab[code] for code in CONTROL_CODES if code in self.vocab}

    def tokens_of(self, text: str) -> list[str]:
        return [self._name(piece) for word in WORD.findall(text) for piece in self.split_word(word)]

    def _name(self, piece: str) -> str:
        """'est</w>' -> 'est', 'low' -> 'low@@', as the vocabulary writes them."""
        name = piece.removesuffix("</w>") if piece.endswith("</w>") else f"{piece}@@"
        return name if name in self.vocab else self.unk_token

    def check_merges(self) -> None:
        """Pieces that only lead to others are not in CTRL's vocabulary."""

    def spans_of(self, text: str) -> list[Span]:
        spans: list[Span] = []
        for number, word in enumerate(WORD.finditer(text)):
            start = word.start()
            for piece in self.split_word(word[0]):
                end = start + len(piece.removesuffix("</w>"))
                spans.append((start, end, number))
                start = end
        return spans

    def join(self, tokens: list[str]) -> str:
        return " ".join(tokens).replace("@@ ", "").strip()


def read_vocab_json(path: Path) -> dict[str, int]:
    """vocab.json: {piece: id}."""
    vocab = hub.read_json(path)
    if not isinstance(vocab, dict) or not all(isinstance(number, int) for number in vocab.values()):
        raise ValueError(f"{path} should hold one JSON object from pieces to ids, like {{\"hello\": 31373, …}}")
    return vocab


def read_merges(path: Path) -> list[Pair]:
    """merges.txt: one pair per line, the earliest learned first; XLM's has behind it how often the pair was met. ValueError
    names the line that is wrong."""
    merges: list[Pair] = []
    for number, line in enumerate(read_lines(path)):
        if not line.strip() or (number == 0 and line.startswith("#version")):
            continue
        match line.rstrip("\r").split(" "):
            case [left, right]:
                merges.append((left, right))
            case [left, right, count] if count.isdigit():
                merges.append((left, right))
            case _:
                raise ValueError(f"{path}, line {number + 1}: a merge is two pieces with one blank between them, got {line!r}")
    return merges
