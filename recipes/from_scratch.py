"""What the recipes of models without any earlier weights share: the optimizer Muon, and saving in half precision.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) replaces the step of every matrix by the nearest matrix
whose directions all have the same length: rare directions learn as fast as frequent ones. Here it needs about two thirds
of Adam's steps. Embeddings, norms and biases are trained by Adam, as its authors advise.
"""
import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from course.nn import MultiHeadAttention
from recipes.common import batches, write_json


class Muon(torch.optim.Optimizer):
    """Muon for the matrices inside the layers, Adam for everything else. The rates of both are lr times the group's `rate`."""

    def __init__(self, model: nn.Module, lr: float, adam: float):
        inside, small, outside = [], [], []
        unscaled = {id(part.q.weight) for part in model.modules()         # T5 does not divide scores by the root of a head's
                    if isinstance(part, MultiHeadAttention) and part.scale == 1.0}       # width: its queries do it instead
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                (outside if ".layers." not in name or weight.dim() < 2 else small if id(weight) in unscaled else inside
                 ).append(weight)
        groups = [{"params": inside, "muon": True, "rate": 1.0}, {"params": small, "muon": True, "rate": 0.2},
                  {"params": outside, "muon": False, "rate": adam / lr}]
        super().__init__([group for group in groups if group["params"]], {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        for group in self.param_groups:
            rate, same_shape = group["lr"] * group["rate"], {}
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state |= {"steps": 0, "mean": torch.zeros_like(weight)}
                state["steps"] += 1
                if group["muon"]:
                    state["mean"].lerp_(weight.grad, 0.05)
                    same_shape.setdefault(weight.shape, []).append(weight)
                else:
                    self.adam(weight, state, rate)
            for shape, weights in same_shape.items():
                steps = orthogonal(torch.stack([w.grad.lerp(self.state[w]["mean"], 0.95) for w in weights]))
                for weight, step in zip(weights, steps, strict=True):
                    weight.sub_(step, alpha=rate * max(1.0, shape[0] / shape[1])**0.5)

    @staticmethod
    def adam(weight: Tensor, state: dict, rate: float, near: float = 0.9, far: float = 0.98) -> None:
        square = state.setdefault("square", torch.zeros_like(weight))
        state["mean"].lerp_(weight.grad, 1 - near)
        square.lerp_(weight.grad.square(), 1 - far)
        spread = (square / (1 - far**state["steps"])).sqrt_().add_(1e-8)
        weight.addcdiv_(state["mean"], spread, value=-rate / (1 - near**state["steps"]))


def orthogonal(x: Tensor, rounds: int = 4) -> Tensor:
    """Matrices (N, R, C) -> with the same directions, all of them of a length near 1, by Newton-Schulz iteration."""
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(rounds):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x.mT if tall else x


def endless(lengths: np.ndarray, tokens: int, steps: int, seed: int) -> list[np.ndarray]:
    """The plan of a run: `steps` batches of about `tokens` tokens, one epoch after the other."""
    def epochs() -> Iterator[np.ndarray]:
        for epoch in range(steps):
            yield from batches(lengths, tokens, np.random.default_rng([seed, epoch]))
    source = epochs()
    return [next(source) for _ in range(steps)]


def save(model: nn.Module, tokenizer, args: argparse.Namespace, longest: int = 0, **training: object) -> None:
    """An ordinary checkpoint with weights in half precision, which halves it and leaves the scores as they are; training.json
    says how it was made. longest: the tokens that the model reads, where it was trained on shorter texts."""
    tokenizer.model_max_length = longest or args.length
    model.half().save_pretrained(str(args.out))
    tokenizer.save_pretrained(str(args.out))
    kept = ("pieces", "lr", "adam", "tokens", "length", "seed")
    write_json(args.out / "training.json", {name: getattr(args, name) for name in kept if name in args} | training
               | {"weights": sum(weight.numel() for weight in model.parameters()), "date": time.strftime("%Y-%m-%d")})
