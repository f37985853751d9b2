"""Whole words, the first thing that comes to mind: the tokenizer of Transformer-XL (Dai et al. 2019).

A text is cut into words and marks by the rules of Moses (Koehn et al. 2007), a toolbox of machine translation that knows
abbreviations, quotation marks and apostrophes; then each word is looked up. Numbers and hyphens are cut too, and marked:

    "The council's 2,500 long-term plans."  ->  The council 's 2 @,@ 500 long @-@ term plans .

Why hardly anybody does so any more, and why the other files here cut words into pieces:
- every word needs a vector of its own: transfo-xl-wt103 knows 267,735 words, and most of its weights are there
- whatever it does not know is <unk>: names, spelling mistakes, new words, other languages
- "plan" and "plans" have no more in common than "plan" and "lamp": what is learned about one says nothing about the other
"""

import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from course import hub
from course.tokenizers.base import PreTrainedTokenizer
from course.tokenizers.encoding import Span

REACH = 6                                             # how many letters of a text the rules drop at once, at most


@functools.lru_cache(maxsize=64)
def moses(tool: str, language: str, **options: bool) -> Any:
    """A tool of Moses for a language: the PunctNormalizer, which gives marks like „ and “ one spelling, the Tokenizer or the
    Detokenizer."""
    try:
        import sacremoses
    except ImportError:
        raise ImportError("the tokenizers of XLM and Transformer-XL cut words with the library sacremoses, which is not "
                          "installed here: pip install sacremoses") from None
    return getattr(sacremoses, f"Moses{tool}")(language, **options)


def placed_words(text: str, words_of: Callable[[str], list[str]]) -> Iterator[tuple[str, list[int]]]:
    """Each word of words_of(text) with the places where its letters stood. The rules change, add and drop a few letters:
    one that is not found nearby stands where the one before it did."""
    faces = {char: "".join(words_of(char)) for char in set(text)}
    letters = [(face, place) for place, char in enumerate(text) for face in faces[char]]
    letters.append(("", len(text) - 1))
    start = 0
    for word in words_of(text):
        places: list[int] = []
        for letter in word:
            for number in range(start, min(start + REACH, len(letters))):
                if letters[number][0] == letter:
                    start = number + 1
                    places.append(letters[number][1])
                    break
            else:
                places.append(places[-1] if places else letters[start][1])
        yield word, places


class TransfoXLTokenizer(PreTrainedTokenizer):
    """No special tokens around a text. There is no Rust engine: it does not know Moses' rules."""

    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "vocab.txt"}
    model_input_names: Sequence[str] = ("input_ids",)
    special: ClassVar[dict[str, Any]] = {"unk_token": "<unk>", "eos_token": "<eos>", "additional_special_tokens": ["<formula>"]}

    def __init__(self, vocab_file: str | os.PathLike | None = None, vocab: dict[str, int] | None = None,
                 lower_case: bool = False, language: str = "en", **kwargs: Any):
        if vocab is None:
            if vocab_file is None:
                raise TypeError("TransfoXLTokenizer needs vocab_file=… or vocab=…; "
                                "for a checkpoint use TransfoXLTokenizer.from_pretrained(name)")
            vocab = read_words(Path(vocab_file))
        settings = self.special | kwargs
        unknown = str(getattr(settings["unk_token"], "content", settings["unk_token"]))
        if unknown not in vocab:
            raise ValueError(f"the vocabulary lacks {unknown!r}, which stands for all words that it does not have; another "
                             "spelling can be given with unk_token=…")
        self.lower_case, self.language = lower_case, language
        moses("PunctNormalizer", language)            # fails now rather than in the middle of the work
        super().__init__(vocab, **settings)
        self.init_kwargs |= {"lower_case": lower_case, "language": language}

    def tokens_of(self, text: str) -> list[str]:
        return [word if word in self.vocab else self.unk_token for word in self.words_of(text)]

    def words_of(self, text: str) -> list[str]:
        if self.lower_case:
            text = "".join(map(str.lower, text))
        text = moses("PunctNormalizer", self.language).normalize(text)
        words = moses("Tokenizer", self.language).tokenize(text, aggressive_dash_splits=True, escape=False,
                                                           protected_patterns=[re.escape(t) for t in self.all_special_tokens])
        return [part for word in words for part in re.sub(r"(?<=\d)[,.](?=\d)", r" @\g<0>@ ", word).split()]

    def spans_of(self, text: str) -> list[Span]:
        return [(places[0], places[-1] + 1, number)
                for number, (_, places) in enumerate(placed_words(text, self.words_of))]

    def fold(self, char: str) -> str:
        return char.lower() if self.lower_case else char

    def join(self, tokens: list[str]) -> str:
        return re.sub(r" @([,.])@ ", r"\1", moses("Detokenizer", self.language).detokenize(tokens)).strip()

    @classmethod
    def read_files(cls, name: str | os.PathLike, required: bool = True, **options: Any) -> dict[str, Any]:
        if path := hub.find_file(name, "vocab.txt", required=False, **options):
            return {"vocab_file": path}
        for file in ("vocab.bin", "vocab.pkl"):       # what transfo-xl-wt103 on the Hub has
            if path := hub.find_file(name, file, required=False, **options):
                return {"vocab": read_saved_words(path)}
        hub.find_file(name, "vocab.txt", **options)   # raises with the reason
        return {}

    def save_vocabulary(self, folder: str | os.PathLike, filename_prefix: str | None = None) -> tuple[str, ...]:
        path = Path(folder) / f"{filename_prefix + '-' if filename_prefix else ''}vocab.txt"
        hub.write_text(path, "".join(f"{word}\n" for word in sorted(self.vocab, key=self.vocab.__getitem__)))
        return (str(path),)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file; ValueError when it is none."""
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")      # -sig: Windows editors put a mark in front
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file in UTF-8; is it damaged?") from None


def read_words(path: Path) -> dict[str, int]:
    """vocab.txt: one word a line, in the order of their ids; what stands after a blank does not count, nor does a word that
    came before."""
    vocab: dict[str, int] = {}
    for number, line in enumerate(read_lines(path)[:-1]):
        if not line.strip():
            raise ValueError(f"{path}, line {number + 1}: there is no word")
        vocab.setdefault(line.split()[0], len(vocab))
    return vocab


def read_saved_words(path: Path) -> dict[str, int]:
    """The words of a vocabulary that torch.save wrote. A pickle could run code, so nothing but plain data is read."""
    import pickle

    import torch  # a vocab.txt does not need it
    try:
        words = torch.load(path, weights_only=True)["sym2idx"]
        return {str(word): int(number) for word, number in words.items()}
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError, AttributeError):
        raise ValueError(f"{path} is a pickle that holds more than a table of words, or no vocabulary at all. Opening such a "
                         "file can run a stranger's code, so course does not. If you trust it, open it where it cannot do "
                         "harm, write its words to vocab.txt, one a line in the order of their ids, and put that beside "
                         "config.json") from None
