"""The layer around attention: feed-forward network, residual connections, normalisation."""

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.nn.attention import MultiHeadAttention
from course.nn.cache import LayerCache


class Activations(dict[str, Callable[[Tensor], Tensor]]):
    """The bends by the names that config.json files use."""

    def __missing__(self, name: str) -> None:
        raise ValueError(f"there is no activation {name!r}; there are: {', '.join(self)}")


ACTIVATIONS = Activations({
    "gelu": F.gelu,                                             # Hendrycks & Gimpel 2016, exact
    "gelu_new": partial(F.gelu, approximate="tanh"),            # the approximation that the GPT family uses
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": torch.tanh,
})


def apply_chunking_to_forward(forward_fn: Callable, chunk_size: int, chunk_dim: int, *inputs: Tensor) -> Tensor:
    """forward_fn(*inputs), computed chunk_size positions at a time along chunk_dim: same result, less memory.

    chunk_size 0 computes everything at once. Raises ValueError when chunk_size does not divide the length.
    Source: Kitaev et al. 2020, "Reformer", section 3.
    """
    if not inputs or any(x.shape[chunk_dim] != inputs[0].shape[chunk_dim] for x in inputs):
        raise ValueError(f"every input needs the same length along dimension {chunk_dim}, "
                         f"got {[tuple(x.shape) for x in inputs]}")
    if chunk_size <= 0:
        return forward_fn(*inputs)
    length = inputs[0].shape[chunk_dim]
    if length % chunk_size:
        raise ValueError(f"a length of {length} cannot be cut into chunks of {chunk_size}: "
                         f"pad the inputs (pad_to_multiple_of={chunk_size}) or choose a chunk size that divides {length}")
    chunks = zip(*(x.split(chunk_size, chunk_dim) for x in inputs), strict=True)
    return torch.cat([forward_fn(*chunk) for chunk in chunks], chunk_dim)


class Embedding(nn.Embedding):
    """One learned vector per id."""

    def reset_parameters(self) -> None:
        """Random numbers, but not on the meta device, through which checkpoints are loaded: there torch would import its
        compiler, a second's work, for numbers that nobody sees."""
        if self.weight.device.type != "meta":
            super().reset_parameters()

    def forward(self, ids: Tensor) -> Tensor:
        """(...) -> (..., D)."""
        try:
            return super().forward(ids)
        except IndexError:
            raise IndexError(f"ids from {ids.min().item()} to {ids.max().item()} were looked up among embeddings for the ids "
                             f"0 to {self.num_embeddings - 1}. Do tokenizer and model belong together?") from None


class FeedForward(nn.Module):
    """Two linear maps with a bend between them, applied to each position alone (Vaswani et al. 2017, section 3.3)."""

    def __init__(self, width: int, inner: int, activation: str, dropout: float, inner_dropout: float = 0.0,
                 bias: bool = True):
        super().__init__()
        self.up = nn.Linear(width, inner, bias)
        self.down = nn.Linear(inner, width, bias)
        self.activation = ACTIVATIONS[activation]
        self.dropout = nn.Dropout(dropout)
        self.inner_dropout = inner_dropout

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        x = self.bend(x)                                        # (B, T, inner)
        if self.inner_dropout:
            x = F.dropout(x, self.inner_dropout, self.training)
        return self.dropout(self.down(x))

    def bend(self, x: Tensor) -> Tensor:
        return self.activation(self.up(x))


class GatedFeedForward(FeedForward):
    """A third linear map decides, number by number, how much passes (Shazeer 2020, "GLU variants")."""

    def __init__(self, width: int, inner: int, activation: str, dropout: float = 0.0, inner_dropout: float = 0.0,
                 bias: bool = False):
        super().__init__(width, inner, activation, dropout, inner_dropout, bias)
        self.gate = nn.Linear(width, inner, bias)

    def bend(self, x: Tensor) -> Tensor:
        return self.activation(self.gate(x)) * self.up(x)


class Layer(nn.Module):
    """One of a stack of layers. checkpointing: options of torch.utils.checkpoint.checkpoint, with which it keeps only its
    input in training, and is computed a second time for its gradients; None: it keeps all that they need."""

    checkpointing: dict[str, Any] | None = None

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        if self.checkpointing is None or not (self.training and torch.is_grad_enabled()):
            return super().__call__(*inputs, **named)
        from torch.utils.checkpoint import checkpoint

        def forward(*inputs: Any, **named: Any) -> Any:
            # a cache is written into: the second time has to find it as the first time did
            inputs = tuple(copy(x) if isinstance(x, LayerCache) else x for x in inputs)
            named = {name: copy(x) if isinstance(x, LayerCache) else x for name, x in named.items()}
            return nn.Module.__call__(self, *inputs, **named)

        return checkpoint(forward, *inputs, **self.checkpointing, **named)


class PostNormBlock(Layer):
    """Attention, then feed-forward; each adds to its input and is normalised afterwards ("post-norm")."""

    def __init__(self, attention: MultiHeadAttention, feed_forward: FeedForward, width: int, eps: float,
                 dropout: float = 0.0, chunk_size: int = 0):
        super().__init__()
        self.attention = attention
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.feed_forward = feed_forward
        self.norm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)
        self.chunk_size = chunk_size

    def forward(self, x: Tensor, mask: Tensor | None = None, head_mask: Tensor | None = None,
                need_weights: bool = False, cache: LayerCache | None = None) -> tuple[Tensor, Tensor | None]:
        """x (B, T, D) -> x (B, T, D), attention weights (B, H, T, S) or None."""
        attended, weights = self.attention(x, mask, head_mask, need_weights, cache=cache)
        x = self.attention_norm(x + self.dropout(attended))
        return self.norm(x + apply_chunking_to_forward(self.feed_forward, self.chunk_size, 1, x)), weights


class PreNormBlock(Layer):
    """Attention, then feed-forward; each reads a normalised copy and adds to the original ("pre-norm", which keeps deep
    networks stable; Radford et al. 2019, section 2.3)."""

    def __init__(self, attention: MultiHeadAttention, feed_forward: FeedForward, width: int, eps: float,
                 dropout: float = 0.0, norm: Callable[[int, float], nn.Module] = nn.LayerNorm):
        super().__init__()
        self.attention = attention
        self.attention_norm = norm(width, eps)
        self.feed_forward = feed_forward
        self.norm = norm(width, eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None, head_mask: Tensor | None = None,
                need_weights: bool = False, rotate: Callable[[Tensor], Tensor] | None = None,
                cache: LayerCache | None = None) -> tuple[Tensor, Tensor | None]:
        """x (B, T, D) -> x (B, T, D), attention weights (B, H, T, S) or None."""
        attended, weights = self.attention(self.attention_norm(x), mask, head_mask, need_weights, rotate=rotate, cache=cache)
        x = x + self.dropout(attended)
        return x + self.feed_forward(self.norm(x)), weights
