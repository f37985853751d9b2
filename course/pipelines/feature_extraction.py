"""feature-extraction: a text -> its hidden states, one vector per token (or one per text, with pooling)."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from course.pipelines.base import Pipeline
from course.tokenizers.encoding import Row


class FeatureExtractionPipeline(Pipeline):
    """A text of T tokens -> nested lists of the shape (1, T, D); with return_tensors=True a tensor.

    pooling="mean" averages the tokens to one vector (D,), the usual embedding of a sentence; "cls" takes the first token's.
    """

    defaults: ClassVar[dict[str, Any]] = {"return_tensors": False, "pooling": None}

    def forward(self, batch: dict[str, Any], options: dict[str, Any]) -> list[Tensor]:
        states = self.model(**batch)[0].float().cpu()                                              # (B, T, D)
        if options["pooling"] not in (None, "mean", "cls"):
            raise ValueError(f"pooling must be 'mean', 'cls' or None, got {options['pooling']!r}")
        pooled = states.mean(1) if options["pooling"] == "mean" else states[:, 0] if options["pooling"] == "cls" else states
        with torch.inference_mode(False):             # copies made here can be trained on and changed, unlike the model's
            return [row.clone() for row in pooled]                                                 # (D,) or (T, D)

    def answer(self, item: str, rows: list[tuple[Row, Any]], options: dict[str, Any]) -> Any:
        (_, found), = rows
        found = found if options["pooling"] else found[None]                                       # (1, T, D)
        return found if options["return_tensors"] else found.tolist()

    def steps(self, text: str) -> list[str]:
        features = self(text, return_tensors=True, pooling=None)
        first = [round(x, 4) for x in features[0, 0, :4].tolist()]
        return ["", "# 3. The hidden states of the last layer are the features: one vector per token", "features = outputs[0]",
                f"print(features.shape)      # {tuple(features.shape)}", f"print(features[0, 0, :4])  # {first}"]
