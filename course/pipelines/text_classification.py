"""text-classification, also called sentiment-analysis: a text (or a pair of texts) -> labels with scores."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from course.modeling import PreTrainedModel
from course.notes import once
from course.pipelines.base import Pipeline, whole
from course.tokenizers.encoding import BatchEncoding, Row


class TextClassificationPipeline(Pipeline):
    """Options: top_k (None: all labels, best first), function_to_apply ("softmax", "sigmoid", "none").
    A pair is {"text": …, "text_pair": …} or (text, text_pair). Of a long text the scores of its parts are averaged, each
    counting by its length; a long pair is cut."""

    task = "text-classification"
    defaults: ClassVar[dict[str, Any]] = {"top_k": "", "return_all_scores": None, "function_to_apply": None}
    joined = "their scores are averages over the parts"

    def __call__(self, inputs: Any, *, batch_size: int | None = None, **options: Any) -> Any:
        """One text -> [{label, score}]; a list -> a list with one {label, score} each; with top_k a list of them each."""
        if "return_all_scores" in options:
            once("return_all_scores=True is called top_k=None now (which gives the best label first), =False top_k=1; "
                 "both work here.")
        inputs = list(inputs) if isinstance(inputs, tuple) else inputs     # a tuple inside a list is a pair
        answer = super().__call__(inputs, batch_size=batch_size, **options)
        asked_for_several = self.merge(self.options, options)["top_k"] != ""
        return answer if asked_for_several or not isinstance(inputs, str) else [answer]

    def is_one(self, item: Any) -> bool:
        return isinstance(item, str) or (isinstance(item, dict) and isinstance(item.get("text"), str)) or (
            isinstance(item, tuple) and len(item) == 2 and all(isinstance(text, str) for text in item))

    def encode(self, items: list[Any], options: dict[str, Any]) -> BatchEncoding:
        pairs = [self.example(item, options) for item in items]
        texts = [pair["text"] for pair in pairs]
        if not any("text_pair" in pair for pair in pairs):
            return self.tokenize(texts, options)
        if not all(isinstance(pair.get("text_pair"), str) for pair in pairs):
            raise TypeError("with pairs every item needs both: {'text': …, 'text_pair': …}")
        return self.tokenize(texts, options, [pair["text_pair"] for pair in pairs], parts=False)

    def forward(self, batch: dict[str, Any], options: dict[str, Any]) -> list[list[float]]:
        logits = logits_of(self.model, batch)                                                      # (B, L)
        return self.scores(self.checked(logits), options["function_to_apply"]).tolist()

    def answer(self, item: Any, rows: list[tuple[Row, Any]], options: dict[str, Any]) -> Any:
        top_k, labels = options["top_k"], self.model.config.id2label
        if top_k not in ("", None):
            whole("top_k", top_k)
        found: list[dict[str, Any]] = [{"label": labels[i], "score": score} for i, score in enumerate(averaged(rows))]
        if top_k == "":
            return found if options["return_all_scores"] else max(found, key=lambda one: one["score"])
        return sorted(found, key=lambda one: -one["score"])[:top_k or None]

    def scores(self, logits: Tensor, function: str | None) -> Tensor:
        """(B, L) logits -> probabilities: softmax when labels exclude each other, sigmoid when each stands alone."""
        function = function or self.options["function_to_apply"] or self.function()
        if function == "softmax":
            return logits.softmax(-1)
        if function == "sigmoid":
            return logits.sigmoid()
        if function == "none":
            return logits
        raise ValueError(f"function_to_apply must be 'softmax', 'sigmoid' or 'none', got {function!r}")

    def function(self) -> str:
        config = self.model.config
        if config.problem_type == "regression":
            return "none"
        return "sigmoid" if config.problem_type == "multi_label_classification" or config.num_labels == 1 else "softmax"

    def example(self, item: Any, options: dict[str, Any]) -> dict[str, str]:
        pair = dict(zip(("text", "text_pair"), item, strict=True)) if isinstance(item, tuple) else (
            item if isinstance(item, dict) else {"text": item})
        return {name: pair[name] for name in ("text", "text_pair") if name in pair}

    def steps(self, item: Any, inputs: BatchEncoding, outputs: Any, options: dict[str, Any]) -> list[str]:
        logits = outputs.logits.float()
        scores, labels = self.scores(logits, options["function_to_apply"])[0], self.model.config.id2label
        best = int(scores.argmax())
        call, meaning = {"softmax": (".softmax(-1)", "Softmax turns them into probabilities that sum to 1"),
                         "sigmoid": (".sigmoid()", "The sigmoid turns each into a probability of its own"),
                         "none": ("", "They are the answer as they are")}[options["function_to_apply"] or self.function()]
        return [f"print(outputs.logits)      # {[round(x, 4) for x in logits[0].tolist()]}", "", f"# 3. {meaning}",
                f"scores = outputs.logits[0]{call}",
                f"print(scores)              # {[round(x, 4) for x in scores.tolist()]}", "",
                "# 4. The highest one is the answer", "best = int(scores.argmax())",
                f"print(model.config.id2label[best], float(scores[best]))    # {labels[best]} {scores[best]:.4f}"]


def logits_of(model: PreTrainedModel, batch: dict[str, Tensor]) -> Tensor:
    """(B, L). A decoder whose config names no padding token finds the last token of one text only: there one by one."""
    together = 1 if getattr(model.config, "pad_token_id", None) is None else len(batch["input_ids"])
    pieces = zip(*(column.split(together) for column in batch.values()), strict=True)
    return torch.cat([model(**dict(zip(batch, piece, strict=True)))["logits"] for piece in pieces])


def averaged(rows: list[tuple[Row, list[float]]]) -> list[float]:
    """The mean over the parts of a text, each counting by its tokens."""
    if len(rows) == 1:
        return rows[0][1]
    sizes = [len(row.ids) for row, _ in rows]
    return [sum(size * value for size, value in zip(sizes, values, strict=True)) / sum(sizes)
            for values in zip(*(output for _, output in rows), strict=True)]
