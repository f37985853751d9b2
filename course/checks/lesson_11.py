"""Checks of lesson 11, Agreement and validation."""

from typing import Any

import pandas as pd

from course.checks import exercise, is_number, near, near_share
from course.research.agreement import alpha


def numbers(**values: Any) -> str | None:
    for name, value in values.items():
        if not is_number(value):
            return f"`{name}` should be one number and is a {type(value).__name__}."
    return None


@exercise(1, "94 % agreement, kappa below zero, and nobody is wrong: the two count different things.",
          "Whoever says \"none\" all day agrees with everybody who does the same. Report the table, or a coefficient for "
          "the rare label; a percentage of a rare thing is no evidence that it was found.")
def paradox(percent: Any, chance: Any, kappa: Any) -> str | None:
    if doubt := numbers(percent=percent, chance=chance, kappa=kappa):
        return doubt
    if not near_share(percent, 118 / 125):
        return (f"percent is {float(percent):.3f}. Did you count the diagonal of the table, where both say the same, and "
                "divide by all 125?")
    truth = (123 * 120 + 2 * 5) / 125**2
    if near_share(chance, 0.5):
        return "two coders who toss coins agree on one half. These two say none almost always: how often do they meet?"
    if near_share(chance, 123 * 120 / 125**2) and not near_share(chance, truth):
        return "by chance they could also both say some. Did you add that?"
    if not near_share(chance, truth):
        return f"chance is {float(chance):.3f}. A's share of none times B's share of none, plus the same for some?"
    if not near(kappa, (118 / 125 - truth) / (1 - truth)):
        return f"kappa is {float(kappa):.3f}. What is above chance, divided by what could be above chance?"
    return None


@exercise(2, "fewer codes, and a friendlier coefficient. Which answers are in the 225 that C read, and who chose them?",
          "Dropping the texts that one coder has not read throws codes away and changes the question: the coefficient "
          "then speaks of the texts that everybody read. If those are easier, it flatters.")
def complete_cases(dropped: Any, thrown: Any, survey: pd.DataFrame) -> str | None:
    if doubt := numbers(dropped=dropped, thrown=thrown):
        return doubt
    topics = ["topic_a", "topic_b", "topic_c"]
    complete = survey.dropna(subset=topics)
    if near(dropped, alpha(survey, topics)):
        return "this is alpha with all codes. Which rows would the other software keep?"
    if near(dropped, alpha(survey, topics[:2])):
        return "this is alpha of A and B alone. Are all three coders in?"
    if not near(dropped, alpha(complete, topics)):
        return f"{float(dropped):.3f} is not alpha of the rows that all three have coded. Is it the row called alpha?"
    truth = int(survey[topics].notna().to_numpy().sum()) - 3 * len(complete)
    if thrown == len(survey) - len(complete):
        return "so many answers are dropped. How many codes did they carry?"
    if thrown != truth:
        return f"{float(thrown):.0f} codes? Count the filled cells of the three columns, before and after."
    return None


@exercise(3, "one of the two numbers is the accuracy of the machine. The other one is the accuracy of its doubts.",
          "Texts chosen because the machine was unsure tell about texts on which it is unsure. They are a good place to "
          "learn from, and no place to validate: only a sample with known probabilities speaks of the whole.")
def least_sure(unsure: Any, overall: Any, machine: pd.DataFrame) -> str | None:
    if doubt := numbers(unsure=unsure, overall=overall):
        return doubt
    rows = machine[machine["valid"]]
    right = rows["label"] == rows["topic_a"]
    truth, low = float(right.mean()), float(right[rows["margin"].nsmallest(200).index].mean())
    high = float(right[rows["margin"].nlargest(200).index].mean())
    if near_share(unsure, high):
        return "these are the answers on which it was surest. Which margin is small?"
    if near_share(unsure, truth) and near_share(overall, low):
        return "the two shares are in each other's place."
    if not near_share(overall, truth):
        return (f"overall is {float(overall):.3f}. Did empty answers, which have no label, count as errors?"
                if near(overall, float((machine["label"] == machine["topic_a"]).mean())) else
                f"overall is {float(overall):.3f}. Which two columns did you compare?")
    if not near_share(unsure, low):
        return f"unsure is {float(unsure):.3f}. Are these the 200 smallest margins, of answers that have a label?"
    return None


@exercise(4, "a thousand random answers to know one recall. Is there a cheaper way that keeps the probabilities?",
          "A rare label makes random samples expensive. Draw more where the machine says the label, with known pi, and "
          "weight it back: `sample(…, by=\"label\", equal=True)` on the machine's table does it.")
def rare(cases: Any, texts: Any) -> str | None:
    if doubt := numbers(cases=cases, texts=texts):
        return doubt
    if cases in (385, 97):
        return "which share do you expect, and how wide may the interval be to each side?"
    if not 61 <= float(cases) <= 63:
        return f"{float(cases):.0f} cases? A recall is a share, expected to be .80, to be known to ± .10."
    if abs(float(texts) - float(cases) * 0.05) < 1:
        return "are there fewer answers than cases of safety among them? One in twenty is about safety."
    if not abs(float(texts) - float(cases) / 0.05) <= 21:
        return f"{float(texts):.0f} answers? If one in twenty is about safety, how many contain so many?"
    return None
