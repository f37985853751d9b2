"""The Auto classes: config.json says which architecture a checkpoint is, they choose its class."""

import importlib
import os
from copy import deepcopy
from typing import Any, ClassVar

from course import hub
from course.config import MODELS, ModelConfig, model_type_of, read_config
from course.modeling import PreTrainedModel


def class_for(model_type: str, *endings: str) -> Any:
    """The class of an architecture, for example class_for("bert", "ForMaskedLM"): that of the first ending which the
    architecture has. Raises ValueError when it has none of them."""
    if not isinstance(model_type, str) or model_type not in MODELS:
        raise ValueError(f"course has no architecture {model_type!r}; it has: {', '.join(sorted(MODELS))}")
    file, start = MODELS[model_type]
    module = importlib.import_module(f"course.models.{file}")
    for ending in endings:
        if hasattr(module, start + ending):
            return getattr(module, start + ending)
    others = sorted(n.removeprefix(start) for n in vars(module)
                    if n.startswith((f"{start}For", f"{start}LM", f"{start}With", f"{start}ModelWith")))
    raise ValueError(f"{start} models have no task class {' or '.join(endings)}; they have: {', '.join(others)}")


class AutoConfig:
    """The config of any supported checkpoint."""

    @staticmethod
    def from_pretrained(name: str | os.PathLike, *, gguf_file: str | None = None, **kwargs: Any) -> Any:
        options, _ = hub.split_options(kwargs)
        settings = read_config(name, gguf_file, **options)
        return class_for(model_type_of(name, settings), "Config").from_pretrained(name, gguf_file=gguf_file, **kwargs)

    @staticmethod
    def for_model(model_type: str, **settings: Any) -> ModelConfig:
        return class_for(model_type, "Config")(**settings)


class AutoModel:
    """The body of any supported checkpoint, without a head. Subclasses choose a task class instead."""

    endings: ClassVar[tuple[str, ...]] = ("Model",)     # of the names of the classes it may choose

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__} is made with {type(self).__name__}.from_pretrained(name) "
                        f"or {type(self).__name__}.from_config(config)")

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, config: ModelConfig | str | os.PathLike | None = None, *,
                        gguf_file: str | None = None, **kwargs: Any) -> PreTrainedModel:
        """See PreTrainedModel.from_pretrained for the keywords."""
        settings: Any = config
        if isinstance(config, ModelConfig):
            model_type = config.model_type
        else:
            where, options = (name, gguf_file) if config is None else (config, None), hub.split_options(kwargs)[0]
            settings = read_config(*where, **options)
            model_type = model_type_of(where[0], settings)
        return class_for(model_type, *cls.endings).from_pretrained(name, config=settings, gguf_file=gguf_file, **kwargs)

    @classmethod
    def from_config(cls, config: ModelConfig) -> PreTrainedModel:
        """A model with random weights. The config is copied."""
        return class_for(config.model_type, *cls.endings)(deepcopy(config))


class AutoModelForTextEncoding(AutoModel):
    """What makes vectors of a text: the body, of a T5 the encoder alone, because its decoder needs a text of its own."""

    endings = ("EncoderModel", "Model")


class AutoModelForSequenceClassification(AutoModel):
    endings = ("ForSequenceClassification",)


class AutoModelForTokenClassification(AutoModel):
    endings = ("ForTokenClassification",)


class AutoModelForQuestionAnswering(AutoModel):
    endings = ("ForQuestionAnswering", "ForQuestionAnsweringSimple")


class AutoModelForMaskedLM(AutoModel):
    endings = ("ForMaskedLM", "WithLMHeadModel")


class AutoModelForPreTraining(AutoModel):
    """The tasks of an architecture's first training."""

    endings = ("ForPreTraining", "ForConditionalGeneration", "LMHeadModel", "ModelWithLMHead", "WithLMHeadModel", "ForCausalLM",
               "ForMaskedLM")


class AutoModelForNextSentencePrediction(AutoModel):
    endings = ("ForNextSentencePrediction",)


class AutoModelForCausalLM(AutoModel):
    endings = ("ForCausalLM", "LMHeadModel", "ModelWithLMHead", "WithLMHeadModel")


class AutoModelForSeq2SeqLM(AutoModel):
    endings = ("ForConditionalGeneration",)


class AutoModelWithLMHead(AutoModel):
    """The older name for "whatever language-model head this architecture is known for"."""

    endings = ("ForConditionalGeneration", "LMHeadModel", "ModelWithLMHead", "WithLMHeadModel", "ForCausalLM", "ForMaskedLM")
