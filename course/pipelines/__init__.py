"""pipeline(task): a tokenizer, a model and the step from its numbers to an answer, in one line."""

import difflib
import importlib
import os
import re
from typing import Any, NamedTuple

import torch

from course import hub
from course.checkpoint import resolve_dtype
from course.modeling import PreTrainedModel
from course.models import auto as auto_models
from course.notes import note
from course.pipelines.base import Pipeline
from course.speed import by_columns, fastest, to_int8_reading
from course.tokenizers.auto import AutoTokenizer
from course.tokenizers.base import PreTrainedTokenizer


class Task(NamedTuple):
    """Where a task is written, and which models do it."""

    file: str                                       # in course.pipelines
    kind: str                                       # its class there
    auto: str                                       # the Auto class of its models
    pocket: str                                     # the model that ships with the package
    classic: str                                    # the Hub checkpoint that was its default for years


TASKS = {
    "text-classification": Task("text_classification", "TextClassificationPipeline", "AutoModelForSequenceClassification",
                                "pocket/sentiment", "distilbert-base-uncased-finetuned-sst-2-english"),
    "token-classification": Task("token_classification", "TokenClassificationPipeline", "AutoModelForTokenClassification",
                                 "pocket/ner", "dbmdz/bert-large-cased-finetuned-conll03-english"),
    "question-answering": Task("question_answering", "QuestionAnsweringPipeline", "AutoModelForQuestionAnswering",
                               "pocket/qa", "distilbert-base-cased-distilled-squad"),
    "zero-shot-classification": Task("zero_shot_classification", "ZeroShotClassificationPipeline",
                                     "AutoModelForSequenceClassification", "pocket/nli", "facebook/bart-large-mnli"),
    "fill-mask": Task("fill_mask", "FillMaskPipeline", "AutoModelForMaskedLM", "pocket/encoder", "distilroberta-base"),
    "feature-extraction": Task("feature_extraction", "FeatureExtractionPipeline", "AutoModelForTextEncoding", "pocket/encoder",
                               "distilbert-base-cased"),
    "sentence-similarity": Task("sentence_similarity", "SentenceSimilarityPipeline", "AutoModelForTextEncoding",
                                "pocket/encoder", "sentence-transformers/all-MiniLM-L6-v2"),
    "text-generation": Task("text_generation", "TextGenerationPipeline", "AutoModelForCausalLM", "pocket/generator", "gpt2"),
    "text2text-generation": Task("text2text_generation", "Text2TextGenerationPipeline", "AutoModelForSeq2SeqLM",
                                 "pocket/translator", "t5-base"),
    "summarization": Task("text2text_generation", "SummarizationPipeline", "AutoModelForSeq2SeqLM", "pocket/summarizer",
                          "sshleifer/distilbart-cnn-12-6"),
    "translation": Task("text2text_generation", "TranslationPipeline", "AutoModelForSeq2SeqLM", "pocket/translator", "t5-base"),
}
ALIASES = {"sentiment-analysis": "text-classification", "ner": "token-classification"}


def pipeline(task: str | None = None, model: str | os.PathLike | PreTrainedModel | None = None,
             tokenizer: str | os.PathLike | PreTrainedTokenizer | None = None, *,
             device: int | str | torch.device | None = None, dtype: str | torch.dtype | None = None,
             batch_size: int | None = None, use_fast: bool = True, model_kwargs: dict[str, Any] | None = None,
             **kwargs: Any) -> Pipeline:
    """A function from texts to answers.

    task: one of `TASKS`, for example "sentiment-analysis". model: a Hub name, a pocket name, a folder, or a loaded model;
    without one the pocket model of the task (COURSE_DEFAULTS=hub: its classic Hub checkpoint). tokenizer: the model's own
    unless given. device: "cpu", "cuda", a number of a GPU (-1: CPU); the GPU is used when there is one. dtype: "auto" takes
    what the machine computes fast: bfloat16, or weights of 8 bits for a task that writes; "int8" computes in 8 bits on a CPU,
    for a task that reads about one and a half times as fast as float32. Further keywords are options of the task (top_k,
    truncation, …) or say where to look (cache_dir, revision, local_files_only, token).
    """
    options, task_options = hub.split_options(kwargs)
    dtype = task_options.pop("torch_dtype", dtype)
    given = (model_kwargs or {}) | {name: task_options.pop(name) for name in ("config",) if name in task_options}
    for name in ("framework", "torchscript", "feature_extractor", "image_processor"):        # of other kinds of models
        task_options.pop(name, None)
    if (place := task_options.pop("device_map", None)) not in (None, "auto") and device is None:
        device = place
    if not isinstance(task, str):
        raise TypeError(f"pipeline needs a task: {', '.join(sorted([*TASKS, *ALIASES]))}; got {task!r}")
    name = ALIASES.get(task, "translation" if re.fullmatch(r"translation_\w+_to_\w+", task) else task)
    if name not in TASKS:
        known = sorted([*TASKS, *ALIASES])
        close = difflib.get_close_matches(str(task).lower().replace("_", "-").replace(" ", "-"), known, n=2, cutoff=0.5)
        raise ValueError(f"there is no task {task!r}." + (f" Did you mean {' or '.join(map(repr, close))}?" if close else "")
                         + f" Tasks: {', '.join(known)}")
    file, class_name, auto_class, pocket, classic = TASKS[name]
    if model is None:
        model = classic if os.environ.get("COURSE_DEFAULTS") == "hub" else pocket
        if model == pocket and pocket not in hub.pocket_names():
            raise FileNotFoundError(f"{pocket}, the small model for {task}, is not part of this version of course yet: name "
                                    f"a model, pipeline({task!r}, model={classic!r})")
        research = "" if model == classic else f"; for research, name a larger model such as {classic!r}"
        note("No model was named: %s uses %s%s.", task, model, research)
    device = choose_device(device)
    with hub.each_file_once():
        loaded, words, names = load(auto_class, model, tokenizer, dtype, device, use_fast, given, options)
    if not isinstance(loaded, auto_models.class_for(loaded.config.model_type, *getattr(auto_models, auto_class).endings)):
        raise TypeError(f"{task} needs a model loaded with {auto_class}, this one is a {type(loaded).__name__}"
                        + (": its body is model.base_model" if auto_class == "AutoModelForTextEncoding" else ""))
    made = getattr(importlib.import_module(f"course.pipelines.{file}"), class_name)
    pipe = made(loaded, words, task, device, batch_size, **task_options)
    pipe.names = names
    return pipe


def load(auto_class: str, model: Any, tokenizer: Any, dtype: str | torch.dtype | None, device: torch.device, use_fast: bool,
         model_kwargs: dict[str, Any], options: dict[str, Any]) -> tuple[PreTrainedModel, PreTrainedTokenizer, dict[str, str]]:
    """Names or loaded objects -> (model, tokenizer, the names that give just these once more)."""
    names = {}
    if isinstance(model, PreTrainedModel):
        if dtype is not None or options or model_kwargs:
            raise ValueError("dtype, config, model_kwargs and the options for loading belong to a model given by name; this "
                             "one is loaded already: use model.to(torch.bfloat16), or pass its name")
        if tokenizer is None:
            raise ValueError("a loaded model does not know its tokenizer: pass tokenizer=… as well")
    elif isinstance(model, (str, os.PathLike)):
        tokenizer = model if tokenizer is None else tokenizer
        writes = auto_class in ("AutoModelForCausalLM", "AutoModelForSeq2SeqLM")         # a row of one token at a time
        dtype = fastest() if dtype == "auto" and writes and device.type == "cpu" else resolve_dtype(dtype, device)
        whole = dtype is torch.int8 and not writes
        names = {} if options or model_kwargs or whole else {"model": str(model)}
        model = getattr(auto_models, auto_class).from_pretrained(
            model, dtype=torch.float32 if whole else dtype, **options, **model_kwargs)
        if dtype is torch.int8 and not whole:         # what model.dtype does not tell
            names |= {"dtype": str(dtype)}
        if whole:
            to_int8_reading(model.base_model)
        elif device.type == "cpu" and not writes:
            by_columns(model.base_model)
    else:
        raise TypeError(f"model must be a name, a folder or a loaded model, got {type(model).__name__}")
    if isinstance(tokenizer, (str, os.PathLike)):
        names |= {} if options else {"tokenizer": str(tokenizer)}
        tokenizer = AutoTokenizer.from_pretrained(tokenizer, use_fast=use_fast, **options)
    if not isinstance(tokenizer, PreTrainedTokenizer):
        raise TypeError(f"tokenizer must be a name, a folder or a loaded tokenizer, got {type(tokenizer).__name__}")
    return model, tokenizer, names


def choose_device(device: int | str | torch.device | None) -> torch.device:
    """None -> the GPU when there is one; -1 -> CPU; 0, 1 … -> that GPU."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if isinstance(device, int):
        device = "cpu" if device < 0 else f"cuda:{device}"
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(f"device must be 'cpu', 'cuda', 'cuda:1', 'mps' or a number, got {device!r}") from None
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("device='cuda' asks for an NVIDIA GPU, and torch sees none here: leave device out, or install "
                         "a torch with CUDA (`course doctor` tells more)")
    try:
        torch.empty(0, device=found)
    except Exception as error:                        # each kind of device fails in its own way
        raise ValueError(f"torch cannot use device={str(found)!r} on this computer ({str(error).splitlines()[0]}): leave "
                         "device out, and the GPU is used when there is one") from None
    return found
