"""How well labels without any training are found: by a model of entailment, by key words, by similarity, by always the same."""
import re
from collections import Counter
from collections.abc import Callable

import numpy as np

from recipes import common
from recipes.embeddings import embed


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


def zero_shot(chances: Callable[[list[tuple[str, str]]], np.ndarray], texts: list[str], truth: list[str],
              labels: dict[str, str]) -> dict:
    """Labels by a model, whose `chances` of entailment, neutral and contradiction are (N, 3) for N pairs (from names alone,
    from names with definitions), by key words of the definitions, by the most frequent label, and by the similarity of
    embeddings to "name: definition"."""
    gold = np.array([list(labels).index(label) for label in truth])
    found = {}
    for way, names in (("names", [name.lower() for name in labels]),
                       ("definitions", [f"{name.lower()}: {text}" for name, text in labels.items()])):
        hypotheses = [f"This text is about {name}." for name in names]
        scores = chances([(text, h) for text in texts for h in hypotheses]).reshape(len(texts), -1, 3)
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
