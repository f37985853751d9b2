"""AutoTokenizer: the tokenizer that belongs to a checkpoint, whatever its architecture."""

import importlib
import os
import re
from typing import Any

from course import hub
from course.config import ModelConfig, model_type_of, read_config
from course.tokenizers.base import PreTrainedTokenizer
from course.tokenizers.sentence_bpe import framed

# model_type -> file of the Python class in course.tokenizers, start of its name; with the Rust engine it is called
# …Fast, and where there is none (CTRL, XLM, Transformer-XL) the Python one serves
TOKENIZERS = {"bert": ("wordpiece", "Bert"), "distilbert": ("wordpiece", "DistilBert"), "ctrl": ("bpe", "CTRL"),
              "openai-gpt": ("bpe", "OpenAIGPT"), "gpt2": ("byte_bpe", "GPT2"), "roberta": ("byte_bpe", "Roberta"),
              "bart": ("byte_bpe", "Bart"), "qwen2": ("byte_bpe", "Qwen2"), "llama": ("sentence_bpe", "Llama"),
              "t5": ("unigram", "T5"), "xlnet": ("unigram", "XLNet"), "reformer": ("sentence_bpe", "Reformer"),
              "xlm": ("bpe", "XLM"), "transfo-xl": ("words", "TransfoXL")}


class AutoTokenizer:
    """Chooses by tokenizer_class in tokenizer_config.json, else by the architecture in config.json."""

    def __init__(self) -> None:
        raise TypeError("AutoTokenizer is made with AutoTokenizer.from_pretrained(name)")

    @staticmethod
    def from_pretrained(name: str | os.PathLike, *, use_fast: bool = True, config: ModelConfig | None = None,
                        tokenizer_type: str | None = None, gguf_file: str | None = None, **kwargs: Any) -> PreTrainedTokenizer:
        """use_fast=False gives the readable Python engine; both give the same ids. gguf_file: the file to read where the
        checkpoint holds GGUF files."""
        options, overrides = hub.split_options(kwargs)
        if gguf_file is not None:
            from course import gguf
            found = hub.find_file(name, gguf_file, **options)
            file, start, keywords = gguf.read_tokenizer(found)  # type: ignore[arg-type]
            return class_for(file, start, use_fast)(**(keywords | {"name_or_path": str(name)} | overrides))
        path = hub.find_file(name, "tokenizer_config.json", required=False, **options)
        settings = hub.read_json(path) if path else {}
        wanted = str(settings.get("tokenizer_class") or "")
        start = wanted.removesuffix("Fast").removesuffix("Tokenizer")
        file = next((file for file, known in TOKENIZERS.values() if known == start), None)
        if start == "PreTrained" and "BPE" in kinds_in(name, **options):      # the class for all kinds of tokenizer.json
            file, start = "sentence_bpe", "Llama"
        if tokenizer_type or file is None:
            described = {} if config or tokenizer_type else read_config(name, **options)
            model_type = tokenizer_type or (config.model_type if config else model_type_of(name, described))
            if model_type not in TOKENIZERS:
                raise ValueError(f"{name} needs a tokenizer for {wanted or model_type!r}, which course does not have; "
                                 f"it has tokenizers for {', '.join(sorted(TOKENIZERS))}")
            file, start = TOKENIZERS[model_type]
        if start == "Llama" and "ByteLevel" in kinds_in(name, **options):     # Llama 3 is of another kind than 1 and 2
            file, start = "byte_bpe", "ByteBPE"
            if wanted.startswith("Llama"):
                both = settings | overrides
                kwargs = framed(both.get("add_bos_token", True), both.get("add_eos_token", False)) | kwargs
        return class_for(file, start, use_fast).from_pretrained(name, **kwargs)


def class_for(file: str, start: str, use_fast: bool) -> type[PreTrainedTokenizer]:
    module = importlib.import_module(f"course.tokenizers.{file}")
    chosen = getattr(module, f"{start}Tokenizer")
    return getattr(module, f"{start}TokenizerFast", chosen) if use_fast else chosen


def kinds_in(name: str | os.PathLike, **options: Any) -> set[str]:
    """Which of these parts a checkpoint's tokenizer.json has; nothing when there is no such file."""
    path = hub.find_file(name, "tokenizer.json", required=False, **options)
    return set(re.findall(r'"type":\s*"(BPE|ByteLevel)"', path.read_text("utf-8"))) if path else set()
