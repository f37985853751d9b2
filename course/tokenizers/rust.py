"""The fast engine: the same tokenizers on the Rust library `tokenizers`, built from the same vocabulary.

Only the cutting is done in Rust; framing, truncation and padding stay in base.py, so both engines share them.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from course.tokenizers.base import PreTrainedTokenizer
from course.tokenizers.bpe import OpenAIGPTTokenizer, skeleton
from course.tokenizers.byte_bpe import BartTokenizer, ByteBPETokenizer, GPT2Tokenizer, Qwen2Tokenizer, RobertaTokenizer
from course.tokenizers.encoding import Pieces, Span
from course.tokenizers.sentence_bpe import LlamaTokenizer, ReformerTokenizer, SentenceBPETokenizer
from course.tokenizers.unigram import HINDERED, T5Tokenizer, UnigramTokenizer, XLNetTokenizer
from course.tokenizers.wordpiece import MAX_WORD, BertTokenizer, DistilBertTokenizer


def build(source: PreTrainedTokenizer, split_special: bool, with_template: bool = False) -> Tokenizer:
    """The Rust tokenizer that cuts as `source` does. with_template: for tokenizer.json, frames texts as well."""
    maker = next((make for kind, make in MAKERS.items() if isinstance(source, kind)), None)
    if maker is None:
        raise TypeError(f"there is no Rust engine for {type(source).__name__}: use use_fast=False")
    engine = maker(source)
    for text, token in sorted(source.added.items(), key=lambda item: source.added_ids[item[0]]):
        (engine.add_special_tokens if token.special else engine.add_tokens)([token])
        if engine.token_to_id(text) != source.added_ids[text]:
            raise ValueError(f"the added token {text!r} should have the id {source.added_ids[text]}, but the vocabulary's next "
                             f"free id is {engine.token_to_id(text)}: ids must follow each other without gaps")
    engine.encode_special_tokens = split_special
    if with_template:
        if isinstance(source, UnigramTokenizer):
            engine.model = unigram_model(source, alone=True)
        roles = {role: getattr(source, f"{role}_token") for role in ("cls", "sep", "bos", "eos")}

        def template(text: str) -> list[str]:
            items = [item.rsplit(":", 1) for item in text.split()]
            return [f"{f'${role}' if role in ('A', 'B') else roles.get(role, role)}:{kind}" for role, kind in items]

        frames = template(source.single), template(source.pair)
        used = {item.rsplit(":", 1)[0] for frame in frames for item in frame} - {"$A", "$B"}
        frame = processors.TemplateProcessing(single=frames[0], pair=frames[1], special_tokens=[
            (token, source.convert_tokens_to_ids(token)) for token in sorted(used)])
        engine.post_processor = processors.Sequence([p for p in (engine.post_processor, frame) if p is not None])
    return engine


def wordpiece(source: BertTokenizer) -> Tokenizer:
    engine = Tokenizer(models.WordPiece(source.vocab, unk_token=source.unk_token, max_input_chars_per_word=MAX_WORD))
    engine.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=source.tokenize_chinese_chars, strip_accents=source.strip_accents,
        lowercase=source.do_lower_case)
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    engine.decoder = decoders.WordPiece(prefix="##", cleanup=source.clean_up_tokenization_spaces)
    return engine


def byte_bpe(source: ByteBPETokenizer) -> Tokenizer:
    engine = skeleton(**source.described)
    engine.model = models.BPE(source.vocab, sorted(source.ranks, key=source.ranks.__getitem__),
                              ignore_merges=source.ignore_merges)
    engine.post_processor = processors.ByteLevel(add_prefix_space=source.add_prefix_space,
                                                 trim_offsets=source.trims_offsets)
    return engine


def sentence_bpe(source: SentenceBPETokenizer) -> Tokenizer:
    engine = skeleton(**source.described)
    engine.model = models.BPE(source.vocab, sorted(source.ranks, key=source.ranks.__getitem__), unk_token=source.unk_token,
                              fuse_unk=True, byte_fallback=True, ignore_merges=source.ignore_merges)
    return engine


def bpe(source: OpenAIGPTTokenizer) -> Tokenizer:
    engine = Tokenizer(models.BPE(source.vocab, sorted(source.ranks, key=source.ranks.__getitem__),
                                  unk_token=source.unk_token, end_of_word_suffix="</w>"))
    engine.normalizer = normalizers.BertNormalizer(lowercase=True)
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    engine.decoder = decoders.BPEDecoder(suffix="</w>")
    return engine


def unigram(source: UnigramTokenizer) -> Tokenizer:
    engine = Tokenizer(unigram_model(source))
    engine.normalizer = source.normalizer
    words = pre_tokenizers.Split(Regex(source.word.pattern), "removed", invert=True)
    engine.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.Metaspace()])
    engine.decoder = decoders.Metaspace()
    return engine


def unigram_model(source: UnigramTokenizer, alone: bool = False) -> models.Unigram:
    """alone: for tokenizer.json, which has no Python engine beside it: pieces that this would cut again are made so
    improbable that the model does not choose them. That comes close, but long numbers may differ."""
    return models.Unigram([(piece, score - HINDERED if alone and source.cuts_again(piece) else score)
                           for piece, score in source.scores], source.unk_id, source.has_bytes)


MAKERS: dict[type, Callable[[Any], Tokenizer]] = {BertTokenizer: wordpiece, OpenAIGPTTokenizer: bpe,
                                                  ByteBPETokenizer: byte_bpe, SentenceBPETokenizer: sentence_bpe,
                                                  UnigramTokenizer: unigram}


def has_engine(source: PreTrainedTokenizer) -> bool:
    return isinstance(source, tuple(MAKERS))


class RustEngine:
    """Mixed in before a Python tokenizer: replaces its `pieces`."""

    is_fast = True
    _engines: dict[bool, Tokenizer]

    def _changed(self) -> None:
        super()._changed()  # type: ignore[misc]
        self._engines = {}

    def engine(self, split_special: bool) -> Tokenizer:
        """One engine reads special tokens in a text as such, the other as plain characters: switching one would not be
        safe while another thread uses it."""
        if split_special not in self._engines:
            self._engines[split_special] = build(self, split_special)  # type: ignore[arg-type]
        return self._engines[split_special]

    @property
    def backend_tokenizer(self) -> Tokenizer:
        return self.engine(False)

    def pieces(self, texts: Sequence[Any], split_special: bool, words_given: bool) -> list[Pieces]:
        engine = self.engine(split_special)
        encode = getattr(engine, "encode_batch_fast", engine.encode_batch)      # does not compute spans

        def spans(text: Any) -> list[Span]:
            found = engine.encode(text, is_pretokenized=words_given, add_special_tokens=False)
            return [(a, b, word) for (a, b), word in zip(found.offsets, found.word_ids, strict=True)]

        encodings = encode(list(texts), is_pretokenized=words_given, add_special_tokens=False)
        return [Pieces(encoding.ids, lambda text=text: spans(text)) for text, encoding in zip(texts, encodings, strict=True)]


class BertTokenizerFast(RustEngine, BertTokenizer):
    """BertTokenizer on the Rust engine."""


class DistilBertTokenizerFast(RustEngine, DistilBertTokenizer):
    """DistilBertTokenizer on the Rust engine."""


class ByteBPETokenizerFast(RustEngine, ByteBPETokenizer):
    """ByteBPETokenizer on the Rust engine."""


class Qwen2TokenizerFast(RustEngine, Qwen2Tokenizer):
    """Qwen2Tokenizer on the Rust engine."""


class LlamaTokenizerFast(RustEngine, LlamaTokenizer):
    """LlamaTokenizer on the Rust engine."""


class ReformerTokenizerFast(RustEngine, ReformerTokenizer):
    """ReformerTokenizer on the Rust engine."""


class GPT2TokenizerFast(RustEngine, GPT2Tokenizer):
    """GPT2Tokenizer on the Rust engine."""


class RobertaTokenizerFast(RustEngine, RobertaTokenizer):
    """RobertaTokenizer on the Rust engine."""


class BartTokenizerFast(RustEngine, BartTokenizer):
    """BartTokenizer on the Rust engine."""


class OpenAIGPTTokenizerFast(RustEngine, OpenAIGPTTokenizer):
    """OpenAIGPTTokenizer on the Rust engine."""


class UnigramEngine(RustEngine, UnigramTokenizer):
    """The Rust library has no pieces that a text may not spell ("</s>" is one as good as any), and no second thoughts
    about a number's comma. The few texts in which it found such a piece are cut by the Python engine."""

    @functools.cached_property
    def refused(self) -> set[int]:
        return {number for piece, number in self.vocab.items()
                if piece not in self.usable and piece != self.unk_token or self.cuts_again(piece)}

    def pieces(self, texts: Sequence[Any], split_special: bool, words_given: bool) -> list[Pieces]:
        found = super().pieces(texts, split_special, words_given)
        for number, (text, cut) in enumerate(zip(texts, found, strict=True)):
            if not self.refused.isdisjoint(cut.ids) or split_special and self.unk_token in str(text):
                found[number], = UnigramTokenizer.pieces(self, [text], split_special, words_given)
        return found


class T5TokenizerFast(UnigramEngine, T5Tokenizer):
    """T5Tokenizer on the Rust engine."""


class XLNetTokenizerFast(UnigramEngine, XLNetTokenizer):
    """XLNetTokenizer on the Rust engine."""
