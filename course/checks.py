"""Checks for the exercises. They ask the question that fixes the mistake, and never show the answer.

A check takes what the learner made and whatever it needs to find the answer in its own way. It returns a `Result`
that prints a sentence: not done yet (the answer is still `...`), a question, or a ✓. It raises nothing: an unfinished
or wrong exercise never stops a lesson.
"""

import functools
from collections.abc import Callable, Sequence
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
                doubt = f"checking this stopped with {type(error).__name__}: {error}. Does it have the form asked for?"
            return Result(doubt is None, f"✓ Exercise {number}: {right}" if doubt is None else
                          f"Exercise {number}: {doubt}")
        return check
    return wrap


def is_number(value: Any) -> bool:
    return not isinstance(value, (str, bool)) and getattr(value, "ndim", 0) == 0 and hasattr(value, "__float__")


# -- Lesson 1, Quick tour ----------------------------------------------------------------------------------------------

@exercise(1, "you have read the model as one more coder. Where the two differ, the texts deserve a second look.")
def agreement(share: Any, disputed: Any, results: Any, coder: Sequence[str]) -> str | None:
    rows = list(zip(results.index, results["label"], coder, strict=True))
    differ = [answer for answer, model, human in rows if model != human]
    truth = 1 - len(differ) / len(rows)
    if not is_number(share):
        return f"`share` should be one number and is a {type(share).__name__}. What is the mean of True and False?"
    if not 0 <= share <= 1:
        return "a share lies between 0 and 1. Did you count answers without dividing, or use percent?"
    if abs(share - truth) > 1e-6:
        return ("is this the share on which they disagree?" if abs(share - (1 - truth)) < 1e-6 else
                f"{float(share):.3f} is not the share of equal labels. Did you compare labels of the same row?")
    if isinstance(disputed, str) or not all(isinstance(text, str) for text in disputed):
        return "`disputed` should hold texts. Did you keep row numbers, or True and False, instead of the answers?"
    if sorted(disputed) != sorted(differ):
        return f"they differ on {len(differ)} answers and `disputed` has {len(disputed)}. Which rows did you keep?"
    return None


@exercise(2, "now try other pairs of words and professions. What would you need to call a difference a bias?")
def word_probability(probability: Any, unmask: Any) -> str | None:
    if not callable(probability):
        return "`probability` should be a function of a text and a word. Did you call it, and keep what it returned?"
    text = "She poured herself a cup of [MASK]."
    encoded = unmask.tokenizer(text, return_tensors="pt").to(unmask.device)     # another way than unmask() itself
    place = encoded["input_ids"][0].tolist().index(unmask.tokenizer.mask_token_id)
    scores, ids = unmask.model(**encoded).logits[0, place].softmax(-1).sort(descending=True)
    ranked = list(zip(unmask.tokenizer.convert_ids_to_tokens(ids[:50].tolist()), scores.tolist(), strict=False))
    whole = [(word, score) for word, score in ranked[1:] if word.isalpha()]     # no pieces of words, no signs
    (second, high), (late, low) = whole[0], whole[-1]
    if (found := probability(text, second)) is ...:
        return "not done yet."
    if not is_number(found):
        return f"the function should return one number and gave a {type(found).__name__}. Which part of a guess is it?"
    if abs(found - ranked[0][1]) < 1e-4:
        return "is this the score of the first guess, whatever the word is? Where do you use `word`?"
    if abs(found - high) > 1e-4:
        return f"for {text!r} and {second!r} it gives {found:.4f}. To which of the guesses does that score belong?"
    if not is_number(found := probability(text, late)) or abs(found - low) > low / 10:
        return f"{late!r} is a guess far down the list, with {low:.5f}. How do you find words behind the first few?"
    return None


@exercise(3, "you have rebuilt the pipeline. An unsure answer is a good candidate for a human reader.")
def least_sure(answer: Any, answers: Sequence[str], model: Any, tokenizer: Any) -> str | None:
    # one by one, so without any padding
    alone = [tokenizer(text, return_tensors="pt").to(model.device) for text in answers]
    certainty = [model(**encoded).logits[0].softmax(-1).max().item() for encoded in alone]
    if is_number(answer) and 0 <= answer < len(answers):
        return f"`least_sure` is {answer!r}. If that is a place in the list: which answer stands there?"
    if answer not in list(answers):
        return "`least_sure` should be one of the answers, word for word."
    if answer == answers[certainty.index(max(certainty))]:
        return "this is the answer that the model is most sure about. Which end of the scale is unsure?"
    if answer != answers[certainty.index(min(certainty))]:
        return ("there is an answer it is less sure about. Did you take the higher of the two probabilities of each "
                "answer, and was the attention mask given to the model?")
    return None


@exercise(4, "you can read a map. Try another head: the favourite changes, and so would the story you tell about it.")
def favourite_token(favourite: Any, token: str, heatmap: Any, tokens: Sequence[str]) -> str | None:
    rows, place = heatmap.tolist(), tokens.index(token)
    looks, is_looked_at = rows[place], [row[place] for row in rows]
    if is_number(favourite) and 0 <= favourite < len(tokens):
        return f"{int(favourite)} is a place in the text. Which token stands there?"
    if favourite not in tokens:
        return f"`favourite` should be one of {', '.join(tokens)}."
    if favourite == tokens[looks.index(max(looks))]:
        return None
    if favourite == tokens[is_looked_at.index(max(is_looked_at))]:
        return f"this token looks most at {token!r}. Rows look, columns are looked at: did you follow the row?"
    return f"is this the brightest cell in the row of {token!r}?"


@exercise(5, "so few weights are new that a few hundred coded texts can teach them.")
def head_weights(head: Any, model: Any) -> str | None:
    (labels, width), body = model.classifier.weight.shape, sum(p.numel() for p in model.parameters())
    if not is_number(head):
        return f"`head` should be one whole number and is a {type(head).__name__}."
    if head == labels * width:
        return "almost: every label also has a number of its own, whatever the text says. What is it called?"
    if head == body:
        return "these are the weights of the whole model. Which part of it is the head?"
    if head != labels * width + labels:
        return f"{head:,} is not it. How many numbers describe a text, and how many labels use each of them?"
    return None
