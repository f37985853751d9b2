"""The methods behind annotate(): each reads the codebook or hand codes once, and gives a function texts -> probabilities.

What learns differs in what may move: nothing but a regression on the vectors (few-shot), the encoder that makes the vectors
(contrastive), thin matrices beside it (lora), or all weights (fine-tuned).
"""

import contextlib
import gc
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from course.notes import progress
from course.research.codebook import Codebook
from course.training.record import revision, run_record

SHARPNESS = 20.0                                        # of the softmax over cosines, which differ by a few hundredths
Coder = Callable[[list[str]], np.ndarray]               # texts -> probabilities (texts, labels)


@dataclass
class Setting:
    """What a method is given. examples: texts and their labels, to learn from; training: for TrainingArguments."""

    pipe: Any
    codebook: Codebook
    style: str = "definition"
    shots: int = 0
    examples: tuple[list[str], list[str]] = ((), ())  # type: ignore[assignment]
    seed: int = 0
    training: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)                # of what was trained; the methods fill it


def zero_shot(s: Setting) -> Coder:
    words = [label.text(s.style) for label in s.codebook.labels.values()]

    def coder(texts: list[str]) -> np.ndarray:
        answers = s.pipe(texts, candidate_labels=words)
        return np.array([[dict(zip(a["labels"], a["scores"], strict=True))[word] for word in words] for a in answers])
    return coder


def embed(pipe: Any, texts: Sequence[str]) -> Any:
    """A tensor (texts, D): the mean of the token vectors, of length 1."""
    import torch
    return torch.nn.functional.normalize(torch.stack(pipe(list(texts), pooling="mean", return_tensors=True)), dim=-1)


def similarity(s: Setting) -> Coder:
    words = embed(s.pipe, [label.text(s.style) for label in s.codebook.labels.values()])
    return lambda texts: (SHARPNESS * embed(s.pipe, texts) @ words.T).softmax(-1).numpy()


def prompted(s: Setting) -> Coder:
    """Each label is scored in full as the answer, with a line break behind it, so that none is how another begins."""
    import torch
    answers = [f" {name}\n" for name in s.codebook]

    def coder(texts: list[str]) -> np.ndarray:
        found = []
        for start in progress(range(0, len(texts), 32), desc="prompt", unit="batch", delay=2, leave=False):
            prompts = [s.codebook.prompt(text, s.style, s.shots) for text in texts[start:start + 32]]
            batch = s.pipe.tokenizer(prompts, padding=True, padding_side="left", return_tensors="pt",
                                     split_special_tokens=True).to(s.pipe.device)
            output = s.pipe.model.generate(**batch, allowed_outputs=answers, tokenizer=s.pipe.tokenizer)
            found.append(output.probabilities.float().cpu())
        return torch.cat(found).numpy()
    return coder


# -- what learns from hand codes -------------------------------------------------------------------------------------------


def places(s: Setting) -> list[int]:
    """The numbers of the labels of the examples."""
    place = {name: number for number, name in enumerate(s.codebook)}
    return [place[label] for label in s.examples[1]]


def few_shot(s: Setting) -> Coder:
    """Multinomial logistic regression with a penalty on the squared weights, as scikit-learn's (C = 10)."""
    import torch
    from torch import nn
    x, y = embed(s.pipe, s.examples[0]), torch.tensor(places(s))
    layer = nn.Linear(x.shape[1], len(s.codebook))
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    search = torch.optim.LBFGS(layer.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Any:
        search.zero_grad()
        value = nn.functional.cross_entropy(layer(x), y, reduction="sum") * 10 + layer.weight.square().sum() / 2
        value.backward()
        return value

    search.step(loss)

    def coder(texts: list[str]) -> np.ndarray:
        with torch.inference_mode():
            return layer(embed(s.pipe, texts)).softmax(-1).numpy()
    return coder


def contrastive(s: Setting) -> Coder:
    """The encoder learns that texts of one label lie together (cosine 1) and others apart (0); then few-shot.

    The idea of SetFit (Tunstall et al. 2022, https://arxiv.org/abs/2209.11055), with all pairs of a batch.
    """
    import torch

    from course import AutoModel, pipeline

    class Pairs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = AutoModel.from_pretrained(s.pipe.names["model"])

        def forward(self, input_ids: Any, attention_mask: Any, labels: Any) -> tuple[Any]:
            states, mask = self.encoder(input_ids, attention_mask)[0], attention_mask[..., None]           # (B, T, D)
            vectors = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)           # (B, D)
            return (pair_loss(vectors, labels),)

    model = Pairs()
    tune(s, model, 3e-4)
    return few_shot(Setting(pipeline("feature-extraction", model=model.encoder, tokenizer=s.pipe.tokenizer), s.codebook,
                            examples=s.examples))


def pair_loss(vectors: Any, labels: Any) -> Any:
    """The mean square of cosine - 1 over pairs with one label, and of the cosine over other pairs: vectors (B, D) of length 1,
    labels (B,)."""
    together = (labels[:, None] == labels).to(vectors.dtype)
    return ((vectors @ vectors.T - together) ** 2).mean()


def lora(s: Setting) -> Coder:
    """An adapter of rank 16 in every linear layer, and a new head (lora.py)."""
    from course import add_lora, merge_lora
    model = add_lora(classifier(s), rank=16, targets="all")
    tune(s, model, 3e-3)
    return answers_of(s, merge_lora(model))


def fine_tuned(s: Setting) -> Coder:
    """All weights of the encoder, and a new head (lesson 5)."""
    model = classifier(s)
    tune(s, model, 3e-4)
    return answers_of(s, model)


def classifier(s: Setting) -> Any:
    from course import AutoModelForSequenceClassification, set_seed
    set_seed(s.seed)                                    # the new head
    names = dict(enumerate(s.codebook))
    with quiet():
        return AutoModelForSequenceClassification.from_pretrained(
            s.pipe.names["model"], num_labels=len(names), id2label=names, label2id={v: k for k, v in names.items()})


def answers_of(s: Setting, model: Any) -> Coder:
    from course import pipeline
    pipe = pipeline("text-classification", model=model, tokenizer=s.pipe.tokenizer)
    return lambda texts: np.array([[{a["label"]: a["score"] for a in answer}[name] for name in s.codebook]
                                   for answer in pipe(texts, top_k=None)])


def tune(s: Setting, model: Any, rate: float) -> None:
    """Trains a model on the examples: for eight epochs, unless s.training says otherwise."""
    from course import Trainer, TrainingArguments
    encoded = s.pipe.tokenizer(s.examples[0], truncation=True)
    rows = [{"input_ids": ids, "labels": label} for ids, label in zip(encoded["input_ids"], places(s), strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {
            "num_train_epochs": 8, "per_device_train_batch_size": 16, "learning_rate": rate, "warmup_ratio": 0.1,
            "save_strategy": "no", "report_to": "none", "seed": s.seed}
        trainer = Trainer(model, TrainingArguments(folder, **settings | s.training), train_dataset=rows,
                          processing_class=s.pipe.tokenizer)
        name = s.pipe.names["model"]
        s.record |= run_record(trainer, model=name, revision=revision(name))
        trainer.train()
        del trainer
    gc.collect()                                        # its parts hold each other, and the optimizer is twice the model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the note that a head is new: it is trained at once."""
    log = logging.getLogger("course.checkpoint")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


METHODS: dict[str, tuple[str, str, Callable[[Setting], Coder], bool]] = {   # name -> (task, model, method, does it learn)
    "zero-shot": ("zero-shot-classification", "pocket/nli", zero_shot, False),
    "similarity": ("feature-extraction", "pocket/encoder", similarity, False),
    "few-shot": ("feature-extraction", "pocket/encoder", few_shot, True),
    "contrastive": ("feature-extraction", "pocket/encoder", contrastive, True),
    "lora": ("feature-extraction", "pocket/encoder", lora, True),
    "fine-tuned": ("feature-extraction", "pocket/encoder", fine_tuned, True),
    "prompt": ("text-generation", "pocket/generator", prompted, False),
}
