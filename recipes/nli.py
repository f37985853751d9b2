"""Make pocket/nli: does a text entail a statement, contradict it, or neither; a LoRA adapter over pocket/encoder.
The model behind zero-shot-classification, where the statements are "This text is about transport." and the like.

    python -m recipes.nli --data ../shared/data
    python -m recipes.nli --data ../shared/data --evaluate     (scores and model card only)

A tenth of each set, chosen by its premises, is held out. Some sets know two answers only: where they say "not entailment",
the model may answer neutral or contradiction. So it is with texts beside a topic that is not theirs.
"""
import json
import re
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from course import BertForSequenceClassification
from recipes import common

NAME = "nli"
LABELS = ["entailment", "neutral", "contradiction"]
NOT_ENTAILMENT = 3
SETS = {"snli_dev_as_train": 9000, "snli_train_part": 17000, "counterfactual_train": 8000, "mnli_train_part": 4000,
        "fever_train": 2500, "conjnli_train": 8000, "monotonicity_two_way_train": 2000, "hans_two_way_train": 1000}
TEMPLATES = ["This text is about {}.", "This example is {}.", "The topic is {}.", "This is about {}.", "{}"]
Pair = tuple[str, str, int]


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


def topics(data: Path, most: int, rng: np.random.Generator) -> list[Pair]:
    """Texts with a topic of theirs and with another one."""
    found = [[(row["text"], row["label"].replace("_", " ")) for row in common.table(data / f"topics/{name}_train.tsv")
              if row["label"] not in ("oos", "out of scope")] for name in ("clinc150", "banking77")]
    keys = [(row["argument"], row["topic"]) for row in common.table(data / "social/argument_keypoint_match.tsv")]
    found += [list(dict.fromkeys(keys))]
    for name in ("uk_petitions_title", "parliament_motion_title"):
        rows = [json.loads(line) for line in open(data / f"summarization/{name}_train.jsonl", encoding="utf-8")]
        found.append([(" ".join(row["source"].split()[:50]), row["target"].lower()) for row in rows])
    articles = json.loads((data / "qa/squad_train.json").read_text(encoding="utf-8"))["data"]
    found.append([(" ".join(part["context"].split()[:40]), re.sub("[_%].*" if "%" in a["title"] else "_", " ", a["title"]))
                  for a in articles for part in a["paragraphs"]])
    out = []
    for source in found:
        for i in rng.permutation(len(source))[: most]:
            text, topic = source[i]
            other = source[rng.integers(len(source))][1]
            out.append((text, TEMPLATES[rng.integers(len(TEMPLATES))].format(topic), 0))
            if other != topic:
                out.append((text, TEMPLATES[rng.integers(len(TEMPLATES))].format(other), NOT_ENTAILMENT))
    return out


def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy (B, 3), (B,); for NOT_ENTAILMENT of the chance of neutral and contradiction together."""
    chances = logits.float().log_softmax(-1)
    every = torch.cat([chances, torch.logsumexp(chances[:, 1:], -1, keepdim=True)], -1)  # (B, 4)
    return -every.gather(1, targets[:, None]).mean()


def fit(args) -> None:
    rng = np.random.default_rng(args.seed)
    parts = {name: read(args.data / f"nli/{name}.tsv") for name in SETS}
    held_out = {f"{name}, held-out tenth": [text for row in held for text in guarded(row)] for name, (_, held) in parts.items()}
    guard = common.Guard(common.evaluation_texts(args.data) | held_out, jaccard=0.6, contained=0.9, least=5)
    rows, counts = [], {}
    for name, most in SETS.items():
        found = guard.clean([parts[name][0][i] for i in rng.permutation(len(parts[name][0]))[:most]], guarded, name)
        rows, counts[name] = rows + found, len(found)
    found = guard.clean(topics(args.data, args.topics, rng), guarded, "topics")
    rows, counts["topics"] = rows + found, len(found)
    ids = common.encode(common.tokenizer(), [row[0] for row in rows], args.length, [row[1] for row in rows])
    targets = torch.tensor([row[2] for row in rows])
    common.log.info("%s, %.2f M tokens", counts, sum(map(len, ids)) / 1e6)
    common.learn(BertForSequenceClassification, LABELS, ids, [np.arange(len(ids))],
                 lambda output, pick: loss(output.logits, targets[pick]), args, guard,
                 (text for row in rows for text in guarded(row)), pairs=counts)


def chances(folder: Path, pairs: list[tuple[str, str]]) -> np.ndarray:
    """Of entailment, neutral and contradiction (N, 3)."""
    return common.chances(folder, [a for a, _ in pairs], [b for _, b in pairs])


def macro_f1(found: np.ndarray, truth: np.ndarray) -> float:
    """The mean over the labels that occur in the truth."""
    return float(np.mean([2 * ((found == k) & (truth == k)).sum() / max(1, (found == k).sum() + (truth == k).sum())
                          for k in np.unique(truth)]))


def codebook() -> dict[str, str]:
    """The topics of datasets/local_life and what belongs to them, from its card."""
    text = (common.HERE.parent / "datasets/local_life.md").read_text(encoding="utf-8").split("| topic |")[1].split("\n\n")[0]
    return dict(re.findall(r"^\| (\w+) \| (.+) \|$", text, re.M))


POLICY = {"Economic": "economic policy: taxes, jobs, business, public spending, inflation, trade",
          "Social": "social policy: law and order, immigration, morality, family values, minorities, culture",
          "Neither": "something else: health, education, defence, Europe, the environment, the parties, the campaign"}


def zero_shot(folder: Path, texts: list[str], truth: list[str], labels: dict[str, str]) -> dict:
    """Labels by this model (names alone, names with definitions), by key words of the definitions, by the most frequent
    label, and by the similarity of embeddings to "name: definition"."""
    from recipes.embeddings import embed
    gold = np.array([list(labels).index(label) for label in truth])
    found = {}
    for way, names in (("names", [name.lower() for name in labels]),
                       ("definitions", [f"{name.lower()}: {text}" for name, text in labels.items()])):
        hypotheses = [f"This text is about {name}." for name in names]
        scores = chances(folder, [(text, h) for text in texts for h in hypotheses]).reshape(len(texts), -1, 3)
        found[way] = scores[..., 0].argmax(1)
    words = [set(re.findall(r"\w{4,}", f"{name} {text}".lower())) for name, text in labels.items()]
    hits = np.array([[len(w & set(re.findall(r"\w{4,}", text.lower()))) for w in words] for text in texts])
    frequent = Counter(gold.tolist()).most_common(1)[0][0]
    found["key_words"] = np.where(hits.max(1) > 0, hits.argmax(1), frequent)
    found["majority"] = np.full(len(gold), frequent)
    a, b = (embed(common.POCKET / "encoder", some) for some in (texts, [f"{name}: {text}" for name, text in labels.items()]))
    found["similarity"] = (a @ b.T).argmax(1)
    return {f"{way}_{kind}": value for way, answer in found.items() for kind, value in (
        ("accuracy", common.mean_and_error(answer == gold)),
        ("macro_f1", common.bootstrap(lambda rows, answer=answer: macro_f1(answer[rows], gold[rows]), len(gold))))}


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
        out |= {f"{name}_{key}": value for key, value in zero_shot(folder, texts, truth, labels).items()}

    def answer(rows: list[dict]) -> list[str]:
        return [LABELS[i] for i in chances(folder, [(row["premise"], row["hypothesis"]) for row in rows]).argmax(1)]

    return out | {"everyday": common.everyday(NAME, answer)}


if __name__ == "__main__":
    common.run(__doc__, NAME, fit, score, topics=2500, tokens=768)
