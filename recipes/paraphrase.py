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

from course import BertForSequenceClassification, BertTokenizerFast
from recipes.common import (
    POCKET,
    Guard,
    batches,
    encode,
    evaluation_texts,
    everyday,
    log,
    mean_and_error,
    model_inputs,
    new_model,
    run,
    save_adapter,
    spearman,
    table,
    train,
    wrap,
)
from recipes.embeddings import embed

NAME = "paraphrase"
LABELS = ["different", "paraphrase"]
Pair = tuple[str, str, float]


def stsb(path: Path) -> list[Pair]:
    """Sentences and their score from 0 to 5."""
    return [(row["sentence1"], row["sentence2"], float(row["score_0_to_5"])) for row in table(path)]


def fit(args) -> None:
    guard, rng = Guard(evaluation_texts(args.data)), np.random.default_rng(args.seed)
    main = [(a, b, 1 / (1 + np.exp(-2 * (s - 3.25)))) for a, b, s in stsb(args.data / "similarity/stsb_train.tsv")]
    tatoeba = table(args.data / "paraphrase/tatoeba_pairs.tsv")
    more = [(row["sentence1"], row["sentence2"], float(row["label"]))
            for row in (tatoeba[i] for i in rng.permutation(len(tatoeba))[: args.more])]
    nli = [row for row in table(args.data / "nli/counterfactual_train.tsv") if row["label"] == "contradiction"]
    more += [(row["premise"], row["hypothesis"], 0.0) for row in (nli[i] for i in rng.permutation(len(nli))[: args.more // 5])]
    main, more = (guard.clean(rows, lambda row: row[:2], name) for rows, name in ((main, "stsb_train"), (more, "more")))
    rows = main + more
    tokenizer = BertTokenizerFast.from_pretrained(str(POCKET / "encoder"))
    ids = encode(tokenizer, [row[0] for row in rows], args.length, [row[1] for row in rows])
    lengths, chances, plan = np.array([len(row) for row in ids]), torch.tensor([row[2] for row in rows]).float(), []
    everything = np.arange(len(rows))
    for epoch, part in enumerate([everything, *[everything[: len(main)]] * args.epochs]):
        plan += [part[pick] for pick in batches(lengths[part], args.tokens, np.random.default_rng([args.seed, epoch]))]
    soft = torch.stack([1 - chances, chances], 1)
    log.info("%d + %d pairs", len(main), len(more))
    model = new_model(BertForSequenceClassification, args.begin, num_labels=2)
    loras = wrap(model, args.rank, args.alpha, args.frozen)
    steps = train(model, plan, lambda pick: F.cross_entropy(model(**model_inputs([ids[i] for i in pick])).logits, soft[pick]),
                  args, guard, (text for row in rows for text in row[:2]))
    save_adapter(model, loras, args, LABELS, steps=steps, planned=len(plan), pairs=[len(main), len(more)], epochs=args.epochs)


def predict(folder: Path, pairs: list[tuple[str, str]]) -> np.ndarray:
    """Chance that the two sentences say the same (N,)."""
    tokenizer = BertTokenizerFast.from_pretrained(str(folder))
    model = BertForSequenceClassification.from_pretrained(str(folder)).float().eval()
    ids, out = encode(tokenizer, [a for a, _ in pairs], 512, [b for _, b in pairs]), np.zeros(len(pairs))
    for pick in batches(np.array([len(row) for row in ids]), 4096, np.random.default_rng(0)):
        with torch.inference_mode():
            out[pick] = model(**model_inputs([ids[i] for i in pick])).logits.softmax(-1)[:, 1].numpy()
    return out


def score(data: Path, folder: Path) -> dict:
    """STS-B dev: pairs of score 4 and more against those of 2.5 and less; beside it the cosine of embeddings with the
    threshold that is best on STS-B train."""
    def alike(rows: list[Pair]) -> np.ndarray:
        a, b = (embed(POCKET / "encoder", [row[i] for row in rows]) for i in (0, 1))
        return (a * b).sum(1)

    def clear(rows: list[Pair]) -> list[Pair]:
        return [row for row in rows if not 2.5 < row[2] < 4]

    everything = stsb(data / "similarity/stsb_dev.tsv")
    known, dev = clear(stsb(data / "similarity/stsb_train.tsv")), clear(everything)
    cosine, truth = alike(known), np.array([row[2] >= 4 for row in known])
    best = max(np.arange(0.3, 0.95, 0.01), key=lambda limit: ((cosine > limit) == truth).mean())
    right = np.array([row[2] >= 4 for row in dev])
    chances = predict(folder, [row[:2] for row in everything])
    return {
        "stsb_dev_accuracy": mean_and_error((predict(folder, [row[:2] for row in dev]) > 0.5) == right),
        "stsb_dev_pairs": len(dev), "stsb_dev_cosine_accuracy": mean_and_error((alike(dev) > best) == right),
        "stsb_dev_spearman": round(spearman(chances, np.array([row[2] for row in everything])), 4),
        "everyday": everyday(NAME, lambda rows: [
            LABELS[int(chance > 0.5)] for chance in predict(folder, [(row["sentence1"], row["sentence2"]) for row in rows])])}


if __name__ == "__main__":
    run(__doc__, NAME, fit, score, more=2000, epochs=1)
