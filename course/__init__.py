"""course: Transformers and large language models for the social sciences.

    from course import pipeline
    pipeline("sentiment-analysis")("The new timetable is a relief.")

Names are loaded when they are first used: `import course` is instant and does not import torch.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_TASKS = ("ForSequenceClassification", "ForMaskedLM", "ForTokenClassification", "ForQuestionAnswering")
_WHERE = {
    "course.config": ("ModelConfig",),
    "course.modeling": ("PreTrainedModel",),
    "course.nn.blocks": ("apply_chunking_to_forward",),
    "course.pipelines": ("pipeline",),
    "course.models.auto": ("AutoConfig", "AutoModel", "AutoModelWithLMHead", *(f"AutoModel{t}" for t in _TASKS)),
    "course.models.bert": ("BertConfig", "BertModel", *(f"Bert{t}" for t in _TASKS)),
    "course.models.distilbert": ("DistilBertConfig", "DistilBertModel", *(f"DistilBert{t}" for t in _TASKS)),
    "course.models.roberta": ("RobertaConfig", "RobertaModel", *(f"Roberta{t}" for t in _TASKS)),
    "course.tokenizers.auto": ("AutoTokenizer",),
    "course.tokenizers.base": ("BatchEncoding", "PreTrainedTokenizer"),
    "course.tokenizers.wordpiece": ("BertTokenizer", "DistilBertTokenizer"),
    "course.tokenizers.byte_bpe": ("GPT2Tokenizer", "RobertaTokenizer"),
    "course.tokenizers.rust": ("BertTokenizerFast", "DistilBertTokenizerFast", "GPT2TokenizerFast", "RobertaTokenizerFast"),
}
_HOME = {name: module for module, names in _WHERE.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'course' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
