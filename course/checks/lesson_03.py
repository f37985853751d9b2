"""Checks of lesson 3, Summary of the tasks."""

from typing import Any

from course.checks import exercise, is_number, near_share


@exercise(1, "now look at what is in the list, and at what is not: a name may be missed, a word become a town.")
def places(places: Any, names: Any) -> str | None:
    rows = list(zip(names["word"], names["entity_group"], names["score"], strict=True))
    if isinstance(places, str) or not hasattr(places, "__iter__"):
        return f"`places` should be a list of words and is a {type(places).__name__}."
    found = list(places)
    if any(not isinstance(word, str) for word in found):
        return "the list should hold the words. Which column are they in?"
    truth = [word for word, group, score in rows if group == "LOC" and score > 0.6]
    if sorted(found) in (sorted(truth), sorted(set(truth))):
        return None
    if sorted(found) == sorted(w for w, group, _ in rows if group == "LOC"):
        return "these are all places. How do you leave out those that the model is unsure about?"
    if sorted(found) == sorted(w for w, _, score in rows if score > 0.6):
        return "these are names of all kinds. Which column says that a name is a place?"
    return f"there are {len(truth)} such places and your list has {len(found)}. Which rows did you keep?"


@exercise(2, "whole names or nothing: half a name is wrong.",
          "Precision alone is easy to raise: find only what is certain. Report recall beside it, the share of marked names "
          "that were found: it is precision(marked, found).")
def precision(function: Any) -> str | None:
    if not callable(function):
        return "`precision` should be a function of two lists. Did you call it, and keep what it returned?"
    a, b, c = ("tamsin", "LOC"), ("anna", "PER"), ("anna", "LOC")
    for found, marked, truth, question in (
            ([a, b], [a, b], 1.0, "Everything found is right. What is the share?"),
            ([a, c], [a, b], 0.5, "Does a name with the wrong group count as right?"),
            ([a], [a, b], 1.0, "By what do you divide: by the names that were found, or by those that were marked?"),
            ([a, b, c], [a], 1 / 3, "By what do you divide: by the names that were found, or by those that were marked?"),
            ([], [a], 0.0, "Nothing was found. What should it give then?")):
        try:
            value = function(list(found), list(marked))
        except ZeroDivisionError:
            return f"for {found} and {marked} something is divided by zero. {question}"
        if not is_number(value):
            return f"the function should return one number and gave a {type(value).__name__}. Does it end with return?"
        if not near_share(value, truth):
            return f"for {found} and {marked} it gives {float(value):.2f}. {question}"
    return None


@exercise(3, "you have the beginning of BLEU. A number like this says how alike two texts are, not whether one is right.",
          "The rent is high and The rent is not high share four of five words. Read translations before you trust a score.")
def overlap(function: Any) -> str | None:
    if not callable(function):
        return "`overlap` should be a function of two texts. Did you call it, and keep what it returned?"
    for written, reference, truth, question in (
            ("Die Miete ist hoch.", "Die Miete ist hoch.", 1.0, "Every word is there. What is the share?"),
            ("die miete", "Die Miete!", 1.0, "Capitals and the sign at the end should not count. Are they gone on both sides?"),
            ("Der Bus kommt nie", "Der Bus kommt", 0.75, "By which of the two lengths do you divide?"),
            ("Bus", "Der Bus kommt nie", 1.0, "By which of the two lengths do you divide?"),
            ("ab", "Der Abend", 0.0, "Do you compare whole words, or do you look for letters within the text?")):
        value = function(written, reference)
        if not is_number(value):
            return f"the function should return one number and gave a {type(value).__name__}. Does it end with return?"
        if not near_share(value, truth):
            return f"for {written!r} and {reference!r} it gives {float(value):.2f}. {question}"
    return None
