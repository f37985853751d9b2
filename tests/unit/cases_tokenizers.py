"""Right and wrong answers to the exercises of lessons 4 and 6, for test_checks.py."""

import html
import string
from types import SimpleNamespace

import pandas as pd
import tiny
import torch

from course.checks import lesson_04, lesson_06

TEXTS = ["the good council", "bad", "not happy people", "un happying", "the school was new and the people happy ."]
TOKENIZER = tiny.tokenizer()
SIZES = sorted(len(ids) for ids in TOKENIZER(TEXTS)["input_ids"])
FILLING = 1 - sum(SIZES) / (SIZES[-1] * len(SIZES))
SPLIT = 2 / 5           # "happying", and the "and" that has to be spelled
NAMES = ["the", "happying", "council"]
PIECES = TOKENIZER(NAMES, is_split_into_words=True)


def windows(text):
    return TOKENIZER(text, truncation=True, max_length=8, stride=2, padding=True, return_overflowing_tokens=True,
                     return_tensors="pt")


class Classifier:
    """The more ids of letters, the more POSITIVE; depends on the text alone."""

    def __call__(self, input_ids, attention_mask=None):
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        score = (input_ids * mask).sum(1) / 500 - 0.5
        return SimpleNamespace(logits=torch.stack([torch.zeros_like(score), score], 1))


def chances(text, column=1):
    rows = windows(text)
    return Classifier()(rows["input_ids"], rows["attention_mask"]).logits.softmax(-1)[:, column]


def labelled(*numbers):
    return ([-100, *numbers, -100],)


def clean(text):
    text = " ".join(html.unescape(text).split())
    return text if text.strip(string.punctuation + "…– ") else None


DOCUMENT = " ".join(TEXTS)
FOUR = {
    lesson_04.split_share: (
        (TEXTS, TOKENIZER), (SPLIT,),
        [((1 - SPLIT,), "stayed whole"), ((2,), "without dividing"), ((0.3,), "once"), (([True],), "one number")]),
    lesson_04.filling: (
        (TEXTS, TOKENIZER), (FILLING, FILLING),
        [((1 - FILLING, FILLING), "share of text"), ((40, FILLING), "between 0 and 1"), ((0.01, FILLING), "in one call"),
         ((FILLING, FILLING + 0.1), "sort by the number of tokens"), ((FILLING, FILLING / 2), "add up zeros")]),
    lesson_04.window_mean: (
        (windows, DOCUMENT, Classifier()), (lambda text: chances(text).mean().item(),),
        [((0.5,), "function of a text"), ((lambda text: chances(text)[0].item(),), "first window alone"),
         ((lambda text: chances(text, 0).mean().item(),), "mean of NEGATIVE"), ((lambda text: chances(text),), "one number"),
         ((lambda text: chances(text).sum().item(),), "is not the mean"), ((lambda text: ...,), "not done yet")]),
    lesson_04.piece_labels: (
        (NAMES, [0, 1, 0], TOKENIZER), labelled(0, 1, -100, 0),
        [(([0, 1, 0],), "one label a word"), (([0, 1, -100, 0],), "special tokens"), (labelled(0, 1, 1, 0), "every piece"),
         (([0, 0, 1, -100, 0, 0],), "nobody's words"), (labelled(0, -100, 1, 0), "To which word")]),
    lesson_04.clean: (
        (), (clean,),
        [((str.strip,), "html.unescape"), ((lambda text: clean(text) or "",), "say something"), (("clean",), "function"),
         ((lambda text: clean(text.lower()),), "What should happen"), ((lambda text: ...,), "not done yet"),
         ((lambda text: clean(text) if any(map(str.isalnum, text)) else None,), "thumb"),
         ((lambda text: clean(text) if len(text) > 3 or not text.isalnum() else None,), "short answer"),
         ((lambda text: html.unescape(text) or None,), "line breaks")]),
}

SURVEY = ["the rent is high", "no bus", "the bus is late", "rent and rent"]
COUNTS = {"the": 2, "rent": 3, "is": 2, "high": 1, "no": 1, "bus": 2, "late": 1, "and": 1}


class Bytes:
    def tokenize(self, text):
        return [("Ġ" if place else "") + word for place, word in enumerate(text.split(" "))]


SENTENCES = pd.DataFrame({"language": ["English", "German", "English", "German"],
                          "text": ["the council", "the good council vote", "bad", "un happying"]})
PRICE = pd.Series({"English": 1.0, "German": 7 / 3})


def greedy(word, vocabulary, longest=True, mark="##", give_up=True):
    pieces, start = [], 0
    while start < len(word):
        ends = [end for end in range(len(word), start, -1) if (mark if start else "") + word[start:end] in vocabulary]
        if not ends:
            return ["[UNK]"] if give_up else [*pieces, "[UNK]"]
        end = ends[0] if longest else ends[-1]
        pieces.append((mark if start else "") + word[start:end])
        start = end
    return pieces


def most_frequent(spelled, weigh=True, once=False):
    pairs = {}
    for letters, count in spelled.items():
        found = list(zip(letters, letters[1:], strict=False))
        for pair in dict.fromkeys(found) if once else found:
            pairs[pair] = pairs.get(pair, 0) + (count if weigh else 1)
    return max(pairs, key=pairs.__getitem__)


SIX = {
    lesson_06.unknown_words: (
        (SURVEY, str.split), (2 / 5,),
        [((3 / 5,), "that is known"), ((2,), "without dividing"), ((2 / 4,), "every word counts once"),
         ((0.3,), "built the list"), (([],), "one number")]),
    lesson_06.wordpiece: (
        (set(tiny.VOCAB), TOKENIZER, TEXTS), (greedy,),
        [((["un"],), "should be a function"), ((lambda word, vocabulary: ...,), "not done yet"),
         ((lambda word, vocabulary: greedy(word, vocabulary, longest=False),), "longest"),
         ((lambda word, vocabulary: greedy(word, vocabulary, mark=""),), "carry ##"),
         ((lambda word, vocabulary: greedy(word, vocabulary, give_up=False),), "What should become"),
         ((lambda word, vocabulary: None,), "TypeError")]),
    lesson_06.best_pair: (
        (COUNTS,), (most_frequent,),
        [((("t", "h"),), "should be a function"), ((lambda spelled: ...,), "not done yet"),
         ((lambda spelled: most_frequent(spelled, weigh=False),), "twice"), ((lambda spelled: "th",), "should return a pair"),
         ((lambda spelled: most_frequent(spelled, once=True),), "every place")]),
    lesson_06.glue: (
        (Bytes(), SURVEY), (lambda tokens: "".join(tokens).replace("Ġ", " "),),
        [(("",), "should be a function"), ((lambda tokens: ...,), "not done yet"),
         ((lambda tokens: " ".join(tokens).replace("Ġ", ""),), "Where was a blank"),
         ((lambda tokens: "".join(tokens).replace("Ġ", " ").removeprefix("no"),), "comes back")]),
    lesson_06.premium: (
        (SENTENCES, TOKENIZER), (PRICE, "German"),
        [((2.0, "German"), "for each language"), ((PRICE.iloc[1:], "German"), "should have the rows"),
         ((PRICE * 3, "German"), "divided by itself"), ((pd.Series({"English": 1, "German": 2}), "German"), "two columns"),
         ((PRICE, "English"), "not the dearest"), ((PRICE, 2.33), "not the dearest")]),
}
