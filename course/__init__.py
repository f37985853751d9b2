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
    "course.models.auto": ("AutoConfig", "AutoModel", "AutoModelWithLMHead", "AutoModelForCausalLM", "AutoModelForSeq2SeqLM",
                           *(f"AutoModel{t}" for t in _TASKS)),
    "course.models.bart": ("BartConfig", "BartModel", "BartForConditionalGeneration", "BartForSequenceClassification"),
    "course.models.bert": ("BertConfig", "BertModel", *(f"Bert{t}" for t in _TASKS)),
    "course.models.ctrl": ("CTRLConfig", "CTRLModel", "CTRLLMHeadModel"),
    "course.models.distilbert": ("DistilBertConfig", "DistilBertModel", *(f"DistilBert{t}" for t in _TASKS)),
    "course.models.gpt": ("OpenAIGPTConfig", "OpenAIGPTModel", "OpenAIGPTLMHeadModel"),
    "course.models.gpt2": ("GPT2Config", "GPT2Model", "GPT2LMHeadModel", "GPT2ForSequenceClassification"),
    "course.models.llama": tuple(f"{start}{name}" for start in ("Llama", "Qwen2")
                                 for name in ("Config", "Model", "ForCausalLM", "ForSequenceClassification")),
    "course.models.roberta": ("RobertaConfig", "RobertaModel", *(f"Roberta{t}" for t in _TASKS)),
    "course.models.t5": ("T5Config", "T5Model", "T5ForConditionalGeneration"),
    "course.tokenizers.auto": ("AutoTokenizer",),
    "course.tokenizers.base": ("BatchEncoding", "PreTrainedTokenizer"),
    "course.tokenizers.wordpiece": ("BertTokenizer", "DistilBertTokenizer"),
    "course.tokenizers.bpe": ("CTRLTokenizer", "OpenAIGPTTokenizer"),
    "course.tokenizers.byte_bpe": ("BartTokenizer", "GPT2Tokenizer", "RobertaTokenizer"),
    "course.tokenizers.unigram": ("T5Tokenizer", "XLNetTokenizer"),
    "course.tokenizers.rust": ("BartTokenizerFast", "BertTokenizerFast", "DistilBertTokenizerFast", "GPT2TokenizerFast",
                               "OpenAIGPTTokenizerFast", "RobertaTokenizerFast", "T5TokenizerFast", "XLNetTokenizerFast"),
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
