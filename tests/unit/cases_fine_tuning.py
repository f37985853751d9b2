"""Right and wrong answers to the exercises of lesson 9, for test_checks.py."""

from collections import Counter

import numpy as np
import pandas as pd
import torch

from course.checks import lesson_09


def leaked(clean=lambda text: " ".join(text.lower().split()), divide=None, once=False):
    def share(train, test):
        seen = {clean(text) for text in train}
        test = set(test) if once else test
        return sum(clean(text) in seen for text in test) / len(divide(train, test) if divide else test)
    return share


def with_pandas(train, test):
    train, test = (pd.Series(texts).str.casefold().str.split().str.join(" ") for texts in (train, test))
    return 100 * test.isin(train).mean()


def letters_only(train, test):
    seen = ["".join(text.split()).upper() for text in train]
    return torch.tensor(["".join(text.split()).upper() in seen for text in test]).float().mean()


def loss(same=lambda labels: (labels[:, None] == labels).float(), shape=lambda gaps: (gaps**2).mean()):
    return lambda vectors, labels: shape(vectors @ vectors.T - same(labels))


def pair_by_pair(vectors, labels):
    count = len(labels)
    return sum((float(vectors[i] @ vectors[j]) - float(labels[i] == labels[j])) ** 2 for i in range(count) for j in range(count)) / count**2


def gain(a, b):
    gaps = np.subtract(a, b)
    return gaps.mean(), gaps.std(ddof=1) / len(gaps) ** 0.5


def two_samples(a, b):
    return np.mean(a) - np.mean(b), (np.var(a, ddof=1) / len(a) + np.var(b, ddof=1) / len(b)) ** 0.5


def weigh(labels, scale=None, up=False):
    counts = Counter(labels)
    share = {name: len(labels) / (len(counts) * count) for name, count in counts.items()}
    return {name: counts[name] / len(labels) if up else value * (scale(counts) if scale else 1) for name, value in share.items()}


def changed(a, b, deep=True, both=False):
    found = []
    for name in (a.keys() & b.keys()) if both else (a.keys() | b.keys()):
        if deep and isinstance(a.get(name), dict) and isinstance(b.get(name), dict):
            found += [f"{name}.{inner}" for inner in changed(a[name], b[name], both=both)]
        elif a.get(name) != b.get(name):
            found.append(name)
    return found


def flat(record, before=""):
    return {k: v for name, value in record.items() for k, v in (
        flat(value, f"{before}{name}.").items() if isinstance(value, dict) else [(before + name, value)])}


NINE = {
    lesson_09.leaked: (
        (), (leaked(),),
        [((leaked(clean=str),), "capital letters"), ((leaked(clean=str.lower),), "spaces"), ((leaked(divide=lambda a, b: a),), "TEST texts"),
         ((leaked(once=True),), "twice in the test"), ((0.5,), "a function of two lists"), ((lambda a, b: [],), "one number"),
         ((lambda a: 1,), "TypeError"), ((lambda a, b: ...,), "not done yet")]),
    lesson_09.pair_loss: (
        (), (loss(),),
        [((loss(shape=lambda gaps: (gaps**2).sum()),), "the sum over all pairs"), ((loss(shape=lambda gaps: gaps.abs().mean()),), "squared"),
         ((loss(same=lambda labels: (labels[:, None] != labels).float()),), "DIFFERENT labels"),
         ((loss(shape=lambda gaps: gaps**2),), "shape [4, 4]"), ((loss(same=lambda labels: 1.0),), "every pair"),
         ((3.0,), "a function of vectors"), ((lambda vectors, labels: ...,), "not done yet")]),
    lesson_09.gain: (
        (), (gain,),
        [((lambda a, b: gain(b, a),), "b - a"), ((two_samples,), "different draws"),
         ((lambda a, b: (gain(a, b)[0], np.std(np.subtract(a, b), ddof=1)),), "spread of single differences"),
         ((lambda a, b: (gain(a, b)[0], np.std(np.subtract(a, b)) / len(a) ** 0.5),), "n - 1"),
         ((lambda a, b: (np.max(a) - np.max(b), 0.0),), "the mean of the differences"), ((lambda a, b: 0.1,), "two numbers"),
         (((0.1, 0.2),), "a function of two lists"), ((lambda a, b: (..., ...),), "not done yet"), ((lambda a, b: ...,), "not done yet")]),
    lesson_09.weights: (
        (), (weigh,),
        [((lambda labels: weigh(labels, scale=len),), "mean weight of a text"), ((lambda labels: weigh(labels, up=True),), "frequent label"),
         ((lambda labels: dict.fromkeys(labels, 1.0),), "weigh the same?"), ((lambda labels: [5, 1],), "a dict"), (({"a": 1},), "a function of"),
         ((lambda labels: ...,), "not done yet")]),
    lesson_09.changed: (
        (), (changed,),
        [((lambda a, b: changed(a, b, deep=False),), "where inside it"), ((lambda a, b: changed(a, b, both=True),), "only the first"),
         ((lambda a, b: [],), "no dict"), ((lambda a, b: sorted(a),), "are equal"), ((lambda a, b: 3,), "a list of names"),
         ((lambda a, b: changed(a, b) * 2,), "named twice"), ((["model"],), "a function of two records"), ((lambda a, b: ...,), "not done yet")]),
}
NINE_OTHERS = {
    lesson_09.leaked: [(with_pandas,), (letters_only,)],
    lesson_09.pair_loss: [(pair_by_pair,), (lambda v, y: torch.nn.functional.mse_loss(v @ v.T, torch.eye(9)[y] @ torch.eye(9)[y].T),)],
    lesson_09.gain: [(lambda a, b: [round(float(x), 2) for x in gain(a, b)],), (lambda a, b: (
        (pd.Series(a) - pd.Series(b)).mean(), (pd.Series(a) - pd.Series(b)).sem()),)],
    lesson_09.weights: [(lambda labels: len(labels) / (len(set(labels)) * pd.Series(labels).value_counts()),),
                        (lambda labels: {k: round(v, 2) for k, v in weigh(labels).items()},)],
    lesson_09.changed: [(lambda a, b: {n for n in flat(a).keys() | flat(b).keys() if flat(a).get(n) != flat(b).get(n)},),
                        (lambda a, b: tuple(reversed(changed(a, b))),)],
}
