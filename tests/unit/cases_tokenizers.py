"""Right and wrong answers to the exercises of lessons 4 and 6, for test_checks.py."""

import html
import re
from collections import Counter
from itertools import pairwise
from types import SimpleNamespace

import pandas as pd
import tiny
import torch

from course.checks import lesson_04, lesson_06

TEXTS = ["the good council", "bad", "not happy people", "un happying", "the school was new and the people happy ."]
TOKENIZER = tiny.tokenizer()
SPLIT = 2 / 5           # "happying", and the "and" that has to be spelled
NAMES = ["the", "happying", "council"]
PIECES = TOKENIZER(NAMES, is_split_into_words=True)


def windows(text):
    return TOKENIZER(text, truncation=True, max_length=8, stride=2, padding=True, return_overflowing_tokens=True,
                     return_tensors="pt")


PEOPLE = pd.DataFrame({"respondent": [1, 2, 3, 4, 5], "answer": ["Rent.", None, "The bus is late again.", "Mud.", "No idea at all, sorry."]},
                      index=[2, 3, 5, 6, 9])


def label(text):
    return "LONG" if len(text) > 5 else "SHORT"


def label_all(texts):
    return [{"label": label(text), "score": 0.9} for text in texts]


FOUND = PEOPLE["answer"].dropna().map(label)


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
    return text if text.strip("-–—.…?!,;:/ ") else None


DOCUMENT = " ".join(TEXTS)
FOUR = {
    lesson_04.split_share: (
        (TEXTS, TOKENIZER), (SPLIT,),
        [((1 - SPLIT,), "stayed whole"), ((200,), "without dividing"), ((0.3,), "once"), (([True],), "one number")]),
    lesson_04.window_mean: (
        (windows, DOCUMENT, Classifier()), (lambda text: chances(text).mean().item(),),
        [((0.5,), "function of a text"), ((lambda text: chances(text)[0].item(),), "first window alone"),
         ((lambda text: chances(text, 0).mean().item(),), "mean of NEGATIVE"), ((lambda text: chances(text),), "one number"),
         ((lambda text: chances(text).sum().item(),), "is not the mean"), ((lambda text: ...,), "not done yet"),
         ((lambda text: chances(DOCUMENT).mean().item(),), "Where do you use `text`"),
         ((lambda text: Classifier()(**windows(text)),), "Which two")]),
    lesson_04.piece_labels: (
        (NAMES, [0, 1, 0], TOKENIZER), labelled(0, 1, -100, 0),
        [(([0, 1, 0],), "one label a word"), (([0, 1, -100, 0],), "special tokens"), (labelled(0, 1, 1, 0), "every piece"),
         (([0, 0, 1, -100, 0, 0],), "nobody's words"), (labelled(0, -100, 1, 0), "To which word")]),
    lesson_04.clean: (
        (), (clean,),
        [((str.strip,), "html.unescape"), ((lambda text: clean(text) or "",), "say something"), (("clean",), "function"),
         ((lambda text: clean(text.lower()),), "What should happen"), ((lambda text: ...,), "not done yet"),
         ((lambda text: clean(text) if any(map(str.isalnum, text)) else None,), "thumb"),
         ((lambda text: text if text == "?" else clean(text),), "say something"),
         ((lambda text: text if text == "--" else clean(text),), "say something"),
         ((lambda text: clean(text) if len(text) > 3 or not text.isalnum() else None,), "short answer"),
         ((lambda text: html.unescape(text) or None,), "line breaks")]),
    lesson_04.labels_in_table: (
        (PEOPLE, label_all), (PEOPLE.assign(label=FOUND),),
        [((PEOPLE.assign(label=FOUND.reset_index(drop=True)),), "Compare the numbers"), ((FOUND,), "should be the table"),
         ((PEOPLE.reset_index(drop=True).assign(label=FOUND.reset_index(drop=True)),), "has the label"),
         ((PEOPLE.dropna().assign(label=FOUND),), "rows are gone"), ((PEOPLE,), "no column `label`"),
         ((PEOPLE.assign(label=PEOPLE["answer"].fillna("").map(label)),), "nobody said anything"),
         ((PEOPLE.assign(label="LONG").where(PEOPLE["answer"].notna()),), "the model says SHORT"),
         ((PEOPLE.iloc[::-1].assign(label=FOUND),), "row by row")]),
}
FOUR_OTHERS = {
    lesson_04.split_share: [(40,), (0.4,), (torch.tensor(0.4),)],
    lesson_04.window_mean: [(lambda text: round(sum(chances(text).tolist()) / len(chances(text)), 2),), (lambda text: chances(text).mean(),)],
    lesson_04.piece_labels: [(torch.tensor([-100, 0, 1, -100, 0, -100]),), ((-100, 0, 1, -100, 0, -100),)],
    lesson_04.clean: [(lambda text: (lambda t: t if re.search(r"[^\W_]|[^\x00-\u2fff]", t) else None)(
        re.sub(r"\s+", " ", html.unescape(text)).strip()),)],
    lesson_04.labels_in_table: [
        (PEOPLE.assign(label=[label(text) if isinstance(text, str) else None for text in PEOPLE["answer"]]),),
        (PEOPLE.merge(FOUND.rename("label"), left_index=True, right_index=True, how="left"),)],
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


def backtracking(word, vocabulary, start=0):
    """Finds a spelling where BERT gives up."""
    if start == len(word):
        return []
    for end in range(len(word), start, -1):
        piece = ("##" if start else "") + word[start:end]
        if piece in vocabulary and (rest := backtracking(word, vocabulary, end)) is not None:
            return [piece, *rest]
    return None


def recursive(word, vocabulary, mark=""):
    """The greedy way, written without a loop over places."""
    end = next((end for end in range(len(word), 0, -1) if mark + word[:end] in vocabulary), None)
    if end is None:
        return ["[UNK]"]
    rest = recursive(word[end:], vocabulary, "##") if word[end:] else []
    return ["[UNK]"] if "[UNK]" in rest else [mark + word[:end], *rest]


def counted(spelled):
    pairs = Counter()
    for letters, count in spelled.items():
        for pair in pairwise(letters):
            pairs[pair] += count
    return list(pairs.most_common(1)[0][0])


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
        [((3 / 5,), "that is known"), ((200,), "without dividing"), ((2 / 4,), "every word counts once"),
         ((0.3,), "built the list"), (([],), "one number")]),
    lesson_06.wordpiece: (
        (set(tiny.VOCAB), TOKENIZER, TEXTS), (greedy,),
        [((["un"],), "should be a function"), ((lambda word, vocabulary: ...,), "not done yet"),
         ((lambda word, vocabulary: greedy(word, vocabulary, longest=False),), "longest"),
         ((lambda word, vocabulary: greedy(word, vocabulary, mark=""),), "carry ##"),
         ((lambda word, vocabulary: greedy(word, vocabulary, give_up=False),), "What should become"),
         ((lambda word, vocabulary: backtracking(word, vocabulary) or ["[UNK]"],), "go back"),
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
SIX_OTHERS = {
    lesson_06.unknown_words: [(40,), (0.4,)],
    lesson_06.wordpiece: [(recursive,)],
    lesson_06.best_pair: [(counted,)],
    lesson_06.glue: [(lambda tokens: "".join(" " + token[1:] if token.startswith("Ġ") else token for token in tokens),)],
    lesson_06.premium: [(PRICE.round(2), "German"), (PRICE.to_dict(), "German")],
}
