"""course: Transformers and large language models for the social sciences.

    from course import pipeline
    pipeline("sentiment-analysis")("The new timetable is a relief.")

Names are loaded when they are first used: `import course` is instant and does not import torch.
"""

import importlib
from typing import Any

from course import threads

__version__ = "0.1.0"

_TASKS = ("ForSequenceClassification", "ForMaskedLM", "ForTokenClassification", "ForQuestionAnswering")
_WHERE = {
    "course.attention": ("ablate_heads", "show_attention"),
    "course.config": ("ModelConfig", "PretrainedConfig"),
    "course.generation_config": ("GenerationConfig",),
    "course.scores": ("top_k_top_p_filtering",),
    "course.streamers": ("LogitsProcessor", "LogitsProcessorList", "StoppingCriteria", "StoppingCriteriaList",
                         "TextIteratorStreamer", "TextStreamer"),
    "course.data": ("list_datasets", "load_dataset"),
    "course.lora": ("add_lora", "merge_lora"),
    "course.modeling": ("PreTrainedModel",),
    "course.nn.blocks": ("apply_chunking_to_forward",),
    "course.pipelines": ("pipeline",),
    "course.pipelines.base": ("Pipeline",),
    "course.pipelines.feature_extraction": ("FeatureExtractionPipeline",),
    "course.pipelines.fill_mask": ("FillMaskPipeline",),
    "course.pipelines.question_answering": ("QuestionAnsweringPipeline",),
    "course.pipelines.sentence_similarity": ("SentenceSimilarityPipeline",),
    "course.pipelines.text_classification": ("TextClassificationPipeline",),
    "course.pipelines.token_classification": ("NerPipeline", "TokenClassificationPipeline"),
    "course.pipelines.zero_shot_classification": ("ZeroShotClassificationPipeline",),
    "course.models.auto": ("AutoConfig", "AutoModel", "AutoModelWithLMHead", "AutoModelForCausalLM", "AutoModelForSeq2SeqLM",
                           "AutoModelForPreTraining", "AutoModelForNextSentencePrediction", "AutoModelForTextEncoding",
                           *(f"AutoModel{t}" for t in _TASKS)),
    "course.models.bart": ("BartConfig", "BartModel", "BartForConditionalGeneration", "BartForSequenceClassification",
                           "BartForQuestionAnswering"),
    "course.models.bert": ("BertConfig", "BertModel", "BertForPreTraining", "BertForNextSentencePrediction",
                           *(f"Bert{t}" for t in _TASKS)),
    "course.models.ctrl": ("CTRLConfig", "CTRLModel", "CTRLLMHeadModel", "CTRLForSequenceClassification"),
    "course.models.distilbert": ("DistilBertConfig", "DistilBertModel", *(f"DistilBert{t}" for t in _TASKS)),
    "course.models.gpt": ("OpenAIGPTConfig", "OpenAIGPTModel", "OpenAIGPTLMHeadModel", "OpenAIGPTForSequenceClassification"),
    "course.models.gpt2": ("GPT2Config", "GPT2Model", "GPT2LMHeadModel", "GPT2ForSequenceClassification",
                           "GPT2ForTokenClassification", "GPT2ForQuestionAnswering"),
    "course.models.llama": tuple(f"{start}{name}" for start in ("Llama", "Qwen2")
                                 for name in ("Config", "Model", "ForCausalLM", "ForSequenceClassification",
                                              "ForTokenClassification", "ForQuestionAnswering")),
    "course.models.reformer": ("ReformerConfig", "ReformerModel", "ReformerModelWithLMHead", "ReformerForMaskedLM",
                               "ReformerForSequenceClassification", "ReformerForQuestionAnswering"),
    "course.models.roberta": ("RobertaConfig", "RobertaModel", *(f"Roberta{t}" for t in _TASKS)),
    "course.models.t5": ("T5Config", "T5Model", "T5EncoderModel", "T5ForConditionalGeneration", "T5ForSequenceClassification",
                         "T5ForTokenClassification", "T5ForQuestionAnswering"),
    "course.research": ("Codebook", "adjudicate", "agreement", "annotate", "code_by_hand", "disagreements", "estimate",
                        "methods", "multiverse", "plan", "sample", "validate"),
    "course.terms": ("glossary",),
    "course.models.transfo_xl": tuple(f"TransfoXL{n}" for n in ("Config", "Model", "LMHeadModel", "ForSequenceClassification")),
    "course.models.xlm": tuple(f"XLM{n}" for n in ("Config", "Model", "WithLMHeadModel", "ForSequenceClassification",
                                                   "ForTokenClassification", "ForQuestionAnsweringSimple")),
    "course.models.xlnet": tuple(f"XLNet{n}" for n in ("Config", "Model", "LMHeadModel", "ForSequenceClassification",
                                                       "ForTokenClassification", "ForQuestionAnsweringSimple")),
    "course.tokenizers.auto": ("AutoTokenizer",),
    "course.tokenizers.base": ("PreTrainedTokenizer",),
    "course.tokenizers.described": ("PreTrainedTokenizerFast",),
    "course.tokenizers.encoding": ("BatchEncoding", "CharSpan", "TokenSpan"),
    "course.tokenizers.wordpiece": ("BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "DistilBertTokenizerFast"),
    "course.tokenizers.bpe": ("CTRLTokenizer", "OpenAIGPTTokenizer", "OpenAIGPTTokenizerFast", "XLMTokenizer"),
    "course.tokenizers.byte_bpe": tuple(f"{start}Tokenizer{fast}" for start in ("Bart", "ByteBPE", "GPT2", "Qwen2", "Roberta")
                                        for fast in ("", "Fast")),
    "course.tokenizers.sentence_bpe": ("LlamaTokenizer", "LlamaTokenizerFast", "ReformerTokenizer", "ReformerTokenizerFast"),
    "course.tokenizers.unigram": ("T5Tokenizer", "T5TokenizerFast", "XLNetTokenizer", "XLNetTokenizerFast"),
    "course.tokenizers.training": ("train_bpe", "train_byte_bpe", "train_unigram", "train_wordpiece"),
    "course.tokenizers.words": ("TransfoXLTokenizer",),
    "course.training.arguments": ("Seq2SeqTrainingArguments", "TrainingArguments"),
    "course.training.callbacks": ("EarlyStoppingCallback", "TrainerCallback", "TrainerControl", "TrainerState"),
    "course.training.checkpoints": ("get_last_checkpoint",),
    "course.training.collators": ("DataCollatorForLanguageModeling", "DataCollatorForSeq2Seq",
                                  "DataCollatorForTokenClassification", "DataCollatorForWholeWordMask",
                                  "DataCollatorWithPadding", "default_data_collator"),
    "course.training.metrics": ("EvalPrediction", "bleu", "classification_scores", "confusion_matrix", "per_class", "rouge",
                                "text_scores"),
    "course.training.optimization": ("AdamW", "get_constant_schedule", "get_constant_schedule_with_warmup",
                                     "get_cosine_schedule_with_warmup", "get_cosine_with_hard_restarts_schedule_with_warmup",
                                     "get_inverse_sqrt_schedule", "get_linear_schedule_with_warmup",
                                     "get_polynomial_decay_schedule_with_warmup", "get_scheduler", "parameter_groups"),
    "course.training.record": ("data_hash", "run_record"),
    "course.training.seed": ("set_seed",),
    "course.training.trainer": ("Seq2SeqTrainer", "Trainer"),
}
_HOME = {name: module for module, names in _WHERE.items() for name in names}
__all__ = sorted(_HOME)
# what asks for packages that few have: there when it is asked for by name, and not for `from course import *`
_HOME |= dict.fromkeys(("TFPreTrainedModel", "TFBertModel", "TFDistilBertModel", "TFAutoModel", "TFAutoModelWithLMHead", *(
    f"TF{start}{task}" for start in ("AutoModel", "Bert", "DistilBert") for task in _TASKS)), "course.keras")
_HOME |= dict.fromkeys(("glue_convert_examples_to_features", "TFTrainer", "TFTrainingArguments"), "course.training.tf")


threads.sleep_while_waiting()


def __getattr__(name: str) -> Any:
    if name in ("plots", "widgets"):
        return importlib.import_module(f"course.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'course' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
