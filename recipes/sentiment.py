"""Make pocket/sentiment: POSITIVE or NEGATIVE, stored as a small LoRA adapter over pocket/encoder.

LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685) leaves every matrix W of the encoder as it is and learns a
correction of low rank, W + alpha / r * B A. Only A, B, the pooler and the classifier are stored, in the file format of
the library PEFT: 3 MB instead of 28.

    python recipes/sentiment.py --data ../shared/data --out course/pocket/sentiment
    python recipes/sentiment.py --data ../shared/data --out course/pocket/sentiment --evaluate     (scores and model card only)

Two stages: product opinions, Reddit comments with an emotion and counterfactual movie reviews (pairs in which a few
words turn the verdict), then movie sentences; in both, sentences from the small grammar below, which practises
negation. A part of the movie sentences is held out; neither it nor sst2_dev is trained on.
"""
import argparse
import csv
import json
import logging
import math
import random
import re
import shutil
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from encoder import batches, collect, column, encode, fast_cpu, pad, workers
from safetensors.torch import save_file
from torch import Tensor, nn

from course import BertForSequenceClassification, BertTokenizerFast
from course.checkpoint import their_names

log = logging.getLogger("sentiment")
HERE = Path(__file__).parent
LABELS = {0: "NEGATIVE", 1: "POSITIVE"}
GLAD = {"admiration", "amusement", "approval", "caring", "excitement", "gratitude", "joy", "love", "optimism", "pride",
        "relief"}
SORRY = {"anger", "annoyance", "disappointment", "disapproval", "disgust", "embarrassment", "grief", "remorse",
         "sadness"}


# ---------------------------------------------------------------- data: (text, chance of POSITIVE)

def labelled(path: Path) -> list[tuple[str, float]]:
    return list(zip(column(path, "text"), map(float, column(path, "label")), strict=True))


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


def grammar(count: int, rng: random.Random) -> list[tuple[str, float]]:
    """Everyday sentences in which a word of negation turns, or does not turn, the verdict."""
    things = ("the film|the course|the meal|the speech|our hotel|my phone|the teacher|this book|the plan|the debate|"
              "the policy|the concert|the bus line|the report|the website|this town|the new manager|the coffee|"
              "the exhibition|the programme|her lecture|his answer|the campaign|the apartment|the game").split("|")
    good = ("great|nice|pleasant|helpful|useful|exciting|funny|interesting|clever|convincing|fair|clear|reliable|"
            "comfortable|honest|enjoyable|impressive|inspiring|well made|worth the money").split("|")
    bad = ("terrible|awful|unpleasant|useless|rude|unfair|confusing|ugly|unreliable|weak|silly|annoying|dreadful|"
           "tiring|stupid|poor|painful|horrible|badly made|a waste of money").split("|")
    like = "enjoy|love|admire|trust|appreciate|miss".split("|")
    hate = "dislike|regret|despise|resent|mind".split("|")
    merits = "charm|value|purpose|humour|style|heart|logic|substance".split("|")
    faults = "faults|flaws|delays|errors|weaknesses|downsides".split("|")

    def pick(words: list[str]) -> str:
        return rng.choice(words)

    def frame(kind: int, up: bool) -> str:
        """One sentence with the verdict `up`; `turn` is a word that negation turns into it, `same` one that has it."""
        thing, same, turn = pick(things), pick(good if up else bad), pick(bad if up else good)
        verb = pick(hate if up else like)
        return [
            f"{thing} is not {turn}.", f"{thing} was not {turn} at all.", f"{thing} isn't {turn}.",
            f"not {turn} in the least.",
            f"{thing} was never {turn}.", f"{thing} is anything but {turn}.", f"{thing} was far from {turn}.",
            f"{thing} is hardly {turn}.", f"i would not call {thing} {turn}.", f"nobody thought {thing} was {turn}.",
            f"there is nothing {turn} about {thing}.", f"i don't {verb} {thing}.", f"i didn't {verb} {thing} at all.",
            f"we never {verb} {thing}.", f"{thing} has no {pick(faults if up else merits)}.",
            f"{thing} had no {pick(faults if up else merits)} whatsoever.",
            f"{thing} could not be {'better' if up else 'worse'}.",
            f"{thing} could hardly have been more {pick(good[:10] if up else bad[2:10])}.",
            f"{thing} {'never fails' if up else 'fails'} to {pick(['impress', 'convince', 'please', 'help'])}.",
            f"{thing} {'does not let you down' if up else 'lets you down'}.",
            f"i could {'not ' if up else ''}have wished for a better {thing.split()[-1]}{'' if up else ' than this'}.",
            f"{thing} looked {turn}, but it was {same}.", f"i expected {thing} to be {turn}, but it was {same}.",
            f"{thing} is {turn}? no, it is {same}.", f"{thing} is {same}.", f"{thing} was really {same}.",
            f"{thing} was not only {same}, but also {pick(good if up else bad)}.",
            f"how {same}!" if " " not in same else f"simply {same}.",
            f"i {pick(like[:5] if up else hate[:4])} {thing}.",
        ][kind]

    sentences = {}
    while len(sentences) < count:
        up = rng.random() < 0.5
        sentences[frame(rng.randrange(29), up)] = float(up)
    return [(text[0].upper() + text[1:], target) for text, target in sentences.items()]


def plain(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()


def movies(data: Path) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """Movie sentences: those for training, and 800 held out; the same in every run."""
    found = labelled(data / "sentiment/movie_sentences_train.tsv")
    random.Random(17).shuffle(found)
    return found[800:], found[:800]


def read_stages(data: Path, opinions: Path, weight: float, seed: int) -> tuple[list, list]:
    """Training texts of the two stages. weight: of an opinion beside the label."""
    rng = random.Random(seed)
    clear, neutral = reddit(data)
    verdict = dict(movies(data)[0])
    second_opinions = [(text, float(chance) + (1 - weight) * (verdict.get(text, float(chance)) - float(chance)))
                       for text, chance in zip(column(opinions, "text"), column(opinions, "chance"), strict=True)]
    reviews = labelled(data / "sentiment/imdb_counterfactual_train.tsv")
    practice = grammar(1500, rng)
    tests = {plain(row["sentence"]) for row in everyday()}
    assert not tests & {plain(text) for text, _ in practice}, "a test sentence is in the practice grammar"
    opinions = labelled(data / "sentiment/pros_cons_train.tsv")
    short = [(text, target) for text, target in reviews if len(text.split()) <= 120]
    first = rng.sample(opinions, 14000) + rng.sample(clear, 8000) + rng.sample(neutral, 1500) + short + practice
    second = second_opinions + practice + rng.sample(neutral, 600) + rng.sample(clear, 1200)
    return first, second


def everyday() -> list[dict[str, str]]:
    with open(HERE / "everyday_sentiment.tsv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


# ---------------------------------------------------------------- model

class LoRA(nn.Module):
    """A frozen linear layer plus alpha / r * B A, with A random and B zero, so that it starts as the layer it wraps."""

    def __init__(self, linear: nn.Linear, r: int, alpha: int):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.scale = alpha / r
        self.A = nn.Parameter(torch.randn(r, linear.in_features) / math.sqrt(linear.in_features))
        self.B = nn.Parameter(torch.zeros(linear.out_features, r))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return self.linear(x) + F.linear(F.linear(x, self.A), self.B * self.scale)


def wrap(model: nn.Module, r: int, alpha: int) -> dict[str, LoRA]:
    """Put a LoRA around every linear layer of the encoder's blocks; returns them by their checkpoint names."""
    hub_name = their_names(model)
    model.base_model.requires_grad_(False)
    found = {}
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and ".layers." in name:
            parent, _, child = name.rpartition(".")
            found[hub_name[f"{name}.weight"].removesuffix(".weight")] = lora = LoRA(module, r, alpha)
            setattr(model.get_submodule(parent), child, lora)
    pooler = model.base_model.pooler.requires_grad_(True)
    with torch.no_grad():  # it starts by handing on what [CLS] knows
        nn.init.eye_(pooler.weight)
    return found


def checkpoint_weights(model: nn.Module, loras: dict[str, LoRA], average: dict[str, Tensor],
                       rank: int) -> dict[str, Tensor]:
    """What training has averaged, by PEFT's names: of each correction its `rank` largest singular directions, scaled."""
    model.load_state_dict(average, strict=False)
    weights = {}
    for name, lora in loras.items():
        u, s, v = torch.linalg.svd(lora.B @ lora.A * lora.scale, full_matrices=False)
        weights[f"base_model.model.{name}.lora_A.weight"] = s[:rank, None].sqrt() * v[:rank]
        weights[f"base_model.model.{name}.lora_B.weight"] = u[:, :rank] * s[:rank].sqrt()
    for ours, theirs in (("bert.pooler", "bert.pooler.dense"), ("classifier", "classifier")):
        for part, value in model.get_submodule(ours).named_parameters():
            weights[f"base_model.model.{theirs}.{part}"] = value
    return weights


def save(weights: dict[str, Tensor], training: dict, args) -> None:
    """The adapter folder, as PEFT writes it, and how the adapter was trained."""
    args.out.mkdir(parents=True, exist_ok=True)
    save_file({name: w.detach().half().contiguous() for name, w in weights.items()},
              args.out / "adapter_model.safetensors", metadata={"format": "pt"})
    (args.out / "adapter_config.json").write_text(json.dumps({
        "peft_type": "LORA", "task_type": "SEQ_CLS", "base_model_name_or_path": "pocket/encoder", "r": args.keep,
        "lora_alpha": args.keep, "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": False, "inference_mode": True,
        "target_modules": ["query", "key", "value", "intermediate.dense", "output.dense"],
        "modules_to_save": ["classifier", "pooler"]}, indent=2) + "\n")
    config = json.loads((args.encoder / "config.json").read_text())
    config |= {"architectures": ["BertForSequenceClassification"], "id2label": LABELS,
               "label2id": {label: number for number, label in LABELS.items()}}
    (args.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(args.encoder / name, args.out / name)
    _, held_out = movies(args.data)
    chances = predict(args, [text for text, _ in held_out])
    right = ((chances > 0.5).float() == torch.tensor([target for _, target in held_out])).float().mean().item()
    log.info("held-out accuracy %.4f", right)
    (args.out / "training.json").write_text(json.dumps(
        training | {"held_out_accuracy": round(right, 4), "held_out_texts": len(held_out)}, indent=2) + "\n")


# ---------------------------------------------------------------- training

def gradient(model: nn.Module, learned: dict[str, Tensor], ids: Tensor, soft: Tensor, rows: int) -> tuple[float, tuple]:
    """Loss of some texts, as their share of a batch of `rows`, and its gradient."""
    with fast_cpu():
        logits = model(input_ids=ids, attention_mask=(ids != 0).long()).logits  # (B, 2)
    loss = F.cross_entropy(logits.float(), soft, reduction="sum") / rows
    return loss.item(), torch.autograd.grad(loss, list(learned.values()))


def train(args) -> None:
    first, second = read_stages(args.data, args.opinions, args.weight, args.seed)
    torch.manual_seed(args.seed)
    tokenizer = BertTokenizerFast.from_pretrained(str(args.encoder))
    model = BertForSequenceClassification.from_pretrained(str(args.encoder), num_labels=2,
                                                          attention_probs_dropout_prob=0.0)
    loras = wrap(model, args.rank, args.alpha)
    learned = {name: p for name, p in model.named_parameters() if p.requires_grad}
    average = {name: p.detach().clone() for name, p in learned.items()}
    log.info("%.2f M of %.2f M weights are trained", sum(p.numel() for p in learned.values()) / 1e6,
             sum(p.numel() for p in model.parameters()) / 1e6)

    rows, targets, plan = [], [], []
    for number, (texts, epochs) in enumerate(((first, args.first_epochs), (second, args.second_epochs))):
        offset = len(rows)
        rows += encode(tokenizer, [text for text, _ in texts], args.length)
        targets += [target for _, target in texts]
        lengths = np.array([len(row) for row in rows[offset:]])
        for epoch in range(epochs):
            rng = np.random.default_rng([args.seed, number, epoch])
            plan += [pick + offset for pick in batches(lengths, args.tokens, rng)]
    targets = torch.tensor(targets)
    hard = torch.stack([1 - targets, targets], 1)
    soft = hard * (1 - args.smoothing) + args.smoothing / 2  # (N, 2): label smoothing keeps the scores modest
    log.info("%d + %d texts, %d steps", len(first), len(second), len(plan))

    optimizer = torch.optim.AdamW(learned.values(), lr=args.lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    pool = workers(args.threads)
    model.train()
    began, total, step = time.time(), 0.0, 0
    checkpoint = args.work / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["learned"], strict=False)
        optimizer.load_state_dict(saved["optimizer"])
        average, step = saved["average"], saved["step"]
    while step < len(plan):
        pick = plan[step]
        jobs = [pool.submit(gradient, model, learned, pad([rows[i] for i in part]), soft[part], len(pick))
                for part in np.array_split(pick, 2) if len(part)]
        loss = sum(collect(jobs, learned.values()))
        torch.nn.utils.clip_grad_norm_(learned.values(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = args.lr * min(1.0, (step + 1) / 100, 1.02 - step / len(plan))
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        with torch.no_grad():  # the average over the last steps predicts better than the last step itself
            for name, p in learned.items():
                average[name].lerp_(p, max(1 - args.average, 1 / step))
        total += loss
        if step % 100 == 0 or step == len(plan):
            log.info("step %d/%d  loss %.4f  %.1f min", step, len(plan), total / (step % 100 or 100),
                     (time.time() - began) / 60)
            total = 0.0
        if step % 500 == 0 or step == len(plan):
            torch.save({"learned": {name: p.detach() for name, p in learned.items()}, "average": average,
                        "optimizer": optimizer.state_dict(), "step": step}, checkpoint)
    save(checkpoint_weights(model, loras, average, args.keep), {
        "seed": args.seed, "steps": len(plan), "rank": args.rank, "keep": args.keep, "alpha": args.alpha,
        "smoothing": args.smoothing, "weight": round(args.weight, 3), "texts_first": len(first), "texts_second": len(second),
        "first_epochs": args.first_epochs, "second_epochs": args.second_epochs, "date": time.strftime("%Y-%m-%d")}, args)


# ---------------------------------------------------------------- scores

def predict(args, texts: list[str]) -> Tensor:
    """Chance of POSITIVE (N,), by the finished adapter as everybody loads it."""
    tokenizer = BertTokenizerFast.from_pretrained(str(args.out))
    model = BertForSequenceClassification.from_pretrained(str(args.out))
    out = torch.zeros(len(texts))
    order = np.argsort([len(text) for text in texts])
    with torch.inference_mode():
        for part in np.array_split(order, math.ceil(len(order) / 64)):
            ids = pad(encode(tokenizer, [texts[i] for i in part], 512))
            out[part] = model(input_ids=ids, attention_mask=(ids != 0).long()).logits.softmax(-1)[:, 1]
    return out


def score(args) -> dict:
    dev = labelled(args.data / "sentiment/sst2_dev.tsv")
    chances, truth = predict(args, [text for text, _ in dev]), torch.tensor([target for _, target in dev])
    right = (chances > 0.5).float() == truth
    rows = everyday()
    for row, chance in zip(rows, predict(args, [row["sentence"] for row in rows]).tolist(), strict=True):
        row["guess"] = LABELS[int(chance > 0.5)]
        row["score"] = round(max(chance, 1 - chance), 3)
    verdicts = [row for row in rows if row["label"] != "NEUTRAL"]
    neutral = [row["score"] for row in rows if row["label"] == "NEUTRAL"]
    size = sum(path.stat().st_size for path in args.out.glob("*.safetensors"))
    return {"sst2_dev_accuracy": round(right.float().mean().item(), 4), "sst2_dev_texts": len(dev),
            "sst2_dev_positive_right": round(right[truth == 1].float().mean().item(), 4),
            "sst2_dev_negative_right": round(right[truth == 0].float().mean().item(), 4),
            "everyday_right": sum(row["guess"] == row["label"] for row in verdicts), "everyday_texts": len(verdicts),
            "neutral_mean_score": round(float(np.mean(neutral)), 3),
            "mean_score": round(float(np.mean([row["score"] for row in verdicts])), 3),
            "megabytes": round(size / 1e6, 2), "everyday": rows,
            "training": json.loads((args.out / "training.json").read_text())}


def write_card(args, scores: dict) -> None:
    rows = ["| sentence | answer | score | meant |", "|---|---|---|---|"]
    for row in scores["everyday"]:
        note = "" if row["label"] in (row["guess"], "NEUTRAL") else " (wrong)"
        rows.append(f"| {row['sentence']} | {row['guess']} | {row['score']:.2f} | {row['label'].lower()}{note} |")
    card = (HERE / "sentiment_card.md").read_text(encoding="utf-8")
    (args.out / "README.md").write_text(card.format(**scores, everyday_table="\n".join(rows)), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the course's data folder (see recipes/README.md)")
    parser.add_argument("--encoder", type=Path, default=Path("course/pocket/encoder"))
    parser.add_argument("--opinions", type=Path, default=Path("build/teacher.tsv"), help="made by teacher.py")
    parser.add_argument("--weight", type=float, default=2 / 3, help="of an opinion, where there is a label too")
    parser.add_argument("--out", type=Path, required=True, help="where the finished adapter goes")
    parser.add_argument("--work", type=Path, default=Path("build/sentiment"), help="checkpoint and log")
    parser.add_argument("--evaluate", action="store_true", help="only score --out and rewrite its model card")
    parser.add_argument("--first-epochs", type=int, default=1)
    parser.add_argument("--second-epochs", type=int, default=4)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--keep", type=int, default=31, help="rank that is stored: the folder stays below 3 MB")
    parser.add_argument("--alpha", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--tokens", type=int, default=768, help="tokens in a batch")
    parser.add_argument("--length", type=int, default=128, help="longer texts are cut")
    parser.add_argument("--smoothing", type=float, default=0.1)
    parser.add_argument("--average", type=float, default=0.995)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=17)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.backends.cuda.enable_flash_sdp(False)  # see encoder.py
    args.work.mkdir(parents=True, exist_ok=True)
    log.setLevel(logging.INFO)
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S",
                        handlers=[logging.StreamHandler(), logging.FileHandler(args.work / "log.txt")])
    if not args.evaluate:
        train(args)
    scores = score(args)
    (args.out / "scores.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    write_card(args, scores)
    log.info("%s", json.dumps({name: value for name, value in scores.items() if name != "everyday"}, indent=2))


if __name__ == "__main__":
    main()
