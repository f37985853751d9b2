"""Each check: silent on `...`, a ✓ for right answers made in different ways, and the right question for each likely mistake.

CASES: check -> (what it is given beside the answer, a right answer, wrong answers with a word of the question that they get).
OTHERS: check -> right answers that were made differently: rounded, in percent, as lists, by another algorithm.
"""

import copy
import importlib
import math
import re
from itertools import pairwise
from pathlib import Path
from types import FunctionType, SimpleNamespace

import pandas as pd
import pytest
import tiny
import torch
from cases_decoding import DECODING, DECODING_OTHERS
from cases_elsewhere import ELSEWHERE, ELSEWHERE_OTHERS
from cases_fine_tuning import NINE, NINE_OTHERS
from cases_research import RESEARCH, RESEARCH_OTHERS
from cases_tokenizers import FOUR, FOUR_OTHERS, SIX, SIX_OTHERS
from cases_training import FIVE, FIVE_OTHERS

from course import BatchEncoding
from course.checks import lesson_00, lesson_01, lesson_02, lesson_03, lesson_07

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

PLACES_OF = pd.DataFrame({"area": ["village", "city", "city", "village", "suburb"], "answer": ["Mud.", "Rent", None, "No", "Bus"]})
SHORT = ["one two three", "one two three four", "Noise", "and the rent is high"]

STORYTELLER = SimpleNamespace(tokenizer=tiny.tokenizer(), model=tiny.writer("gpt2", vocab_size=len(tiny.VOCAB), n_positions=99),
                              device="cpu")


def loss_of(text):
    inputs = STORYTELLER.tokenizer(text, return_tensors="pt")
    return STORYTELLER.model(**inputs, labels=inputs["input_ids"]).loss


def by_products(text):
    inputs, product = STORYTELLER.tokenizer(text, return_tensors="pt"), 1.0
    chances = STORYTELLER.model(**inputs).logits[0].double().softmax(-1)
    after = inputs["input_ids"][0, 1:].tolist()
    for place, token in enumerate(after):
        product *= chances[place, token].item()
    return product ** (-1 / len(after))


def plain(text):
    return re.sub(r"[^\w\s]", "", text.casefold()).split()


def overlap_of(written, reference):
    ours, theirs = (text.lower().strip(".!?").split() for text in (written, reference))
    return sum(word in theirs for word in ours) / len(ours)


CASES = {
    lesson_00.response_rate: (
        (480, 312), (0.65,), [((480 / 312,), "on top"), ((168,), "is not it"), (("65 %",), "one number")]),
    lesson_00.long_answers: (
        (SHORT,), ([SHORT[1], SHORT[3]],),
        [((SHORT,), "letters"), (([SHORT[0], SHORT[1], SHORT[3]],), "exactly three"), (([4, 5],), "list of numbers"),
         (([False, True, False, True],), "True and False"), ((SHORT[1],), "list of answers"), ((SHORT[:1],), "Which differ"),
         ((7,), "list of answers")]),
    lesson_00.words: (
        (), (lambda text: len(text.split()),),
        [((len,), "letters"), ((lambda text: len(text.split(" ")),), "blanks"), ((lambda text: text.split(),), "How many"),
         ((lambda text: print(end=""),), "gave nothing back"), ((lambda text: 4,), "that it is given"), ((4,), "function of a text")]),
    lesson_00.village_share: (
        (PLACES_OF,), (0.4,),
        [((2,), "their number"), ((0.6,), "all the others"), ((PLACES_OF["area"] == "village",), "one number"), ((0.2,), "Which column")]),
    lesson_00.repaired: (
        (PLACES_OF,), (3.25,),
        [((2.6,), "length 0"), ((PLACES_OF["answer"].str.len(),), "one number"), ((7.4,), "Which column")]),
    lesson_01.agreement: (
        (RESULTS, CODER), (0.8, ["so so"]),
        [((0.2, ["so so"]), "disagree"), ((20, ["so so"]), "disagree"), ((4, ["so so"]), "4 answers"),
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
    lesson_03.better_than_guessing: (
        (pd.Series(list("abbac")), pd.Series(list("abcaa"))), (0.6, 0.6),
        [((0.4, 0.6), "disagree"), ((3, 0.6), "divided by that of all"), ((0.5, 0.6), "same row"), ((0.6, 1 / 3), "equally"),
         ((0.6, 0.4), "most frequent label of the model"), ((0.6, 0.9), "how often does it come"),
         (([True], 0.6), "`accuracy` should be one number"), ((0.6, "a"), "`baseline` should be one number")]),
    lesson_03.perplexity: (
        (STORYTELLER,), (lambda text: loss_of(text).exp().item(),),
        [((lambda text: loss_of(text).item(),), "this is the loss"), ((lambda text: loss_of("the council").exp().item(),), "Where do"),
         ((lambda text: None,), "end with return"), ((lambda text: [1.0],), "should return one number"),
         ((12.3,), "function of one text")]),
    lesson_03.precision: (
        (), (lambda found, marked: sum(name in marked for name in found) / len(found) if found else 0,),
        [((lambda found, marked: sum(name in marked for name in found) / len(found),), "divided by zero"),
         ((lambda found, marked: sum(name in found for name in marked) / len(marked),), "divide"),
         ((lambda found, marked: sum(name[0] in dict(marked) for name in found) / max(1, len(found)),), "wrong group"),
         ((lambda found, marked: None,), "end with return"), ((0.75,), "function of two lists")]),
    lesson_03.overlap: (
        (), (overlap_of,),
        [((lambda a, b: sum(word in b.split() for word in a.split()) / len(a.split()),), "Capitals"),
         ((lambda a, b: overlap_of(b, a),), "divide"), ((lambda a, b: 1,), "divide"), ((lambda a, b: None,), "end with return"),
         ((lambda a, b: sum(word in b.lower() for word in a.lower().strip(".!?").split()) / len(a.split()),), "whole words"),
         ((1.0,), "function of two texts")]),
    lesson_02.words_in_pieces: (
        ("the newer school is schooling people", tiny.tokenizer()), (["newer", "schooling"],),
        [((["new", "##er", "school", "##ing"],), "begins with ##"), ((["the", "school", "is", "people"],), "stayed whole"),
         ((["newer", "people"],), "'people' should not"), ((["newer"],), "whole answer"), ((["newr", "schooling"],), "'newr'"),
         (([1, 4],), "list of words"), (("newer schooling",), "list of words"), ((2,), "TypeError")]),
    lesson_02.mask_by_hand: (
        (PADDED,), (PADDED["attention_mask"],),
        [((PADDED["input_ids"] == 0,), "other way round"), ((1 - PADDED["attention_mask"],), "other way round"),
         ((torch.ones_like(PADDED["input_ids"]),), "only padding"), ((PADDED["attention_mask"][0],), "one number for each"),
         ((PADDED["attention_mask"].sum(),), "has ()"),
         (("1 1 0",), "has str")]),
    lesson_02.bag_of_words: (
        (ORDERED, tiny.model()), (torch.zeros_like(PLACES),),
        [((PLACES,), "counts by itself"), ((PLACES.flip(1),), "apart"), ((0,), "tensor of the shape (2, 7)"),
         ((torch.zeros(6),), "tensor of the shape"), ((torch.zeros(2, 7),), "TypeError"), ((PLACES + 90,), "IndexError")]),
    lesson_02.moved_right: (
        (LABELS,), (torch.tensor([[0, 5, 1, 3], [0, 4, 4, 0]]),),
        [((torch.tensor([[0, 5, 1, 3], [0, 4, 4, -100]]),), "negative"), ((LABELS,), "before anything is written"),
         ((torch.tensor([[1, 3, 2, 0], [4, 0, 0, 0]]),), "to the left"), ((LABELS[:, :-1],), "which one has to go"),
         ((torch.zeros(2, 4).long(),), "first row is [0, 0, 0, 0]"), (([0, 5],), "should be a tensor")]),
    lesson_02.chunks: (
        (BODY,), (CHUNKED, lambda a, b: (a - b).abs().max().item()),
        [((BODY, max), "have the size 0"), ((CHUNKED, lambda a, b: 0), "use both inputs"), ((CHUNKED, 1e-7), "function of two"),
         ((CHUNKED, lambda a, b: (a - b).max()), "abs() comes before"), ((CHUNKED, lambda a, b: a - b), "one number"),
         ((CHUNKED, lambda a, b: (a - b).abs().mean()), "largest of all"), ((8, max), "should be a model"),
         ((tiny.model("", num_hidden_layers=1, chunk_size_feed_forward=8), max), "differ in their layers")]),
    lesson_07.cosine: (
        (), (lambda a, b: a @ b / a.norm() / b.norm(),),
        [((lambda a, b: a @ b,), "How long are they"), ((lambda a, b: a @ b / a.norm(),), "What about the second"),
         ((lambda a, b: a @ b / b.norm(),), "What about the first"), ((lambda a, b: a * b,), "one number"),
         ((lambda a, b: a @ b / (a.norm() + b.norm()),), "multiplied"), ((lambda a, b: (a - b).norm(),), "on paper"), ((lambda a, b: 0.48,), "on paper"),
         ((lambda a, b: a @ b / (a @ a * (b @ b)),), "root is missing"), ((0.79,), "a function"), ((lambda a: 1,), "TypeError"),
         ((lambda a, b: ...,), "not done yet")]),
    lesson_07.attend: (
        (), (lambda q, k, v, mask: (q @ k.mT / q.shape[-1] ** 0.5 + mask).softmax(-1) @ v,),
        [((attend(masked=False),), "where does the mask"), ((attend(scale=1),), "not divided"),
         ((attend(scale=0.25),), "divided by the width"), ((attend(dim=-2),), "sum to 1"), ((attend(scale=2),), "In which order"),
         ((attend(scale=0.5),), "depend on the width"),
         ((lambda q, k, v, mask: (q @ k.mT / 2 + mask).softmax(-1),), "has the shape (3, 6)"), ((3,), "a function"),
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
         ((lambda x, block: halves()(x, BODY.layers[-1]),), "block that was given"),
         ((lambda x, block: ...,), "not done yet"), ((1,), "a function")]),
    lesson_07.spare_layer: (
        (THREE, INSIDE), (LEAST,),
        [((MOST,), "changes most"), ((MIDDLE,), "missed less"), ((3,), "counted from 0"), ((0.07,), "number of a layer"),
         ((-1,), "3 layers"), (("2",), "number of a layer")]),
} | FOUR | FIVE | NINE | SIX | DECODING | RESEARCH | ELSEWHERE


def looked_up(text, word):
    """The probability of a word without the pipeline's own search."""
    return dict(zip(WORDS, UNMASK.scores, strict=True))[word]


def layer_by_layer(x, block):
    first = torch.nn.functional.layer_norm(
        x + block.attention(x)[0], x.shape[-1:], block.attention_norm.weight, block.attention_norm.bias, block.attention_norm.eps)
    return block.norm(block.feed_forward(first) + first)


def attend_by_loops(q, k, v, mask):
    rows = []
    for row in range(len(q)):
        scores = torch.stack([(q[row] * key).sum() for key in k]) / len(q[row]) ** 0.5 + mask[row]
        weights = torch.exp(scores - scores.max())
        rows.append(sum(weight * value for weight, value in zip(weights / weights.sum(), v, strict=True)))
    return torch.stack(rows)


OTHERS = {
    lesson_03.better_than_guessing: [(60, 60), (torch.tensor(0.6), 0.6)],
    lesson_03.perplexity: [(lambda text: round(2 ** (loss_of(text).item() / math.log(2)), 2),), (by_products,)],
    lesson_03.precision: [(lambda found, marked: round(len(set(found) & set(marked)) / max(1, len(found)), 2),)],
    lesson_03.overlap: [(lambda a, b: round(100 * overlap_of(a, b)),), (lambda a, b: len([w for w in plain(a) if w in set(plain(b))]) / len(plain(a)),)],
    lesson_00.response_rate: [(65,), (torch.tensor(312 / 480),)],
    lesson_00.long_answers: [((SHORT[1], SHORT[3]),), (list(filter(lambda text: text.count(" ") > 2, SHORT)),)],
    lesson_00.words: [(lambda text: sum(1 for _ in text.split()),), (lambda text: len(re.findall(r"\S+", text)),)],
    lesson_00.village_share: [(40,), (PLACES_OF["area"].eq("village").mean(),)],
    lesson_00.repaired: [(round(PLACES_OF["answer"].dropna().map(len).mean(), 1),), (3,)],
    lesson_01.agreement: [(80, ["so so"]), (0.8, ("so so",)), (torch.tensor(0.8), pd.Index(["so so"]))],
    lesson_01.word_probability: [(looked_up,), (lambda text, word: round(looked_up(text, word), 2),)],
    lesson_01.least_sure: [(min(LOGITS, key=lambda text: abs(LOGITS[text])),)],
    lesson_01.favourite_token: [(TOKENS[HEATMAP[TOKENS.index("b")].argmax()],)],
    lesson_01.head_weights: [(sum(p.numel() for p in HEAD.classifier.parameters()),), (torch.tensor(24),)],
    lesson_02.words_in_pieces: [({"newer", "schooling"},), (pd.Series(["schooling", "newer"]),)],
    lesson_02.mask_by_hand: [(PADDED["attention_mask"].tolist(),), (PADDED["input_ids"] != 0,),
                             (PADDED["attention_mask"].numpy(),)],
    lesson_02.bag_of_words: [(torch.zeros(1, 7).long(),), ([[3] * 7] * 2,), (torch.full((7,), 2),)],
    lesson_02.moved_right: [([[0, 5, 1, 3], [0, 4, 4, 0]],), (LABELS.roll(1, 1).clamp(0).index_fill(1, torch.tensor([0]), 0),)],
    lesson_02.chunks: [(CHUNKED, lambda a, b: max(abs(x - y) for x, y in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True)))],
    lesson_07.cosine: [(torch.nn.CosineSimilarity(dim=0),), (lambda a, b: round(((a * b).sum() / (a @ a * (b @ b)) ** 0.5).item(), 2),)],
    lesson_07.attend: [(lambda q, k, v, mask: ((q @ k.T) / k.shape[1] ** 0.5 + mask).softmax(1) @ v,), (attend_by_loops,)],
    lesson_07.causal: [(torch.zeros(5, 5).masked_fill(TRIANGLE == 0, float("-inf")),), ((1 - TRIANGLE) * -1e9,)],
    lesson_07.one_layer: [(layer_by_layer,), (lambda x, block: block(x)[0],)],
    lesson_07.spare_layer: [(torch.tensor(LEAST),), (float(LEAST),)],
} | FOUR_OTHERS | FIVE_OTHERS | NINE_OTHERS | SIX_OTHERS | DECODING_OTHERS | RESEARCH_OTHERS | ELSEWHERE_OTHERS
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
    for answer in (right, *OTHERS[check]):
        result = check(*answer, *context)
        assert result, result
        assert repr(result).startswith("✓ Exercise ")


def test_every_check_knows_two_right_answers_and_two_wrong_ones():
    assert set(OTHERS) == set(CASES) and all(OTHERS.values())
    assert all(len(wrong) >= 2 for _, _, wrong in CASES.values())


def test_a_stub_is_not_done_yet():
    """A stub shows the signature and gives `...`."""
    for check, (context, right, _) in CASES.items():
        if any(isinstance(answer, FunctionType) for answer in right):
            stubs = [(lambda *inputs: ...) if isinstance(answer, FunctionType) else answer for answer in right]
            result = check(*stubs, *context)
            assert not result and repr(result).endswith(": not done yet."), check.__name__


def test_a_reply_wraps_and_has_a_sign():
    check = lesson_01.agreement
    context, right, wrong = CASES[check]
    for answer, sign in ((right, "✓"), (wrong[0][0], "?"), ((..., ...), "○")):
        html = check(*answer, *context)._repr_html_()
        assert sign in html and "white-space: normal" in html and "max-width" in html
    assert "Six answers show how" in check(*right, *context)._repr_html_()          # the takeaway comes with the ✓
    assert "Six answers" not in repr(check(*wrong[0][0], *context))


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
            assert not check(*right[:place], answer.map(lambda value: float("nan")), *right[place + 1:], *context)


def test_every_check_is_tested_and_numbered_in_order():
    made = [check for lesson in LESSONS for check in vars(lesson).values() if hasattr(check, "__wrapped__")]
    assert set(made) == set(CASES)
    numbers = [int(repr(check(...)).split(":")[0].removeprefix("Exercise ")) for check in made]
    assert all(number in (1, before + 1) for before, number in pairwise([0, *numbers])), numbers    # each lesson begins with 1
