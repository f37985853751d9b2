"""Multi-head attention (Vaswani et al. 2017, "Attention is all you need", section 3.2)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.nn.cache import LayerCache


def additive_mask(attention_mask: Tensor, dtype: torch.dtype) -> Tensor:
    """1 = look, 0 = ignore, (B, S) or (B, T, S)  ->  0 = look, very negative = ignore, (B, 1, 1 or T, S).

    The mask is added to the scores before the softmax. It is finite, so that a row in which everything is ignored
    (an empty text) gives an average and not NaN.
    """
    if attention_mask.dim() not in (2, 3):
        raise ValueError(f"attention_mask must have the shape (batch, length) or (batch, length, length), "
                         f"got {tuple(attention_mask.shape)}")
    mask = attention_mask[:, None, None, :] if attention_mask.dim() == 2 else attention_mask[:, None]
    return (1.0 - mask.to(dtype)) * torch.finfo(dtype).min


def causal_mask(mask: Tensor | None, like: Tensor, target: int, source: int) -> Tensor:
    """An additive mask (or None) that also hides what comes later: (1, 1 or B, T, S).

    The last of the source positions is the last target position; those before the first target are in a cache.
    """
    later = torch.ones(target, source, dtype=torch.bool, device=like.device).triu(source - target + 1)     # (T, S)
    seen = like.new_zeros(1, 1, 1, 1) if mask is None else mask
    return torch.where(later, torch.finfo(like.dtype).min, seen)


class MultiHeadAttention(nn.Module):
    """Every position looks at every other one, H times in parallel.

    q, k, v, out are the same four names in every model. kv_heads: fewer heads for keys and values, each shared by
    several queries (Ainslie et al. 2023, "GQA"). causal: a position sees itself and what came before.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, *, kv_heads: int | None = None,
                 head_width: int | None = None, scale: float | None = None, bias: bool = True,
                 out_bias: bool = True, causal: bool = False):
        super().__init__()
        self.heads = heads
        self.kv_heads = kv_heads or heads
        self.head_width = head_width or width // heads
        self.scale = self.head_width**-0.5 if scale is None else scale
        self.dropout = dropout
        self.causal = causal
        self.q = nn.Linear(width, self.heads * self.head_width, bias)
        self.k = nn.Linear(width, self.kv_heads * self.head_width, bias)
        self.v = nn.Linear(width, self.kv_heads * self.head_width, bias)
        self.out = nn.Linear(self.heads * self.head_width, width, out_bias)

    def forward(self, x: Tensor, mask: Tensor | None = None, head_mask: Tensor | None = None,
                need_weights: bool = False, *, memory: Tensor | None = None,
                rotate: Callable[[Tensor], Tensor] | None = None,
                cache: LayerCache | None = None) -> tuple[Tensor, Tensor | None]:
        """x (B, T, D) -> output (B, T, D), weights (B, H, T, S) or None.

        mask: added to the scores, broadcastable to (B, H, T, S). head_mask: factor for the weights, (H,) or (B, H, 1, 1).
        memory (B, S, D): look there instead of at x (cross-attention). rotate: turns queries and keys by their positions.
        torch's fused attention never builds the weights; they are computed step by step only when somebody needs them.
        """
        q = self.split(self.q(x))                                                         # (B, H, T, d)
        if memory is None:
            k, v = self.split(self.k(x)), self.split(self.v(x))
            if rotate is not None:
                q, k = rotate(q), rotate(k)
            if cache is not None:
                k, v = cache.append(k, v)                                                 # (B, H, S, d)
        elif cache is not None and cache.memory is not None:
            k, v = cache.memory
        else:
            source = memory.shape[1] if mask is None else mask.shape[-1]
            if memory.shape[1:] != (source, self.k.in_features) or memory.shape[0] != x.shape[0] and memory.shape[0] != 1:
                raise ValueError(f"encoder_outputs have the shape {tuple(memory.shape)}, the decoder asks for "
                                 f"{(x.shape[0], source, self.k.in_features)}: give it texts, attention_mask and "
                                 "encoder_outputs that belong together, of one model")
            k, v = self.split(self.k(memory)), self.split(self.v(memory))                 # (B, H, S, d)
            if cache is not None:
                cache.memory = k, v
        dropout = self.dropout if self.training else 0.0
        step_by_step = need_weights or head_mask is not None
        causal = self.causal and q.shape[2] > 1       # a single new token may look at everything before it
        if causal and (step_by_step or mask is not None or k.shape[2] > q.shape[2]):
            mask, causal = causal_mask(mask, q, q.shape[2], k.shape[2]), False
        if step_by_step:
            if self.kv_heads != self.heads:
                k, v = (y.repeat_interleave(self.heads // self.kv_heads, 1) for y in (k, v))
            scores = self.scores(q, k)                                                    # (B, H, T, S)
            if mask is not None:
                scores = scores + mask
            weights = F.dropout(scores.softmax(-1), dropout, self.training)
            if head_mask is not None:
                weights = weights * (head_mask[None, :, None, None] if head_mask.dim() == 1 else head_mask)
            mixed = weights @ v                                                           # (B, H, T, d)
        else:
            weights = None
            mixed = F.scaled_dot_product_attention(q, k, v, mask, dropout, causal, scale=self.scale,
                                                   enable_gqa=self.kv_heads != self.heads)
        return self.out(mixed.transpose(1, 2).flatten(2)), weights                        # (B, T, D)

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        """(B, H, T, d), (B, H, S, d) -> (B, H, T, S): how well each query fits each key."""
        return q @ k.mT * self.scale

    def flops(self, length: int) -> int:
        """Multiplications and additions for a token that looks at `length` tokens, beside those of the four matrices."""
        return 4 * length * self.heads * self.head_width      # half for the scores, half for the mix of the values

    def split(self, x: Tensor) -> Tensor:
        """(B, T, H * d) -> (B, H, T, d)."""
        return x.unflatten(-1, (-1, self.head_width)).transpose(1, 2)
