"""Task heads and their losses, written once for all models. Without labels every loss is None."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.config import ModelConfig
from course.nn import ACTIVATIONS


def classification_loss(logits: Tensor, labels: Tensor | None, config: ModelConfig) -> Tensor | None:
    """logits (B, L). Labels say which loss: one class number per text (B,), several yes/no labels per text (B, L)
    as floats, or a number to predict (B,) when the model has a single label. config.problem_type decides first."""
    if labels is None:
        return None
    check_labels(labels)
    problem = config.problem_type or (
        "regression" if config.num_labels == 1 else
        "multi_label_classification" if labels.is_floating_point() else "single_label_classification")
    wanted = logits.shape[:1] if problem == "single_label_classification" or config.num_labels == 1 else logits.shape
    if labels.numel() != wanted.numel() or (len(wanted) == 2 and labels.shape != wanted):
        raise ValueError(f"labels has the shape {tuple(labels.shape)}, a batch of {len(logits)} texts asks for "
                         f"{tuple(wanted)}" + (": floats mean a yes or no for each of the labels; class numbers are whole "
                                               "numbers, labels.long()" if problem.startswith("multi") else ""))
    if problem == "regression":
        return F.mse_loss(logits.reshape(wanted), labels.reshape(wanted).to(logits.dtype))
    if problem == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(logits.reshape(wanted), labels.reshape(wanted).to(logits.dtype))
    return cross_entropy(logits, labels.reshape(wanted))      # (B,), (B, 1) and (1, B) all say the same


def check_labels(labels: Tensor) -> None:
    if not isinstance(labels, Tensor):
        raise TypeError(f"labels must be a tensor, got {type(labels).__name__}: write labels=torch.tensor(…)")


def cross_entropy(logits: Tensor, labels: Tensor | None) -> Tensor | None:
    """logits (..., L), labels (...) with class numbers; positions with the label -100 do not count."""
    if labels is None:
        return None
    check_labels(labels)
    if labels.shape != logits.shape[:-1]:
        raise ValueError(f"labels has the shape {tuple(labels.shape)}, the logits ask for {tuple(logits.shape[:-1])}")
    if labels.is_floating_point():
        raise TypeError("labels must be the numbers of classes, got floats: labels.long() makes whole numbers of them")
    classes = logits.shape[-1]
    wrong = () if torch.compiler.is_compiling() else labels[(labels >= classes) | ((labels < 0) & (labels != -100))]
    if len(wrong):
        raise ValueError(f"labels holds {wrong[0].item()}, but this model has {classes} classes: 0 to {classes - 1}, "
                         "and -100 for positions that do not count. Is num_labels right?")
    return F.cross_entropy(logits.reshape(-1, classes), labels.reshape(-1).long())     # numpy's integers may be short


def causal_lm_loss(logits: Tensor, labels: Tensor | None) -> Tensor | None:
    """logits (B, T, V), labels (B, T) the tokens themselves: position t is to guess the token at t + 1."""
    if labels is None:
        return None
    check_labels(labels)
    return cross_entropy(logits.float(), F.pad(labels, (0, 1), value=-100)[:, 1:])


def shift_right(labels: Tensor, start: int | None, pad: int | None) -> Tensor:
    """labels (B, T) -> what a decoder reads to guess them: the start token, then all but the last label; -100 becomes pad."""
    check_labels(labels)
    if start is None or pad is None:
        raise ValueError("a decoder that starts from labels needs decoder_start_token_id and pad_token_id in its config")
    ids = torch.cat([labels.new_full((len(labels), 1), start), labels[:, :-1]], 1)
    return ids.masked_fill(ids == -100, pad)


def last_token(x: Tensor, input_ids: Tensor | None, pad: int | None) -> Tensor:
    """x (B, T, D) -> (B, D), at the last token of each text that is not padding."""
    if input_ids is None or pad is None:
        if pad is None and len(x) > 1:
            raise ValueError("to find the last token of each of several texts the model has to know what padding is: set "
                             "model.config.pad_token_id = tokenizer.pad_token_id")
        return x[:, -1]
    places = torch.arange(x.shape[1], device=x.device) * (input_ids != pad)              # (B, T)
    return x[torch.arange(len(x), device=x.device), places.argmax(-1)]


def end_token(x: Tensor, input_ids: Tensor | None, eos: int) -> Tensor:
    """x (B, T, D) -> (B, D), at the last </s> of each text: where an encoder-decoder has read all of it."""
    ends = input_ids == eos if input_ids is not None else x.new_zeros(x.shape[:2], dtype=torch.bool)        # (B, T)
    if not torch.compiler.is_compiling() and not ends.any(1).all():
        raise ValueError(f"every text must hold the token </s> (eos_token_id {eos}), whose state is classified: give "
                         "input_ids, and call the tokenizer with add_special_tokens=True, its default")
    last = ends.shape[1] - 1 - ends.flip(1).int().argmax(1)  # (B,)
    return x[torch.arange(len(x), device=x.device), last]


def span_loss(start_logits: Tensor, end_logits: Tensor, start_positions: Tensor | None,
              end_positions: Tensor | None) -> Tensor | None:
    """Mean of the losses of the first and the last token of the answer, (B,) each. Positions past the end do not count."""
    if start_positions is None or end_positions is None:
        return None
    length = start_logits.shape[1]
    for positions in (start_positions, end_positions):
        check_labels(positions)
        if positions.numel() != len(start_logits):
            raise ValueError(f"start_positions and end_positions hold one token number per text: the batch has "
                             f"{len(start_logits)}, one of them has {positions.numel()}")
    losses = [F.cross_entropy(logits, positions.reshape(-1).clamp(0, length).long(), ignore_index=length)
              for logits, positions in ((start_logits, start_positions), (end_logits, end_positions))]
    return (losses[0] + losses[1]) / 2


class ClassificationHead(nn.Module):
    """The state of one token -> a score for every label, in two layers."""

    def __init__(self, width: int, labels: int, dropout: float, *, inner: int | None = None):
        super().__init__()
        self.dense = nn.Linear(width, inner or width)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(inner or width, labels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, L)."""
        return self.out(self.dropout(torch.tanh(self.dense(self.dropout(x)))))


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
