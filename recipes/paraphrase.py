"""Make pocket/paraphrase: do two sentences say the same? A LoRA adapter over pocket/encoder, which reads both together.

    python -m recipes.paraphrase --data ../shared/data
    python -m recipes.paraphrase --data ../shared/data --evaluate     (scores and model card only)

The target of an STS-B pair is a chance that follows from its human score from 0 to 5: one half at 3.25, the middle between
what counts as different (2.5 and below) and as a paraphrase (4 and above).
"""
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from course import BertForSequenceClassification
from recipes import common
from recipes.embeddings import embed

NAME = "paraphrase"
LABELS = ["different", "paraphrase"]
Pair = tuple[str, str, float]


def stsb(path: Path) -> list[Pair]:
    """Sentences and their score from 0 to 5."""
    return [(row["sentence1"], row["sentence2"], float(row["score_0_to_5"])) for row in common.table(path)]


def fit(args) -> None:
    guard, rng = common.Guard(common.evaluation_texts(args.data)), np.random.default_rng(args.seed)
    main = [(a, b, 1 / (1 + np.exp(-2 * (s - 3.25)))) for a, b, s in stsb(args.data / "similarity/stsb_train.tsv")]
    tatoeba = common.table(args.data / "paraphrase/tatoeba_pairs.tsv")
    more = [(row["sentence1"], row["sentence2"], float(row["label"]))
            for row in (tatoeba[i] for i in rng.permutation(len(tatoeba))[: args.more])]
    nli = [row for row in common.table(args.data / "nli/counterfactual_train.tsv") if row["label"] == "contradiction"]
    more += [(row["premise"], row["hypothesis"], 0.0) for row in (nli[i] for i in rng.permutation(len(nli))[: args.more // 5])]
    main, more = (guard.clean(rows, lambda row: row[:2], name) for rows, name in ((main, "stsb_train"), (more, "more")))
    rows = main + more
    ids = common.encode(common.tokenizer(), [row[0] for row in rows], args.length, [row[1] for row in rows])
    chances, numbers = torch.tensor([row[2] for row in rows]).float(), np.arange(len(rows))
    soft = torch.stack([1 - chances, chances], 1)
    common.learn(BertForSequenceClassification, LABELS, ids, [numbers, *[numbers[: len(main)]] * args.epochs],
                 lambda output, pick: F.cross_entropy(output.logits, soft[pick]), args, guard,
                 (text for row in rows for text in row[:2]), pairs=[len(main), len(more)], epochs=args.epochs)


def predict(folder: Path, pairs: list[tuple[str, str]]) -> np.ndarray:
    """Chance that the two sentences say the same (N,)."""
    return common.chances(folder, [a for a, _ in pairs], [b for _, b in pairs])[:, 1]


def score(data: Path, folder: Path) -> dict:
    """STS-B dev: pairs of score 4 and more against those of 2.5 and less; beside it the cosine of embeddings with the
    threshold that is best on STS-B train."""
    def alike(rows: list[Pair]) -> np.ndarray:
        a, b = (embed(common.POCKET / "encoder", [row[i] for row in rows]) for i in (0, 1))
        return (a * b).sum(1)

    def clear(rows: list[Pair]) -> list[Pair]:
        return [row for row in rows if not 2.5 < row[2] < 4]

    everything = stsb(data / "similarity/stsb_dev.tsv")
    known, dev = clear(common.sample(stsb(data / "similarity/stsb_train.tsv"), 1500)), clear(everything)
    cosine, truth = alike(known), np.array([row[2] >= 4 for row in known])
    best = max(np.arange(0.3, 0.95, 0.01), key=lambda limit: ((cosine > limit) == truth).mean())
    right = np.array([row[2] >= 4 for row in dev])
    chances = predict(folder, [row[:2] for row in everything])
    clearly = chances[[not 2.5 < row[2] < 4 for row in everything]] > 0.5
    return {
        "stsb_dev_accuracy": common.mean_and_error(clearly == right),
        "stsb_dev_pairs": len(dev), "stsb_dev_cosine_accuracy": common.mean_and_error((alike(dev) > best) == right),
        "stsb_dev_spearman": round(common.spearman(chances, np.array([row[2] for row in everything])), 4),
        "everyday": common.everyday(NAME, lambda rows: [
            LABELS[int(chance > 0.5)] for chance in predict(folder, [(row["sentence1"], row["sentence2"]) for row in rows])])}


if __name__ == "__main__":
    common.run(__doc__, NAME, fit, score, more=1000, epochs=1, tokens=768)
