"""feature-extraction: a text -> its hidden states, one vector per token (or one per text, with pooling)."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from course.pipelines.base import Pipeline
from course.tokenizers.encoding import BatchEncoding, Row


class FeatureExtractionPipeline(Pipeline):
    """A text of T tokens -> nested lists of the shape (1, T, D); with return_tensors=True a tensor.

    pooling="mean" averages the tokens to one vector (D,), the usual embedding of a sentence; "cls" takes the first token's.
    A long text is read in parts: their tokens follow each other, their pooled vectors are averaged by length.
    """

    task = "feature-extraction"
    defaults: ClassVar[dict[str, Any]] = {"return_tensors": False, "pooling": None}
    joined = "their vectors come from the parts"

    def forward(self, batch: dict[str, Any], options: dict[str, Any]) -> list[Tensor]:
        if options["pooling"] not in (None, "mean", "cls"):
            raise ValueError(f"pooling must be 'mean', 'cls' or None, got {options['pooling']!r}")
        states = self.checked(self.model(**batch)[0]).cpu()                                        # (B, T, D)
        pooled = states.mean(1) if options["pooling"] == "mean" else states[:, 0] if options["pooling"] == "cls" else states
        with torch.inference_mode(False):             # copies made here can be trained on and changed, unlike the model's
            return [row.clone() for row in pooled]                                                 # (D,) or (T, D)

    def answer(self, item: str, rows: list[tuple[Row, Any]], options: dict[str, Any]) -> Any:
        if options["pooling"] is None:
            found = torch.cat([states for _, states in rows])[None]                                # (1, T, D)
        else:
            sizes = torch.tensor([len(row.ids) or 1.0 for row, _ in rows])
            found = sizes / sizes.sum() @ torch.stack([vector for _, vector in rows])              # (D,)
        return found if options["return_tensors"] else found.tolist()

    def records(self, answer: Any) -> list[dict[Any, Any]]:
        vector = answer.tolist() if isinstance(answer, Tensor) else answer
        if vector and isinstance(vector[0], list):
            raise ValueError("a line of a table holds one vector: pass pooling='mean'")
        return [dict(enumerate(vector))]

    def steps(self, item: str, inputs: BatchEncoding, outputs: Any, options: dict[str, Any]) -> list[str]:
        features = outputs[0].float()
        first = [round(x, 4) for x in features[0, 0, :4].tolist()]
        return ["", "# 3. The hidden states of the last layer are the features: one vector per token", "features = outputs[0]",
                f"print(features.shape)      # {tuple(features.shape)}", f"print(features[0, 0, :4])  # {first}"]
