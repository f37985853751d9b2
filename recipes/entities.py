"""Sentences with names: reading the files, tags for pieces of words, and other sentences with the same pattern."""
from collections import defaultdict
from pathlib import Path

import numpy as np

from recipes import common

LABELS = ["O", *(f"{begin}-{kind}" for kind in ("PER", "ORG", "LOC", "MISC") for begin in "BI")]
ALIASES = {"person": "PER", "location": "LOC", "corporation": "ORG", "group": "ORG", "creative-work": "MISC", "product": "MISC"}
OPEN = LABELS.index("B-MISC") + 100  # the target "O or MISC": nobody has looked for MISC here
Sentence = tuple[list[str], list[str]]


def spans(tags: list[str]) -> set[tuple[int, int, str]]:
    """Entities as (first word, word after the last, kind). A tag I- that follows another kind begins one too."""
    out, start = set(), 0
    tags = ["O" if tag == "?" else tag for tag in tags]
    for i, tag in enumerate([*tags, "O"]):
        previous = tags[i - 1] if i else "O"
        if previous != "O" and (not tag.startswith("I-") or tag[2:] != previous[2:]):
            out.add((start, i, previous[2:]))
        if tag != "O" and (previous == "O" or tag[0] == "B" or tag[2:] != previous[2:]):
            start = i
    return out


def read(path: Path, misc: bool = True) -> list[Sentence]:
    """Sentences with the tags PER, ORG, LOC, MISC; '?' where O may be MISC. A MISC without any capital letter is O by the
    rules of Wikigold."""
    out = []
    for words, found in common.conll(path):
        tags = ["O" if misc else "?"] * len(words)
        for start, end, kind in spans([tag[:2] + ALIASES.get(tag[2:], tag[2:]) for tag in found]):
            if kind != "MISC" or any(word != word.lower() for word in words[start:end]):
                tags[start:end] = [f"{'B' if i == 0 else 'I'}-{kind}" for i in range(end - start)]
        out.append((words, tags))
    return out


def pieces(tokenizer, rows: list[Sentence], limit: int) -> tuple[list[list[int]], list[list[int]], list[list[int | None]]]:
    """Ids, a target for each of them (every piece of a word after its first is I-), and the word it comes from."""
    batch = tokenizer([words for words, _ in rows], is_split_into_words=True, truncation=True, max_length=limit)
    targets, places = [], []
    for i, (_, tags) in enumerate(rows):
        places.append(batch.word_ids(i))
        target, last = [], None
        for word in places[-1]:
            tag = "" if word is None else tags[word] if word != last else tags[word].replace("B-", "I-")
            target.append(-100 if not tag else OPEN if tag == "?" else LABELS.index(tag))
            last = word
        targets.append(target)
    return batch["input_ids"], targets, places


def another_case(rows: list[Sentence], rng: np.random.Generator) -> list[Sentence]:
    """The same sentences, one in eight without capitals, one in twenty in CAPITALS: people write so, and names stay names."""
    dice = rng.random(len(rows))
    return [([w.lower() for w in words] if x < 0.125 else [w.upper() for w in words] if x < 0.175 else words, tags)
            for (words, tags), x in zip(rows, dice, strict=True)]


def other_names(rows: list[Sentence], share: float, rng: np.random.Generator) -> list[Sentence]:
    """The same sentences, a share of whose names are replaced by other names of their kind from all rows: what a name is
    follows from the sentence, not from a list of names (Dai and Adel 2020, https://arxiv.org/abs/2010.11683)."""
    pool, out = defaultdict(list), []
    for words, tags in rows:
        for start, end, kind in spans(tags):
            pool[kind].append(words[start:end])
    for words, tags in rows:
        words, tags = list(words), list(tags)
        for start, end, kind in sorted(spans(tags), reverse=True):
            if rng.random() < share:
                name = pool[kind][rng.integers(len(pool[kind]))]
                words[start:end], tags[start:end] = name, [f"B-{kind}", *[f"I-{kind}"] * (len(name) - 1)]
        out.append((words, tags))
    return out
