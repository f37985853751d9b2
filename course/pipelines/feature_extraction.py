"""feature-extraction: a text -> its hidden states, one vector per token (or one per text, with pooling)."""

from typing import Any, ClassVar

import torch

from course.outputs import ModelOutput
from course.pipelines.base import Pipeline
from course.tokenizers.encoding import BatchEncoding


class FeatureExtractionPipeline(Pipeline):
    """A text of T tokens -> nested lists of the shape (1, T, D); with return_tensors=True a tensor.

    pooling="mean" averages the tokens to one vector (D,), the usual embedding of a sentence; "cls" takes the first token's.
    """

    defaults: ClassVar[dict[str, Any]] = {"return_tensors": False, "pooling": None}

    def results(self, outputs: ModelOutput, batch: BatchEncoding, options: dict[str, Any]) -> list[Any]:
        states = outputs[0].float().cpu()                                                          # (B, T, D)
        mask = batch["attention_mask"].cpu()                                                       # (B, T)
        if options["pooling"] == "mean":
            found = list((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))            # B of (D,)
        elif options["pooling"] == "cls":
            found = list(states[torch.arange(len(states)), mask.argmax(1)])
        elif options["pooling"] is None:
            found = [row[keep.bool()][None] for row, keep in zip(states, mask, strict=True)]       # B of (1, T, D)
        else:
            raise ValueError(f"pooling must be 'mean', 'cls' or None, got {options['pooling']!r}")
        if not options["return_tensors"]:
            return [row.tolist() for row in found]
        with torch.inference_mode(False):             # copies made here can be trained on and changed, unlike the model's
            return [row.clone() for row in found]

    def steps(self, text: str) -> list[str]:
        features = self(text, return_tensors=True, pooling=None)
        first = [round(x, 4) for x in features[0, 0, :4].tolist()]
        return ["", "# 3. The hidden states of the last layer are the features: one vector per token", "features = outputs[0]",
                f"print(features.shape)      # {tuple(features.shape)}", f"print(features[0, 0, :4])  # {first}"]
