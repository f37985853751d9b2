"""zero-shot-classification: a text and labels that nobody has trained -> how well each label fits."""

import logging
from typing import Any, ClassVar

import torch
from torch import Tensor

from course.pipelines.base import Pipeline
from course.pipelines.text_classification import averaged, logits_of
from course.tokenizers.encoding import BatchEncoding, Row

log = logging.getLogger(__name__)


class ZeroShotClassificationPipeline(Pipeline):
    """A model of natural language inference reads the text and, for each label, the sentence "This example is label."; how
    far the text entails it is the label's score (Yin et al. 2019, https://arxiv.org/abs/1909.00161).

    pipe(text, candidate_labels=["housing", "transport"]) -> {sequence, labels, scores}, best first. Options:
    hypothesis_template (with {} for the label), multi_label (each label by itself, against contradiction; otherwise the labels
    exclude each other and the scores sum to 1). Of a long text the logits of its parts are averaged.
    """

    task = "zero-shot-classification"
    defaults: ClassVar[dict[str, Any]] = {"candidate_labels": None, "hypothesis_template": "This example is {}.",
                                          "multi_label": False}
    older: ClassVar[dict[str, str]] = Pipeline.older | {"multi_class": "multi_label"}
    shortens = "only_first"
    joined = "the logits of the parts were averaged"

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        labels = {label.lower(): number for number, label in self.model.config.id2label.items()}
        self.entailment = next((number for label, number in labels.items() if label.startswith("entail")), -1)
        self.contradiction = next((number for label, number in labels.items() if label.startswith("contra")),
                                  -1 if self.entailment == 0 else 0)
        self.columns = self.columns | {"hypothesis"}  # which label a row asks for
        if self.entailment == -1:
            log.warning("zero-shot-classification needs a model of natural language inference, and this one has no label "
                        "'entailment' (it has %s): its last label is taken for it, and the scores mean little.",
                        ", ".join(labels))

    def __call__(self, sequences: Any, candidate_labels: Any = None, *,  # type: ignore[override]
                 batch_size: int | None = None, **options: Any) -> Any:
        if candidate_labels is not None:
            options["candidate_labels"] = candidate_labels
        return super().__call__(sequences, batch_size=batch_size, **options)

    def merge(self, options: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        new = super().merge(options, new)
        labels, template = new["candidate_labels"], new["hypothesis_template"]
        if not isinstance(template, str) or "{}" not in template:
            raise ValueError(f"hypothesis_template needs {{}} where the label belongs, like 'This text is about {{}}.', got "
                             f"{template!r}")
        if labels is None:                            # to be given in the call
            return new
        if isinstance(labels, str):
            labels = [label.strip() for label in labels.split(",") if label.strip()]
        labels = list(labels)
        wrong = [label for label in labels if not isinstance(label, str) or not label.strip()]
        twice = [label for label in labels if labels.count(label) > 1]
        if not labels or wrong or twice:
            raise ValueError("candidate_labels needs one or more different words, like ['housing', 'transport']; " + (
                "it is empty" if not labels else f"{wrong[0]!r} is no word" if wrong else f"{twice[0]!r} is there twice"))
        return new | {"candidate_labels": labels}

    def hypotheses(self, options: dict[str, Any]) -> list[str]:
        if not options["candidate_labels"]:
            raise ValueError("zero-shot-classification needs labels to choose from: pipe(text, candidate_labels=['…', '…'])")
        return [options["hypothesis_template"].replace("{}", label) for label in options["candidate_labels"]]

    def rows_each(self, options: dict[str, Any]) -> int:
        return len(options["candidate_labels"])

    def encode(self, items: list[str], options: dict[str, Any]) -> BatchEncoding:
        hypotheses = self.hypotheses(options)
        encoding = self.tokenize([text for text in items for _ in hypotheses], options, hypotheses * len(items), "only_first")
        encoding["hypothesis"] = [row.source % len(hypotheses) for row in encoding.rows]
        for row in encoding.rows:                     # from the number of the pair to the number of the text
            row.source //= len(hypotheses)
        return encoding

    def forward(self, batch: dict[str, Any], options: dict[str, Any]) -> list[tuple[int, list[float]]]:
        hypothesis = batch.pop("hypothesis").tolist()
        return list(zip(hypothesis, self.checked(logits_of(self.model, batch)).tolist(), strict=True))

    def answer(self, item: str, rows: list[tuple[Row, Any]], options: dict[str, Any]) -> dict[str, Any]:
        labels = options["candidate_labels"]
        parts: list[list[Any]] = [[] for _ in labels]
        for row, (hypothesis, logits) in rows:
            parts[hypothesis].append((row, logits))
        scores = self.scores(torch.tensor([averaged(own) for own in parts]), options["multi_label"]).tolist()
        order = sorted(range(len(labels)), key=lambda number: -scores[number])
        return {"sequence": item, "labels": [labels[i] for i in order], "scores": [scores[i] for i in order]}

    def scores(self, logits: Tensor, multi_label: bool) -> Tensor:
        """(labels, L) logits of the model -> (labels,) how well each fits."""
        if multi_label or len(logits) == 1:
            return logits[:, [self.contradiction, self.entailment]].softmax(-1)[:, 1]
        return logits[:, self.entailment].softmax(0)

    def records(self, answer: dict[str, Any]) -> list[dict[Any, Any]]:
        return [{"label": answer["labels"][0], "score": answer["scores"][0]}
                | dict(zip(answer["labels"], answer["scores"], strict=True))]

    def example(self, item: str, options: dict[str, Any]) -> dict[str, str]:
        return {"text": item, "hypothesis": self.hypotheses(options)[0]}

    def steps(self, item: str, inputs: BatchEncoding, outputs: Any, options: dict[str, Any]) -> list[str]:
        answer = self([item], **{name: options[name] for name in self.defaults})[0]
        scores = ", ".join(f"{label} {score:.4f}" for label, score in zip(answer["labels"], answer["scores"], strict=True))
        rest = len(options["candidate_labels"]) - 1
        how = (f"the score: softmax over [contradiction, entailment] of each, numbers {[self.contradiction, self.entailment]}"
               if options["multi_label"] or not rest else
               f"softmax over the entailment (number {self.entailment}) of all {rest + 1}")
        return [f"print(outputs.logits)      # {[round(x, 4) for x in outputs.logits[0].float().tolist()]}",
                f"print(model.config.id2label)    # {self.model.config.id2label}", "",
                f"# 3. The same for the hypotheses of the other {rest} labels, and {how}", f"# {scores}"]
