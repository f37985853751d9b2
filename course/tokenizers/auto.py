"""AutoTokenizer: the tokenizer that belongs to a checkpoint, whatever its architecture."""

import importlib
import os
import re
from typing import Any

from course import hub
from course.config import ModelConfig, model_type_of
from course.tokenizers.base import PreTrainedTokenizer
from course.tokenizers.sentence_bpe import framed

# model_type -> file of the Python class in course.tokenizers, start of its name; with the Rust engine it is called
# …Fast, and where there is none (CTRL, XLM, Transformer-XL) the Python one serves
TOKENIZERS = {"bert": ("wordpiece", "Bert"), "distilbert": ("wordpiece", "DistilBert"), "ctrl": ("bpe", "CTRL"),
              "openai-gpt": ("bpe", "OpenAIGPT"), "gpt2": ("byte_bpe", "GPT2"), "roberta": ("byte_bpe", "Roberta"),
              "bart": ("byte_bpe", "Bart"), "qwen2": ("byte_bpe", "Qwen2"), "llama": ("sentence_bpe", "Llama"),
              "t5": ("unigram", "T5"), "xlnet": ("unigram", "XLNet"), "reformer": ("sentence_bpe", "Reformer"),
              "xlm": ("bpe", "XLM"), "transfo-xl": ("words", "TransfoXL")}
GENERAL = ("PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend")      # what files say that fits no class
READS = {"wordpiece": {"WordPiece"}, "byte_bpe": {"BPE"}, "sentence_bpe": {"BPE"}, "unigram": {"Unigram"}}
PARTS = re.compile(r'"type":\s*"(BPE|ByteLevel|WordPiece|WordLevel|Unigram)"|"byte_fallback":\s*true')


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
        kinds = kinds_in(name, **options)
        named = settings.get("tokenizer_class") or getattr(config, "tokenizer_class", None) or ""
        wanted = "" if tokenizer_type else str(named)
        described: dict[str, Any] = {}
        if not wanted and not tokenizer_type and config is None:
            found = hub.find_file(name, "config.json", required=not kinds, **options)
            described = hub.read_json(found) if found else {}
            wanted = str(described.get("tokenizer_class") or "")
        start = wanted.removesuffix("Fast").removesuffix("Tokenizer")
        file = next((file for file, known in TOKENIZERS.values() if known == start), None)
        if wanted in GENERAL or file is None and kinds and wanted.endswith("Fast") or not (
                wanted or tokenizer_type or config or described):
            file, start = general(kinds, use_fast)
            kwargs = {"padding_side": settings.get("padding_side", "right")} | kwargs
        elif file is None and wanted:
            cure = (" It has a tokenizer.json: PreTrainedTokenizerFast.from_pretrained(…) cuts as that file says, which is "
                    "right where the file says everything") if kinds else ""
            raise ValueError(f"{name} needs a {wanted}, which course does not have; it has tokenizers for "
                             f"{', '.join(sorted(TOKENIZERS))}.{cure}")
        elif file is None:
            model_type = tokenizer_type or (config.model_type if config else model_type_of(name, described))
            if model_type not in TOKENIZERS:
                raise ValueError(f"{name} needs a tokenizer for {model_type!r}, which course does not have; "
                                 f"it has tokenizers for {', '.join(sorted(TOKENIZERS))}")
            file, start = TOKENIZERS[model_type]
        if start == "Llama" and "ByteLevel" in kinds:         # Llama 3 is of another kind than 1 and 2
            file, start = "byte_bpe", "ByteBPE"
            if wanted.startswith("Llama"):
                both = settings | overrides
                kwargs = framed(both.get("add_bos_token", True), both.get("add_eos_token", False)) | kwargs
        models = kinds & {"BPE", "Unigram", "WordLevel", "WordPiece"}
        if models and use_fast and not models & {*READS.get(file, models)}:   # a tokenizer of another kind than the class's
            file, start = general(kinds, use_fast)
        return class_for(file, start, use_fast).from_pretrained(name, **kwargs)


def general(kinds: set[str], use_fast: bool) -> tuple[str, str]:
    """The class for a checkpoint that only its tokenizer.json describes: one with both engines where there is one."""
    if "ByteLevel" in kinds:
        return "byte_bpe", "ByteBPE"
    if {"BPE", "byte_fallback"} <= kinds:
        return "sentence_bpe", "Llama"
    return ("wordpiece", "Bert") if "WordPiece" in kinds and not use_fast else ("described", "PreTrained")


def class_for(file: str, start: str, use_fast: bool) -> type[PreTrainedTokenizer]:
    module = importlib.import_module(f"course.tokenizers.{file}")
    if start == "PreTrained" and not use_fast:
        raise ValueError("no Python engine reads this tokenizer.json; use_fast=True, the default, does")
    fast = getattr(module, f"{start}TokenizerFast", None)
    return fast if use_fast and fast else getattr(module, f"{start}Tokenizer")


def kinds_in(name: str | os.PathLike, **options: Any) -> set[str]:
    """Which kinds of parts a checkpoint's tokenizer.json has; nothing when there is no such file."""
    path = hub.find_file(name, "tokenizer.json", required=False, **options)
    if path is None:
        return set()
    return {"json", *(kind or "byte_fallback" for kind in PARTS.findall(path.read_text("utf-8", errors="replace")))}
