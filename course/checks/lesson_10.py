"""Checks of lesson 10, Coding with a codebook."""

from typing import Any

import pandas as pd

from course.checks import exercise, is_number, near, near_share
from course.research.codebook import Codebook


@exercise(1, "a reader knows now. A rule that stands in one place only would still be overlooked by half of the coders.",
          "Two labels that both fit are the normal case. A codebook that has no rule for it is finished silently by whoever "
          "reads it, each in their own way.")
def rule(second: Any, first: Codebook) -> str | None:
    if not isinstance(second, Codebook):
        return f"`second` should be a Codebook and is a {type(second).__name__}. What does first look like?"
    if list(second) != list(first):
        return f"the labels changed to {', '.join(second)}. Can the old codes still be compared with the new ones?"
    if second.hash == first.hash:
        return "nothing changed: the version is the same. Where does a reader find the rule?"
    homes = [name for name, label in second.labels.items() if "noise" in f"{label.definition} {label.include}".casefold()]
    given_away = [name for name, label in second.labels.items() if "noise" in label.exclude.casefold()]
    if not homes and not given_away:
        return "no label speaks of noise. Would a coder who has never met you find the rule?"
    if len(homes) > 1:
        return f"{' and '.join(homes)} both take noise in. Which one gets the lorries?"
    if not given_away:
        return f"{homes[0]} takes noise in. Does a coder who looks only at transport learn that it is not meant there?"
    if not homes:
        return f"{given_away[0]} gives noise away. Who takes it?"
    if set(homes) & set(given_away):
        return f"{homes[0]} takes noise in and gives it away. Which of the two?"
    return None


@exercise(2, "one sentence in the codebook, and this many answers stop depending on who reads them.",
          "Agreement that a rule buys is honest: the rule can be read and argued with. Agreement that comes from coders "
          "who talk to each other while coding is not.")
def after_the_rule(share: Any, survey: pd.DataFrame) -> str | None:
    both = survey[["topic_a", "topic_b"]]
    differ = both[both["topic_a"] != both["topic_b"]]
    most = differ.apply(lambda row: " / ".join(sorted(row)), axis=1).value_counts().iloc[0]
    now, then = 1 - len(differ) / len(survey), 1 - (len(differ) - most) / len(survey)
    if not is_number(share):
        return f"`with_rule` should be one number and is a {type(share).__name__}."
    if near_share(share, then):
        return None
    if near_share(share, now):
        return "this is their agreement today. What does the rule add?"
    if near_share(share, 1 - then):
        return "is this the share on which they would still differ?"
    if near_share(share, most / len(survey)) or near_share(share, most / len(differ)):
        return "this is how much the rule settles. On how many answers do they agree already?"
    return f"{float(share):.3f} is not it. Agreements today, plus those that the rule settles, divided by which number?"


@exercise(3, "the same model, other words. On which answers would you report it: on these, which you have now looked at?",
          "Whoever tries two wordings and reports the better one on the same answers reports luck, too. A wording is "
          "chosen on answers that are spent, and reported on answers that nobody has looked at.")
def words_matter(name: Any, definition: Any, by_name: pd.DataFrame, by_definition: pd.DataFrame) -> str | None:
    def share(table: pd.DataFrame) -> float:
        rows = table[table["valid"]]
        return float((rows["label"] == rows["topic_a"]).mean())
    truths = share(by_name), share(by_definition)
    for word, value in (("share_name", name), ("share_definition", definition)):
        if not is_number(value):
            return f"`{word}` should be one number and is a {type(value).__name__}. What is the mean of True and False?"
    if near_share(name, truths[1]) and near_share(definition, truths[0]):
        return "the two shares are in each other's place."
    for word, value, truth, table in (("share_name", name, truths[0], by_name),
                                      ("share_definition", definition, truths[1], by_definition)):
        if near_share(value, truth):
            continue
        if near(value, float((table["label"] == table["topic_a"]).mean())) and not table["valid"].all():
            return f"`{word}` counts the empty answers as errors of the machine. Did anybody say something there?"
        if near_share(value, 1 - truth):
            return f"`{word}` is the share on which they differ."
        return f"`{word}` is {float(value):.3f}. Which two columns did you compare, and on which rows?"
    return None


@exercise(4, "villages are in, and the weights remember how they got in.",
          "A sample may treat strata unequally, as long as each row keeps its probability. Whoever forgets it and takes plain "
          "shares lets villages speak louder than they are.")
def stands_for(even: Any, number: Any, survey: pd.DataFrame) -> str | None:
    if not isinstance(even, pd.DataFrame) or "pi" not in even:
        return "`even` should be what sample() gives, with the column pi."
    sizes = even["area"].value_counts()
    if sizes.nunique() > 1 or len(sizes) < survey["area"].nunique():
        return f"from the areas came {', '.join(f'{n} of {a}' for a, n in sizes.items())}. Which option makes them equal?"
    if sizes.iloc[0] != 25:
        return f"there are {sizes.iloc[0]} of each area. How many answers does the colleague draw in all?"
    truth = (survey["area"] == "village").sum() / 25
    if not is_number(number):
        return f"`stands_for` should be one number and is a {type(number).__name__}."
    if abs(float(number) - truth) <= 0.051:
        return None
    if near(number, 1 / truth):
        return "this is the probability itself. If one answer in five is drawn, how many does a drawn one stand for?"
    if abs(float(number) - len(survey) / 100) <= 0.051:
        return "this would be so in a simple random sample. With which probability was a village answer drawn?"
    return f"{float(number):.2f} is not it. How many village answers are there, and how many were drawn?"
