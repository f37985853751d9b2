"""Make pocket/sentiment: POSITIVE or NEGATIVE for English sentences, a LoRA adapter over pocket/encoder.

    python -m recipes.sentiment --data ../shared/data
    python -m recipes.sentiment --data ../shared/data --evaluate     (scores and model card only)

Two stages: product opinions, Reddit comments with an emotion and counterfactual movie reviews (pairs in which a few
words turn the verdict), then movie sentences; in both, sentences from a small grammar (recipes/negation.py), which
practises negation. A part of the movie sentences is held out; neither it nor sst2_dev is trained on.
"""
import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from course import BertForSequenceClassification
from recipes import common
from recipes.negation import grammar

NAME = "sentiment"
LABELS = ["NEGATIVE", "POSITIVE"]
GLAD = {"admiration", "amusement", "approval", "caring", "excitement", "gratitude", "joy", "love", "optimism", "pride",
        "relief"}
SORRY = {"anger", "annoyance", "disappointment", "disapproval", "disgust", "embarrassment", "grief", "remorse",
         "sadness"}


# ---------------------------------------------------------------- data: (text, chance of POSITIVE)

def labelled(path: Path) -> list[tuple[str, float]]:
    return [(row["text"], float(row["label"])) for row in common.table(path)]


def reddit(data: Path) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """GoEmotions comments whose emotions all point one way, and its neutral comments (target one half)."""
    names = (data / "sentiment/goemotions_labels.txt").read_text().split()
    clear, neutral = [], []
    for line in open(data / "sentiment/goemotions_train.tsv", encoding="utf-8"):
        text, numbers, _ = line.rstrip("\n").split("\t")
        emotions = {names[int(n)] for n in numbers.split(",")}
        if emotions <= GLAD or emotions <= SORRY:
            clear.append((text, float(emotions <= GLAD)))
        elif emotions == {"neutral"}:
            neutral.append((text, 0.5))
    return clear, neutral


def movies(data: Path) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """Movie sentences: those for training, and 800 held out; the same in every run."""
    found = labelled(data / "sentiment/movie_sentences_train.tsv")
    random.Random(17).shuffle(found)
    return found[800:], found[:800]


def read_stages(data: Path, seed: int, guard: common.Guard) -> list[list[tuple[str, float]]]:
    """Training texts of the two stages."""
    rng = random.Random(seed)
    clear, neutral = reddit(data)
    short = [(text, target) for text, target in labelled(data / "sentiment/imdb_counterfactual_train.tsv")
             if len(text.split()) <= 120]
    practice = grammar(1000, rng)
    opinions = labelled(data / "sentiment/pros_cons_train.tsv")
    first = rng.sample(opinions, 2000) + rng.sample(clear, 1500) + rng.sample(neutral, 300) + rng.sample(short, 300) + practice
    second = movies(data)[0] + rng.sample(practice, 400) + rng.sample(neutral, 200) + rng.sample(clear, 400)
    return [guard.clean(texts, lambda row: row[:1], f"stage {i + 1}") for i, texts in enumerate((first, second))]


# ---------------------------------------------------------------- training

def fit(args) -> None:
    held_out = {"movie sentences held out": [text for text, _ in movies(args.data)[1]]}
    guard = common.Guard(common.evaluation_texts(args.data) | held_out)
    stages = read_stages(args.data, args.seed, guard)
    texts = [row for stage in stages for row in stage]
    ids = common.encode(common.tokenizer(), [text for text, _ in texts], args.length)
    targets = torch.tensor([target for _, target in texts])
    soft = torch.stack([1 - targets, targets], 1) * (1 - args.smoothing) + args.smoothing / 2  # (N, 2): modest scores
    first, second = np.split(np.arange(len(ids)), [len(stages[0])])
    common.learn(BertForSequenceClassification, LABELS, ids, [first, *[second] * args.epochs],
                 lambda output, pick: F.cross_entropy(output.logits, soft[pick]), args, guard, (text for text, _ in texts),
                 stages=list(map(len, stages)), epochs=args.epochs, smoothing=args.smoothing)


# ---------------------------------------------------------------- scores

def score(data: Path, folder: Path) -> dict:
    """Accuracy on SST-2 dev and on the held-out movie sentences; everyday sentences, of which the neutral ones have no
    right answer and should get modest scores."""
    found = {}
    for name, rows in (("sst2_dev", labelled(data / "sentiment/sst2_dev.tsv")), ("held_out", movies(data)[1])):
        truth = np.array([target for _, target in rows])
        right = (common.chances(folder, [text for text, _ in rows])[:, 1] > 0.5) == truth
        found |= {f"{name}_{kind}": common.mean_and_error(some) for kind, some in (
            ("accuracy", right), ("positive", right[truth == 1]), ("negative", right[truth == 0]))}

    def answer(rows: list[dict]) -> list[str]:
        chances = common.chances(folder, [row["sentence"] for row in rows])[:, 1]
        scores = np.maximum(chances, 1 - chances)
        for kind in ("NEUTRAL", ""):
            some = [s for s, row in zip(scores, rows, strict=True) if (row["expected"] == "NEUTRAL") == bool(kind)]
            found["neutral_mean_score" if kind else "mean_score"] = round(float(np.mean(some)), 3)
        return [f"{LABELS[int(c > 0.5)]} {s:.2f}" for c, s in zip(chances, scores, strict=True)]

    rows = common.everyday(NAME, answer, lambda found, expected: expected in (found.split()[0], "NEUTRAL"))
    return found | {"verdicts_right": sum(row["right"] for row in rows if row["expected"] != "NEUTRAL"),
                    "verdicts": sum(row["expected"] != "NEUTRAL" for row in rows), "everyday": rows}


if __name__ == "__main__":
    common.run(__doc__, NAME, fit, score, epochs=3, smoothing=0.1, tokens=512)
