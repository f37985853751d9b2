"""Configurations: the settings that describe a model, one dataclass per architecture.

A config holds the names that `config.json` files on the Hub use. Where two architectures call one thing by two names,
`aliases` makes both work: `DistilBertConfig().hidden_size` is `DistilBertConfig().dim`. MODELS says which architecture is
written in which file; it stands here because tokenizers ask too, and they do without torch.
"""

import difflib
import json
import math
import os
from collections.abc import Iterable
from copy import copy
from dataclasses import MISSING, dataclass, fields
from numbers import Integral
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, Self, get_args

from course import hub
from course.generation_config import GenerationConfig

# model_type -> (file in course.models, start of its class names)
MODELS = {"distilbert": ("distilbert", "DistilBert"), "bert": ("bert", "Bert"), "roberta": ("roberta", "Roberta"),
          "openai-gpt": ("gpt", "OpenAIGPT"), "gpt2": ("gpt2", "GPT2"), "ctrl": ("ctrl", "CTRL"),
          "llama": ("llama", "Llama"), "qwen2": ("llama", "Qwen2"), "bart": ("bart", "Bart"), "t5": ("t5", "T5"),
          "reformer": ("reformer", "Reformer"), "transfo-xl": ("transfo_xl", "TransfoXL"), "xlnet": ("xlnet", "XLNet"),
          "xlm": ("xlm", "XLM")}
# how a value in a config.json is checked: (types it may have, what to call it)
VALUES: dict[type, tuple[Any, str]] = {bool: (bool, "true or false"), int: (int, "a whole number"),
                                       float: ((int, float), "a number"), str: (str, "a text")}
# what any config.json may say without changing an answer of the model itself: name -> what it is where nothing is said
COMMON: dict[str, Any] = {
    "is_encoder_decoder": False, "is_decoder": False, "use_cache": True, "torchscript": False, "gradient_checkpointing": False,
    "chunk_size_feed_forward": 0, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None, "sep_token_id": None,
    "cls_token_id": None, "mask_token_id": None, "unk_token_id": None, "decoder_start_token_id": None, "tokenizer_class": None,
    "task_specific_params": None, "finetuning_task": None, "torch_dtype": None, "dtype": None, "use_bfloat16": False,
    "cross_attention_hidden_size": None, "name_or_path": "", "transformers_version": None}
# what would change them and is written nowhere here: name -> the only value it may have
VARIANTS: dict[str, Any] = {"add_cross_attention": False, "tie_encoder_decoder": False, "pruned_heads": {}}


@dataclass(init=False, repr=False, eq=False)
class ModelConfig:
    """Settings that every architecture shares. `num_labels` is the length of `id2label` and can be set like a field."""

    model_type: ClassVar[str] = ""                  # as in config.json
    prefix: ClassVar[str] = ""                      # what stands before the body's weights in a checkpoint with a head
    aliases: ClassVar[dict[str, str]] = {}          # other name -> field
    unused: ClassVar[tuple[str, ...]] = ()          # settings that change no answer here
    variants: ClassVar[dict[str, Any]] = {}         # settings that would, with the only value that is written here

    architectures: list[str] | None = None
    id2label: dict[int, str] | None = None
    label2id: dict[str, int] | None = None
    problem_type: str | None = None                 # regression, single_label_classification, multi_label_classification
    tie_word_embeddings: bool = True
    output_hidden_states: bool = False
    output_attentions: bool = False
    return_dict: bool = True

    def __init__(self, **settings: Any):
        self.refuse_unknown(settings)
        self._fill(settings)

    @classmethod
    def known(cls) -> set[str]:
        """Every name that a setting may have."""
        return {"num_labels", *(f.name for f in (*fields(cls), *fields(GenerationConfig)) if f.name != "others"),
                *cls.aliases, *cls.unused, *cls.variants, *VARIANTS, *COMMON}

    @classmethod
    def refuse_unknown(cls, settings: Iterable[str], also: Iterable[str] = ()) -> None:
        known = cls.known() | set(also)
        for name in settings:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=3)
                raise TypeError(f"{cls.__name__} has no setting {name!r}."
                                + (f" Did you mean {' or '.join(close)}?" if close else
                                   f" It has: {', '.join(sorted(known))}"))

    def _fill(self, settings: dict[str, Any]) -> None:
        """Defaults first, then the settings; names that are no fields (from a file) are kept as they are."""
        for f in fields(self):
            setattr(self, f.name, f.default if f.default_factory is MISSING else f.default_factory())
        num_labels, known = plain(settings.pop("num_labels", None)), self.known()
        for name, value in settings.items():
            if name in known or not hasattr(type(self), name):               # a file cannot replace a method
                setattr(self, name, value)
        if self.id2label is None and isinstance(self.label2id, dict):
            self.id2label = {number: label for label, number in self.label2id.items()}
        if self.id2label is not None:
            self.id2label = self.numbered(self.id2label)
            self.label2id = {label: number for number, label in self.id2label.items()}
        if num_labels not in (None, self.num_labels or num_labels):
            raise ValueError(f"num_labels={num_labels} and {self.num_labels} names of labels contradict each other")
        if self.id2label is None:
            self.num_labels = 2 if num_labels is None else num_labels
        self.check()

    def numbered(self, id2label: Any) -> dict[int, str]:
        """Labels by their number (in json files the numbers are texts)."""
        try:
            found = {int(number): label for number, label in id2label.items()}
        except (AttributeError, TypeError, ValueError):
            found = {}
        if not found or sorted(found) != list(range(len(found))) or not all(
                isinstance(label, (str, int, float)) for label in found.values()):
            raise ValueError(f"{type(self).__name__}: id2label must name the labels 0, 1, 2, … without gaps by texts, like "
                             f"{{0: 'NEGATIVE', 1: 'POSITIVE'}}, got {str(id2label)[:80]}")
        return dict(sorted(found.items()))

    def __getattr__(self, name: str) -> Any:          # only called when the name is not found as usual
        if name in type(self).aliases:
            return getattr(self, self.aliases[name])
        for table in (type(self).variants, VARIANTS, COMMON):
            if name in table:
                return copy(table[name])
        raise AttributeError(f"{type(self).__name__} has no setting {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, self.aliases.get(name, name), plain(value))

    @property
    def use_return_dict(self) -> bool:
        """Does the model return an output with names, or with torchscript=True, for torch.jit.trace, a plain tuple?"""
        return self.return_dict and not self.torchscript

    @property
    def max_tokens(self) -> int | None:
        """How many tokens the model reads at most; None when nothing limits it."""
        return getattr(self, "max_position_embeddings", None)

    @property
    def num_labels(self) -> int:
        return len(self.id2label or {})

    @num_labels.setter
    def num_labels(self, number: int) -> None:
        if isinstance(number, bool) or not isinstance(number, Integral) or not 1 <= number <= 1_000_000:
            raise ValueError(f"num_labels must be a whole number from 1 to 1,000,000, got {number!r}")
        if number != self.num_labels:                 # labels that have names keep them
            self.id2label = {i: f"LABEL_{i}" for i in range(number)}
            self.label2id = {f"LABEL_{i}": i for i in range(number)}

    def check(self) -> None:
        """Raises ValueError for values that no model can have, before memory is asked for."""
        for f in fields(self):
            value: Any = getattr(self, f.name)
            types = {f.type, *get_args(f.type)}
            allowed, what = next((rule for kind, rule in VALUES.items() if kind in types), (object, ""))
            if (value is None and NoneType in types) or (
                    isinstance(value, list) and list[int] in types and all(type(v) is int for v in value)):
                continue
            if not isinstance(value, allowed) or (what and isinstance(value, bool) != (allowed is bool)) or (
                    isinstance(value, float) and not math.isfinite(value)):
                raise ValueError(f"{type(self).__name__}: {f.name} must be {what}, got {value!r}. Is config.json damaged?")
            if "dropout" in f.name and not 0 <= float(value) <= 1:  # type: ignore[arg-type]
                raise ValueError(f"{type(self).__name__}: {f.name} is the share of numbers that training switches off, "
                                 f"from 0 to 1, got {value!r}")
        for name, only in (VARIANTS | self.variants).items():
            if (value := getattr(self, name)) not in (only, None):
                raise ValueError(f"{type(self).__name__}: {name}={value!r} is a variant that is not written here, and without "
                                 f"it the numbers would be wrong. Choose a checkpoint with {only!r}, or pass {name}={only!r} "
                                 "to take these weights as a start for training")
        if self.problem_type not in (None, "regression", "single_label_classification", "multi_label_classification"):
            raise ValueError("problem_type must be 'regression', 'single_label_classification', 'multi_label_classification' "
                             f"or None (found out from the labels), got {self.problem_type!r}")
        sizes = {}
        for name, most in (("vocab_size", 10**7), ("hidden_size", 10**5), ("num_hidden_layers", 1000),
                           ("num_attention_heads", 10**4), ("intermediate_size", 10**6),
                           ("max_position_embeddings", 10**7), ("type_vocab_size", 10**5)):
            size = getattr(self, name, None)
            if size is None:
                continue
            field = self.aliases.get(name, name)
            if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= most:
                raise ValueError(f"{type(self).__name__}: {field} must be a whole number from 1 to {most:,}, got {size!r}. "
                                 "Is config.json damaged?")
            sizes[name] = size
        width, heads = sizes.get("hidden_size"), sizes.get("num_attention_heads")
        if width and heads and width % heads and not getattr(self, "head_dim", None):
            raise ValueError(f"{type(self).__name__}: the width {width} ({self.aliases.get('hidden_size', 'hidden_size')}) "
                             f"cannot be divided among {heads} heads: choose a multiple of {heads}")
        pad, vocabulary = getattr(self, "pad_token_id", None), sizes.get("vocab_size")
        if pad is not None and vocabulary and pad >= vocabulary:
            raise ValueError(f"{type(self).__name__}: pad_token_id {pad} is no entry of a vocabulary of vocab_size "
                             f"{vocabulary}")
        weights = (width or 0) * (
            sum(sizes.get(name, 0) for name in ("vocab_size", "max_position_embeddings", "type_vocab_size"))
            + sizes.get("num_hidden_layers", 1) * (4 * (width or 0) + 2 * sizes.get("intermediate_size", 0)))
        if weights > 10**12:
            raise ValueError(f"{type(self).__name__} describes a model of about {weights:.0e} weights, "
                             f"{weights * 4 / 1e12:,.0f} TB in float32. Is config.json damaged?")

    @classmethod
    def from_dict(cls, settings: dict[str, Any], **overrides: Any) -> Self:
        """A config from the contents of a config.json. Unknown keys of the file are kept, unknown overrides refused."""
        cls.refuse_unknown(overrides, also=settings)
        config = cls.__new__(cls)
        merged = {name: value for name, value in settings.items()
                  if name not in ("model_type", "transformers_version", "_name_or_path")}
        if "_num_labels" in merged:                   # files of 2019 and 2020
            merged.setdefault("num_labels", merged.pop("_num_labels"))
        if merged.get("id2label"):                    # of a file that contradicts itself the names count
            merged.pop("num_labels", None)
        if {"num_labels", "id2label", "label2id"} & set(overrides):
            if overrides.get("num_labels") != len(merged.get("id2label") or ()):
                merged.pop("id2label", None)
            merged.pop("num_labels", None)
            merged.pop("label2id", None)
        config._fill(merged | overrides)
        return config

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, *, gguf_file: str | None = None, return_unused_kwargs: bool = False,
                        **kwargs: Any) -> Any:
        """The config of a checkpoint: Hub name, pocket name or local folder; keywords override what the file says."""
        options, overrides = hub.split_options(kwargs)
        settings = read_config(name, gguf_file, **options)
        found = settings.get("model_type") or cls.model_type
        if found != cls.model_type:
            raise ValueError(f"{name} is a {found!r} checkpoint, {cls.__name__} describes {cls.model_type!r} models. "
                             "Use AutoConfig (and AutoModel), which choose the right class")
        known = cls.known() | set(settings)
        unused = {k: overrides.pop(k) for k in list(overrides) if k not in known} if return_unused_kwargs else {}
        config = cls.from_dict(settings, **overrides)
        return (config, unused) if return_unused_kwargs else config

    @classmethod
    def from_json_file(cls, path: str | os.PathLike) -> Self:
        """The config in a file of any name."""
        return cls.from_dict(hub.read_json(path))

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Writes config.json."""
        self.to_json_file(hub.make_folder(folder) / "config.json")

    def to_json_file(self, path: str | os.PathLike) -> None:
        hub.write_text(Path(path), self.to_json_string())

    def update(self, settings: dict[str, Any]) -> None:
        """Sets several settings at once. Raises TypeError for unknown ones, ValueError for values that cannot be."""
        self.refuse_unknown(settings, also=vars(self))
        for name, value in settings.items():
            setattr(self, name, value)
        self.check()

    def to_dict(self) -> dict[str, Any]:
        """The settings as config.json has them; None only where it is not the default anyway."""
        return {"model_type": self.model_type} | {
            k: v for k, v in vars(self).items() if v is not None or getattr(type(self), k, None) is not None}

    def to_diff_dict(self) -> dict[str, Any]:
        """The settings that are not the defaults."""
        default = vars(type(self)())
        return {k: v for k, v in self.to_dict().items() if k == "model_type" or k not in default or v != default[k]}

    def to_json_string(self) -> str:
        return json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]


PretrainedConfig = ModelConfig                      # its name elsewhere


def plain(value: Any) -> Any:
    """Numbers and lists of numpy, pandas and torch as those of Python, which a json file can hold."""
    if isinstance(value, dict):
        return {plain(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(part) for part in value)
    return value.tolist() if hasattr(value, "tolist") else value


def read_config(name: str | os.PathLike, gguf_file: str | None = None, **options: Any) -> dict[str, Any]:
    """The contents of a checkpoint's config.json, or what its GGUF file says instead."""
    if gguf_file is not None:
        from course import gguf
        return gguf.read_config(hub.find_file(name, gguf_file, **options))  # type: ignore[arg-type]
    is_file = isinstance(name, (str, os.PathLike)) and os.path.isfile(name)       # a number would be an open file to isfile
    if isinstance(name, (str, os.PathLike)) and os.path.isfile(google := os.path.join(name, "bert_config.json")) \
            and not os.path.exists(os.path.join(name, "config.json")):
        return {"model_type": "bert"} | hub.read_json(google)         # a folder as Google published BERT in 2018
    path = name if is_file else hub.find_file(name, "config.json", **options)
    return hub.read_json(path)


def model_type_of(name: str | os.PathLike, settings: dict[str, Any]) -> str:
    """model_type from a config.json; checkpoints of 2019 carry none, then the name decides, the most particular one first."""
    if found := settings.get("model_type"):
        return found
    for model_type in sorted(MODELS, key=len, reverse=True):
        if model_type in str(name).lower():
            return model_type
    raise ValueError(f"the config.json of {name} has no model_type, so its architecture is unknown. "
                     f'Add "model_type": one of {", ".join(sorted(MODELS))}')
