"""BPE tokenizers that a file describes: those of most large language models.

What it adds to bpe.py: tokenizer.json says how texts are prepared (normalizer), cut into words (pre_tokenizer), framed by
special tokens (post_processor) and put together again (decoder), so that one class serves many checkpoints.

    {"normalizer": {"type": "NFC"}, "pre_tokenizer": {"type": "ByteLevel", …}, "model": {"type": "BPE", …}, …}
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import NormalizedString, PreTokenizedString, Tokenizer, models

from course import hub
from course.tokenizers.bpe import BPETokenizer, read_model
from course.tokenizers.special import as_token


class DescribedTokenizer(BPETokenizer):
    """What byte-level BPE and BPE on sentences share: the parts of a tokenizer.json besides vocabulary and merges."""

    model_input_names: Sequence[str] = ("input_ids", "attention_mask")
    special: ClassVar[dict[str, Any]] = {}

    def __init__(self, *files: Any, normalizer: dict[str, Any] | None = None, pre_tokenizer: dict[str, Any] | None = None,
                 decoder: dict[str, Any] | None = None, single: str | None = None, pair: str | None = None,
                 trims_offsets: bool | None = None, ignore_merges: bool = False, **kwargs: Any):
        self.ignore_merges = ignore_merges
        self.described = {"normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "decoder": decoder}
        ready = skeleton(normalizer=normalizer, decoder=decoder)
        self.normalizer, self.decoder = ready.normalizer, ready.decoder
        self.single, self.pair = single or self.single, pair or self.pair
        self.trims_offsets = self.trims_offsets if trims_offsets is None else trims_offsets
        super().__init__(*files, **kwargs)

    @classmethod
    def read_files(cls, name: str | os.PathLike, **options: Any) -> dict[str, Any]:
        path = hub.find_file(name, "tokenizer.json", required=False, **options)
        return super().read_files(name, **options) if path is None else cls.read_tokenizer_json(path)

    @classmethod
    def read_tokenizer_json(cls, path: Path) -> dict[str, Any]:
        content = hub.read_json(path)
        added = {token["id"]: as_token(token) for token in content.get("added_tokens") or []}
        return (read_model(content, path, cls) | read_frame(content.get("post_processor"))
                | {"added_tokens_decoder": added, "ignore_merges": content["model"].get("ignore_merges", False)}
                | {part: content.get(part) for part in ("normalizer", "pre_tokenizer", "decoder")})

    def cut_word(self, word: str) -> list[str]:
        """With ignore_merges a word that is in the vocabulary is one piece, whether or not merges lead to it."""
        whole = "".join(self.letters(word))
        return [whole] if self.ignore_merges and whole in self.vocab else super().cut_word(word)

    def fold(self, char: str) -> str:
        return char if self.normalizer is None else self.normalizer.normalize_str(char)

    def rust(self, alone: bool = False, **model: Any) -> Tokenizer:
        engine = skeleton(**self.described)
        engine.model = models.BPE(self.vocab, self.merges, ignore_merges=self.ignore_merges, **model)
        return engine

    def prepared(self, text: str) -> str:
        """The text as it is cut."""
        return text if self.normalizer is None else self.normalizer.normalize_str(text)

    def letters_of(self, text: str) -> list[tuple[str, tuple[int, int]]]:
        """The letters of the prepared text, each with the place in `text` that it was made from."""
        letters = PreTokenizedString(text)
        if self.normalizer is not None:
            letters.normalize(self.normalizer.normalize)
        letters.split(split_letters)
        return [(letter, place) for letter, place, _ in letters.get_splits("original", "char")]


def split_letters(_: int, text: NormalizedString) -> list[NormalizedString]:
    return [text[place] for place in range(len(text.normalized))]


def skeleton(**parts: dict[str, Any] | None) -> Tokenizer:
    """A Rust tokenizer with these parts of a tokenizer.json and an empty vocabulary."""
    empty = {"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []}}
    try:
        return Tokenizer.from_str(json.dumps(empty | parts))
    except Exception as error:                            # the Rust library raises nothing more particular
        raise ValueError(f"the {' or '.join(parts)} of tokenizer.json cannot be read ({error}). Is the file damaged, or newer "
                         "than the installed library? pip install -U tokenizers") from None


def read_frame(step: dict[str, Any] | None) -> dict[str, Any]:
    """The post_processor of a tokenizer.json -> templates such as {"single": "<s>:0 A:0", "pair": …}, where it has some."""
    match step:
        case {"type": "Sequence", "processors": steps}:
            return {key: frame for inner in steps for key, frame in read_frame(inner).items()}
        case {"type": "TemplateProcessing"}:
            return {key: " ".join(f"{item['id']}:{item['type_id']}" for place in step[key] for item in place.values())
                    for key in ("single", "pair")}
        case {"type": "ByteLevel", "trim_offsets": trims}:
            return {"trims_offsets": trims}
    return {}
