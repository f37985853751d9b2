"""Ways to tell a model where a token stands, other than one learned vector per position."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """positions (T,) -> (T, D): half of the numbers are sines and half cosines, of ever longer waves
    (Vaswani et al. 2017, section 3.5)."""
    waves = 1 / 10000.0 ** (torch.arange(0, width, 2, device=positions.device) / width)    # (D / 2,)
    angles = positions[:, None] * waves                                                   # (T, D / 2)
    return torch.cat([angles.sin(), angles.cos()], -1)


def rotary_frequencies(head_width: int, base: float, scaling: dict[str, Any] | None = None) -> Tensor:
    """(d / 2,): by how much each pair of numbers turns from one position to the next.

    scaling: what config.json says about texts longer than those of the first training; "linear" turns everything more
    slowly, "llama3" only the slow pairs, which are the ones that have not yet turned once.
    """
    frequencies = 1 / base ** (torch.arange(0, head_width, 2, dtype=torch.float32) / head_width)
    kind = "default" if scaling is None else scaling.get("rope_type", scaling.get("type", "default"))
    needed = {"linear": ("factor",), "llama3": ("factor", "original_max_position_embeddings", "low_freq_factor",
                                                "high_freq_factor")}.get(kind, ())
    for name in needed:
        if not isinstance(value := scaling.get(name), (int, float)) or value <= 0:
            raise ValueError(f"rope_scaling of the type {kind!r} needs a number above 0 for each of {', '.join(needed)}; its "
                             f"{name} is {value!r}")
    if kind == "linear":
        return frequencies / scaling["factor"]
    if kind == "llama3":
        turns = scaling["original_max_position_embeddings"] * frequencies / (2 * math.pi)
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        keep = ((turns - low) / (high - low)).clamp(0, 1)     # 0: slow down fully, 1: leave as it is
        return frequencies * (keep + (1 - keep) / scaling["factor"])
    if kind != "default":
        raise ValueError(f"rope_scaling of the type {kind!r} is unknown here; known are 'linear' and 'llama3'")
    return frequencies


class Rotary:
    """rotary() for one call after another: what positions 0, 1, 2, … are turned by is kept in a table."""

    most = 16384                                      # rows of the table

    def __init__(self) -> None:
        self.known: tuple[Any, Tensor, Tensor] = (None, torch.empty(0), torch.empty(0))      # for what, (S, d), (S, d)

    def __call__(self, positions: Tensor, dtype: torch.dtype, *rule: Any) -> Callable[[Tensor], Tensor]:
        """positions (1 or B, T); rule: arguments of rotary_frequencies. While a computation is recorded, and on other
        devices, which would have to be waited for, nothing is looked up."""
        if positions.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
            return rotary(positions, rotary_frequencies(*rule), dtype)
        low, high = (int(end) for end in positions.aminmax())
        if low < 0 or high >= self.most:
            return rotary(positions, rotary_frequencies(*rule), dtype)
        purpose, cos, sin = self.known
        if purpose != (rule, dtype) or len(cos) <= high:
            with torch.inference_mode(False), torch.no_grad():                            # training may look it up later
                places = torch.arange(min(self.most, max(64, 2 * high + 2)), device=positions.device)[None]
                cos, sin = (part[0, 0] for part in cos_and_sin(places, rotary_frequencies(*rule), dtype))
            self.known = (rule, dtype), cos, sin
        return turn_by(cos[positions][:, None], sin[positions][:, None])                   # (1 or B, 1, T, d)


def cos_and_sin(positions: Tensor, frequencies: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """positions (B, T) -> (B, 1, T, d) each; the first half of the sines is negative."""
    angles = positions[:, None, :, None].float() * frequencies.to(positions.device)       # (B, 1, T, d / 2)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([cos, cos], -1).to(dtype), torch.cat([-sin, sin], -1).to(dtype)


def rotary(positions: Tensor, frequencies: Tensor, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """positions (B, T) -> a function that turns queries or keys (B, H, T, d) by their positions, so that their product
    depends on the distance alone (Su et al. 2021, "RoFormer", section 3.2). Number i is paired with number i + d / 2."""
    return turn_by(*cos_and_sin(positions, frequencies, dtype))


def turn_by(cos: Tensor, sin: Tensor) -> Callable[[Tensor], Tensor]:
    def rotate(x: Tensor) -> Tensor:
        return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)

    return rotate


def distance_buckets(distance: Tensor, buckets: int, furthest: int, both_sides: bool) -> Tensor:
    """How far away (source minus target position) -> number of a bucket: near distances have one each, far ones share,
    on a logarithmic scale up to `furthest` (Raffel et al. 2019, "T5", section 2.1)."""
    bucket = torch.zeros_like(distance)
    if both_sides:                                    # one half of the buckets looks ahead
        buckets //= 2
        bucket = (distance > 0) * buckets
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    near = buckets // 2
    far = near + (torch.log(distance.float() / near) / math.log(furthest / near) * (buckets - near)).long()
    return bucket + torch.where(distance < near, distance, far.clamp(max=buckets - 1))
