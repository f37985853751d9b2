"""Checks of lesson 0, Jupyter and the Python of this course."""

from collections.abc import Sequence
from typing import Any

from course.checks import exercise, is_number, near, near_share


@exercise(1, "a cell has run, a name was kept, and you have a response rate.",
          "A cell that was not run has not happened, however right it looks. When in doubt: Kernel, Restart and Run All.")
def response_rate(rate: Any, invited: int, answered: int) -> str | None:
    if not is_number(rate):
        return f"`rate` should be one number and is a {type(rate).__name__}. What is divided by what?"
    if near_share(rate, answered / invited):
        return None
    if near(rate, invited / answered):
        return "this says how many were invited for each who answered. Which number goes on top?"
    return f"{float(rate):g} is not it. Take the two names of the cell above, and divide with /."


@exercise(2, "a list in, a shorter list out: most of preparing data is this line.")
def long_answers(kept: Any, answers: Sequence[str]) -> str | None:
    truth = [answer for answer in answers if len(answer.split()) > 3]
    if isinstance(kept, str) or not hasattr(kept, "__iter__"):
        return f"`kept` should be a list of answers and is a {type(kept).__name__}. Does the line begin with [ and end with ]?"
    kept = list(kept)
    if kept == truth:
        return None
    if any(isinstance(item, bool) for item in kept):
        return "this is a list of True and False. In [answer for answer in answers if …], what stands after if?"
    if any(is_number(item) for item in kept):
        return "this is a list of numbers. What stands before `for` is what is kept: which one do you want?"
    if kept == [answer for answer in answers if len(answer) > 3]:
        return "len() of a text counts letters. What makes a list of words of a text?"
    if kept == [answer for answer in answers if len(answer.split()) >= 3]:
        return "an answer of exactly three words is kept, too. Is that more than three?"
    return f"there are {len(truth)} answers of more than three words and `kept` has {len(kept)}. Which differ?"


@exercise(3, "you have written a function. Whoever reads `words(answer)` need not know how it counts.")
def words(function: Any) -> str | None:
    if not callable(function):
        return "`words` should be a function of a text. Did you give its name to something else?"
    for text, truth in (("The rent is high.", 4), ("Noise", 1), ("  two   blanks ", 2), ("", 0)):
        found = function(text)
        if found is None:
            return "the function gave nothing back. print() shows a result and forgets it: which word hands it over?"
        if not is_number(found):
            return f"for {text!r} it gives {found!r}, which is a {type(found).__name__}. How many of them are there?"
        if found == len(text) != truth:
            return f"for {text!r} it gives {found}: these are letters. What makes a list of words of a text?"
        if found != truth:
            return (f"for {text!r} it gives {found}, and there are {truth}. Does it use the text that it is given, and what "
                    "happens with blanks that stand together?")
    return None


@exercise(4, "a column, a comparison, a mean: that is how shares are made in this course.")
def village_share(share: Any, survey: Any) -> str | None:
    same = survey["area"] == "village"
    if not is_number(share):
        return f"`share` should be one number and is a {type(share).__name__}. What is the mean of True and False?"
    if near_share(share, same.mean()):
        return None
    if share == same.sum():
        return f"{int(share)} rows: that is their number. By what do you divide, or which method takes the mean?"
    if near_share(share, 1 - same.mean()):
        return "is this the share of all the others? == asks whether two things are equal, != whether they differ."
    return f"{float(share):.3g} is not it. Which column says where a person lives, and how is the word spelled there?"


@exercise(5, "you have read an error message, from its last line upwards.",
          "Nothing breaks by an error: the cell stops, names what happened, and waits. Read the last line first.")
def repaired(length: Any, survey: Any) -> str | None:
    letters = survey["answer"].str.len()
    if not is_number(length):
        return f"`length` should be one number and is a {type(length).__name__}. Which method takes the mean of a column?"
    if near(length, letters.mean()) or near(length, round(letters.mean())) or near(length, round(letters.mean(), 1)):
        return None
    if near(length, letters.fillna(0).mean()):
        return "here an empty field counts as an answer of length 0. pandas leaves it out by itself: was fillna needed?"
    return f"{float(length):.2f} is not the mean number of letters of an answer. Which column did you take?"
