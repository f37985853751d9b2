"""What the recipes share: reading texts, the guard against leaks, LoRA, one training loop, scores with errors, the card.

LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685) leaves every matrix W of the encoder as it is and learns a
correction of low rank, W + alpha / r * B A. Only A, B and the head are stored, in the file format of the library PEFT.
"""
import argparse
import csv
import json
import logging
import math
import re
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from course import BertForSequenceClassification, BertTokenizerFast
from course.checkpoint import their_names
from recipes.squad import squad

log = logging.getLogger("recipes")
HERE = Path(__file__).parent
POCKET = HERE.parent / "course" / "pocket"
PAD = 0


# ---------------------------------------------------------------- texts

def column(path: Path, name: str) -> list[str]:
    """One column of a .csv or .tsv file."""
    return [row[name] for row in table(path) if row[name]]


def table(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        if path.suffix == ".tsv":
            return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        return list(csv.DictReader(file))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in open(path, encoding="utf-8")]


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])[\"'”’)]*\s+(?=[\"'“‘(A-Z])", re.sub(r"\s+", " ", text).strip())


def conll(path: Path) -> list[tuple[list[str], list[str]]]:
    """Sentences of a file with one word and its tag a line: words, tags."""
    out: list[tuple[list[str], list[str]]] = [([], [])]
    for line in path.read_text(encoding="utf-8").splitlines():
        parts = line.split()
        if len(parts) > 1:
            out[-1][0].append(re.sub("^en:", "", parts[0]) or parts[0])
            out[-1][1].append(parts[-1])
        elif out[-1][0]:
            out.append(([], []))
    return [sentence for sentence in out if sentence[0]]


# ---------------------------------------------------------------- the guard

def grams(text: str) -> frozenset[tuple[str, ...]]:
    """Its word 4-grams; of a shorter text all its words as one."""
    words = re.findall(r"\w+", text.lower())
    return frozenset(zip(*(words[i:] for i in range(4)), strict=False)) or frozenset([tuple(words)])


class Leak(Exception):
    """A training text overlaps with a text that is kept for evaluation."""


class Guard:
    """Compares training texts with evaluation texts by word 4-grams. Two texts overlap when
    - half of their 4-grams are shared (Jaccard), or
    - one is a part of the other: `contained` of the 4-grams of the shorter, which has at least `least` of them."""

    def __init__(self, held_out: dict[str, Iterable[str]], jaccard: float = 0.5, contained: float = 0.8, least: int = 4):
        self.jaccard, self.contained, self.least = jaccard, contained, least
        self.texts = [(name, text, grams(text)) for name, source in held_out.items() for text in dict.fromkeys(source)]
        self.index: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for number, (_, text, found) in enumerate(self.texts):
            if re.search(r"\w", text):
                for gram in found:
                    self.index[gram].append(number)

    def overlap(self, text: str) -> tuple[str, str] | None:
        """(name of the evaluation set, its text) that `text` overlaps with, or None."""
        ours = grams(text)
        shared = Counter(number for gram in ours for number in self.index.get(gram, ()))
        for number, n in shared.items():
            name, other, theirs = self.texts[number]
            shorter = min(len(ours), len(theirs))
            if n >= self.jaccard * (len(ours) + len(theirs) - n) or shorter >= self.least and n >= self.contained * shorter:
                return name, other
        return None

    def clean(self, rows: Sequence, texts: Callable[[Any], Iterable[str]] = lambda row: (row,), source: str = "") -> list:
        """The rows without those that overlap, whose number is noted. texts: of a row."""
        known: dict[str, bool] = {}
        for text in {text for row in rows for text in texts(row)}:
            known[text] = self.overlap(text) is None
        kept = [row for row in rows if all(known[text] for text in texts(row))]
        if len(kept) < len(rows):
            log.info("%s: %d of %d rows overlap with evaluation texts: left out", source, len(rows) - len(kept), len(rows))
        return kept

    def check(self, texts: Iterable[str]) -> None:
        """Raises Leak for the first text that overlaps: called by `train` before the first step of every run."""
        for text in dict.fromkeys(texts):
            if found := self.overlap(text):
                raise Leak(f"the training text {text[:200]!r} overlaps with {found[1][:200]!r} of {found[0]}, which is kept "
                           "for evaluation. Leave it out (Guard.clean) or mend the data")


def evaluation_texts(data: Path) -> dict[str, list[str]]:
    """Every text of the data folder that scores are computed on."""
    def long_lines(name: str) -> list[str]:
        return [line for line in (data / name).read_text(encoding="utf-8").splitlines() if len(line) > 40]

    qa = squad(data / "qa/squad_dev.json")
    speeches = [row["text"] for row in lines(data / "text/state_of_the_union.jsonl")]
    return {
        "sst2_dev": column(data / "sentiment/sst2_dev.tsv", "text"),
        "stsb_dev": [text for part in ("sentence1", "sentence2") for text in column(data / "similarity/stsb_dev.tsv", part)],
        "wikigold_dev": [" ".join(words) for words, _ in conll(data / "ner/wikigold_dev.conll")],
        "wnut17_dev": [" ".join(words) for words, _ in conll(data / "ner/wnut17_dev.conll")],
        "squad_dev": [row["context"] for row in qa] + [row["question"] for row in qa],
        "tatoeba_dev": column(data / "translation/tatoeba_en_de_dev.tsv", "en"),
        "manifestos_2005": column(data / "social/uk_manifestos_policy_area_dev_2005.csv", "sentence_text"),
        "scitldr_dev": [" ".join(row["source"]) for row in lines(data / "summarization/scitldr_dev.jsonl")],
        "wikitext2_valid": long_lines("text/wikitext2_valid.txt"), "fairytales_valid": long_lines("text/fairytales_valid.txt"),
        "state_of_the_union, last tenth": [part for speech in speeches[-len(speeches) // 10:]
                                           for part in speech.split("\n") if len(part) > 40],
        "local_life": column(HERE.parent / "datasets/local_life.csv", "answer"),
        "everyday": [value for path in sorted(HERE.glob("everyday_*.tsv")) for row in table(path)
                     for key, value in row.items() if key not in ("expected", "sensible", "label")],
    }


# ---------------------------------------------------------------- batches

def encode(tokenizer, texts: Sequence[str], limit: int, pairs: Sequence[str] | None = None) -> list[list[int]]:
    return tokenizer(list(texts), *([list(pairs)] if pairs else []), truncation=True, max_length=limit)["input_ids"]


def batches(lengths: np.ndarray, tokens: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Random batches of about `tokens` tokens whose texts have nearly the same length, so that little is padding."""
    order = rng.permutation(len(lengths))
    out = []
    for pool in np.array_split(order, max(1, len(order) // 4096)):
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        start = 0
        while start < len(pool):
            rows = start + 1
            while rows < len(pool) and lengths[pool[rows]] * (rows + 1 - start) <= tokens:
                rows += 1
            out.append(pool[start:rows])
            start = rows
    return [out[i] for i in rng.permutation(len(out))]


def in_parts(ids: Sequence[Sequence[int]], parts: Sequence[np.ndarray], args: argparse.Namespace) -> list[np.ndarray]:
    """The plan of a run that reads one part of the rows after the other, each in batches of about args.tokens tokens."""
    lengths = np.array([len(row) for row in ids])
    return [part[pick] for number, part in enumerate(parts)
            for pick in batches(lengths[part], args.tokens, np.random.default_rng([args.seed, number]))]


def pad(rows: Sequence[Sequence[int]], value: int = PAD) -> Tensor:
    ids = torch.full((len(rows), max(map(len, rows))), value)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids


def model_inputs(rows: Sequence[Sequence[int]], sep: int = 3) -> dict[str, Tensor]:
    """Padded ids of texts or pairs, with the attention mask and the number of the text (0, 1) that a token belongs to."""
    ids = pad(rows)
    ends = (ids == sep).long()
    second = (ends.cumsum(1) - ends > 0) & (ids != PAD)
    return {"input_ids": ids, "attention_mask": (ids != PAD).long(), "token_type_ids": second.long()}


def new_model(kind, begin: str = "", **options) -> nn.Module:
    """A model over pocket/encoder with a new head, or the finished adapter in the folder `begin`, to be trained further.
    Texts are read once or a few times: dropout would only cost time."""
    return kind.from_pretrained(begin or str(POCKET / "encoder"), hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
                                **options)


def tokenizer(folder: Path = POCKET / "encoder") -> BertTokenizerFast:
    return BertTokenizerFast.from_pretrained(str(folder))


def predict(model: nn.Module, ids: Sequence[Sequence[int]], read: Callable[[int, dict, Any, int], None]) -> None:
    """Runs a finished model over all rows in batches and calls read(number of the row, inputs, output, place in its batch)
    for each."""
    model.float().eval()
    for pick in batches(np.array([len(row) for row in ids]), 4096, np.random.default_rng(0)):
        inputs = model_inputs([ids[i] for i in pick])
        with torch.inference_mode():
            output = model(**inputs)
        for place, i in enumerate(pick):
            read(i, inputs, output, place)


def chances(folder: Path, texts: Sequence[str], seconds: Sequence[str] | None = None) -> np.ndarray:
    """Of the labels of a finished classifier, for texts or pairs (N, labels), as everybody loads it."""
    model = BertForSequenceClassification.from_pretrained(str(folder))
    out = np.zeros((len(texts), model.config.num_labels))

    def read(i: int, inputs: dict, output: Any, place: int) -> None:
        out[i] = output.logits[place].softmax(-1).numpy()

    predict(model, encode(tokenizer(folder), texts, 512, seconds), read)
    return out


# ---------------------------------------------------------------- LoRA

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


def wrap(model: nn.Module, r: int, alpha: int, frozen: int = 0) -> dict[str, LoRA]:
    """Put a LoRA around every linear layer of the encoder's blocks from number `frozen` on (those below need no backward
    pass, which saves a good part of a step); returns them by their checkpoint names."""
    hub_name = their_names(model)
    model.base_model.requires_grad_(False)
    found = {}
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and ".layers." in name and int(name.split(".layers.")[1].split(".")[0]) >= frozen:
            parent, _, child = name.rpartition(".")
            found[hub_name[f"{name}.weight"].removesuffix(".weight")] = lora = LoRA(module, r, alpha)
            setattr(model.get_submodule(parent), child, lora)
    pooler = getattr(model.base_model, "pooler", None)
    if pooler is not None:
        pooler.requires_grad_(True)
        if not pooler.bias.any():  # a new one starts by handing on what [CLS] knows
            with torch.no_grad():
                nn.init.eye_(pooler.weight)
    return found


HEADS = {"BertForSequenceClassification": ("SEQ_CLS", {"bert.pooler": "bert.pooler.dense", "classifier": "classifier"}),
         "BertForTokenClassification": ("TOKEN_CLS", {"classifier": "classifier"}),
         "BertForQuestionAnswering": ("QUESTION_ANS", {"qa_outputs": "qa_outputs"})}


def save_adapter(model: nn.Module, loras: dict[str, LoRA], args: argparse.Namespace, labels: Sequence[str] = (),
                 **training: object) -> None:
    """The adapter folder, as PEFT writes it: of each correction its `keep` largest singular directions, and the head;
    training.json says how it was made."""
    encoder, out, keep = POCKET / "encoder", args.out, args.keep
    task, heads = HEADS[type(model).__name__]
    weights, before = {}, load_file(encoder / "model.safetensors")
    for name, lora in loras.items():
        change = lora.linear.weight + lora.B @ lora.A * lora.scale - before[f"{name}.weight"].float()
        u, s, v = torch.linalg.svd(change.detach(), full_matrices=False)
        weights[f"base_model.model.{name}.lora_A.weight"] = s[:keep, None].sqrt() * v[:keep]
        weights[f"base_model.model.{name}.lora_B.weight"] = u[:, :keep] * s[:keep].sqrt()
    for ours, theirs in heads.items():
        for part, value in model.get_submodule(ours).named_parameters():
            weights[f"base_model.model.{theirs}.{part}"] = value
    out.mkdir(parents=True, exist_ok=True)
    save_file({name: w.detach().half().contiguous() for name, w in weights.items()},
              out / "adapter_model.safetensors", metadata={"format": "pt"})
    write_json(out / "adapter_config.json", {
        "peft_type": "LORA", "task_type": task, "base_model_name_or_path": "pocket/encoder", "r": keep,
        "lora_alpha": keep, "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": False, "inference_mode": True,
        "target_modules": ["query", "key", "value", "intermediate.dense", "output.dense"],
        "layers_to_transform": sorted({int(name.split(".layer.")[1].split(".")[0]) for name in loras}),
        "modules_to_save": [ours.removeprefix("bert.") for ours in heads][::-1]})
    config = json.loads((encoder / "config.json").read_text()) | {"architectures": [type(model).__name__]}
    if labels:
        config |= {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    write_json(out / "config.json", config)
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(encoder / name, out / name)
    kept = ("rank", "keep", "alpha", "frozen", "lr", "tokens", "length", "minutes", "seed")
    write_json(out / "training.json", {name: getattr(args, name) for name in kept} | training
               | {"date": time.strftime("%Y-%m-%d")}
               | earlier(args))


def earlier(args: argparse.Namespace) -> dict:
    """How the model was made that a run begins with."""
    return {"before": json.loads((Path(args.begin) / "training.json").read_text())} if args.begin else {}


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


# ---------------------------------------------------------------- training

def train(model: nn.Module, plan: Sequence, loss: Callable[[Any], Tensor], args, guard: Guard,
          texts: Iterable[str], optimizer: torch.optim.Optimizer | None = None) -> int:
    """AdamW, unless another optimizer is given, over the batches of `plan`, loss(batch) each, after the guard has seen all
    `texts`; the number of steps done, fewer than planned where --minutes ended it (the rate falls to zero by then). The same
    command goes on from the last checkpoint in args.work; at the end the model holds the average of the last steps, which
    predicts better than the last step itself."""
    guard.check(texts)
    learned = {name: p for name, p in model.named_parameters() if p.requires_grad}
    average = {name: p.detach().clone() for name, p in learned.items()}
    log.info("%.2f M of %.2f M weights are trained, %d steps", sum(p.numel() for p in learned.values()) / 1e6,
             sum(p.numel() for p in model.parameters()) / 1e6, len(plan))
    optimizer = optimizer or torch.optim.AdamW(learned.values(), lr=args.lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    step, total, seen, spent, done = 0, 0.0, 0, 0.0, 0.0
    args.work.mkdir(parents=True, exist_ok=True)
    checkpoint = args.work / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        if saved["steps"] != len(plan):
            raise SystemExit(f"{checkpoint} belongs to a run of {saved['steps']} steps, this one has {len(plan)}: "
                             "give it a --work of its own, or delete the checkpoint")
        model.load_state_dict(saved["learned"], strict=False)
        optimizer.load_state_dict(saved["optimizer"])
        average, step, spent = saved["average"], saved["step"], saved["spent"]
        log.info("going on from step %d", step)
    model.train()
    noted = kept = time.time()
    began = noted - spent
    while step < len(plan) and done < 1:
        value = loss(plan[step])
        value.backward()
        nn.utils.clip_grad_norm_(learned.values(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = args.lr * min(1.0, (step + 1) / args.warm, 1.02 - done)
        optimizer.step()
        optimizer.zero_grad()
        step, total, seen = step + 1, total + value.item(), seen + 1
        with torch.no_grad():
            for name, p in learned.items():
                average[name].lerp_(p, max(0.005, 1 / step))
        now = time.time()
        done = max(step / len(plan), (now - began) / 60 / args.minutes if args.minutes else 0)
        last = done >= 1
        if now - noted > 30 or last:
            log.info("step %d/%d  loss %.4f  %.1f min", step, len(plan), total / seen, (now - began) / 60)
            noted, total, seen = now, 0.0, 0
        if now - kept > 120 or last:
            torch.save({"learned": {name: p.detach() for name, p in learned.items()}, "average": average,
                        "optimizer": optimizer.state_dict(), "step": step, "steps": len(plan), "spent": now - began},
                       checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
            kept = now
    model.load_state_dict(average, strict=False)
    model.eval()
    return step


def learn(kind, labels: Sequence[str], ids: Sequence[Sequence[int]], parts: Sequence[np.ndarray],
          loss: Callable[[Any, np.ndarray], Tensor], args: argparse.Namespace, guard: Guard, texts: Iterable[str],
          **training: object) -> None:
    """Train an adapter and write its folder. parts: one after another, the numbers of the rows (of `ids`) to be read, each in
    batches of about args.tokens tokens; loss(output, numbers) of a batch; training: what else training.json is to say."""
    plan = in_parts(ids, parts, args)
    model = new_model(kind, args.begin, **({"num_labels": len(labels)} if labels else {}))
    loras = wrap(model, args.rank, args.alpha, args.frozen)
    steps = train(model, plan, lambda pick: loss(model(**model_inputs([ids[i] for i in pick])), pick), args, guard, texts)
    save_adapter(model, loras, args, labels, **training, steps=steps, planned=len(plan), read=sum(map(len, plan[:steps])))


# ---------------------------------------------------------------- scores and the card

def sample(rows: Sequence, most: int) -> list:
    """At most so many of the rows, the same in every run, where scoring all would take long."""
    return [rows[i] for i in np.sort(np.random.default_rng(0).permutation(len(rows))[:most])]


def mean_and_error(values: Iterable[float]) -> list[float]:
    """The mean of single results and its standard error."""
    found = np.asarray(list(values), dtype=float)
    return [round(float(found.mean()), 4), round(float(found.std() / math.sqrt(len(found))), 4)]


def bootstrap(score: Callable[[np.ndarray], float], n: int, times: int = 200) -> list[float]:
    """score(numbers of the items), of all n items, and its standard error: the spread over samples with replacement."""
    rng = np.random.default_rng(0)
    again = [score(rng.integers(n, size=n)) for _ in range(times)]
    return [round(float(score(np.arange(n))), 4), round(float(np.std(again)), 4)]


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    def ranks(values: np.ndarray) -> np.ndarray:
        _, place, count = np.unique(values, return_inverse=True, return_counts=True)
        return (np.cumsum(count) - (count - 1) / 2)[place]
    return float(np.corrcoef(ranks(x), ranks(y))[0, 1])


def everyday(name: str, answer: Callable[[list[dict]], list[str]],
             same: Callable[[str, str], bool] = str.__eq__) -> list[dict]:
    """The rows of everyday_NAME.tsv, written before the first result was seen, with the model's answers."""
    rows = table(HERE / f"everyday_{name}.tsv")
    return [row | {"answer": found, "right": same(found, row["expected"])}
            for row, found in zip(rows, answer(rows), strict=True)]


def everyday_table(rows: list[dict]) -> str:
    """The rows as a table; what was wrong is said."""
    names = [name for name in rows[0] if name != "right"]
    return "\n".join(["| " + " | ".join([*names, ""]) + " |", "|---" * (len(names) + 1) + "|"]
                     + ["| " + " | ".join([*(row[name] for name in names), "" if row["right"] else "**wrong**"]) + " |"
                        for row in rows])


def write_card(name: str, folder: Path, scores: dict) -> None:
    """scores.json, and README.md from recipes/cards/NAME.md: no figure on a card is typed."""
    write_json(folder / "scores.json", scores)
    (folder / "README.md").write_text(card(name, folder), encoding="utf-8")


def with_errors(value: Any) -> Any:
    """Scores [value, error] as '0.812 ± 0.004', wherever they stand."""
    if isinstance(value, dict):
        return {key: with_errors(part) for key, part in value.items()}
    pair = isinstance(value, list) and len(value) == 2 and all(isinstance(x, float) for x in value)
    return f"{value[0]:.3f} ± {value[1]:.3f}" if pair else value


def card(name: str, folder: Path) -> str:
    """The model card that follows from scores.json and training.json. A score [value, error] reads '0.812 ± 0.004'."""
    found = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    rows = found.pop("everyday", [])
    training = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    runs, run = [], training.pop("before", None)
    while run:
        runs, run = [f"{run['steps']:,} steps (`--minutes {run['minutes']:g}`, seed {run['seed']})", *runs], run.get("before")
    before = f"A first run of {', then '.join(runs)}, then from there (`--begin`) " if runs else ""
    for key, counts in training.items():
        if isinstance(counts, dict):
            training[key] = " · ".join(f"{source} {n:,}" for source, n in counts.items())
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors")) / 1e6
    wrong = [" · ".join(f"{value}" for key, value in row.items() if key not in ("right", "expected", "answer"))
             + f" → *{row['answer']}*, expected *{row['expected']}*" for row in rows if not row["right"]]
    return (HERE / "cards" / f"{name}.md").read_text(encoding="utf-8").format(
        **with_errors(found), training=training, before=before, megabytes=size,
        everyday_right=len(rows) - len(wrong), everyday_texts=len(rows),
        everyday_table=everyday_table(rows) if rows else "", wrong="\n".join(f"- {line}" for line in wrong[:3]))


# ---------------------------------------------------------------- command line

def arguments(doc: str, name: str, **defaults: object) -> argparse.Namespace:
    """The options that every recipe has. defaults: of a recipe; further names become options of their own."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the course's data folder (see recipes/README.md)")
    parser.add_argument("--out", type=Path, default=POCKET / name, help="where the finished model goes")
    parser.add_argument("--work", type=Path, default=Path("build") / name, help="checkpoint and log")
    parser.add_argument("--evaluate", action="store_true", help="only score --out and rewrite its model card")
    options = {"rank": 32, "keep": 32, "alpha": 64, "frozen": 2, "lr": 1e-3, "tokens": 1024, "length": 128, "warm": 60,
               "minutes": 0.0, "begin": "", "threads": 1, "seed": 17} | defaults
    for option, value in options.items():
        many = {"nargs": "+", "type": type(value[0])} if isinstance(value, list) else {"type": type(value)}
        parser.add_argument(f"--{option}", default=value, **many)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.work.mkdir(parents=True, exist_ok=True)
    log.setLevel(logging.INFO)
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S",
                        handlers=[logging.StreamHandler(), logging.FileHandler(args.work / "log.txt")])
    return args


def run(doc: str, name: str, fit: Callable[[argparse.Namespace], None], score: Callable[[Path, Path], dict],
        **defaults: object) -> None:
    """The program of a recipe: train, score, write the card."""
    args = arguments(doc, name, **defaults)
    if not args.evaluate:
        fit(args)
    scores = score(args.data, args.out)
    log.info("%s", json.dumps(scores, ensure_ascii=False))
    write_card(name, args.out, scores)
