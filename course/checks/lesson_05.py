"""Checks of lesson 5, Training and fine-tuning."""

import math
from typing import Any

from course.checks import exercise, is_number, near


@exercise(1, "whoever knows nothing gives each of the ten topics a tenth, and -log(1/10) is 2.30. A training that stays there "
             "has learned nothing.")
def blind_loss(loss: Any, classes: int) -> str | None:
    if not is_number(loss):
        return f"`blind` should be one number and is a {type(loss).__name__}. What is the logarithm of a probability?"
    truth = math.log(classes)
    if near(loss, truth):
        return None
    if near(loss, -truth):
        return "a loss is small when the model is right, and never below 0. Which sign does it have?"
    if near(loss, math.log10(classes)) or near(loss, math.log2(classes)):
        return "is this the natural logarithm, math.log?"
    if near(loss, 1 / classes):
        return "that is the probability that the right topic gets. What is the loss made of it?"
    return f"{float(loss):.3g} is not it. Which probability does the right one of {classes} topics get from a blind model?"


@exercise(2, "forward, loss, backward, step, zero: everything else in a training is around these lines.",
          "Without zero_grad the gradients of all steps add up; nothing fails, the training is just worse.")
def one_step(step: Any) -> str | None:
    import torch

    if not callable(step):
        return "`one_step` should be a function. Did you call it, and keep what it returned?"

    class Out(dict):
        loss = property(lambda self: self["loss"])

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = torch.nn.Parameter(torch.tensor([2.0]))

        def forward(self, x: Any, labels: Any) -> Any:
            return Out(loss=((self.w * x - labels) ** 2).mean())
    for rate, numbers in ((0.1, (1.0, 3.0)), (0.05, (2.0, 1.0))):
        model, w = Model(), 2.0
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        batch = {"x": torch.tensor([numbers[0]]), "labels": torch.tensor([numbers[1]])}
        for turn in range(3):
            loss, slope = (w * numbers[0] - numbers[1]) ** 2, 2 * numbers[0] * (w * numbers[0] - numbers[1])
            found = step(model, batch, optimizer)
            if found is None:
                return "the function returns nothing. Which number shall the curve show?"
            w -= rate * slope
            if abs(model.w.item() - w) > 1e-4:
                if abs(model.w.item() - 2.0) < 1e-9:
                    return "the weights are what they were. Which two calls turn a loss into other weights?"
                if turn:
                    return ("the first step was right, the second went too far. What happens to the gradient of a step when "
                            "the next one begins?")
                return ("the weights changed in another way than by one step of the optimizer. Is backward called once, step "
                        "once?")
            if not near(found, loss):
                return (f"it returned {float(found):.3f}, and the loss of this batch was {loss:.3f}. Is it the loss before the "
                        "step?")
    return None


@exercise(3, "a few of a hundred weights learn, the rest only compute.",
          "Frozen weights need no gradient: a step is cheaper, and less can be forgotten. Less can be learned, too.")
def trained_share(share: Any, model: Any) -> str | None:
    if not is_number(share):
        return f"`trained` should be one number and is a {type(share).__name__}. How many numbers does a weight hold?"
    learned = sum(p.numel() for p in model.parameters() if p.requires_grad)
    everything = sum(p.numel() for p in model.parameters())
    truth = learned / everything
    if abs(float(share) - truth) <= 0.0006 or abs(float(share) - 100 * truth) <= 0.06:
        return None
    if near(share, 1 - truth):
        return "is this the share that is frozen?"
    if abs(float(share) - sum(p.requires_grad for p in model.parameters()) / sum(1 for _ in model.parameters())) < 0.0006:
        return "a matrix and a bias count the same here. How many numbers are in each, p.numel()?"
    return f"{float(share):.4f} is not it. Did you divide the numbers in weights with requires_grad by those in all weights?"


@exercise(4, "behind every number of a confusion matrix stand people. Whose mistake is it, the model's, the coder's, the "
             "codebook's?",
          "Read the texts behind the two largest cells beside the diagonal before you report any score.")
def behind_a_cell(behind: Any, table: Any) -> str | None:
    if not callable(behind):
        return "`behind` should be a function of two topics. Did you call it, and keep what it returned?"
    pairs = {(a, b) for a, b in zip(table["topic_a"], table["model"], strict=True)}
    wrong = sorted((pair for pair in pairs if pair[0] != pair[1]), key=lambda pair: (pair[::-1] not in pairs, pair))[:3]
    for label, predicted in [*wrong, *sorted(pairs - set(wrong))[:2], ("housing", "no such topic")]:
        truth = [text for text, a, b in zip(table["answer"], table["topic_a"], table["model"], strict=True)
                 if a == label and b == predicted]
        found = list(behind(label, predicted))
        if sorted(map(str, found)) == sorted(truth):
            continue
        swapped = [text for text, a, b in zip(table["answer"], table["topic_a"], table["model"], strict=True)
                   if b == label and a == predicted]
        if swapped and sorted(map(str, found)) == sorted(swapped):
            return "these are the answers of the cell on the other side. Which topic is the coder's, which the model's?"
        return (f"for {label!r} and {predicted!r} there are {len(truth)} answers, and the function gave {len(found)}. Do both "
                "conditions hold for each, and is it the column `answer`?")
    return None
