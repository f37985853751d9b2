"""Checks for the exercises. They ask the question that fixes the mistake, and never show the answer.

A check takes what the learner made and whatever it needs to find the answer in its own way. It returns a `Result`
that prints a sentence: not done yet (the answer is still `...`), a question, or a ✓. It raises nothing: an unfinished
or wrong exercise never stops a lesson.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """True when the exercise is solved."""

    passed: bool
    message: str

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return self.message


def exercise(number: int, right: str) -> Callable:
    """Makes a check of a function that returns a question about what is wrong, or None when nothing is."""
    def wrap(question: Callable[..., str | None]) -> Callable[..., Result]:
        @functools.wraps(question)
        def check(*answers: Any) -> Result:
            try:
                doubt = "not done yet." if any(answer is ... for answer in answers) else question(*answers)
            except Exception as error:      # an answer of a kind that nobody thought of, or a function that fails
                said = f"{type(error).__name__}: {error}".rstrip(".: ")
                doubt = f"checking this stopped with {said}. Does it have the form asked for?"
            return Result(doubt is None, f"✓ Exercise {number}: {right}" if doubt is None else
                          f"Exercise {number}: {doubt}")
        return check
    return wrap


def is_number(value: Any) -> bool:
    """One number, NaN included: so the checks ask `not abs(…) <= …`, which is true of NaN, and not `abs(…) > …`."""
    return not isinstance(value, (str, bool)) and getattr(value, "ndim", 0) == 0 and hasattr(value, "__float__")
