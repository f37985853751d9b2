"""Checks of lesson 3, Summary of the tasks."""

from collections import Counter
from typing import Any

from course.checks import exercise, is_number, near, near_share


@exercise(1, "a number alone says little: compare it with what somebody gets right who does not read at all.",
          "Agreement with one coder is not the truth either: A and B differ on some of these answers. Lesson 11 measures it, "
          "allowing for chance.")
def better_than_guessing(accuracy: Any, baseline: Any, coded: Any, topics: Any) -> str | None:
    pairs = list(zip(coded, topics, strict=True))
    same, counts = sum(a == b for a, b in pairs), Counter(topics)
    for name, value in (("accuracy", accuracy), ("baseline", baseline)):
        if not is_number(value):
            return f"`{name}` should be one number and is a {type(value).__name__}. What is the mean of True and False?"
    if not near_share(accuracy, same / len(pairs)):
        return ("is this the share on which they disagree?" if near_share(accuracy, 1 - same / len(pairs)) else
                f"{float(accuracy):g} answers? A share is their number divided by that of all." if accuracy == same else
                f"{float(accuracy):.3g} is not the share of equal labels. Did you compare labels of the same row?")
    if not near_share(baseline, max(counts.values()) / len(pairs)):
        return ("this would be right if all topics were equally frequent. How often does coder A give the most frequent one?"
                if near_share(baseline, 1 / len(counts)) else
                "is this the most frequent label of the model? The truth to be guessed is coder A's."
                if near_share(baseline, max(Counter(coded).values()) / len(pairs)) else
                f"{float(baseline):.3g} is not the share of coder A's most frequent topic. Which topic is it, and how often "
                "does it come?")
    return None


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


@exercise(3, "you can say how well a model knows a kind of text, before it does anything with it.",
          "Texts like those that it has read are easy, others hard. Between models with different tokens the numbers cannot "
          "be compared: a word that is cut into more pieces is guessed in more and easier steps.")
def perplexity(function: Any, write: Any) -> str | None:
    if not callable(function):
        return "`perplexity` should be a function of one text. Did you call it, and keep what it returned?"
    for text in ("The dog ran home.", "The council has no money for the school this year, and the old people are not happy."):
        encoded = write.tokenizer(text, return_tensors="pt").to(write.device)
        ids = encoded["input_ids"][0]
        logs = write.model(**encoded).logits[0, :-1].log_softmax(-1).gather(1, ids[1:, None])      # of each token but the first
        truth, found = (-logs.mean()).exp().item(), function(text)
        if not is_number(found):
            return ("the function gave nothing back. Does it end with return?" if found is None else
                    f"the function should return one number and gave a {type(found).__name__}.")
        if not abs(float(found) - truth) <= max(0.0051, 0.005 * truth):
            return ("this is the loss. How does a mean of logarithms become a number of words again?"
                    if near(found, -logs.mean().item()) else
                    f"for {text!r} it gives {float(found):.4g} and should give {truth:.4g}. Where do you use `text`, and are "
                    "the labels the ids of the text?")
    return None


@exercise(4, "you have the beginning of BLEU. A number like this says how alike two texts are, not whether one is right.",
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
