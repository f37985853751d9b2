"""Task heads and their losses, written once for all models. Without labels every loss is None."""

import torch.nn.functional as F
from torch import Tensor, nn

from course.config import ModelConfig
from course.nn import ACTIVATIONS


def classification_loss(logits: Tensor, labels: Tensor | None, config: ModelConfig) -> Tensor | None:
    """logits (B, L). Labels say which loss: one class number per text (B,), several yes/no labels per text (B, L)
    as floats, or a number to predict (B,) when the model has a single label. config.problem_type decides first."""
    if labels is None:
        return None
    if logits.shape[0] != labels.shape[0]:
        raise ValueError(f"labels has {labels.shape[0]} rows and the batch has {logits.shape[0]} texts: "
                         "give one label (or one row of labels) per text")
    problem = config.problem_type or (
        "regression" if config.num_labels == 1 else
        "multi_label_classification" if labels.is_floating_point() else "single_label_classification")
    if problem == "regression":
        return F.mse_loss(logits.squeeze(-1), labels.squeeze(-1).to(logits.dtype))
    if problem == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
    return cross_entropy(logits, labels)


def cross_entropy(logits: Tensor, labels: Tensor | None) -> Tensor | None:
    """logits (..., L), labels (...) with class numbers; positions with the label -100 do not count."""
    if labels is None:
        return None
    if labels.shape != logits.shape[:-1]:
        raise ValueError(f"labels has the shape {tuple(labels.shape)}, the logits ask for {tuple(logits.shape[:-1])}")
    classes = logits.shape[-1]
    wrong = labels[(labels >= classes) | ((labels < 0) & (labels != -100))]
    if wrong.numel():
        raise ValueError(f"labels holds {wrong[0].item()}, but this model has {classes} classes: 0 to {classes - 1}, "
                         "and -100 for positions that do not count. Is num_labels right?")
    return F.cross_entropy(logits.reshape(-1, classes), labels.reshape(-1))


def span_loss(start_logits: Tensor, end_logits: Tensor, start_positions: Tensor | None,
              end_positions: Tensor | None) -> Tensor | None:
    """Mean of the losses of the first and the last token of the answer, (B,) each. Positions past the end do not count."""
    if start_positions is None or end_positions is None:
        return None
    length = start_logits.shape[1]
    losses = [F.cross_entropy(logits, positions.clamp(0, length), ignore_index=length)
              for logits, positions in ((start_logits, start_positions), (end_logits, end_positions))]
    return (losses[0] + losses[1]) / 2


class MaskedLMHead(nn.Module):
    """Hidden state -> a score for every word: dense layer, activation, norm, then the (usually tied) word embeddings."""

    def __init__(self, width: int, vocab_size: int, activation: str, eps: float):
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.activation = ACTIVATIONS[activation]
        self.norm = nn.LayerNorm(width, eps=eps)
        self.decoder = nn.Linear(width, vocab_size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, V)."""
        return self.decoder(self.norm(self.activation(self.dense(x))))
