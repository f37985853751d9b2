"""What makes a model faster on a CPU without changing how it reads: weights of 8 bits, and weights in another order.

A single new token is bound by reading the weights, each of which is used once: 135 million of them are 540 MB in float32,
270 in bfloat16, 135 in 8 bits.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROWS = 32                                           # with more rows the weights are read often enough to be unpacked first
FEW = 3                                             # with so few rows a product takes as long as reading its weights once
FEW_INT8 = 6                                        # the same for weights of 8 bits and inputs that are not rounded
LARGE = 2**19                                       # weights of a matrix from which on their order counts
TWICE = 2**30                                       # bytes of weights of which a second copy may be made


class Int8Linear(nn.Module):
    """A linear map whose weights are whole numbers from -127 to 127 and one factor for each output (Dettmers et al. 2022,
    "LLM.int8()", section 2.1). What comes in and goes out stays in bfloat16: no row can change another one's numbers."""

    numbers: Tensor                                 # (outputs, inputs)
    factors: Tensor                                 # (outputs,)

    def __init__(self, linear: nn.Linear, largest: int = 127, dtype: torch.dtype = torch.bfloat16):
        super().__init__()
        weight = linear.weight.detach().float()
        self.out_features, self.in_features = weight.shape
        self.register_buffer("factors", (weight.abs().amax(1).clamp(min=1e-12) / largest).to(dtype))
        numbers = (weight / self.factors.float()[:, None]).round().clamp(-largest, largest)
        self.register_buffer("numbers", numbers.to(torch.int8).contiguous())
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach().to(dtype), requires_grad=False)

    @property
    def weight(self) -> Tensor:
        """The weights as they are computed with, (outputs, inputs)."""
        return self.numbers * self.factors[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        rows = x.to(torch.bfloat16).reshape(-1, self.in_features)
        if len(rows) > FEW_INT8 and adds_exactly(127):
            # each row as two of whole numbers: the second is what the first leaves, in steps 254 times as fine
            size = rows.abs().amax(1, keepdim=True).float().clamp_(min=1e-30).div_(127)            # (rows, 1)
            whole = (exact := rows / size).round()
            both = torch.cat([whole, exact.sub_(whole).mul_(254).round_()]).to(torch.int8)
            large, small = torch._int_mm(both, self.numbers.T).float().chunk(2)
            y = large.add_(small, alpha=1 / 254).mul_(self.factors).mul_(size).to(torch.bfloat16)
        elif len(rows) > ROWS:
            y = F.linear(rows, self.numbers.to(torch.bfloat16)) * self.factors            # whole numbers are exact in bfloat16
        else:
            y = torch.ops.aten._weight_int8pack_mm(rows.contiguous(), self.numbers, self.factors)
        y = y if self.bias is None else y + self.bias
        return y.view(*x.shape[:-1], self.out_features).to(x.dtype)


class Int8Reading(Int8Linear):
    """The same weights, and what comes in is rounded to whole numbers too, each token by a factor of its own: many tokens at
    once are bound by multiplying, and products of 8 bits are two to four times as fast. Rounds more than Int8Linear, and
    once more where a processor adds only products with weights up to 63 exactly."""

    def __init__(self, linear: nn.Linear):
        super().__init__(linear, 127 if adds_exactly(127) else 63, torch.float32)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, self.in_features)                                                     # (tokens, inputs)
        size = rows.abs().amax(1, keepdim=True).clamp_(min=1e-30).div_(127)                        # (tokens, 1)
        y = torch._int_mm((rows / size).round_().to(torch.int8), self.numbers.T).float()           # (tokens, outputs)
        y = y.mul_(self.factors).mul_(size)           # in place: these are the largest tensors of a model
        return (y if self.bias is None else y.add_(self.bias)).view(*x.shape[:-1], self.out_features)


@cache
def adds_exactly(largest: int) -> bool:
    """Whether this processor multiplies whole numbers up to 127 with ones up to `largest` without an error. Where it has no
    instructions for it (VNNI), torch's product adds pairs of them in 16 bits, and what is too large is cut off."""
    x, weight = torch.full((2, 64), 127, dtype=torch.int8), torch.full((16, 64), largest, dtype=torch.int8)
    return bool((torch._int_mm(x, weight.T) == 64 * 127 * largest).all())


def to_int8_reading(body: nn.Module) -> None:
    """Puts the linear maps of a model that reads into 8 bits; what is no linear map, and a head outside, stays as it is."""
    replace_linear(body, Int8Reading)


def to_int8(model: Any) -> Any:
    """The model with the weights of its linear maps in 8 bits, for writing and reading, not for training or saving. torch's
    kernel reads 16 numbers at a time; maps of other widths stay as they are."""
    replace_linear(model, Int8Linear, multiple=16)
    return model.to(torch.bfloat16).requires_grad_(False)


def replace_linear(model: nn.Module, kind: type[Int8Linear], multiple: int = 1) -> None:
    for module in list(model.modules()):
        for name, part in list(module.named_children()):
            if type(part) is nn.Linear and part.in_features % multiple == 0:
                setattr(module, name, kind(part))


def by_columns(model: nn.Module) -> None:
    """Stores each matrix of a linear map column after column: the same numbers, and some dozens of rows are computed up to 1.3
    times as fast in float32 (measured with MKL; a single row takes as long)."""
    for part in model.modules():
        if type(part) is nn.Linear and part.weight.is_contiguous() and part.weight.dtype == torch.float32:
            part.weight.data = part.weight.data.T.contiguous().T


@contextmanager
def packed(model: nn.Module, rows: int) -> Iterator[None]:
    """While it lasts, linear maps in float32 compute with a copy of their weights in the blocks that oneDNN reads one after the
    other: 4 to 32 rows take 0.4 to 0.9 of the time. Making it takes as long as writing some eight tokens. Leaves alone what
    would gain nothing, small matrices and other numbers of rows, and weights beyond a gigabyte, which would be there twice."""
    parts = [part for part in model.modules()
             if type(part) is nn.Linear and part.weight.dtype == torch.float32 and part.weight.numel() >= LARGE]
    size = sum(part.weight.nbytes for part in parts)
    if not (FEW < rows <= ROWS and size <= TWICE and torch.backends.mkldnn.is_available()
            and all(part.weight.device.type == "cpu" for part in parts)):
        yield
        return
    try:
        for part in parts:
            weight = torch.ops.mkldnn._reorder_linear_weight(part.weight.detach(), rows)
            vars(part)["forward"] = partial(blocks, weight=weight, bias=part.bias)     # before that of its class
        yield
    finally:
        for part in parts:
            vars(part).pop("forward", None)


def blocks(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(..., inputs) -> (..., outputs), with a weight of oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


@cache
def fastest() -> torch.dtype:
    """Of float32, bfloat16 and int8 the one in which this CPU computes a linear map of one row fastest, measured once."""
    with torch.inference_mode():
        linear = nn.utils.skip_init(nn.Linear, 1024, 2048)                                # 8 MB: more than a cache close by
        linear.weight.fill_(0.01), linear.bias.zero_()
        half, packed, x = deepcopy(linear).to(torch.bfloat16), Int8Linear(linear), torch.ones(1, 1024)
        ways = {torch.float32: (linear, x), torch.bfloat16: (half, x.bfloat16()), torch.int8: (packed, x.bfloat16())}
        times = dict.fromkeys(ways, float("inf"))
        for _ in range(7):
            for dtype, (way, given) in ways.items():
                begin = time.perf_counter()
                way(given)
                times[dtype] = min(times[dtype], time.perf_counter() - begin)
    return min(times, key=times.__getitem__)
