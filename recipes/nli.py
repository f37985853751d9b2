"""Make pocket/nli: does a text entail a statement, contradict it, or neither; a LoRA adapter over pocket/encoder.
The model behind zero-shot-classification, where the statements are "This text is about transport." and the like.

    python -m recipes.nli --data ../shared/data
    python -m recipes.nli --data ../shared/data --evaluate     (scores and model card only)

A tenth of each set, chosen by its premises, is held out. Some sets know two answers only: where they say "not entailment",
the model may answer neutral or contradiction. So it is with texts beside a topic that is not theirs (recipes/topics.py).
"""
import zlib
from pathlib import Path

import numpy as np
import torch

from course import BertForSequenceClassification
from recipes import common
from recipes.topics import labelled_topics, nearest_topics
from recipes.zero_shot import POLICY, codebook, zero_shot

NAME = "nli"
LABELS = ["entailment", "neutral", "contradiction"]
NOT_ENTAILMENT = 3
SETS = {"snli_dev_as_train": 9000, "snli_train_part": 17000, "counterfactual_train": 8000, "mnli_train_part": 4000,
        "fever_train": 2500, "conjnli_train": 8000, "monotonicity_two_way_train": 2000, "hans_two_way_train": 1000}
Pair = tuple[str, str, int | float]                     # of a topic: the chance that it is the text's


def read(path: Path) -> tuple[list[Pair], list[Pair]]:
    """Pairs for training, and the tenth that is held out."""
    known = {label: i for i, label in enumerate([*LABELS, "not_entailment"])}
    parts: tuple[list, list] = ([], [])
    for row in common.table(path):
        if row["label"] in known:
            held = zlib.crc32(row["premise"].encode()) % 10 == 0
            parts[held].append((row["premise"], row["hypothesis"], known[row["label"]]))
    return parts


def guarded(row: Pair) -> list[str]:
    """A premise, and the pair: short hypotheses of their own ("A man sleeps.") occur with many premises."""
    return [row[0], f"{row[0]} {row[1]}"]


def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy (B, 3), (B, 4): chances of the three answers, and of neutral and contradiction together."""
    chances = logits.float().log_softmax(-1)
    every = torch.cat([chances, torch.logsumexp(chances[:, 1:], -1, keepdim=True)], -1)  # (B, 4)
    return -(every * targets).sum(-1).mean()


def fit(args) -> None:
    rng = np.random.default_rng(args.seed)
    parts = {name: read(args.data / f"nli/{name}.tsv") for name in SETS}
    held_out = {f"{name}, held-out tenth": [text for row in held for text in guarded(row)] for name, (_, held) in parts.items()}
    guard = common.Guard(common.evaluation_texts(args.data) | held_out, jaccard=0.6, contained=0.9, least=5)
    rows, counts = [], {}
    for name, most in SETS.items():
        picked = rng.permutation(len(parts[name][0]))[:int(most * args.share)]
        found = guard.clean([parts[name][0][i] for i in picked], guarded, name)
        rows, counts[name] = rows + found, len(found)
    for name, make, most in (("topics", labelled_topics, args.topics), ("nearest_topics", nearest_topics, args.nearest)):
        found = guard.clean(make(args.data, most, rng), guarded, name)
        rows, counts[name] = rows + found, len(found)
    ids = common.encode(common.tokenizer(), [row[0] for row in rows], args.length, [row[1] for row in rows])
    targets = torch.tensor([[float(i == label) for i in range(4)] if isinstance(label, int) else [label, 0, 0, 1 - label]
                            for _, _, label in rows])                                                     # (N, 4)
    common.log.info("%s, %.2f M tokens", counts, sum(map(len, ids)) / 1e6)
    common.learn(BertForSequenceClassification, LABELS, ids, [np.arange(len(ids))],
                 lambda output, pick: loss(output.logits, targets[pick]), args, guard,
                 (text for row in rows for text in guarded(row)), pairs=counts)


def chances(folder: Path, pairs: list[tuple[str, str]]) -> np.ndarray:
    """Of entailment, neutral and contradiction (N, 3)."""
    return common.chances(folder, [a for a, _ in pairs], [b for _, b in pairs])


def score(data: Path, folder: Path) -> dict:
    """Accuracy on the held-out tenths; zero-shot: topics of datasets/local_life, policy areas of the 2005 manifestos. Of
    each a sample, because every text is read beside every label."""
    out, three = {"pairs": 200, "answers": 200, "sentences": 300}, []
    held = {name: common.sample(read(data / f"nli/{name}.tsv")[1], out["pairs"]) for name in SETS}
    for name, rows in held.items():
        answers, truth = chances(folder, [row[:2] for row in rows]).argmax(1), np.array([row[2] for row in rows])
        right = np.where(truth == NOT_ENTAILMENT, answers != 0, answers == truth)
        out[name] = common.mean_and_error(right)
        three += [] if "two_way" in name or "fever" in name else right.tolist()
    out["three_way"] = common.mean_and_error(three)
    rows = common.sample([row for row in common.table(common.HERE.parent / "datasets/local_life.csv")
                          if row["language"] == "en" and row["answer"].strip()], out["answers"])
    both = [("local_life", [row["answer"] for row in rows], [row["topic_a"] for row in rows], codebook())]
    rows = common.sample(common.table(data / "social/uk_manifestos_policy_area_dev_2005.csv"), out["sentences"])
    both += [("manifestos_2005", [row["sentence_text"] for row in rows], [row["area_experts"] for row in rows], POLICY)]
    for name, texts, truth, labels in both:
        found = zero_shot(lambda pairs: chances(folder, pairs), texts, truth, labels)
        out |= {f"{name}_{key}": value for key, value in found.items()}

    def answer(rows: list[dict]) -> list[str]:
        return [LABELS[i] for i in chances(folder, [(row["premise"], row["hypothesis"]) for row in rows]).argmax(1)]

    return out | {"everyday": common.everyday(NAME, answer)}


if __name__ == "__main__":
    common.run(__doc__, NAME, fit, score, share=1.0, topics=2500, nearest=12000, tokens=768)
