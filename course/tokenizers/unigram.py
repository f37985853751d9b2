"""Unigram, the tokenizer of T5 and XLNet (Kudo 2018, https://arxiv.org/abs/1804.10959; as in the program SentencePiece).

What it adds to bpe.py:
- a word is neither looked up from the left nor merged: of all ways to cut it into pieces the most probable one is taken
- each piece has a score, the logarithm of how often it occurs; the score of a cut is the sum of its pieces' scores
- the blank before a word is a letter of its own, ▁, so pieces alone say where the blanks were
- before all this a table that is stored with the pieces unifies the spelling: ﬁ -> fi, ½ -> 1/2, full-width letters

    scores: ▁un -7 · ▁ -2 · un -8 · happi -10 · happy -9 · ness -6 · i -5 · hap -11 · p -7
    "unhappiness"  ->  ▁unhappiness  ->  ▁un happi ness (-23), better than ▁un hap p i ness (-36) and ▁ un happi ness (-26)

A letter that no piece covers is <unk>; several in a row are one.
"""

import base64
import functools
import logging
import math
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import AddedToken, PreTokenizedString, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from course import hub
from course.tokenizers.base import PreTrainedTokenizer
from course.tokenizers.described import split_letters
from course.tokenizers.encoding import Pieces, Span
from course.tokenizers.rust import RustEngine

log = logging.getLogger(__name__)
NORMAL, UNKNOWN, CONTROL, USER, BYTE = 1, 2, 3, 4, 6      # the kinds of pieces in a SentencePiece file
UNKNOWN_PENALTY = 10                                      # how much less than the rarest piece an unknown letter is worth
HINDERED = 100                                            # so much less is a piece worth that a tokenizer.json should avoid
EXTRA = r"<extra_id_\d+>"
WHITE = "\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
BYTE_PIECES = [f"<0x{byte:02X}>" for byte in range(256)]      # stand for a letter that no piece covers, where there are any
Piece = tuple[str, float, int]                            # the letters, the score, the kind


class UnigramTokenizer(PreTrainedTokenizer):
    """What T5 and XLNet share: the pieces with their scores, and the search for the best cut."""

    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "spiece.model"}
    special: ClassVar[dict[str, Any]] = {}
    word = re.compile(r"[\S\x1c-\x1f]+")                 # what is cut on its own; the blank in front counts as ▁

    def __init__(self, vocab_file: str | os.PathLike | None = None, pieces: list[Piece] | None = None,
                 charsmap: bytes = b"", **kwargs: Any):
        if kwargs.get("add_prefix_space") is False:
            raise ValueError(f"add_prefix_space=False is not possible with {type(self).__name__}: its pieces count on the "
                             "blank before the first word")
        self.file = None                                  # the SentencePiece file as it was, for saving
        if pieces is None:
            if vocab_file is None:
                raise TypeError(f"{type(self).__name__} needs vocab_file=…, a SentencePiece file; "
                                f"for a checkpoint use {type(self).__name__}.from_pretrained(name)")
            pieces, charsmap = read_sentencepiece(Path(vocab_file))
            self.file = Path(vocab_file).read_bytes()
        beside = self.beside(pieces)                      # where a file has given their places to others, they come last
        taken = {number for number, token in (kwargs.get("added_tokens_decoder") or {}).items()
                 if not re.fullmatch(EXTRA, str(getattr(token, "content", token)))}
        pieces = pieces + (beside if taken.isdisjoint(range(len(pieces), len(pieces) + len(beside))) else [])
        if len({piece for piece, *_ in pieces}) < len(pieces):
            twice = next(piece for number, (piece, *_) in enumerate(pieces) if piece in [p for p, *_ in pieces[:number]])
            raise ValueError(f"the vocabulary has the piece {twice!r} twice; is the file damaged?")
        if not any(kind == UNKNOWN for *_, kind in pieces):
            raise ValueError("the vocabulary has no piece for unknown letters (kind 2, mostly <unk>); is the file damaged?")
        self.known, self.charsmap = pieces, charsmap
        try:
            table = [normalizers.Precompiled(charsmap)] if charsmap else []
        except Exception:                                 # the Rust library raises nothing more particular
            raise ValueError("the spelling table (precompiled_charsmap) of the vocabulary cannot be read; "
                             "is the file damaged?") from None
        self.normalizer = normalizers.Sequence(self.steps(table))
        best = max((score for _, score, kind in pieces if kind == NORMAL), default=0.0)
        # pieces that the training was told to keep whole have no score; SentencePiece gives them this one
        self.scores = [(piece, len(piece.encode()) * best - 0.1 if kind == USER else score) for piece, score, kind in pieces]
        self.unknown_score = min(score for _, score in self.scores) - UNKNOWN_PENALTY
        self.unk_id = next(number for number, (_, _, kind) in enumerate(pieces) if kind == UNKNOWN)
        self.unknown = pieces[self.unk_id][0]              # also where unk_token has got another name since
        self.has_bytes = any(kind == BYTE for *_, kind in pieces)
        super().__init__({piece: number for number, (piece, *_) in enumerate(pieces)}, **(self.special | kwargs))
        # control tokens are in the vocabulary too, but no text may spell them
        special = set(self.all_special_tokens)
        self.usable = {piece: score for (piece, score), (*_, kind) in zip(self.scores, pieces, strict=True)
                       if kind in (NORMAL, USER) and piece not in special}
        self.longest = max(map(len, self.usable), default=0)

    def beside(self, pieces: list[Piece]) -> list[Piece]:
        """Pieces that the class adds to those of the file."""
        return []

    def steps(self, table: list[Any]) -> list[Any]:
        """How the spelling of a text is unified; `table` is the step that the file prescribes."""
        return table

    def fold(self, char: str) -> str:
        return " " if char.isspace() else self.normalizer.normalize_str(char)

    def tokens_of(self, text: str) -> list[str]:
        return [piece for word in self.words_of(text) for piece, _, _ in self.split_word(word)]

    def words_of(self, text: str) -> list[str]:
        return ["▁" + word.lstrip(" ") for word in self.word.findall(self.normalizer.normalize_str(text))]

    def spans_of(self, text: str) -> list[Span]:
        letters = PreTokenizedString(text)
        letters.normalize(self.normalizer.normalize)
        letters.split(split_letters)
        found = [(letter, place) for letter, place, _ in letters.get_splits("original", "char")]
        spans: list[Span] = []
        for number, word in enumerate(self.word.finditer("".join(letter for letter, _ in found))):
            blank = word[0].startswith(" ")
            places = [place for _, place in found[word.start():word.end()]]
            places = places if blank else places[:1] + places         # ▁ stands where the blank, or the first letter, stood
            for _, start, end in self.split_word("▁" + word[0].lstrip(" ")):
                spans.append((places[start][0], places[end - 1][1], number))
        return spans

    def cut_word(self, word: str) -> list[tuple[str, int, int]]:
        """'▁unhappiness' -> [('▁un', 0, 3), ('happi', 3, 8), ('ness', 8, 12)]."""
        return self.named(word, self.best_cut(word))

    def best_cut(self, word: str) -> list[tuple[int, int]]:
        """Where to cut (Viterbi 1967): for each place the best way to get there, built on the best ways to places before."""
        usable, size = self.usable, len(word)
        best, last = [0.0, *[-math.inf] * size], [0] * (size + 1)      # the score up to each place, where its last piece starts
        for start, here in enumerate(word):
            score_here = best[start]
            if here not in usable and score_here + self.unknown_score > best[start + 1]:
                best[start + 1], last[start + 1] = score_here + self.unknown_score, start
            for end in range(start + 1, min(start + self.longest, size) + 1):
                piece = word[start:end]
                if piece in usable and score_here + usable[piece] > best[end]:
                    best[end], last[end] = score_here + usable[piece], start
        cuts, end = [], size
        while end:
            cuts.append((last[end], end))
            end = last[end]
        return cuts[::-1]

    def named(self, word: str, cuts: list[tuple[int, int]]) -> list[tuple[str, int, int]]:
        """The pieces by name: unknown letters in a row become one <unk>, or their bytes where the vocabulary has these."""
        found: list[tuple[str, int, int]] = []
        for start, end in cuts:
            piece = word[start:end]
            if piece in self.usable:
                found.append((piece, start, end))
            elif found and found[-1][0] == self.unknown:
                found[-1] = (self.unknown, found[-1][1], end)
            else:
                found.append((self.unknown, start, end))
        if self.has_bytes:
            found = [(name, start, end) for piece, start, end in found
                     for name in ([BYTE_PIECES[byte] for byte in word[start:end].encode()] if piece == self.unknown
                                  else [piece])]
        return found

    @staticmethod
    def cuts_again(piece: str) -> bool:
        """Whether `named` cuts this piece further."""
        return False

    def rust(self, alone: bool = False) -> Tokenizer:
        """alone: for tokenizer.json, which has no Python engine beside it: pieces that this would cut again are made so
        improbable that the model does not choose them. That comes close, but long numbers may differ."""
        engine = Tokenizer(models.Unigram([(piece, score - HINDERED if alone and self.cuts_again(piece) else score)
                                           for piece, score in self.scores], self.unk_id, self.has_bytes))
        engine.normalizer = self.normalizer
        words = pre_tokenizers.Split(Regex(self.word.pattern), "removed", invert=True)
        engine.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.Metaspace()])
        engine.decoder = decoders.Metaspace()
        return engine

    def join(self, tokens: list[str]) -> str:
        """Pieces -> text; the ▁ of the first piece was put there, it is no blank."""
        if tokens:
            tokens = [tokens[0].replace("▁", ""), *tokens[1:]]
        if not self.has_bytes:
            return "".join(tokens).replace("▁", " ")
        text, pending = "", bytearray()
        for token in [*tokens, ""]:
            if byte := re.fullmatch(r"<0x([0-9A-F]{2})>", token):
                pending.append(int(byte[1], 16))
            else:
                text += pending.decode("utf-8", errors="replace") + token.replace("▁", " ")
                pending.clear()
        return text

    @classmethod
    def read_files(cls, name: str | os.PathLike, required: bool = True, **options: Any) -> dict[str, Any] | None:
        path = hub.find_file(name, "tokenizer.model", required=False, **options)
        return super().read_files(name, required and not path, **options) or (path and {"vocab_file": path} or None)

    @classmethod
    def expected(cls, content: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        blanks = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "add_prefix_space": True}
        step = ({"type": "Precompiled"}, {"type": "Strip", "strip_left": False, "strip_right": True},
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": (" ", "▁")}, *cls.steps_of_files(settings))
        return {"normalizer": (None, *step, {"type": "Sequence", "normalizers": [..., step]}),
                "pre_tokenizer": (blanks, {"type": "Sequence", "pretokenizers": [
                    ({"type": "WhitespaceSplit"}, {"type": "Split", "pattern": {"Regex": cls.word.pattern}}), blanks]}),
                "decoder": blanks, "model": {"type": "Unigram"}}

    @classmethod
    def steps_of_files(cls, settings: dict[str, Any]) -> list[dict[str, Any]]:
        """The steps of a normalizer that the class stands for, besides the table and blanks."""
        return []

    @classmethod
    def read_model(cls, content: dict[str, Any]) -> dict[str, Any]:
        model = content["model"]
        kinds = {token["content"]: CONTROL if token["special"] else USER for token in content.get("added_tokens", [])}
        pieces: list[Piece] = []
        for number, (piece, score) in enumerate(model["vocab"]):
            score += HINDERED if cls.cuts_again(piece) and score < -HINDERED else 0
            kind = UNKNOWN if number == model.get("unk_id") else kinds.get(piece, NORMAL)
            is_byte = model.get("byte_fallback") and piece in BYTE_PIECES
            pieces.append((piece, score, BYTE if is_byte else kind))
        normalizer = content.get("normalizer") or {}
        steps = normalizer.get("normalizers", [normalizer])
        table = next((step["precompiled_charsmap"] for step in steps if step.get("type") == "Precompiled"), "")
        return {"pieces": pieces, "charsmap": base64.b64decode(table or "")}

    def save_vocabulary(self, folder: str | os.PathLike, filename_prefix: str | None = None) -> tuple[str, ...]:
        path = Path(folder) / f"{filename_prefix + '-' if filename_prefix else ''}spiece.model"
        path.write_bytes(self.file or write_sentencepiece(self.known, self.charsmap))
        return (str(path),)


class T5Tokenizer(UnigramTokenizer):
    """text </s>, or first </s> second </s>. <extra_id_0>, <extra_id_1> … stand for words left out."""

    model_input_names: Sequence[str] = ("input_ids", "attention_mask")
    special: ClassVar[dict[str, Any]] = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    single, pair = "A:0 eos:0", "A:0 eos:0 B:0 eos:0"

    def __init__(self, vocab_file: str | os.PathLike | None = None, pieces: list[Piece] | None = None,
                 charsmap: bytes = b"", extra_ids: int = 100,
                 additional_special_tokens: Iterable[str | AddedToken] | None = None, **kwargs: Any):
        self.extra = [f"<extra_id_{number}>" for number in range(extra_ids)]
        given = list(additional_special_tokens or [])
        names = {str(getattr(token, "content", token)) for token in given}
        super().__init__(vocab_file, pieces, charsmap, **kwargs,
                         additional_special_tokens=given + [token for token in self.extra if token not in names])
        self.init_kwargs["extra_ids"] = extra_ids
        if kwargs.get("legacy") is False:
            log.warning("this tokenizer was saved with legacy=False; course always begins a piece of text after a special "
                        "token with ▁, so ids there may differ from those that the model was trained with")

    def beside(self, pieces: list[Piece]) -> list[Piece]:
        have = {piece for piece, *_ in pieces}
        return [(token, 0.0, CONTROL) for token in reversed(self.extra) if token not in have]


class XLNetTokenizer(UnigramTokenizer):
    """text <sep> <cls>, or first <sep> second <sep> <cls>; <cls> is last and has a token type of its own, 2, padding 3.
    Shorter texts are padded on the left."""

    special: ClassVar[dict[str, Any]] = {
        "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "cls_token": "<cls>", "sep_token": "<sep>",
        "pad_token": "<pad>", "mask_token": AddedToken("<mask>", lstrip=True, special=True, normalized=False),
        "additional_special_tokens": ["<eop>", "<eod>"], "padding_side": "left"}
    single, pair = "A:0 sep:0 cls:2", "A:0 sep:0 B:1 sep:1 cls:2"
    pad_token_type_id = 3
    word = re.compile(r" ?[^ ]+")

    def __init__(self, vocab_file: str | os.PathLike | None = None, pieces: list[Piece] | None = None,
                 charsmap: bytes = b"", do_lower_case: bool = False, remove_space: bool = True, keep_accents: bool = False,
                 **kwargs: Any):
        self.do_lower_case, self.remove_space, self.keep_accents = do_lower_case, remove_space, keep_accents
        super().__init__(vocab_file, pieces, charsmap, **kwargs)
        self.init_kwargs |= {"do_lower_case": do_lower_case, "remove_space": remove_space, "keep_accents": keep_accents}

    def steps(self, table: list[Any]) -> list[Any]:
        found: list[Any] = [normalizers.Replace(Regex(f"[{WHITE}]+"), " ")] if self.remove_space else []
        found += [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
        if not self.keep_accents:
            found += [normalizers.NFKD(), normalizers.Replace(Regex(accents()), "")]
        if self.do_lower_case:
            found.append(normalizers.Lowercase())
        return [*found, *table, normalizers.Replace(Regex(" {2,}"), " ")]

    @classmethod
    def steps_of_files(cls, settings: dict[str, Any]) -> list[dict[str, Any]]:
        quotes = [{"type": "Replace", "pattern": {"String": mark}, "content": '"'} for mark in ("``", "''")]
        signs = [{"type": "Replace", "pattern": {"Regex": signs}} for signs in (f"[{WHITE}]+", accents())]
        lower = [{"type": "Lowercase"}] if settings.get("do_lower_case") else []
        return [*quotes, *signs, {"type": "NFKD"}, {"type": "StripAccents"}, *lower]

    def named(self, word: str, cuts: list[tuple[int, int]]) -> list[tuple[str, int, int]]:
        """A comma after a number is a piece of its own: '▁2010,' -> '▁2010' ','."""
        found: list[tuple[str, int, int]] = []
        for piece, start, end in super().named(word, cuts):
            if not self.cuts_again(piece):
                found.append((piece, start, end))
                continue
            inner = "▁" + piece[:-1].replace("▁", "")
            shift = start - (not piece.startswith("▁"))
            for name, a, b in super().named(inner, self.best_cut(inner)):
                if shift < start and a == 0:              # the ▁ was only lent to cut the number
                    name, a = (name[1:] if name[1:] in self.usable else self.unknown), 1
                if b > a:
                    found.append((name, shift + a, shift + b))
            found.append((piece[-1], end - 1, end))
        return found

    @staticmethod
    def cuts_again(piece: str) -> bool:
        return len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit()

    def join(self, tokens: list[str]) -> str:
        """Pieces -> text, without blanks at the ends and around special tokens."""
        text, pending = "", ""
        for token in [*tokens, ""]:
            if token and token not in self.added:
                pending += token
            else:
                text, pending = text + pending.replace("▁", " ").strip() + token, ""
        return text


class UnigramEngine(RustEngine, UnigramTokenizer):
    """The Rust library has no pieces that a text may not spell ("</s>" is one as good as any), and no second thoughts
    about a number's comma. The few texts in which it found such a piece are cut by the Python engine."""

    @functools.cached_property
    def refused(self) -> set[int]:
        return {number for piece, number in self.vocab.items() if self.whole_file is None and (
            piece not in self.usable and piece != self.unknown or self.cuts_again(piece))}

    def pieces(self, texts: Sequence[Any], split_special: bool, words_given: bool, spans: bool = False) -> list[Pieces]:
        found = super().pieces(texts, split_special, words_given, spans)
        for number, (text, cut) in enumerate(zip(texts, found, strict=True)):
            if not self.refused.isdisjoint(cut.ids) or split_special and self.unknown in str(text):
                found[number], = UnigramTokenizer.pieces(self, [text], split_special, words_given)
        return found


class T5TokenizerFast(UnigramEngine, T5Tokenizer):
    """T5Tokenizer on the Rust engine."""


class XLNetTokenizerFast(UnigramEngine, XLNetTokenizer):
    """XLNetTokenizer on the Rust engine."""


@functools.cache
def accents() -> str:
    """A pattern for the signs that combine with the letter before them."""
    return f"[{''.join(chr(code) for code in range(0x300, 0x1F000) if unicodedata.combining(chr(code)))}]"


# -- SentencePiece files: a protobuf message, of which only these fields matter here ---------------------------------------
# message -> {field: (number, type, default)}; https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto

MESSAGES: dict[str, dict[str, tuple[int, str, str]]] = {
    "Piece": {"piece": (1, "STRING", ""), "score": (2, "FLOAT", ""), "kind": (3, "INT32", str(NORMAL))},
    "Training": {"model_type": (3, "INT32", "1"), "byte_fallback": (35, "BOOL", ""), "unk_id": (40, "INT32", "0"),
                 "bos_id": (41, "INT32", "1"), "eos_id": (42, "INT32", "2"), "pad_id": (43, "INT32", "-1")},
    "Normalizing": {"name": (1, "STRING", ""), "precompiled_charsmap": (2, "BYTES", "")},
    "Model": {"pieces": (1, "Piece", ""), "training": (2, "Training", ""), "normalizing": (3, "Normalizing", "")},
}


@functools.cache
def message() -> Any:
    """The class of the message, made by protobuf from the table above."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError:
        raise ImportError("SentencePiece files (spiece.model, tokenizer.model) are read with the package protobuf, which is "
                          "not installed: pip install protobuf. A checkpoint with a tokenizer.json does without") from None
    file = descriptor_pb2.FileDescriptorProto(name="course/sentencepiece.proto", package="course", syntax="proto2")
    kinds = descriptor_pb2.FieldDescriptorProto
    for message_name, fields in MESSAGES.items():
        made = file.message_type.add(name=message_name)
        for name, (number, kind, default) in fields.items():
            field = made.field.add(name=name, number=number, label=kinds.LABEL_OPTIONAL)
            if kind in MESSAGES:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".course.{kind}"
            else:
                field.type = kinds.Type.Value(f"TYPE_{kind}")
            if name == "pieces":
                field.label = kinds.LABEL_REPEATED
            if default:
                field.default_value = default
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("course.Model"))


def read_sentencepiece(path: Path, model_type: int = 1) -> tuple[list[Piece], bytes]:
    """The pieces of a SentencePiece file and its spelling table; model_type: 1 Unigram, 2 BPE. ValueError when the file is
    damaged or of another type."""
    kind = message()
    try:
        model = kind.FromString(path.read_bytes())
        pieces = [(piece.piece, piece.score, piece.kind) for piece in model.pieces]
    except Exception:                                     # protobuf's DecodeError, whose place differs by version
        raise ValueError(f"{path} is not a SentencePiece file; is it damaged?") from None
    if not pieces or model.training.model_type != model_type:
        what = f"a model of type {model.training.model_type}" if pieces else "no pieces"
        raise ValueError(f"{path} holds {what}, not one of type {model_type} (1 is Unigram, 2 is BPE)")
    return pieces, model.normalizing.precompiled_charsmap


def write_sentencepiece(pieces: list[Piece], charsmap: bytes) -> bytes:
    model = message()()
    names = [piece for piece, *_ in pieces]
    own = max(number for number, name in enumerate(names) if not re.fullmatch(EXTRA, name)) + 1
    for piece, score, kind in pieces[:own]:               # T5's at the end are not part of the file
        model.pieces.add(piece=piece, score=score, kind=kind)
    model.training.byte_fallback = any(kind == BYTE for *_, kind in pieces)
    for role, name in (("unk_id", "<unk>"), ("bos_id", "<s>"), ("eos_id", "</s>"), ("pad_id", "<pad>")):
        setattr(model.training, role, names.index(name) if name in names else -1)
    model.normalizing.precompiled_charsmap = charsmap
    return model.SerializeToString()
