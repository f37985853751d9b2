"""BPE, the tokenizer of OpenAI GPT and CTRL (Sennrich, Haddow & Birch 2016, https://arxiv.org/abs/1508.07909).

What it adds to wordpiece.py:
- pieces are not looked up from the left but grown: a word starts as its letters, and the pair of neighbours that was
  merged first in training is merged first, again and again, until no known pair is left
- the end of a word is marked, not its inside: </w> belongs to the last letter, so "est</w>" (as in newest) and "est" (as
  in estate) are two pieces. CTRL's vocabulary writes it the other way round: inner pieces end in @@, "est" closes a word

    merges, in order: e s · es t</w> · l o · lo w
    "lowest"  ->  l o w e s t</w>  ->  l o w es t</w>  ->  l o w est</w>  ->  lo w est</w>  ->  low est</w>  (CTRL: low@@ est)

A letter that the vocabulary does not have is <unk>; the rest of its word stays readable.
"""

import os
import re
from pathlib import Path
from typing import Any, ClassVar

from course import hub
from course.tokenizers.base import PreTrainedTokenizer, Span
from course.tokenizers.wordpiece import BertTokenizer, Cleaner

Pair = tuple[str, str]
WORD = re.compile(r"[\S\x1c-\x1f]+\n?")                # CTRL's words; four separators of old data files are no blanks to it


def merge(pieces: list[str], ranks: dict[Pair, int]) -> list[str]:
    """Merges the earliest learned pair everywhere in a word, as long as there is one."""
    while len(pieces) > 1:
        pairs = list(zip(pieces, pieces[1:], strict=False))
        first = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
        if first not in ranks:
            break
        merged, at = [], 0
        while at < len(pieces):
            both = at < len(pairs) and pairs[at] == first
            merged.append("".join(first) if both else pieces[at])
            at += 2 if both else 1
        pieces = merged
    return pieces


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
        self._words: dict[str, list[str]] = {}
        super().__init__(vocab, **(self.special | kwargs))
        self.check_merges()

    def check_merges(self) -> None:
        """ValueError where a merge makes a piece that the vocabulary does not have."""
        for pair in self.ranks:
            if "".join(pair) not in self.vocab:
                raise ValueError(f"the merge {' '.join(pair)!r} makes {''.join(pair)!r}, which the vocabulary does not have: "
                                 "do vocab.json and merges.txt belong together?")

    def letters(self, word: str) -> list[str]:
        """What merging starts from: the letters, the last one with the mark that ends a word."""
        return [*word[:-1], f"{word[-1]}</w>"]

    def split_word(self, word: str) -> list[str]:
        """'low' -> ['l', 'o', 'w</w>'] -> … -> ['low</w>']; each word is worked out once."""
        if word not in self._words:
            if len(self._words) >= 100_000:          # a bound, for streams of millions of texts
                self._words.clear()
            self._words[word] = merge(self.letters(word), self.ranks)
        return self._words[word]

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
            raise ValueError(f"{path} holds a {model.get('type')} tokenizer, {cls.__name__} reads BPE: use AutoTokenizer")
        pairs = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
        return {"vocab": model["vocab"], "merges": pairs}

    def save_vocabulary(self, folder: str | os.PathLike, filename_prefix: str | None = None) -> tuple[str, ...]:
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        vocab, merges = Path(folder) / f"{prefix}vocab.json", Path(folder) / f"{prefix}merges.txt"
        hub.write_json(vocab, self.vocab)
        lines = [f"{a} {b}\n" for a, b in sorted(self.ranks, key=self.ranks.__getitem__)]
        hub.write_text(merges, "#version: 0.2\n" + "".join(lines))
        return str(vocab), str(merges)


class OpenAIGPTTokenizer(BPETokenizer):
    """Cleans and cuts a text into words as uncased BERT does, then BPE; no special tokens around it."""

    model_input_names: tuple[str, ...] = ("input_ids", "attention_mask")
    cleaner = Cleaner(lower=True, strip_accents=True, chinese=True)

    def tokens_of(self, text: str) -> list[str]:
        return [piece if piece in self.vocab else self.unk_token
                for word in text.translate(self.cleaner).split() for piece in self.split_word(word)]

    def spans_of(self, text: str) -> list[Span]:
        spans: list[Span] = []
        for number, (word, places) in enumerate(self.cleaner.words(text)):
            start = 0
            for piece in self.split_word(word):
                end = start + len(piece.removesuffix("</w>"))
                spans.append((places[start], places[end - 1] + 1, number))
                start = end
        return spans

    fold = BertTokenizer.fold

    def join(self, tokens: list[str]) -> str:
        return "".join(tokens).replace("</w>", " ").strip()


class CTRLTokenizer(BPETokenizer):
    """Cuts at blanks alone and keeps capitals; a line break belongs to the word before it.

    A text for CTRL starts with a control code, a word such as Links, News or Reviews that sets the style. There is no Rust
    engine: the library looks up what its merges make, and CTRL's vocabulary spells that differently.
    """

    pair = "A:0 B:1"

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
    """merges.txt: one pair per line, the earliest learned first. ValueError names the line that is wrong."""
    merges: list[Pair] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")):
        if not line.strip() or (number == 0 and line.startswith("#version")):
            continue
        match line.rstrip("\r").split(" "):
            case [left, right]:
                merges.append((left, right))
            case _:
                raise ValueError(f"{path}, line {number + 1}: a merge is two pieces with one blank between them, got {line!r}")
    return merges
