"""Optimizer, parameter groups, schedules, label smoothing."""

import math
import warnings

import pytest
import tiny
import torch
from torch import nn

import course
from course.training.optimization import label_smoothing_loss


def groups_by(model, names, decay=0.01):
    return [{"params": [p for n, p in model.named_parameters() if not any(x in n for x in names)], "weight_decay": decay},
            {"params": [p for n, p in model.named_parameters() if any(x in n for x in names)], "weight_decay": 0.0}]


def test_adamw_follows_the_formula_with_and_without_bias_correction():
    for correct in (True, False):
        p = nn.Parameter(torch.tensor([0.5, -1.0], dtype=torch.float64))
        optimizer = course.AdamW([p], lr=0.1, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.2, correct_bias=correct)
        value, m, v = [0.5, -1.0], [0.0, 0.0], [0.0, 0.0]
        for t, gradient in enumerate(([1.0, -2.0], [0.3, 0.0], [-4.0, 1.0]), 1):
            p.grad = torch.tensor(gradient, dtype=torch.float64)
            optimizer.step()
            for i, g in enumerate(gradient):
                m[i], v[i] = 0.8 * m[i] + 0.2 * g, 0.9 * v[i] + 0.1 * g * g
                size = 0.1 * (math.sqrt(1 - 0.9**t) / (1 - 0.8**t) if correct else 1)
                value[i] = (value[i] - size * m[i] / (math.sqrt(v[i]) + 1e-3)) * (1 - 0.1 * 0.2)
            assert p.tolist() == pytest.approx(value, rel=1e-12)


def test_adamw_goes_on_from_a_saved_state():
    def run(steps, saved=None):
        torch.manual_seed(1)
        p = nn.Parameter(torch.ones(3)) if saved is None else nn.Parameter(saved[0].clone())
        optimizer = course.AdamW([p], lr=0.01)
        if saved:
            optimizer.load_state_dict(saved[1])
        for step in steps:
            p.grad = torch.tensor([1.0, -step, 0.1 * step])
            optimizer.step()
        return p.detach(), optimizer.state_dict()
    assert torch.equal(run(range(6))[0], run(range(3, 6), run(range(3)))[0])


@pytest.mark.parametrize(("wrong", "message"), [({"lr": -1}, "lr must be at least 0"), ({"betas": (1.0, 0.9)}, "below 1, got 1.0"),
                                                ({"weight_decay": -0.1}, "weight_decay")])
def test_adamw_refuses_settings_that_make_no_sense(wrong, message):
    with pytest.raises(ValueError, match=message):
        course.AdamW([nn.Parameter(torch.ones(1))], **wrong)


def test_adamw_returns_the_loss_of_a_closure():
    p = nn.Parameter(torch.ones(1))
    optimizer = course.AdamW([p], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        return loss
    assert optimizer.step(closure).item() == 1 and p.item() == pytest.approx(0.9, abs=1e-5)


def test_pasted_list_of_names_that_matches_no_norm_is_said():
    """Every tutorial has this line; here the norms are called norm."""
    model = tiny.model()
    norms = sum(isinstance(m, nn.LayerNorm) for m in model.modules())
    with pytest.warns(UserWarning, match=rf'would shrink {norms} weights.*no_decay = \["bias", "norm.weight"\]') as said:
        course.AdamW(groups_by(model, ["bias", "LayerNorm.weight"]), lr=1e-3)
    assert said[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        course.AdamW(groups_by(model, ["bias", "norm.weight"]), lr=1e-3)          # the cure
        course.AdamW(course.parameter_groups(model), lr=1e-3)                     # the other one
        course.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)               # no exceptions were asked for


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "T5ForConditionalGeneration", "LlamaForCausalLM"])
def test_parameter_groups_go_by_the_kind_of_layer(kind):
    sizes = {"vocab_size": 40, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    if kind.startswith("T5"):
        sizes = {"vocab_size": 40, "d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    model = getattr(course, kind)(getattr(course, kind.split("For")[0] + "Config")(**sizes))
    frozen = next(model.parameters()).requires_grad_(False)
    decayed, kept = course.parameter_groups(model, 0.3)
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.3, 0.0)
    biases = {id(p) for n, p in model.named_parameters() if "distances" in n}      # matrices
    assert {p.dim() for p in kept["params"] if id(p) not in biases} == {1} and {p.dim() for p in decayed["params"]} == {2}
    everything = [id(p) for group in (decayed, kept) for p in group["params"]]
    assert sorted(everything) == sorted(id(p) for p in model.parameters() if p is not frozen)


def rates(scheduler, steps):
    found = []
    for _ in range(steps):
        found.append(round(scheduler.get_last_lr()[0], 6))
        scheduler.optimizer.step()
        scheduler.step()
    return found


def sgd():
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)


@pytest.mark.parametrize(("name", "options", "expected"), [
    ("constant", {}, [1, 1, 1, 1, 1, 1, 1]), ("constant_with_warmup", {}, [0, 0.5, 1, 1, 1, 1, 1]),
    ("linear", {}, [0, 0.5, 1, 0.75, 0.5, 0.25, 0]), ("cosine", {}, [0, 0.5, 1, 0.853553, 0.5, 0.146447, 0]),
    ("cosine", {"num_cycles": 1}, [0, 0.5, 1, 0.5, 0, 0.5, 1]),
    ("cosine_with_restarts", {"num_cycles": 2}, [0, 0.5, 1, 0.5, 1, 0.5, 0]),
    ("polynomial", {"power": 2.0, "lr_end": 0.2}, [0, 0.5, 1, 0.65, 0.4, 0.25, 0.2]),
    ("inverse_sqrt", {}, [0, 0.5, 1, 0.816497, 0.707107, 0.632456, 0.57735])])
def test_schedules(name, options, expected):
    scheduler = course.get_scheduler(name, sgd(), num_warmup_steps=2, num_training_steps=6, scheduler_specific_kwargs=options)
    assert rates(scheduler, 7) == expected


def test_wrong_schedules_say_what_there_is():
    with pytest.raises(ValueError, match="no schedule 'linaer'; there are: linear, cosine"):
        course.get_scheduler("linaer", sgd(), 1, 2)
    with pytest.raises(ValueError, match="'linear' needs num_training_steps"):
        course.get_scheduler("linear", sgd(), 1)
    with pytest.raises(ValueError, match="num_warmup_steps must be a number of steps.*got -3"):
        course.get_linear_schedule_with_warmup(sgd(), -3, 10)
    with pytest.raises(ValueError, match="lr_end"):
        course.get_polynomial_decay_schedule_with_warmup(sgd(), 0, 10, lr_end=2.0)


def test_label_smoothing_by_hand():
    logits, labels = torch.randn(2, 3, 4), torch.tensor([[1, -100, 0], [3, 2, -100]])
    logs = logits.log_softmax(-1)
    losses = [0.9 * -logs[i, j, labels[i, j]] - 0.1 * logs[i, j].mean() for i in range(2) for j in range(3) if labels[i, j] >= 0]
    assert label_smoothing_loss(logits, labels, 0.1).item() == pytest.approx(torch.stack(losses).mean().item(), abs=1e-6)
