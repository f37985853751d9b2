"""Texts beside topics, to learn labels without training: topics that people gave, and those of topics.tsv whose embeddings
are nearest to the embedding of the text."""
import json
import re
from pathlib import Path

import numpy as np

from recipes import common
from recipes.common import lines
from recipes.embeddings import embed

TEMPLATES = ["This text is about {}.", "This example is {}.", "The topic is {}.", "This is about {}.", "{}"]
Topic = tuple[str, str, float]                          # a text, a statement about its topic, the chance that this is true


def statement(topic: str, rng: np.random.Generator) -> str:
    return TEMPLATES[rng.integers(len(TEMPLATES))].format(topic)


def begin(text: str, words: int) -> str:
    return " ".join(text.split()[:words])


def labelled_topics(data: Path, most: int, rng: np.random.Generator) -> list[Topic]:
    """Texts with a topic of theirs and with another one."""
    found = [[(row["text"], row["label"].replace("_", " ")) for row in common.table(data / f"topics/{name}_train.tsv")
              if row["label"] not in ("oos", "out of scope")] for name in ("clinc150", "banking77")]
    keys = [(row["argument"], row["topic"]) for row in common.table(data / "social/argument_keypoint_match.tsv")]
    found += [list(dict.fromkeys(keys))]
    for name in ("uk_petitions_title", "parliament_motion_title"):
        found.append([(begin(row["source"], 50), row["target"].lower())
                      for row in lines(data / f"summarization/{name}_train.jsonl")])
    articles = json.loads((data / "qa/squad_train.json").read_text(encoding="utf-8"))["data"]
    found.append([(begin(part["context"], 40), re.sub("[_%].*" if "%" in a["title"] else "_", " ", a["title"]))
                  for a in articles for part in a["paragraphs"]])
    out = []
    for source in found:
        for i in rng.permutation(len(source))[:most]:
            text, topic = source[i]
            other = source[rng.integers(len(source))][1]
            out.append((text, statement(topic, rng), 1.0))
            if other != topic:
                out.append((text, statement(other, rng), 0.0))
    return out


def texts(data: Path, most: int, rng: np.random.Generator) -> list[str]:
    """So many texts of every kind, from tweets and comments to speeches."""
    found = [[row["argument"] for row in common.table(data / "social/argument_keypoint_match.tsv")],
             [begin(row["source"], 45) for row in lines(data / "summarization/uk_petitions_title_train.jsonl")],
             common.column(data / "social/uk_manifestos_policy_area_train_1987_2001.csv", "sentence_text"),
             common.column(data / "sentiment/pros_cons_train.tsv", "text"),
             [line.split("\t")[0] for line in open(data / "sentiment/goemotions_train.tsv", encoding="utf-8")],
             common.column(data / "topics/clinc150_train.tsv", "text")]
    # without the last 30: the last tenth of the addresses is kept for evaluation
    found += [common.sentences(" ".join(row["text"] for row in lines(data / f"text/{name}.jsonl")[:-30]))
              for name in ("state_of_the_union", "un_general_debate_2017")]
    found += [common.sentences((data / "text/onestop_elementary.txt").read_text(encoding="utf-8"))]
    found = [[text for text in dict.fromkeys(source) if 4 <= len(text.split()) <= 60] for source in found]
    return [source[i] for source in found for i in rng.permutation(len(source))[: most // len(found)]]


def nearest_topics(data: Path, most: int, rng: np.random.Generator) -> list[Topic]:
    """Texts beside the nearest topic of topics.tsv, one of the next seven and one of the others. The chance falls with the
    distance from the nearest: e times for every 0.04 of the cosine; where even that is far away, nothing is sure."""
    some, rows = texts(data, most, rng), common.table(common.HERE / "topics.tsv")
    full = [f"{row['topic']}: {row['what']}" for row in rows]
    near = embed(common.POCKET / "encoder", some) @ embed(common.POCKET / "encoder", full).T       # (texts, topics)
    out = []
    for text, cosines in zip(some, near, strict=True):
        order = np.argsort(-cosines)
        for k in (order[0], order[rng.integers(1, 8)], order[rng.integers(8, len(order))]):
            chance = min(1.0, cosines.max() / 0.3) * np.exp((cosines[k] - cosines.max()) / 0.04)
            out.append((text, statement(rows[k]["topic"] if rng.random() < 0.6 else full[k], rng), float(max(0.0, chance))))
    return out
