"""Multi-head attention (Vaswani et al. 2017, "Attention is all you need", section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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


class MultiHeadAttention(nn.Module):
    """Every position looks at every other one, H times in parallel.

    q, k, v, out are the same four names in every model.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0):
        super().__init__()
        self.heads = heads
        self.head_width = width // heads
        self.scale = self.head_width**-0.5
        self.dropout = dropout
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(width, width)
        self.v = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None, head_mask: Tensor | None = None,
                need_weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """x (B, T, D) -> output (B, T, D), weights (B, H, T, S) or None.

        mask: added to the scores, broadcastable to (B, H, T, S). head_mask: factor for the weights, (H,) or (B, H, 1, 1).
        torch's fused attention never builds the weights; they are computed step by step only when somebody needs them.
        """
        q, k, v = self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))     # (B, H, T, d)
        dropout = self.dropout if self.training else 0.0
        if need_weights or head_mask is not None:
            scores = self.scores(q, k)                                                    # (B, H, T, S)
            if mask is not None:
                scores = scores + mask
            weights = F.dropout(scores.softmax(-1), dropout, self.training)
            if head_mask is not None:
                weights = weights * (head_mask[None, :, None, None] if head_mask.dim() == 1 else head_mask)
            mixed = weights @ v                                                           # (B, H, T, d)
        else:
            weights = None
            mixed = F.scaled_dot_product_attention(q, k, v, mask, dropout, scale=self.scale)
        return self.out(mixed.transpose(1, 2).flatten(2)), weights                        # (B, T, D)

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        """(B, H, T, d), (B, H, S, d) -> (B, H, T, S): how well each query fits each key."""
        return q @ k.mT * self.scale

    def split(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, H, T, d)."""
        return x.unflatten(-1, (self.heads, self.head_width)).transpose(1, 2)
