"""Right and wrong answers to the exercises of lesson 8, for test_checks.py."""

import math
from types import SimpleNamespace

import torch

from course.checks import lesson_08

LOGITS = torch.randn(50, generator=torch.Generator().manual_seed(0)) * 2
STORY = SimpleNamespace(log_probs=torch.tensor([[-0.1, -2.0, -0.6]]))
TEXTS = [f"text {number}" for number in range(10)]


def survivors(sort=True, heat=True, crossing=True, first=True):
    """How many tokens survive, with the mistakes that are asked for."""
    def function(logits, temperature, top_p):
        chances = (logits / (temperature if heat else 1)).softmax(-1)
        chances = chances.sort(descending=True).values if sort else chances
        before = chances.cumsum(-1) - (chances if crossing else 0)
        return max(int((before < top_p).sum()), 0 if first else 1)
    return function


def by_hand(logits, temperature, top_p):
    chances = sorted(torch.softmax(logits / temperature, 0).tolist(), reverse=True)
    held, count = 0.0, 0
    for chance in chances:
        if held >= top_p:
            break
        held, count = held + chance, count + 1
    return count


def write(do_sample, temperature, seed):
    return f"text {seed % (2 if temperature < 1 else 7)}"


def code(texts, labels):
    """Three of ten answers follow the order of the labels."""
    answers = [labels[0] if number < 3 else "b" for number in range(len(texts))]
    return SimpleNamespace(answers=answers, indices=torch.tensor([labels.index(answer) for answer in answers]))


DECODING = {
    lesson_08.survivors: (
        (LOGITS,), (survivors(),),
        [((survivors(crossing=False),), "Is the most probable one always kept"),
         ((survivors(crossing=False, first=False),), "crosses the line"), ((survivors(sort=False),), "Must they be sorted"),
         ((survivors(heat=False),), "Is the temperature in it"), ((lambda a, t, p: a,), "one number"), ((7,), "should be a function")]),
    lesson_08.different: (
        (write,), (2, 7),
        [((7, 2), "each other's place"), ((3, 7), "`cold` is 3"), ((2, 10), "`hot` is 10"), ((0, 7), "cannot be different"),
         (({"text"}, 7), "How long is the set")]),
    lesson_08.whole_text: (
        (STORY,), (math.exp(-2.7), -0.9),
        [((-2.7, -0.9), "undoes a logarithm"), ((STORY.log_probs.exp().sum().item(), -0.9), "Did you add them"), ((0.5, -0.9), "is not it"),
         ((math.exp(-2.7), -2.7), "How many tokens share it"), ((math.exp(-2.7), -0.5), "mean of logarithms"),
         (("0.07", -0.9), "one number")]),
    lesson_08.order_matters: (
        (code, TEXTS, ["a", "b", "c"]), (0.3,),
        [((0.7,), "kept their label"), ((0.0,), "compare the labels themselves"), ((3,), "this is how many"), ((0.5,), "is not it"), ((["a"],), "one number")]),
}
DECODING_OTHERS = {
    lesson_08.survivors: [(by_hand,), (lambda logits, t, p: torch.tensor(by_hand(logits, t, p)),)],
    lesson_08.different: [(2.0, 7.0), (torch.tensor(2), torch.tensor(7))],
    lesson_08.whole_text: [(0.067, -0.9), (torch.tensor(math.exp(-2.7)), torch.tensor(-0.9))],
    lesson_08.order_matters: [(30,), (torch.tensor(0.3),)],
}
