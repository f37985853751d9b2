"""text-classification, also called sentiment-analysis: a text (or a pair of texts) -> labels with scores."""

from numbers import Integral
from typing import Any, ClassVar

import torch
from torch import Tensor

from course.pipelines.base import Pipeline
from course.tokenizers.encoding import BatchEncoding, Row


class TextClassificationPipeline(Pipeline):
    """Options: top_k (None: all labels, best first), return_all_scores (all, in the model's order),
    function_to_apply ("softmax", "sigmoid", "none"). A pair is {"text": …, "text_pair": …}."""

    defaults: ClassVar[dict[str, Any]] = {"top_k": "", "return_all_scores": None, "function_to_apply": None}

    def __call__(self, inputs: Any, *, batch_size: int | None = None, **options: Any) -> Any:
        """One text -> [{label, score}]; a list -> a list with one {label, score} each; with top_k a list of them each."""
        answer = super().__call__(inputs, batch_size=batch_size, **options)
        asked_for_several = self.merge(self.options, options)["top_k"] != ""
        return answer if asked_for_several or not isinstance(inputs, str) else [answer]

    def is_one(self, item: Any) -> bool:
        return isinstance(item, str) or (isinstance(item, dict) and isinstance(item.get("text"), str))

    def encode(self, items: list[Any], options: dict[str, Any]) -> BatchEncoding:
        pairs = [text if isinstance(text, dict) else {"text": text} for text in items]
        if any("text_pair" in pair for pair in pairs):
            if not all(isinstance(pair.get("text_pair"), str) for pair in pairs):
                raise TypeError("with pairs every item needs both: {'text': …, 'text_pair': …}")
            return self.tokenize([(pair["text"], pair["text_pair"]) for pair in pairs], options)
        return self.tokenize([pair["text"] for pair in pairs], options)

    def forward(self, batch: dict[str, Any], options: dict[str, Any]) -> list[list[float]]:
        return self.scores(self.model(**batch)["logits"].float(), options["function_to_apply"]).tolist()

    def answer(self, item: Any, rows: list[tuple[Row, Any]], options: dict[str, Any]) -> Any:
        top_k, labels = options["top_k"], self.model.config.id2label
        (_, scores), = rows
        if top_k not in ("", None) and (isinstance(top_k, bool) or not isinstance(top_k, Integral) or top_k < 1):
            raise ValueError(f"top_k must be a whole number of at least 1, or None for all labels, got {top_k!r}")
        found = [{"label": labels[i], "score": score} for i, score in enumerate(scores)]
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

    def steps(self, text: str) -> list[str]:
        inputs = self.tokenizer(text, return_tensors="pt", truncation=True, max_length=self.limit(self.options),
                                split_special_tokens=True).to(self.device)
        with torch.inference_mode():
            logits = self.model(**inputs).logits.float()
        scores, labels = self.scores(logits, None)[0], self.model.config.id2label
        best = int(scores.argmax())
        call, meaning = {"softmax": (".softmax(-1)", "Softmax turns them into probabilities that sum to 1"),
                         "sigmoid": (".sigmoid()", "The sigmoid turns each into a probability of its own"),
                         "none": ("", "They are the answer as they are")}[self.options["function_to_apply"] or self.function()]
        return [f"print(outputs.logits)      # {[round(x, 4) for x in logits[0].tolist()]}", "", f"# 3. {meaning}",
                f"scores = outputs.logits[0]{call}",
                f"print(scores)              # {[round(x, 4) for x in scores.tolist()]}", "",
                "# 4. The highest one is the answer", "best = int(scores.argmax())",
                f"print(model.config.id2label[best], float(scores[best]))    # {labels[best]} {scores[best]:.4f}"]
