"""BPE on whole sentences, the tokenizer of Llama 1 and 2, TinyLlama and the first Mistral models (Touvron et al. 2023, section
2.1), and in an older form of Reformer; as in the program SentencePiece (Kudo & Richardson 2018,
https://arxiv.org/abs/1808.06226).

What it adds to bpe.py:
- there are no words: the blank is a letter like any other, written ▁, and one stands before the text too
- a letter that the vocabulary does not have becomes its bytes, <0x00> to <0xFF>, so no text is ever unknown (Reformer's has
  no bytes: there such letters are <unk>, several in a row one)

    merges, in order: l o · ▁ lo · ▁lo w
    "low ü"  ->  ▁low▁ü  ->  ▁ l o w ▁ <0xC3> <0xBC>  ->  …  ->  ▁low ▁ <0xC3> <0xBC>
"""

import base64
import itertools
import os
import re
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import AddedToken, PreTokenizedString, Tokenizer

from course.tokenizers.bpe import Pair
from course.tokenizers.described import DescribedTokenizer, split_letters
from course.tokenizers.encoding import Span
from course.tokenizers.rust import RustEngine
from course.tokenizers.tokenizer_json import PLAIN_MODEL, skeleton
from course.tokenizers.unigram import BYTE_PIECES, CONTROL, NORMAL, USER, Piece, UnigramTokenizer, read_sentencepiece

# as a tokenizer.json says it: blanks become ▁, and one is put before a text; back again, with bytes made letters
TO_LETTERS = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
                                                  {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
TO_TEXT = {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                                            {"type": "ByteFallback"}, {"type": "Fuse"},
                                            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
ALONE: Any = (TO_LETTERS["normalizers"][1], {"type": "Sequence", "decoders": TO_TEXT["decoders"][:-1]})    # without that one
# the same for Reformer: blanks at the end of a text go, several are one, and what remains is cut before each
BLANKS: list[dict[str, Any]] = [{"type": "Strip", "strip_left": False, "strip_right": True},
                                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}]
METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}


class SentenceBPETokenizer(DescribedTokenizer):
    """What Llama and Reformer share: where the vocabulary comes from, and how pieces become a text again."""

    byte_fallback: ClassVar[Any] = True               # whether a tokenizer.json says that unknown letters become bytes

    def __init__(self, vocab_file: str | os.PathLike | None = None, vocab: dict[str, int] | None = None,
                 merges: list[Pair] | None = None, **kwargs: Any):
        if vocab is None or merges is None:
            if vocab_file is None:
                raise TypeError(f"{type(self).__name__} needs vocab_file=…, a SentencePiece file; "
                                f"for a checkpoint use {type(self).__name__}.from_pretrained(name)")
            pieces, charsmap = read_sentencepiece(Path(vocab_file), model_type=2)
            vocab, merges = {piece: number for number, (piece, *_) in enumerate(pieces)}, merges_of(pieces)
            kwargs = self.read_pieces(pieces, charsmap, kwargs)
        super().__init__(vocab=vocab, merges=merges, **kwargs)

    def read_pieces(self, pieces: list[Piece], charsmap: bytes, given: dict[str, Any]) -> dict[str, Any]:
        """The keywords that were given and what a SentencePiece file says besides vocabulary and merges."""
        return given

    @classmethod
    def expected(cls, content: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        return {"model": PLAIN_MODEL | {"type": "BPE", "byte_fallback": cls.byte_fallback, "fuse_unk": True}}

    def rust(self, alone: bool = False, **model: Any) -> Tokenizer:
        return super().rust(alone, unk_token=self.unk_token, fuse_unk=True, byte_fallback=True, **model)

    def join(self, tokens: list[str]) -> str:
        return self.decoder.decode(tokens)

    def save_vocabulary(self, folder: str | os.PathLike, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Nothing: tokenizer.json, which save_pretrained writes, says it all."""
        return ()


class LlamaTokenizer(SentenceBPETokenizer):
    """<s> text, or <s> first <s> second; add_bos_token and add_eos_token say which special tokens frame a text."""

    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "tokenizer.model"}
    special: ClassVar[dict[str, Any]] = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "padding_side": "left",
                                         "clean_up_tokenization_spaces": False}

    def __init__(self, vocab_file: str | os.PathLike | None = None, vocab: dict[str, int] | None = None,
                 merges: list[Pair] | None = None, add_bos_token: bool = True, add_eos_token: bool = False, **kwargs: Any):
        blank = kwargs.get("add_prefix_space") is not False
        plain = {"normalizer": TO_LETTERS if blank else ALONE[0], "decoder": TO_TEXT if blank else ALONE[1]}
        super().__init__(vocab_file, vocab, merges, **(plain | kwargs | framed(add_bos_token, add_eos_token)))
        self.init_kwargs |= {"add_bos_token": add_bos_token, "add_eos_token": add_eos_token}
        if not self.is_fast and (self.described["pre_tokenizer"] is not None or not set(BYTE_PIECES) <= set(self.vocab)):
            raise ValueError("the Python engine reads tokenizers of this kind only where the vocabulary has all 256 bytes and "
                             f"nothing cuts a text before BPE (pre_tokenizer: {str(self.described['pre_tokenizer'])[:120]}). "
                             "use_fast=True, the default, reads this one")
        # where no piece holds a blank inside, texts can be cut before blanks: the same result, much sooner
        inside = any("▁" in (left + right).lstrip("▁") for left, right in self.ranks)
        self.word = re.compile("(?s:.+)" if inside else "▁*[^▁]+|▁+")

    def tokens_of(self, text: str) -> list[str]:
        return [piece for word in self.word.findall(self.prepared(text)) for piece in self.split_word(word)]

    def spans_of(self, text: str) -> list[Span]:
        letters = self.letters_of(text)
        # where the letter stood that each letter or byte belongs to
        places = [place for letter, place in letters for _ in self.letters(letter)]
        spans: list[Span] = []
        at = 0
        for word in self.word.findall("".join(letter for letter, _ in letters)):
            for piece in self.split_word(word):
                end = at + (1 if piece in BYTE_PIECES else len(piece))
                spans.append((places[at][0], places[end - 1][1], 0))
                at = end
        return spans

    def letters(self, word: str) -> list[str]:
        """'▁ü' -> ['▁', '<0xC3>', '<0xBC>']."""
        return [part for letter in word
                for part in ([letter] if letter in self.vocab else [BYTE_PIECES[byte] for byte in letter.encode()])]


class ReformerTokenizer(SentenceBPETokenizer):
    """A text without special tokens around it. Texts are cut before blanks, and the spelling is unified first, by a table that
    is stored with the pieces (unigram.py). There is no padding token: set one before padding."""

    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "spiece.model"}
    json_first = False
    byte_fallback = (False, True)                     # without pieces for bytes both mean the same
    special: ClassVar[dict[str, Any]] = {"eos_token": "</s>", "unk_token": "<unk>"}
    file: bytes | None = None                         # the SentencePiece file as it was, for saving
    fold = UnigramTokenizer.fold

    def __init__(self, vocab_file: str | os.PathLike | None = None, vocab: dict[str, int] | None = None,
                 merges: list[Pair] | None = None, **kwargs: Any):
        plain = {"normalizer": {"type": "Sequence", "normalizers": BLANKS}, "pre_tokenizer": METASPACE, "decoder": METASPACE}
        super().__init__(vocab_file, vocab, merges, **(plain | kwargs))
        self.pre_tokenizer = skeleton(pre_tokenizer=self.described["pre_tokenizer"]).pre_tokenizer
        if vocab_file is not None:
            self.file = Path(vocab_file).read_bytes()

    def read_pieces(self, pieces: list[Piece], charsmap: bytes, given: dict[str, Any]) -> dict[str, Any]:
        table = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()}
        whole = {number: AddedToken(piece, normalized=False, special=kind == CONTROL)
                 for number, (piece, _, kind) in enumerate(pieces) if kind in (CONTROL, USER)}
        return given | {"normalizer": {"type": "Sequence", "normalizers": [table] * bool(charsmap) + BLANKS},
                        "added_tokens_decoder": whole | (given.get("added_tokens_decoder") or {})}

    def _parts(self, text: str, split_special: bool) -> list[tuple[str, str | None]]:
        """Blanks before a `normalized` token count: it is found after those at the end of a text are gone."""
        found: list[tuple[str, str | None]] = []
        for (part, token), (_, after) in itertools.pairwise([*super()._parts(text, split_special), ("", None)]):
            counts = token is None and after is not None and self.added[after].normalized
            end = len(part.rstrip()) if counts else len(part)
            found += [(part[:end], token)] * bool(end) + [(part[end:], "▁")] * (end < len(part))
        return found

    def words_of(self, text: str) -> list[str]:
        return [word for word, _ in self.pre_tokenizer.pre_tokenize_str(self.prepared(text))]

    def spans_of(self, text: str) -> list[Span]:
        letters = PreTokenizedString(text)
        letters.normalize(self.normalizer.normalize)
        self.pre_tokenizer.pre_tokenize(letters)
        letters.split(split_letters)
        places = [place for _, place, _ in letters.get_splits("original", "char")]
        spans: list[Span] = []
        at = 0
        for number, word in enumerate(self.words_of(text)):
            for piece in self.split_word(word):
                spans.append((places[at][0], places[at + len(piece) - 1][1], number))
                at += len(piece)
        return spans

    def letters(self, word: str) -> list[str]:
        """'▁aü中b' -> ['▁', 'a', 'ü中', 'b']: what the vocabulary lacks stays together."""
        return [part for known, run in itertools.groupby(word, self.vocab.__contains__)
                for part in (run if known else ["".join(run)])]

    def save_vocabulary(self, folder: str | os.PathLike, filename_prefix: str | None = None) -> tuple[str, ...]:
        path = Path(folder) / f"{filename_prefix + '-' if filename_prefix else ''}spiece.model"
        if self.file is None:
            path.unlink(missing_ok=True)                      # of an older vocabulary; it would count more than tokenizer.json
            return ()
        path.write_bytes(self.file)
        return (str(path),)


class LlamaTokenizerFast(RustEngine, LlamaTokenizer):
    """LlamaTokenizer on the Rust engine."""


class ReformerTokenizerFast(RustEngine, ReformerTokenizer):
    """ReformerTokenizer on the Rust engine."""


def framed(bos: bool, eos: bool) -> dict[str, str]:
    """The templates of a tokenizer with add_bos_token and add_eos_token."""
    frame = "bos:{0} " * bos + "{1}:{0}" + " eos:{0}" * eos
    return {"single": frame.format(0, "A"), "pair": f"{frame.format(0, 'A')} {frame.format(1, 'B')}"}


def merges_of(pieces: list[Piece]) -> list[Pair]:
    """SentencePiece files hold no merges: any two pieces that make a third are merged, those first whose result has the
    highest score, which is the earliest learned."""
    number = {piece: i for i, (piece, _, kind) in enumerate(pieces) if kind == NORMAL}
    ranked = sorted(number, key=lambda piece: -pieces[number[piece]][1])
    found = []
    for piece in ranked:
        cuts = [(piece[:at], piece[at:]) for at in range(1, len(piece))]
        known = [cut for cut in cuts if cut[0] in number and cut[1] in number]
        found += sorted(known, key=lambda cut: (number[cut[0]], number[cut[1]]))
    return found
