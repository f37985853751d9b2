"""Each check: silent on `...`, a ✓ for the right answer, and the right question for each likely mistake."""

import copy
import importlib
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import tiny
import torch
from cases_tokenizers import FOUR, SIX

from course import BatchEncoding
from course.checks import lesson_01, lesson_02, lesson_07

LESSONS = [importlib.import_module(f"course.checks.{path.stem}")
           for path in sorted((Path(__file__).parents[2] / "course/checks").glob("lesson_*.py"))]
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


ORDERED = tiny.tokenizer()(["the council is good.", "good is the council."], return_tensors="pt")
PLACES = torch.arange(ORDERED["input_ids"].shape[1]).expand(2, -1)
PADDED = tiny.tokenizer()(["the council is not good.", "bad"], padding=True, return_tensors="pt")
LABELS = torch.tensor([[5, 1, 3, 2], [4, 4, -100, -100]])
BODY, CHUNKED = tiny.model(""), tiny.model("", chunk_size_feed_forward=8)

THREE = tiny.model("", num_hidden_layers=3)
with torch.inference_mode():
    INSIDE = THREE(**ORDERED, output_hidden_states=True)


def change_without(number):
    """What a model with that layer taken out gives, against the whole one."""
    shorter = copy.deepcopy(THREE)
    del shorter.layers[number]
    with torch.inference_mode():
        return (shorter(**ORDERED).last_hidden_state - INSIDE.last_hidden_state).abs().mean().item()


LEAST, MIDDLE, MOST = sorted(range(3), key=change_without)


def attend(scale=0.5, masked=True, dim=-1):
    def function(q, k, v, mask):
        return (q @ k.mT * scale + (mask if masked else 0)).softmax(dim) @ v
    return function


def halves(first=True, second=True, norm="norm", old_x=False):
    """One layer, with the mistakes that are asked for."""
    def function(x, block):
        half = block.attention_norm(block.attention(x)[0] + (x if first else 0))
        return getattr(block, norm)(block.feed_forward(half) + ((x if old_x else half) if second else 0))
    return function


def norm_first(x, block):
    x = x + block.attention(block.attention_norm(x))[0]
    return x + block.feed_forward(block.norm(x))


TRIANGLE = torch.ones(5, 5).tril()

CASES = {
    lesson_01.agreement: (
        (RESULTS, CODER), (0.8, ["so so"]),
        [((0.2, ["so so"]), "disagree"), ((80, ["so so"]), "percent"), ((4, ["so so"]), "percent"),
         ((0.6, ["so so"]), "same row"), ((RESULTS["label"] == CODER, ["so so"]), "one number"),
         ((0.8, [2]), "row numbers"), ((0.8, "so so"), "a list of answers"), ((0.8, RESULTS[2:3]), "whole rows"),
         ((0.8, RESULTS["label"][2:3]), "labels"), ((0.8, ["So so"]), "word for word"), ((0.8, TEXTS), "differ on 1 of"),
         ((0.8, ["fine", "awful", "great", "odd"]), "Which rows"), ((0.8, []), "Which rows"),
         ((0.8, None), "a list of answers")]),
    lesson_01.word_probability: (
        (UNMASK,), (lookup(50),),
        [((lookup(5),), "far down the list"), ((lookup(5, None),), "far down"), ((0.3,), "should be a function"),
         ((lambda text, word: UNMASK(text)[0]["score"],), "Where do you use `word`"),
         ((lambda text, word: UNMASK(text)[0],), "Which part of a guess"),
         ((lambda text, word: 0.5,), "To which of the guesses"), ((lambda text, word: ...,), "not done yet"),
         ((lambda text: 1.0,), "TypeError"), ((lambda text, word: None,), "end with return")]),
    lesson_01.least_sure: (
        (TEXTS, Classifier(), tokenizer), ("odd",),
        [(("fine",), "most sure"), (("so so",), "less sure"), ((4,), "Which answer stands there"),
         (("Odd",), "word for word"), ((torch.tensor(4),), "Which answer stands there"), ((None,), "word for word"),
         ((0.55,), "word for word"), ((pd.Series(["odd"]),), "word for word")]),
    lesson_01.favourite_token: (
        ("b", HEATMAP, TOKENS), ("d",),
        [(("c",), "Rows look"), (("a",), "brightest cell"), ((3,), "Which token stands there"), ((HEATMAP[1].max(),), "should be one of"),
         (("e",), "should be one of")]),
    lesson_01.head_weights: (
        (HEAD,), (24,),
        [((21,), "almost"), ((80,), "whole model"), ((7,), "how many labels"), (("24",), "one whole number")]),
    lesson_02.words_in_pieces: (
        ("the newer school is schooling people", tiny.tokenizer()), (["newer", "schooling"],),
        [((["new", "##er", "school", "##ing"],), "begins with ##"), ((["the", "school", "is", "people"],), "stayed whole"),
         ((["newer", "people"],), "'people' should not"), ((["newer"],), "whole answer"), ((["newr", "schooling"],), "'newr'"),
         (([1, 4],), "list of words"), (("newer schooling",), "list of words"), ((2,), "TypeError")]),
    lesson_02.mask_by_hand: (
        (PADDED,), (PADDED["attention_mask"],),
        [((PADDED["input_ids"] == 0,), "True and False"), ((1 - PADDED["attention_mask"],), "other way round"),
         ((torch.ones_like(PADDED["input_ids"]),), "only padding"), ((PADDED["attention_mask"][0],), "one number for each"),
         (([1, 1],), "has list")]),
    lesson_02.bag_of_words: (
        (ORDERED, tiny.model()), (torch.zeros_like(PLACES),),
        [((PLACES,), "counts by itself"), ((PLACES.flip(1),), "apart"), ((0,), "tensor of the shape (2, 7)"),
         ((torch.zeros(7),), "tensor of the shape"), ((torch.zeros(2, 7),), "TypeError"), ((PLACES + 90,), "IndexError")]),
    lesson_02.moved_right: (
        (LABELS,), (torch.tensor([[0, 5, 1, 3], [0, 4, 4, 0]]),),
        [((torch.tensor([[0, 5, 1, 3], [0, 4, 4, -100]]),), "negative"), ((LABELS,), "before anything is written"),
         ((torch.tensor([[1, 3, 2, 0], [4, 0, 0, 0]]),), "to the left"), ((LABELS[:, :-1],), "which one has to go"),
         ((torch.zeros(2, 4).long(),), "first row is [0, 0, 0, 0]"), (([0, 5],), "should be a tensor")]),
    lesson_02.chunks: (
        (BODY,), (CHUNKED, 0.0),
        [((BODY, 0.0), "have the size 0"), ((CHUNKED, 0.3), "is too much"), ((CHUNKED, float("nan")), "too much"),
         ((CHUNKED, -1e-7), "negative"), ((CHUNKED, torch.zeros(2)), "one number"), ((8, 0.0), "should be a model"),
         ((tiny.model("", num_hidden_layers=1, chunk_size_feed_forward=8), 0.0), "differ in their layers")]),
    lesson_07.cosine: (
        (), (lambda a, b: a @ b / a.norm() / b.norm(),),
        [((lambda a, b: a @ b,), "How long are they"), ((lambda a, b: a @ b / a.norm(),), "What about the second"),
         ((lambda a, b: a @ b / b.norm(),), "What about the first"), ((lambda a, b: a * b,), "one number"),
         ((lambda a, b: a @ b / (a.norm() + b.norm()),), "multiplied"), ((lambda a, b: (a - b).norm(),), "on paper"),
         ((lambda a, b: a @ b / (a @ a * (b @ b)),), "root is missing"), ((0.79,), "a function"), ((lambda a: 1,), "TypeError"),
         ((lambda a, b: ...,), "not done yet")]),
    lesson_07.attend: (
        (), (attend(),),
        [((attend(masked=False),), "where does the mask"), ((attend(scale=1),), "not divided"),
         ((attend(scale=0.25),), "divided by the width"), ((attend(dim=-2),), "sum to 1"), ((attend(scale=2),), "In which order"),
         ((lambda q, k, v, mask: (q @ k.mT / 2 + mask).softmax(-1),), "has the shape (2, 3, 6)"), ((3,), "a function"),
         ((lambda q, k, v, mask: ...,), "not done yet"), ((lambda q, k: q,), "TypeError")]),
    lesson_07.causal: (
        (), (torch.full((5, 5), float("-inf")).triu(1),),
        [((TRIANGLE,), "forbids nothing"), ((TRIANGLE * float("-inf"),), "0 times infinity"),
         ((torch.full((5, 5), float("-inf")).tril(-1),), "right side"), ((torch.full((5, 5), float("-inf")).triu(),), "itself"),
         ((torch.full((5, 5), float("-inf")).tril(),), "only what comes later"), ((-9 * (1 - TRIANGLE),), "-9 lowers"),
         ((torch.full((5, 5), float("-inf")),), "row 2"), ((torch.zeros(4, 4),), "(4, 4)"), ((None,), "has ()")]),
    lesson_07.one_layer: (
        (BODY,), (halves(),),
        [((halves(first=False),), "attention replaces"), ((halves(second=False),), "feed-forward network replaces"),
         ((halves(False, False),), "both halves forget"), ((halves(norm="attention_norm"),), "same norm twice"),
         ((halves(old_x=True),), "What is x by then"), ((norm_first,), "norm first"), ((lambda x, block: block(x),), "two things"),
         ((lambda x, block: block.attention_norm(x + block.attention(x)[0]),), "first half"),
         ((lambda x, block: x,), "in this order"), ((lambda x, block: x[0],), "in this order"), ((BODY.layers,), "NotImplementedError"),
         ((lambda x, block: ...,), "not done yet"), ((1,), "a function")]),
    lesson_07.spare_layer: (
        (THREE, INSIDE), (LEAST,),
        [((MOST,), "changes most"), ((MIDDLE,), "missed less"), ((3,), "counted from 0"), ((0.07,), "number of a layer"),
         ((-1,), "3 layers"), (("2",), "number of a layer")]),
} | FOUR | SIX
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


@pytest.mark.parametrize("check", CASES, ids=lambda check: check.__name__)
def test_no_answer_passes_as_nan(check):
    """Comparisons with NaN are false, so a check that looks for what is too far away would take it for the answer."""
    context, right, _ = CASES[check]
    for place, answer in enumerate(right):
        nan = (lambda *inputs: float("nan")) if callable(answer) else float("nan")
        assert not check(*right[:place], nan, *right[place + 1:], *context)
        if hasattr(answer, "items"):
            assert not check(*right[:place], answer * float("nan"), *right[place + 1:], *context)


def test_a_rounded_share_is_right():
    table = pd.DataFrame({"label": ["NEGATIVE"] * 6}, index=[*TEXTS, "six"])
    assert lesson_01.agreement(0.83, ["odd"], table, ["NEGATIVE"] * 4 + ["POSITIVE", "NEGATIVE"])


def test_every_check_is_tested_and_numbered_in_order():
    made = [check for lesson in LESSONS for check in vars(lesson).values() if hasattr(check, "__wrapped__")]
    assert set(made) == set(CASES)
    numbers = [int(repr(check(...)).split(":")[0].removeprefix("Exercise ")) for check in made]
    assert all(number in (1, before + 1) for before, number in pairwise([0, *numbers])), numbers    # each lesson begins with 1


def test_disputed_answers_may_come_in_any_order_and_kind_of_list():
    table = pd.DataFrame({"label": ["NEGATIVE", "NEGATIVE", "POSITIVE", "NEGATIVE"]}, index=TEXTS[:4])
    coder = ["POSITIVE", "NEGATIVE", "NEGATIVE", "NEGATIVE"]                # half of them differ
    for disputed in (["so so", "fine"], ("fine", "so so"), pd.Index(["so so", "fine"])):
        assert lesson_01.agreement(torch.tensor(0.5), disputed, table, coder)
