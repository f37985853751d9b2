"""Checks of lesson 12, Machine labels in estimates, and writing it down."""

from typing import Any

import pandas as pd

from course.checks import exercise, near, near_share
from course.checks.lesson_11 import numbers
from course.research.evidence import estimate


@exercise(1, "the machine finds less of a difference than there is, and the errors say how much less.",
          "Even a machine that errs alike everywhere shrinks a difference: to its size times (1 - missed - false alarms). "
          "What then is still unexplained comes from errors that differ between the groups. More texts mend neither; "
          "they only make the wrong number look more certain.")
def naive(difference: Any, missed: Any, false_alarm: Any, machine: pd.DataFrame, survey: pd.DataFrame) -> str | None:
    if doubt := numbers(naive=difference, missed=missed, false_alarm=false_alarm):
        return doubt
    called, true = machine["label"] == "transport", survey["topic_a"] == "transport"
    sides, by_hand = called.groupby(survey["far"]).mean(), true.groupby(survey["far"]).mean()
    truth = float(sides[1.0] - sides[0.0])
    if near(difference, -truth):
        return "far minus near, or near minus far? The truth above was far minus near."
    if near(difference, float(by_hand[1.0] - by_hand[0.0])):
        return "this is the difference by coder A. What does the machine say?"
    if not near(difference, truth):
        return (f"naive is {float(difference):+.3f}. The machine's share of transport on the far side, minus that on the near "
                "one?")
    lost, invented = 1 - float(called[true].mean()), float(called[~true].mean())
    if near_share(missed, 1 - lost):
        return "this is what it finds. How much does it miss?"
    if not near_share(missed, lost):
        return f"`missed` is {float(missed):.3f}. It is a share of the answers that A calls transport: are only those in it?"
    if not near_share(false_alarm, invented):
        return ("`false_alarm` is a share of the answers that A does *not* call transport."
                f" Yours is {float(false_alarm):.3f}: divided by which number?")
    return None


@exercise(2, "so much work did the machine do, and not a code more.",
          "\"We labelled 900 texts\" is not a sample size. What the machine is worth can be counted in hand codes, and "
          "depends on how closely it follows the hand.")
def worth(number: Any, far: pd.DataFrame) -> str | None:
    if doubt := numbers(worth=number):
        return doubt
    se = far.set_index("method")["se"]
    ratio = float(se["hand codes only"] / se["corrected"])
    if abs(float(number) - 200 * ratio**2) <= 2.5:
        return None
    if abs(float(number) - 200 * ratio) <= 2.5:
        return "a standard error shrinks with the square root of the number. Twice the codes, what happens to it?"
    if abs(float(number) - 200 / ratio**2) <= 2.5:
        return "fewer codes for a smaller error? Which ratio did you take?"
    return f"{float(number):.0f} is not it. Which two rows of the table did you compare?"


@exercise(3, "a machine that knows nothing gets no weight, and does no harm. At full weight it would.",
          "With a fixed weight of 1 a poor machine makes the estimate worse than hand codes alone. The tuned weight "
          "notices. So the correction is never a reason to use a machine that has not been validated, but it forgives one.")
def guessing(weight: Any, loss: Any, machine: pd.DataFrame, gold: pd.DataFrame) -> str | None:
    if doubt := numbers(weight=weight, loss=loss):
        return doubt
    table = machine.assign(label=machine["label"].sample(frac=1, random_state=0).to_numpy())
    found = {}
    for w in (0.0, 0.25, 0.5, 0.75, 1.0):
        rows = estimate("transport ~ far", table, gold, gold_label="topic_a", target="corpus", weight=w)
        found[w] = float(rows[rows["term"] == "far"]["se"].iloc[-1])
    best = min(found, key=found.__getitem__)
    if weight not in found:
        return f"{weight} is none of the five weights. What does the index of the series hold?"
    if round(found[weight], 4) > round(found[best], 4):
        return (f"at weight {weight} the standard error is {found[weight]:.4f}. Is there a smaller one, and are the labels "
                "shuffled?")
    ratio = found[1.0] / found[0.0]
    if near(loss, 1 / ratio) and not near(loss, ratio):
        return "the error at weight 1, divided by that at weight 0: which one is larger?"
    if not abs(float(loss) - ratio) <= 0.011:
        return f"loss is {float(loss):.3f}. Which two standard errors did you divide?"
    return None


@exercise(4, "an honest paragraph. Which of its sentences would you rather not print, and what would you change in the study?",
          "The same 200 answers chose between wordings and corrected the estimate: that is one use too many. Say so, or draw "
          "two samples: one to choose, one to correct.")
def paragraph(text: Any, book: Any, result: pd.DataFrame) -> str | None:
    if not isinstance(text, str):
        return f"`paragraph` should be the text that methods() gives and is a {type(text).__name__}. Did you only print it?"
    if book.hash not in text or f"{result.record['n_hand']} hand codes" not in text:
        return "this paragraph does not carry the records of the study. Did you pass book, coders, report, result and paths?"
    gaps = [part.split(".")[0] for part in text.split("NOT REPORTED: ")[1:]]
    if gaps:
        return f"still open: {gaps[0]}. Which word of methods() fills it?"
    low = text.casefold()
    honest = ("coder a", "first coder", "one coder", "not resolved", "not at all", "a's code", "code of a")
    if not any(word in low for word in honest):
        return "does it say whose code counted when A and B differed? In this lesson only one column was used as gold."
    fixed = low.split("the prompt was fixed", 1)[1].split(".")[0] if "the prompt was fixed" in low else ""
    if any(word in fixed for word in ("before",)) and "after" not in fixed and "not" not in fixed:
        return "was the wording fixed before? In section 1 two wordings met the very answers that later corrected."
    return None
