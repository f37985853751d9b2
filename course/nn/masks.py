"""What a position may look at.

A mask is added to the scores before the softmax: 0 = look, very negative = do not. It is finite, so that a row in which
everything is hidden (an empty text) gives an average and not NaN. Its shape says what it is:

    (B, 1, 1, S)              padding: the same for all positions; a causal attention hides what comes later as well
    (1 or B, 1 or H, T, S)    complete: a row for each position, with everything that it may not look at, and any bias
    None                      nothing is hidden; in a causal attention what comes later
"""

import torch
from torch import Tensor


def additive_mask(attention_mask: Tensor, dtype: torch.dtype) -> Tensor:
    """1 = look, 0 = ignore, (B, S) or (B, T, S)  ->  0 = look, very negative = ignore, (B, 1, 1 or T, S)."""
    if attention_mask.dim() not in (2, 3):
        raise ValueError(f"attention_mask must have the shape (batch, length) or (batch, length, length), "
                         f"got {tuple(attention_mask.shape)}")
    mask = attention_mask[:, None, None, :] if attention_mask.dim() == 2 else attention_mask[:, None]
    return (1.0 - mask.to(dtype)) * torch.finfo(dtype).min


def hide(hidden: Tensor, dtype: torch.dtype) -> Tensor:
    """True = ignore -> very negative, False = look -> 0, of the same shape."""
    return torch.zeros_like(hidden, dtype=dtype).masked_fill(hidden, torch.finfo(dtype).min)


def causal_mask(mask: Tensor | None, like: Tensor, target: int, source: int) -> Tensor:
    """A mask (or None) in which each position also ignores what comes later: (1, 1 or B, T, S).

    The last of the source positions is the last target position; those before the first target are in a cache.
    """
    later = torch.ones(target, source, dtype=torch.bool, device=like.device).triu(source - target + 1)     # (T, S)
    if mask is None:
        return hide(later, like.dtype)[None, None]
    return torch.where(later, torch.finfo(like.dtype).min, mask)


def make_mask(attention_mask: Tensor | None, x: Tensor, past: int = 0, *, causal: bool = False) -> Tensor | None:
    """The mask for all layers of a pass, made once. attention_mask (B, S) or (B, T, S), 1 = look; x (B, T, D) the states of
    the new tokens, past: how many are in a cache. A mask that hides nothing costs time: it is left out where looking at its
    values is cheap and no trace of the computation is being recorded."""
    mask = None if attention_mask is None or hides_nothing(attention_mask) else additive_mask(attention_mask, x.dtype)
    if causal and x.shape[1] > 1 and (mask is not None or past > 0):      # else attention knows a faster way
        return causal_mask(mask, x, x.shape[1], past + x.shape[1])
    return mask


def hides_nothing(mask: Tensor) -> bool:
    return (mask.device.type == "cpu" and not torch.compiler.is_compiling() and not torch.jit.is_tracing()
            and bool((mask == 1).all()))
