"""BPE tokenizers that a file describes: those of most large language models.

What it adds to bpe.py: tokenizer.json says how texts are prepared (normalizer), cut into words (pre_tokenizer), framed by
special tokens (post_processor) and put together again (decoder), so that one class serves many checkpoints.

    {"normalizer": {"type": "NFC"}, "pre_tokenizer": {"type": "ByteLevel", …}, "model": {"type": "BPE", …}, …}
"""

import os
from collections.abc import Sequence
from typing import Any, ClassVar

from tokenizers import NormalizedString, PreTokenizedString, Tokenizer, models

from course.tokenizers.base import PreTrainedTokenizer
from course.tokenizers.bpe import BPETokenizer
from course.tokenizers.rust import RustEngine
from course.tokenizers.tokenizer_json import skeleton, vocab_of


class DescribedTokenizer(BPETokenizer):
    """What byte-level BPE and BPE on sentences share: the parts of a tokenizer.json besides vocabulary and merges."""

    model_input_names: Sequence[str] = ("input_ids", "attention_mask")
    json_first = True
    special: ClassVar[dict[str, Any]] = {}

    def __init__(self, *files: Any, normalizer: dict[str, Any] | None = None, pre_tokenizer: dict[str, Any] | None = None,
                 decoder: dict[str, Any] | None = None, ignore_merges: bool = False, **kwargs: Any):
        self.ignore_merges = ignore_merges
        self.described = {"normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "decoder": decoder}
        ready = skeleton(normalizer=normalizer, decoder=decoder)
        self.normalizer, self.decoder = ready.normalizer, ready.decoder
        super().__init__(*files, **kwargs)

    @classmethod
    def read_model(cls, content: dict[str, Any]) -> dict[str, Any]:
        return super().read_model(content) | {"ignore_merges": content["model"].get("ignore_merges", False)} | {
            part: content.get(part) for part in ("normalizer", "pre_tokenizer", "decoder")}

    def cut_word(self, word: str) -> list[str]:
        """With ignore_merges a word that is in the vocabulary is one piece, whether or not merges lead to it."""
        whole = "".join(self.letters(word))
        return [whole] if self.ignore_merges and whole in self.vocab else super().cut_word(word)

    def fold(self, char: str) -> str:
        return char if self.normalizer is None else self.normalizer.normalize_str(char)

    def rust(self, alone: bool = False, **model: Any) -> Tokenizer:
        engine = skeleton(**self.described)
        vocab = self.vocab_with_unknown() if "unk_token" in model else self.vocab
        engine.model = models.BPE(vocab, self.merges, ignore_merges=self.ignore_merges, **model)
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


class PreTrainedTokenizerFast(RustEngine, PreTrainedTokenizer):
    """The Rust engine on any tokenizer.json, also one that you have trained yourself:

        PreTrainedTokenizerFast(tokenizer_file="tokenizer.json", pad_token="[PAD]")
        PreTrainedTokenizerFast(tokenizer_object=tokenizers.Tokenizer(…), unk_token="[UNK]")
    """

    saved_as = "PreTrainedTokenizerFast"
    special: ClassVar[dict[str, Any]] = {"clean_up_tokenization_spaces": False}
    json_first = True

    def __init__(self, **kwargs: Any):
        if not {"tokenizer_json", "tokenizer_file", "tokenizer_object"} & set(kwargs):
            raise TypeError("PreTrainedTokenizerFast needs tokenizer_file=…, a tokenizer.json, or tokenizer_object=…, a "
                            "Tokenizer of the library tokenizers; for a checkpoint use from_pretrained(name)")
        super().__init__(**(self.special | kwargs))

    @classmethod
    def read_model(cls, content: dict[str, Any]) -> dict[str, Any]:
        return {"vocab": vocab_of(content)}

    @classmethod
    def expected(cls, content: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        return {"model": {"type": None}}              # none: the file is taken as it is

    def save_vocabulary(self, folder: str | os.PathLike, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Nothing: tokenizer.json, which save_pretrained writes, says it all."""
        return ()
