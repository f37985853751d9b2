"""Each check: silent on `...`, a ✓ for the right answer, and the right question for each likely mistake."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from course import BatchEncoding, checks

TEXTS = ["fine", "awful", "so so", "great", "odd"]
MODEL = ["POSITIVE", "NEGATIVE", "POSITIVE", "POSITIVE", "NEGATIVE"]
CODER = ["POSITIVE", "NEGATIVE", "NEGATIVE", "POSITIVE", "NEGATIVE"]
RESULTS = pd.DataFrame({"label": MODEL}, index=TEXTS)

# "fine" is the surest, "odd" the least sure; probabilities are softmax((0, x))
LOGITS = {"fine": 3.0, "awful": -2.0, "so so": 0.9, "great": 2.0, "odd": -0.2}


class Classifier:
    device = "cpu"

    def __call__(self, text):
        return SimpleNamespace(logits=torch.tensor([[0.0, LOGITS[text]]]))


def tokenizer(text, return_tensors):
    return BatchEncoding({"text": text})


# the row of "b" looks at "d"; the column of "b" is looked at most by "c"
HEATMAP = torch.tensor([[.7, .1, .1, .1], [.1, .1, .2, .6], [.1, .7, .1, .1], [.3, .3, .2, .2]])
TOKENS = ["a", "b", "c", "d"]

HEAD = torch.nn.Sequential()
HEAD.body, HEAD.classifier = torch.nn.Linear(7, 7), torch.nn.Linear(7, 3)

WORDS = ["[CLS]", "[SEP]", "[MASK]", *(f"word{chr(97 + i)}{chr(97 + j)}" for i in range(4) for j in range(20))]


class FillMask:
    """A fill-mask pipeline whose every guess is known: the word at place n of WORDS has the logit -n / 10."""

    class Tokenizer:
        mask_token_id = 2

        def __call__(self, text, return_tensors):
            return BatchEncoding({"input_ids": torch.tensor([[0, 2, 1]])})

        def convert_ids_to_tokens(self, ids):
            return [WORDS[number] for number in ids]

    tokenizer, device = Tokenizer(), "cpu"
    scores = torch.softmax(torch.tensor([-99.0] * 3 + [-n / 10 for n in range(3, len(WORDS))]), 0).tolist()

    def model(self, input_ids):
        return SimpleNamespace(logits=torch.tensor(self.scores).log().expand(1, 3, len(WORDS)))

    def __call__(self, text, top_k=5):
        ranked = sorted(zip(self.scores, WORDS, strict=True), reverse=True)[:top_k]
        return [{"token_str": word, "score": score} for score, word in ranked]


UNMASK = FillMask()


def lookup(top_k, otherwise=0):
    return lambda text, word: {g["token_str"]: g["score"] for g in UNMASK(text, top_k=top_k)}.get(word, otherwise)


CASES = {
    checks.agreement: (
        (RESULTS, CODER), (0.8, ["so so"]),
        [((0.2, ["so so"]), "disagree"), ((80, ["so so"]), "percent"), ((4, ["so so"]), "percent"),
         ((0.6, ["so so"]), "same row"), ((RESULTS["label"] == CODER, ["so so"]), "one number"),
         ((0.8, [2]), "instead of the answers"), ((0.8, "so so"), "instead of the answers"),
         ((0.8, ["fine", "awful", "great", "odd"]), "Which rows"), ((0.8, []), "Which rows"),
         ((0.8, None), "TypeError")]),
    checks.word_probability: (
        (UNMASK,), (lookup(50),),
        [((lookup(5),), "far down the list"), ((lookup(5, None),), "far down"), ((0.3,), "should be a function"),
         ((lambda text, word: UNMASK(text)[0]["score"],), "Where do you use `word`"),
         ((lambda text, word: UNMASK(text)[0],), "Which part of a guess"),
         ((lambda text, word: 0.5,), "To which of the guesses"), ((lambda text, word: ...,), "not done yet"),
         ((lambda text: 1.0,), "TypeError"), ((lambda text, word: None,), "one number")]),
    checks.least_sure: (
        (TEXTS, Classifier(), tokenizer), ("odd",),
        [(("fine",), "most sure"), (("so so",), "less sure"), ((4,), "which answer stands there"),
         (("Odd",), "word for word"), ((torch.tensor(4),), "which answer stands there"), ((None,), "word for word")]),
    checks.favourite_token: (
        ("b", HEATMAP, TOKENS), ("d",),
        [(("c",), "Rows look"), (("a",), "brightest cell"), ((3,), "Which token stands there"),
         (("e",), "should be one of")]),
    checks.head_weights: (
        (HEAD,), (24,),
        [((21,), "almost"), ((80,), "whole model"), ((7,), "how many labels"), (("24",), "one whole number")]),
}
WRONG = [(check, answer, hint) for check, (_, _, wrong) in CASES.items() for answer, hint in wrong]


@pytest.mark.parametrize("check", CASES, ids=lambda check: check.__name__)
def test_unfinished_answers_are_not_judged(check):
    context, right, _ = CASES[check]
    for place in range(len(right)):
        result = check(*right[:place], ..., *right[place + 1:], *context)
        assert not result and repr(result).endswith(": not done yet.") and repr(result).startswith("Exercise ")


@pytest.mark.parametrize("check", CASES, ids=lambda check: check.__name__)
def test_right_answers_pass(check):
    context, right, _ = CASES[check]
    result = check(*right, *context)
    assert result, result
    assert repr(result).startswith("✓ Exercise ")


@pytest.mark.parametrize(("check", "answer", "hint"), WRONG)
def test_wrong_answers_get_the_question_that_helps(check, answer, hint):
    result = check(*answer, *CASES[check][0])
    assert not result and not repr(result).startswith("✓")
    assert hint in repr(result)


def test_every_check_is_tested_and_numbered_in_order():
    made = [check for check in vars(checks).values() if hasattr(check, "__wrapped__")]
    assert made == list(CASES)
    numbers = [repr(check(...)).split(":")[0] for check in made]
    assert numbers == [f"Exercise {number}" for number in range(1, len(made) + 1)]


def test_disputed_answers_may_come_in_any_order_and_kind_of_list():
    table = pd.DataFrame({"label": ["NEGATIVE", "NEGATIVE", "POSITIVE", "NEGATIVE"]}, index=TEXTS[:4])
    coder = ["POSITIVE", "NEGATIVE", "NEGATIVE", "NEGATIVE"]                # half of them differ
    for disputed in (["so so", "fine"], ("fine", "so so"), pd.Index(["so so", "fine"])):
        assert checks.agreement(torch.tensor(0.5), disputed, table, coder)
