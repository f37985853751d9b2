"""Checks for the exercises. They ask the question that fixes the mistake, and never show the answer.

A check takes what the learner made and whatever it needs to find the answer in its own way. It returns a `Result`
that shows a sentence: not done yet (the answer, or what a function gives, is still `...`), a question, or a ✓ and what the
exercise was for. It raises nothing: an unfinished or wrong exercise never stops a lesson.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from course.notebook import box

TOLERANCE = 0.0051      # a result rounded to two digits is right


@dataclass(frozen=True)
class Result:
    """True when the exercise is solved. takeaway: what to remember, shown with the ✓."""

    passed: bool
    message: str
    takeaway: str = ""
    done: bool = True

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"{self.message}\n{self.takeaway}".strip()

    def _repr_html_(self) -> str:
        return box("✓" if self.passed else "?" if self.done else "○", self.message.removeprefix("✓ "),
                   *[self.takeaway] * bool(self.takeaway))


class NotDone(Exception):
    """A function of the learner gave `...`."""


def exercise(number: int, right: str, takeaway: str = "") -> Callable:
    """Makes a check of a function that returns a question about what is wrong, or None when nothing is."""
    def wrap(question: Callable[..., str | None]) -> Callable[..., Result]:
        @functools.wraps(question)
        def check(*answers: Any) -> Result:
            try:
                if any(answer is ... for answer in answers):
                    raise NotDone
                doubt = question(*map(watched, answers))
            except NotDone:
                return Result(False, f"Exercise {number}: not done yet.", done=False)
            except Exception as error:      # an answer of a kind that nobody thought of, or a function that fails
                said = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(".: ")
                doubt = f"checking this stopped with {said}. Does it have the form asked for?"
            return (Result(False, f"Exercise {number}: {doubt}") if doubt is not None else
                    Result(True, f"✓ Exercise {number}: {right}", takeaway))
        return check
    return wrap


def watched(answer: Any) -> Any:
    """A function that the learner wrote, which ends the check when it gives `...`; anything else as it is."""
    if not isinstance(answer, FunctionType):
        return answer

    @functools.wraps(answer)
    def call(*inputs: Any, **options: Any) -> Any:
        if (found := answer(*inputs, **options)) is ...:
            raise NotDone
        return found
    return call


def is_number(value: Any) -> bool:
    """One number, NaN included: so the checks ask `not near(…)`, which is true of NaN."""
    return not isinstance(value, (str, bool)) and getattr(value, "ndim", 0) == 0 and hasattr(value, "__float__")


def near(found: Any, truth: float) -> bool:
    """The same number, or the same rounded to two digits behind the point."""
    return abs(float(found) - truth) <= TOLERANCE


def near_share(found: Any, truth: float) -> bool:
    """The same share, also as a percentage, also rounded to two digits."""
    return near(found, truth) or (float(found) > 1 and abs(float(found) / 100 - truth) <= TOLERANCE)


def tensor(value: Any) -> Any:
    """Nested lists and arrays as a tensor; None where they are none."""
    import torch
    try:
        return value if isinstance(value, torch.Tensor) else torch.tensor(value)
    except (TypeError, ValueError, RuntimeError):
        return None
