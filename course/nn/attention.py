"""Multi-head attention (Vaswani et al. 2017, "Attention is all you need", section 3.2)."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from course.nn.cache import LayerCache
from course.nn.masks import causal_mask


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

        mask: see course.nn.masks. head_mask: factor for the weights, (H,) or (B, H, 1, 1).
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
            k, v = self.split(self.k(memory)), self.split(self.v(memory))                 # (B, H, S, d)
            if cache is not None:
                cache.memory = k, v
        dropout = self.dropout if self.training else 0.0
        step_by_step = need_weights or head_mask is not None
        # a single new token may look at everything before it, and a complete mask hides what comes later
        causal = self.causal and bool(q.shape[2] > 1) and (mask is None or bool(mask.shape[2] == 1))
        if causal and (step_by_step or mask is not None or k.shape[2] > q.shape[2]):
            mask, causal = causal_mask(mask, q, q.shape[2], k.shape[2]), False
        if step_by_step:
            if self.kv_heads != self.heads:
                k, v = (y.repeat_interleave(self.heads // self.kv_heads, 1) for y in (k, v))
            scores = q @ k.mT * self.scale                                                # (B, H, T, S)
            if mask is not None:
                scores = scores + mask
            weights = F.dropout(scores.softmax(-1), dropout, self.training)
            if head_mask is not None:
                weights = weights * (head_mask[None, :, None, None] if head_mask.dim() == 1 else head_mask)
            mixed = weights @ v                                                           # (B, H, T, d)
        else:
            weights, shape, shared = None, q.shape, self.kv_heads != self.heads
            if shared and bool(q.shape[2] == 1) and (mask is None or mask.shape[1] == 1):
                # one new token: queries that share keys ask like positions of one head, and no keys have to be copied
                q, shared = q.reshape(shape[0], self.kv_heads, -1, self.head_width), False
            mixed = F.scaled_dot_product_attention(q, k, v, mask, dropout, causal, scale=self.scale, enable_gqa=shared)
            mixed = mixed if mixed.shape[1] == self.heads else mixed.reshape(shape)       # a shape is a constant in a trace
        return self.out(mixed.transpose(1, 2).flatten(2)), weights                        # (B, T, D)

    def flops(self, length: int) -> int:
        """Multiplications and additions for a token that looks at `length` tokens, beside those of the four matrices."""
        return 4 * length * self.heads * self.head_width      # half for the scores, half for the mix of the values

    def split(self, x: Tensor) -> Tensor:
        """(B, T, H * d) -> (B, H, T, d)."""
        return x.unflatten(-1, (-1, self.head_width)).transpose(1, 2)
