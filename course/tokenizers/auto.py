"""AutoTokenizer: the tokenizer that belongs to a checkpoint, whatever its architecture."""

import importlib
import os
from typing import Any

from course import hub
from course.config import ModelConfig, read_config
from course.models.auto import model_type_of
from course.tokenizers.base import PreTrainedTokenizer

# model_type -> file of the Python class in course.tokenizers, start of its name; with the Rust engine it is called
# …Fast, and where there is none (CTRL) the Python one serves
TOKENIZERS = {"bert": ("wordpiece", "Bert"), "distilbert": ("wordpiece", "DistilBert"), "ctrl": ("bpe", "CTRL"),
              "openai-gpt": ("bpe", "OpenAIGPT"), "gpt2": ("byte_bpe", "GPT2"), "roberta": ("byte_bpe", "Roberta"),
              "bart": ("byte_bpe", "Bart"), "t5": ("unigram", "T5"), "xlnet": ("unigram", "XLNet")}


class AutoTokenizer:
    """Chooses by tokenizer_class in tokenizer_config.json, else by the architecture in config.json."""

    def __init__(self) -> None:
        raise TypeError("AutoTokenizer is made with AutoTokenizer.from_pretrained(name)")

    @staticmethod
    def from_pretrained(name: str | os.PathLike, *, use_fast: bool = True, config: ModelConfig | None = None,
                        tokenizer_type: str | None = None, **kwargs: Any) -> PreTrainedTokenizer:
        """use_fast=False gives the readable Python engine; both give the same ids."""
        options, _ = hub.split_options(kwargs)
        path = hub.find_file(name, "tokenizer_config.json", required=False, **options)
        wanted = str((hub.read_json(path) if path else {}).get("tokenizer_class") or "")
        start = wanted.removesuffix("Fast").removesuffix("Tokenizer")
        file = next((file for file, known in TOKENIZERS.values() if known == start), None)
        if tokenizer_type or file is None:
            settings = {} if config or tokenizer_type else read_config(name, **options)
            model_type = tokenizer_type or (config.model_type if config else model_type_of(name, settings))
            if model_type not in TOKENIZERS:
                raise ValueError(f"{name} needs a tokenizer for {wanted or model_type!r}, which course does not have; "
                                 f"it has tokenizers for {', '.join(sorted(TOKENIZERS))}")
            file, start = TOKENIZERS[model_type]
        chosen = getattr(importlib.import_module(f"course.tokenizers.{file}"), f"{start}Tokenizer")
        if use_fast:
            chosen = getattr(importlib.import_module("course.tokenizers.rust"), f"{start}TokenizerFast", chosen)
        return chosen.from_pretrained(name, **kwargs)
