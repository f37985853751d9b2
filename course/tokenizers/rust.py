"""The fast engine: the same tokenizers on the Rust library `tokenizers`, built from the same vocabulary.

Only the cutting is done in Rust; framing, truncation and padding stay in framing.py, so both engines share them. Each
tokenizer says with its method `rust` how its engine is built.
"""

import itertools
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer, processors

from course.tokenizers.encoding import Pieces, Span


def build(source: Any, split_special: bool, with_template: bool = False) -> Tokenizer:
    """The Rust tokenizer that cuts as `source` does. with_template: for tokenizer.json, frames texts as well."""
    engine = source.rust(alone=with_template)
    if engine is None:
        raise TypeError(f"there is no Rust engine for {type(source).__name__}: use use_fast=False")
    for special, tokens in itertools.groupby(source.added_tokens_decoder.values(), key=lambda token: token.special):
        (engine.add_special_tokens if special else engine.add_tokens)(list(tokens))
    for text in source.added:
        if engine.token_to_id(text) != source.added_ids[text]:
            raise ValueError(f"the added token {text!r} should have the id {source.added_ids[text]}, but the vocabulary's next "
                             f"free id is {engine.token_to_id(text)}: ids must follow each other without gaps")
    engine.encode_special_tokens = split_special
    if with_template:
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
            self._engines[split_special] = build(self, split_special)
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
