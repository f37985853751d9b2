"""What turns a loss into better weights: an optimizer, which weights shrink, a schedule for the learning rate.

    optimizer = AdamW(parameter_groups(model, weight_decay=0.01), lr=5e-5)
    scheduler = get_linear_schedule_with_warmup(optimizer, num_warmup_steps=50, num_training_steps=500)
    loss.backward(); optimizer.step(); scheduler.step(); optimizer.zero_grad()

A schedule is a function from the number of a step to a factor; PyTorch multiplies the learning rate by it.
"""

import math
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from course.checkpoint import their_names
from course.modeling import PreTrainedModel
from course.nn import RMSNorm

NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm, RMSNorm)


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Kingma & Ba 2015; Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101).

    Each weight has a step of its own: a running mean of its gradient, divided by the root of a running mean of its square.
    correct_bias: both means start at zero and are too small at first; True divides that out (False: as BERT was trained).
    weight_decay: the share, times the learning rate, that a weight loses in each step, whatever its gradient is.
    """

    def __init__(self, params: Iterable, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-6,
                 weight_decay: float = 0.0, correct_bias: bool = True):
        for name, value, low, high in (("lr", lr, 0, math.inf), ("betas[0]", betas[0], 0, 1), ("betas[1]", betas[1], 0, 1),
                                       ("eps", eps, 0, math.inf), ("weight_decay", weight_decay, 0, math.inf)):
            if not low <= value < high:
                raise ValueError(f"{name} must be at least {low}" + (f" and below {high}" if high == 1 else "")
                                 + f", got {value}")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                                  "correct_bias": correct_bias})
        self.warn_of_norms()

    @torch.no_grad()
    def step(self, closure: Callable | None = None) -> Any:
        """One step for every weight that has a gradient. closure: computes the loss anew, and is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            (beta1, beta2), lr = group["betas"], group["lr"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state |= {"step": 0, "mean": torch.zeros_like(p), "square": torch.zeros_like(p)}
                state["step"] += 1
                state["mean"].lerp_(p.grad, 1 - beta1)
                state["square"].mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
                size = lr
                if group["correct_bias"]:
                    size *= math.sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])
                p.addcdiv_(state["mean"], state["square"].sqrt().add_(group["eps"]), value=-size)
                p.mul_(1 - lr * group["weight_decay"])
        return loss

    def warn_of_norms(self) -> None:
        """The classic list no_decay = ["bias", "LayerNorm.weight"] matches no norm here: say so instead of decaying them."""
        if len(self.param_groups) < 2:
            return                                    # whoever makes no groups wants no exceptions
        caught = [p for group in self.param_groups if group["weight_decay"] for p in group["params"] if p.dim() == 1]
        if caught:
            shapes = ", ".join(sorted({str(tuple(p.shape)) for p in caught}))
            warnings.warn(f"weight_decay would shrink {len(caught)} weights of one dimension (shape {shapes}): the factors of "
                          "layer norms, or biases, which should be left alone. In course a layer norm is called norm, not "
                          'LayerNorm: write no_decay = ["bias", "norm.weight"], or AdamW(parameter_groups(model, '
                          "weight_decay=0.01)), which goes by the kind of layer", stacklevel=3)


def parameter_groups(model: nn.Module, weight_decay: float = 0.01) -> list[dict[str, Any]]:
    """Two groups for an optimizer: matrices and embeddings, which shrink by weight_decay, and biases and the factors of
    norms, which do not. It goes by the kind of layer, not by its name; frozen weights are left out."""
    kept = {id(p) for module in model.modules() if isinstance(module, NORMS) for p in module.parameters(recurse=False)}
    try:                                              # T5 and XLNet hold biases in matrices; the Hub calls them biases
        names = their_names(model) if isinstance(model, PreTrainedModel) else {}
    except ValueError:                                # somebody has changed the model
        names = {}
    groups: tuple[list, list] = [], []
    for name, p in model.named_parameters():
        if p.requires_grad:
            groups[id(p) in kept or "bias" in names.get(name, name)].append(p)
    return [{"params": groups[0], "weight_decay": weight_decay}, {"params": groups[1], "weight_decay": 0.0}]


def label_smoothing_loss(logits: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """Cross-entropy where the right class is to get 1 - epsilon and epsilon is shared by all classes (Szegedy et al. 2016,
    section 7). logits (..., L), labels (...); -100 does not count."""
    return F.cross_entropy(logits.flatten(0, -2).float(), labels.flatten().long(), label_smoothing=epsilon)


# -- schedules: what is done of the way from the end of the warm-up to the last step (0 to 1) -> factor of the learning rate --


def linear(done: float) -> float:
    return 1 - done


def cosine(done: float, num_cycles: float) -> float:
    return max(0.0, 0.5 * (1 + math.cos(2 * math.pi * num_cycles * done)))


def cosine_restarts(done: float, num_cycles: int) -> float:
    return 0.0 if done >= 1 else 0.5 * (1 + math.cos(math.pi * (num_cycles * done % 1.0)))


def polynomial(done: float, lr_end: float, power: float, lr: float) -> float:
    return (lr_end + (lr - lr_end) * (1 - done) ** power) / lr


def factor(step: int, warmup: int, total: int, shape: Callable[..., float], options: dict[str, Any]) -> float:
    """The first `warmup` steps climb in a line from 0 to 1; the rest has its shape, and after the last step its last value."""
    if step < warmup:
        return step / warmup
    return shape(min(1.0, (step - warmup) / (total - warmup)) if total > warmup else 1.0, **options)


def until_the_end(shape: Callable[..., float], optimizer: Optimizer, warmup: int, total: int, last_epoch: int,
                  **options: Any) -> LambdaLR:
    for name, value in (("num_warmup_steps", warmup), ("num_training_steps", total)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise ValueError(f"{name} must be a number of steps, 0 or more; got {value!r}")
    return LambdaLR(optimizer, partial(factor, warmup=warmup, total=total, shape=shape, options=options), last_epoch)


def get_constant_schedule(optimizer: Optimizer, last_epoch: int = -1) -> LambdaLR:
    """The same learning rate at every step."""
    return LambdaLR(optimizer, lambda step: 1.0, last_epoch)


def get_constant_schedule_with_warmup(optimizer: Optimizer, num_warmup_steps: int, last_epoch: int = -1) -> LambdaLR:
    """Climbs to the learning rate, then stays there."""
    return LambdaLR(optimizer, lambda step: step / num_warmup_steps if step < num_warmup_steps else 1.0, last_epoch)


def get_linear_schedule_with_warmup(optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int,
                                    last_epoch: int = -1) -> LambdaLR:
    """Climbs to the learning rate, then falls in a line to 0."""
    return until_the_end(linear, optimizer, num_warmup_steps, num_training_steps, last_epoch)


def get_cosine_schedule_with_warmup(optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int,
                                    num_cycles: float = 0.5, last_epoch: int = -1) -> LambdaLR:
    """Climbs, then falls to 0 along half a cosine wave (num_cycles: how many waves)."""
    return until_the_end(cosine, optimizer, num_warmup_steps, num_training_steps, last_epoch, num_cycles=num_cycles)


def get_cosine_with_hard_restarts_schedule_with_warmup(optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int,
                                                       num_cycles: int = 1, last_epoch: int = -1) -> LambdaLR:
    """Climbs, then falls num_cycles times to 0 along half a cosine wave, jumping back to the top in between."""
    return until_the_end(cosine_restarts, optimizer, num_warmup_steps, num_training_steps, last_epoch,
                         num_cycles=num_cycles)


def get_polynomial_decay_schedule_with_warmup(optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int,
                                              lr_end: float = 1e-7, power: float = 1.0, last_epoch: int = -1) -> LambdaLR:
    """Climbs, then falls to lr_end as a power of what is left."""
    lr = optimizer.defaults["lr"]
    if not lr > lr_end:
        raise ValueError(f"lr_end ({lr_end}) must be below the learning rate of the optimizer ({lr})")
    return until_the_end(polynomial, optimizer, num_warmup_steps, num_training_steps, last_epoch, lr_end=lr_end,
                         power=power, lr=lr)


def get_inverse_sqrt_schedule(optimizer: Optimizer, num_warmup_steps: int, timescale: int | None = None,
                              last_epoch: int = -1) -> LambdaLR:
    """Climbs, then falls as one over the root of the number of steps: for training without a planned end."""
    scale = timescale or num_warmup_steps or 10_000
    return LambdaLR(optimizer, lambda step: step / num_warmup_steps if step < num_warmup_steps else
                    math.sqrt(scale / (step + scale - num_warmup_steps)), last_epoch)


SCHEDULES: dict[str, Callable[..., LambdaLR]] = {
    "linear": get_linear_schedule_with_warmup, "cosine": get_cosine_schedule_with_warmup,
    "cosine_with_restarts": get_cosine_with_hard_restarts_schedule_with_warmup,
    "polynomial": get_polynomial_decay_schedule_with_warmup, "constant": get_constant_schedule,
    "constant_with_warmup": get_constant_schedule_with_warmup, "inverse_sqrt": get_inverse_sqrt_schedule}


def get_scheduler(name: str, optimizer: Optimizer, num_warmup_steps: int | None = None, num_training_steps: int | None = None,
                  scheduler_specific_kwargs: dict[str, Any] | None = None) -> LambdaLR:
    """A schedule by its name, one of SCHEDULES. scheduler_specific_kwargs: what its function takes beside the steps."""
    make = SCHEDULES.get(name)
    if make is None:
        raise ValueError(f"there is no schedule {name!r}; there are: {', '.join(SCHEDULES)}")
    steps: dict[str, Any] = {} if name == "constant" else {"num_warmup_steps": num_warmup_steps}
    if name not in ("constant", "constant_with_warmup", "inverse_sqrt"):
        steps["num_training_steps"] = num_training_steps
    for argument, value in steps.items():
        if value is None:
            raise ValueError(f"the schedule {name!r} needs {argument}, a number of steps")
    return make(optimizer, **steps, **(scheduler_specific_kwargs or {}))
