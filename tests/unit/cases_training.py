"""Right and wrong answers to the exercises of lesson 5, for test_checks.py."""

import math

import pandas as pd
import torch

from course.checks import lesson_05

MODEL = torch.nn.Sequential(torch.nn.Linear(9, 9), torch.nn.Linear(9, 2))
MODEL[0].requires_grad_(False)                          # 90 of 110 weights
CODED = pd.DataFrame({"answer": ["Rent.", "No bus.", "Bus and rent.", "Parks!", "Rent again", "Cycle path"],
                      "topic_a": ["housing", "transport", "housing", "environment", "housing", "transport"],
                      "model": ["housing", "transport", "transport", "housing", "transport", "housing"]})


def step(forward=True, clear=True, move=True, twice=False):
    def one_step(model, batch, optimizer):
        loss = model(**batch).loss
        loss.backward(retain_graph=twice)
        if twice:
            loss.backward()
        if move:
            optimizer.step()
        if clear:
            optimizer.zero_grad()
        return loss.item() if forward else model(**batch).loss.item()
    return one_step


def clear_first(model, batch, optimizer):
    optimizer.zero_grad()
    loss = model(**batch)["loss"]
    loss.backward()
    optimizer.step()
    return loss.detach().numpy().item()


def by_hand(model, batch, optimizer):
    """No optimizer.zero_grad(): it lets go of the gradients itself."""
    loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    model.zero_grad()
    return round(loss.item(), 2)


def nothing(model, batch, optimizer):
    model(**batch).loss.backward()


def behind(label, predicted):
    return CODED.loc[(CODED["topic_a"] == label) & (CODED["model"] == predicted), "answer"]


FIVE = {
    lesson_05.blind_loss: (
        (10,), (-math.log(0.1),),
        [((math.log(0.1),), "Which sign"), ((1.0,), "natural logarithm"), ((math.log2(10),), "natural logarithm"), ((0.1,), "made of it"),
         ((5.0,), "blind model"), (("2.3",), "one number")]),
    lesson_05.one_step: (
        (), (step(),),
        [((step(clear=False),), "the second went too far"), ((step(move=False),), "Which two calls"), ((nothing,), "returns nothing"),
         ((step(forward=False),), "before the step"), ((step(twice=True),), "backward called once"), ((0.3,), "should be a function"),
         ((lambda model: 1,), "TypeError"), ((lambda model, batch, optimizer: ...,), "not done yet")]),
    lesson_05.trained_share: (
        (MODEL,), (20 / 110,),
        [((90 / 110,), "share that is frozen"), ((0.5,), "p.numel()"), ((20,), "Did you divide"), ((None,), "one number")]),
    lesson_05.behind_a_cell: (
        (CODED,), (lambda label, predicted: list(behind(label, predicted)),),
        [((lambda label, predicted: list(behind(predicted, label)),), "cell on the other side"),
         ((lambda label, predicted: list(CODED.loc[CODED["topic_a"] == label, "answer"]),), "both conditions"),
         ((lambda label, predicted: [],), "there are 2 answers"), (([],), "a function of two topics"),
         ((lambda label: [],), "TypeError"), ((lambda label, predicted: ...,), "not done yet")]),
}
FIVE_OTHERS = {
    lesson_05.blind_loss: [(2.3,), (torch.nn.functional.cross_entropy(torch.zeros(1, 10), torch.tensor([3])),)],
    lesson_05.one_step: [(clear_first,), (by_hand,)],
    lesson_05.trained_share: [(18.18,), (0.1818,)],
    lesson_05.behind_a_cell: [(behind,), (lambda label, predicted: [row.answer for row in CODED.itertuples()
                                                                    if (row.topic_a, row.model) == (label, predicted)],)],
}
