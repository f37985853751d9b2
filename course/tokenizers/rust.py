"""The fast engine: the same tokenizers on the Rust library `tokenizers`, built from the same vocabulary.

Only the cutting is done in Rust; framing, truncation and padding stay in framing.py, so both engines share them. Each
tokenizer says with its method `rust` how its engine is built.
"""

import itertools
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, pre_tokenizers, processors, trainers

from course.tokenizers import tokenizer_json as tokenizer_json_
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
    whole_file: dict[str, Any] | None = None                # a tokenizer.json that is taken whole
    _engines: dict[bool, Tokenizer]

    def __init__(self, *files: Any, tokenizer_file: str | os.PathLike | None = None, tokenizer_object: Tokenizer | None = None,
                 tokenizer_json: dict[str, Any] | None = None, **kwargs: Any):
        """tokenizer_file: a tokenizer.json; tokenizer_object: a Tokenizer of the library tokenizers."""
        if tokenizer_file is not None or tokenizer_object is not None:
            content = json.loads(tokenizer_object.to_str()) if tokenizer_object is not None else \
                tokenizer_json_.read(Path(tokenizer_file))  # type: ignore[arg-type]
            found = self.described_by(content, kwargs)  # type: ignore[attr-defined]
            added = found["added_tokens_decoder"] | (kwargs.get("added_tokens_decoder") or {})
            tokenizer_json = found.pop("tokenizer_json", None)
            files, kwargs = (), found | kwargs | {"added_tokens_decoder": added}
        if tokenizer_json is not None:
            self.whole_file = tokenizer_json | {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
        super().__init__(*files, **kwargs)

    def rust(self, alone: bool = False, **model: Any) -> Tokenizer:
        if self.whole_file is None:
            return super().rust(alone, **model)  # type: ignore[misc]
        engine = tokenizer_json_.skeleton(**self.whole_file)
        if self.trims_offsets:  # type: ignore[attr-defined]
            blank = getattr(self, "add_prefix_space", True)
            engine.post_processor = processors.ByteLevel(trim_offsets=True, add_prefix_space=blank)
        return engine

    def train_new_from_iterator(self, text_iterator: Iterable[Any], vocab_size: int, length: int | None = None,
                                new_special_tokens: Sequence[str] | None = None,
                                special_tokens_map: dict[str, str] | None = None, **options: Any) -> Any:
        """A tokenizer of the same kind whose vocabulary is learnt from texts, or lists of texts. special_tokens_map: new
        spellings of special tokens. How one learns a vocabulary is shown in training.py."""
        content, names = json.loads(self.backend_tokenizer.to_str()), special_tokens_map or {}
        special = [tokenizer_json_.as_token(token | {"content": names.get(token["content"], token["content"])})
                   for token in content["added_tokens"] if token["special"]]
        for old, new in names.items():
            frame = json.dumps(content["post_processor"]).replace(json.dumps(old), json.dumps(new))
            content["post_processor"] = json.loads(frame)
        model, kind = content["model"], content["model"]["type"]
        marks = {name: model[name] for name in ("continuing_subword_prefix", "end_of_word_suffix") if model.get(name)}
        if kind == "Unigram":
            marks["unk_token"] = model["vocab"][model["unk_id"]][0]
        elif kind == "BPE" and "ByteLevel" in json.dumps(content["pre_tokenizer"]):
            marks["initial_alphabet"] = pre_tokenizers.ByteLevel.alphabet()
        empty = {"vocab": [[marks["unk_token"], 0.0]], "unk_id": 0} if kind == "Unigram" else {"vocab": {}, "merges": []}
        engine = tokenizer_json_.skeleton(**(content | {"added_tokens": [], "model": model | empty}))
        marks |= {"vocab_size": vocab_size, "special_tokens": [*special, *(new_special_tokens or [])], "show_progress": False}
        trainer = getattr(trainers, f"{kind.replace('BPE', 'Bpe')}Trainer")(**(marks | options))
        engine.train_from_iterator(text_iterator, trainer, length)
        roles = {role: names.get(token, token) for role, token in self._special.items() if token}  # type: ignore[attr-defined]
        more = [names.get(t, t) for t in self.additional_special_tokens]  # type: ignore[attr-defined]
        return type(self)(tokenizer_object=engine, **(self.settings() | roles | {  # type: ignore[attr-defined]
            "additional_special_tokens": [*more, *(new_special_tokens or [])]}))

    def join(self, tokens: list[str]) -> str:
        if self.whole_file is None:
            return super().join(tokens)  # type: ignore[misc]
        decoder = self.engine(False).decoder
        return " ".join(tokens) if decoder is None else decoder.decode(tokens)

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
        """A Tokenizer of the Rust library that cuts and frames texts alike."""
        return build(self, False, with_template=True)

    def pieces(self, texts: Sequence[Any], split_special: bool, words_given: bool, spans: bool = False) -> list[Pieces]:
        engine = self.engine(split_special)
        encode = engine.encode_batch if spans else getattr(engine, "encode_batch_fast", engine.encode_batch)

        options: dict[str, Any] = {"is_pretokenized": words_given, "add_special_tokens": False}
        asked: list[Any] = []

        def spans_of(number: int) -> list[Span]:
            if not asked:
                asked.append(None)
                encoding = engine.encode(texts[number], **options)
            else:                                     # whoever wants the spans of a second text wants all
                asked[0] = asked[0] or engine.encode_batch(list(texts), **options)
                encoding = asked[0][number]
            return [(a, b, word) for (a, b), word in zip(encoding.offsets, encoding.word_ids, strict=True)]

        encodings = encode(list(texts), **options)
        asked += [encodings] * spans
        return [Pieces(encoding.ids, lambda number=number: spans_of(number)) for number, encoding in enumerate(encodings)]
