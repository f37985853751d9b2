"""A model elsewhere: written for programs without Python or torch, run again there, and compared, before it counts as done.

    course export pocket/sentiment --to onnx --int8
    course export pocket/sentiment --to all             every target whose library is installed, in one table

The targets onnx, tflite, executorch and coreml are in runtimes.py; browser, a page that needs no Python, is in browser.py.
"""

import argparse
import csv
import logging
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course import hub
from course.config import model_type_of, read_config
from course.models.auto import class_for
from course.nn.cache import KeyValueCache, LayerCache
from course.runtimes import INT8, KINDS, TARGETS, Run, fit, need

LABELS = 0.99                                           # share of labels that rounded weights must keep
Row = dict[str, Any]                                    # of the table


class Encoder(nn.Module):
    """A model that reads, with or without head: tensors in, a tuple of tensors out."""

    def __init__(self, model: Any, names: list[str]):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """(B, T) each."""
        return tuple(self.model(**dict(zip(self.names, inputs, strict=True)), output_hidden_states=False,
                                output_attentions=False, return_dict=True).values())


class Decoder(nn.Module):
    """A model that writes: keys and values of earlier tokens are inputs, those of all tokens outputs."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        """(B, T), (B, S), (B, T), (B, H, S - T, d)… -> logits (B, T, V), (B, H, S, d)…"""
        cache = KeyValueCache(0)
        cache.layers = [Grown(k, v) for k, v in zip(past[::2], past[1::2], strict=True)]
        logits = self.model(input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids,
                            past_key_values=cache, use_cache=True, return_dict=True).logits
        return logits, *(x for layer in cache.layers for x in (layer.keys, layer.values))


class Grown(LayerCache):
    """A cache without room to spare: what an exported graph can express."""

    def __init__(self, keys: Tensor, values: Tensor):
        super().__init__()
        self.keys, self.values, self.length = keys, values, keys.shape[2]

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        self.keys, self.values = torch.cat([self.keys, k], 2), torch.cat([self.values, v], 2)
        self.length = self.keys.shape[2]
        return self.keys, self.values


class Subject:
    """What is exported: a model, its tokenizer, and real texts on which it is judged."""

    def __init__(self, name: str, texts: list[str] | None = None):
        from course.tokenizers.auto import AutoTokenizer
        settings = read_config(name)
        kind, wanted = model_type_of(name, settings), (settings.get("architectures") or ["Model"])[0]
        if kind not in KINDS:
            raise ValueError(f"{name} is a {kind} model; exported are {', '.join(KINDS)}: encoders with their heads, and GPT-2")
        ending = re.sub(r"^(DistilBert|Bert|Roberta|GPT2)", "", wanted)
        self.model = class_for(kind, ending).from_pretrained(name).eval().float()
        self.tokenizer = AutoTokenizer.from_pretrained(name)
        self.name, self.writes, self.task = str(name), ending == "LMHeadModel", ending
        self.texts = real_texts() if texts is None else list(texts)
        if not self.texts:
            raise ValueError("texts is empty: an export is judged on texts; leave it out for those of the course's own survey")
        self.longest = min(128, self.model.config.max_position_embeddings - 2)                # tokens, where a range is asked
        layers = range(self.model.config.num_hidden_layers)
        if self.writes:
            self.module: nn.Module = Decoder(self.model)
            self.inputs = ["input_ids", "attention_mask", "position_ids",
                           *(f"past_key_values.{n}.{part}" for n in layers for part in ("key", "value"))]
            self.outputs = ["logits", *(f"present.{n}.{part}" for n in layers for part in ("key", "value"))]
        else:
            self.inputs = list(self.tokenizer("a", return_tensors="pt"))
            self.module = Encoder(self.model, self.inputs)
            with torch.no_grad():
                self.outputs = self.model(**self.tokenizer("a", return_tensors="pt"), return_dict=True).keys()
        self.module.eval()
        self.axes: dict[str, dict[int, str]] = {name: {0: "batch", 1: "length"} for name in self.inputs}
        for name in (*self.inputs, *self.outputs):
            if name.startswith(("past_", "present.")):
                self.axes[name] = {0: "batch", 2: "past" if name.startswith("past_") else "all"}
            elif name == "attention_mask" and self.writes:
                self.axes[name] = {0: "batch", 1: "all"}
            elif name in self.outputs:
                self.axes[name] = {0: "batch"} | ({1: "length"} if self.each_token(name) else {})

    def each_token(self, name: str) -> bool:
        return not (name in ("pooler_output", "seq_relationship_logits") or name.startswith("present.")
                    or name == "logits" and self.task in ("ForSequenceClassification", "ForNextSentencePrediction"))

    def batch(self, texts: list[str], length: int = 64, past: int = 0) -> dict[str, Tensor]:
        """The model's inputs for these texts; for a decoder the tokens after the first `past`, and what it knows of those."""
        if self.writes:
            rows = self.tokenizer(texts)["input_ids"]
            ids = torch.tensor([row[:min(length, *map(len, rows))] for row in rows])              # (B, S), without padding
            past = min(past, ids.shape[1] - 1)
            positions, heads = torch.arange(ids.shape[1]), self.model.config.num_attention_heads
            memory = [torch.zeros(len(ids), heads, 0, self.model.config.hidden_size // heads) for _ in self.inputs[3:]]
            for piece in (slice(0, past), slice(past, None)) if past else (slice(None),):
                given = (ids[:, piece], torch.ones_like(ids[:, :piece.stop]), positions[piece].repeat(len(ids), 1), *memory)
                if piece.start == 0:
                    with torch.no_grad():
                        memory = list(self.module(*given)[1:])
            return dict(zip(self.inputs, given, strict=True))
        pair = (["What do they speak of?"] * len(texts), texts) if self.task == "ForQuestionAnswering" else (texts,)
        found = dict(self.tokenizer(*pair, padding=True, truncation=True, return_tensors="pt", max_length=min(
            length, self.longest)))
        if self.task == "ForMaskedLM":
            for ids, mask in zip(found["input_ids"], found["attention_mask"], strict=True):
                ids[mask.nonzero()[len(mask.nonzero()) // 2]] = self.tokenizer.mask_token_id      # a gap in the middle
        return found

    def labels(self, outputs: Iterable[np.ndarray], inputs: dict[str, np.ndarray]) -> np.ndarray:
        """What the outputs say: classes, words, places; empty for a body without a head."""
        real = real_tokens(inputs)
        where = inputs["input_ids"] == self.tokenizer.mask_token_id if self.task == "ForMaskedLM" else real
        found = [np.zeros(0, int)]
        for name, x in zip(self.outputs, outputs, strict=True):
            if name in ("start_logits", "end_logits"):
                found.append(np.where(real, x, -np.inf).argmax(1))
            elif name.endswith("logits"):
                best = x.argmax(-1)
                found.append(best[where] if self.each_token(name) else best)
        return np.concatenate(found)

    def answers(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """What torch says, on one thread, as the runtimes do."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                return [x.numpy() for x in self.module(*(torch.from_numpy(inputs[name]) for name in self.inputs))]
        finally:
            torch.set_num_threads(threads)


def real_tokens(inputs: dict[str, np.ndarray]) -> np.ndarray:
    """True for tokens, False for padding (B, T)."""
    return inputs["attention_mask"][:, -inputs["input_ids"].shape[1]:] == 1


def real_texts(number: int = 200) -> list[str]:
    """Answers of the course's own survey."""
    with open(hub.DATASETS / "local_life.csv", encoding="utf-8", newline="") as file:
        return [row["answer"] for row in csv.DictReader(file) if row["language"] == "en" and len(row["answer"]) > 40][:number]


# -- judging and writing ----------------------------------------------------------------------------------------------------


def measure(subject: Subject, run: Run, batches: list[dict[str, np.ndarray]],
            truth: list[list[np.ndarray]]) -> dict[str, float]:
    """{"difference": the largest to torch, "labels": share that agrees (NaN without a head), "ms": one thread's for a text}."""
    largest, said = 0.0, []
    for inputs, expected in zip(batches, truth, strict=True):
        found = run(inputs)
        real = real_tokens(inputs)
        for name, x, y in zip(subject.outputs, found, expected, strict=True):
            apart = np.abs(x - y)
            largest = max(largest, float((apart[real] if subject.each_token(name) else apart).max()))
        said.append(subject.labels(found, inputs) == subject.labels(expected, inputs))
    agreed, singles, times = np.concatenate(said), [b for b in batches if len(b["input_ids"]) == 1], []
    for inputs in singles[:8] * 3:
        began = time.thread_time()
        run(inputs)
        times.append(1000 * (time.thread_time() - began))
    return {"difference": largest, "labels": float(agreed.mean()) if agreed.size else float("nan"),
            "ms": statistics.median(times)}


def trial(subject: Subject) -> list[dict[str, np.ndarray]]:
    """The texts in batches of several sizes and lengths, single ones first."""
    sizes = (1,) * 8 + (2, 5) + (8,) * 24
    starts = [sum(sizes[:n]) for n in range(len(sizes))]
    chosen = [subject.texts[start:start + size] for start, size in zip(starts, sizes, strict=True)]
    batches = [subject.batch(some) for some in chosen if some]
    if subject.writes:
        batches = batches[:14] + [subject.batch(chosen[n], past=past) for n, past in ((8, 4), (9, 9)) if chosen[n]]
    return [{name: x.numpy() for name, x in batch.items()} for batch in batches]


def export(name: str, to: str = "onnx", int8: bool = False, folder: str | Path | None = None, texts: list[str] | None = None,
           labels: float = LABELS) -> list[Row]:
    """Writes a model into a new folder for another program, with its tokenizer, config and a README, and returns the rows of
    the table that compares it: {"model", "MB", "ms", "difference", "labels"}, and "why" something was not run or not written.

    to: onnx, tflite, executorch, coreml; or all: a folder for each of them whose library is installed. int8: where that exists;
    labels: the share that int8 must keep. The folder appears when the exported model has answered as torch does, on batches of
    several sizes and lengths. Raises ValueError, FileExistsError, OSError or ImportError with the cure; then nothing is left.
    """
    if to not in (*TARGETS, "all"):
        raise ValueError(f"there is no target {to!r}; there are {', '.join(TARGETS)}, all and browser")
    if int8 and to not in (*INT8, "all"):
        raise ValueError(f"int8 exists for {' and '.join(INT8)}; leave --int8 out for {to}")
    target = Path(folder or f"{Path(name).name}-{to}{'-int8' * int8}").expanduser()
    wanted, kind, missing = [to] if to != "all" else list(TARGETS), model_type_of(name, read_config(name)), list[Row]()
    for one in list(wanted):
        try:
            fit(one, kind)
            need(one)
        except (ImportError, ValueError) as error:
            if to != "all":
                raise
            wanted.remove(one)
            missing.append({"model": one, "MB": None, "why": f"not written: {error}"})
    if not wanted:
        raise ImportError("nothing can be written here. " + " ".join(f"{row['model']} is {row['why']}." for row in missing))
    with writing(target) as made:
        subject = Subject(name, texts)
        weights = subject.model.get_memory_footprint()
        if (free := shutil.disk_usage(made).free) < (room := (2 + len(wanted)) * weights):
            raise OSError(f"{target.parent} has {free / 1e6:.0f} MB left, and about {room / 1e6:.0f} are needed for a "
                          "while: make room, or choose another place with -o")
        inputs = trial(subject)
        truth = [subject.answers(batch) for batch in inputs]
        rows = [{"model": "torch, float32", "MB": weights / 1e6, **measure(subject, subject.answers, inputs, truth)}]
        for one in wanted:
            place = made if to != "all" else made / one
            place.mkdir(exist_ok=True)
            for rounded in (False, True)[:1 + (int8 and one in INT8)]:
                path, run = TARGETS[one].write(subject, place, rounded)
                row = {"model": f"{one}, {'int8' if rounded else 'float32'}", "MB": size_of(path) / 1e6}
                rows.append(row | ({"why": "written, and not run: that needs a Mac"} if run is None else
                                   measure(subject, run, inputs, truth)))
                if run is not None:
                    judge(rows[-1], rounded, labels, max(float(np.abs(x).max()) for x in truth[-1]))
            subject.tokenizer.save_pretrained(place)
            subject.model.config.save_pretrained(place)
            hub.write_text(place / "README.md", readme(subject, path.name, [rows[0], *(
                row for row in rows if row["model"].startswith(f"{one},"))]))
    return rows + missing


def judge(row: dict[str, Any], rounded: bool, labels: float, scale: float) -> None:
    """Raises ValueError for an export that does not answer as the model does."""
    if not rounded and not row["difference"] <= 1e-4 * max(1.0, scale):
        raise ValueError(f"{row['model']} differs from torch by {row['difference']:.2g}, which is more than rounding: nothing "
                         "was written. Please report it with the name of the model")
    if rounded and row["labels"] < labels:
        raise ValueError(f"int8 kept {row['labels']:.1%} of the labels, fewer than {labels:.1%}: nothing was written. Leave "
                         f"--int8 out, or allow it with --labels {int(row['labels'] * 100) / 100}")


class writing:
    """`with writing(folder) as made:` the folder appears under its name when nothing went wrong, else not at all."""

    def __init__(self, target: Path):
        self.target = target

    def __enter__(self) -> Path:
        if self.target.exists():
            raise FileExistsError(f"{self.target} is there already: delete it, or choose another place with -o")
        self.target.parent.mkdir(parents=True, exist_ok=True)
        start = f".part-{self.target.name}-"
        for old in self.target.parent.iterdir():        # left by a process that was killed; a younger one may be at work still
            if old.name.startswith(start) and old.is_dir() and time.time() - old.stat().st_mtime > 3600:
                shutil.rmtree(old, ignore_errors=True)
        self.made = Path(tempfile.mkdtemp(dir=self.target.parent, prefix=start))
        return self.made

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.made.chmod(0o755)                      # mkdtemp makes folders that only their owner may read
            self.made.rename(self.target)
        else:
            shutil.rmtree(self.made, ignore_errors=True)


def size_of(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if path.is_dir() else path.stat().st_size


def table(rows: list[Row]) -> str:
    """The comparison as text, a Markdown table as well; below it what was not written, or not run, and why."""
    def cell(row: Row, name: str, form: str) -> str:
        value = row.get(name)
        return ("not run" if row["MB"] else "not written") if value is None else "-" if value != value else format(value, form)

    lines = ["| model | MB | ms a text | largest difference | labels agreed |", "|---|---:|---:|---:|---:|"]
    lines += [f"| {r['model']} | {cell(r, 'MB', '.1f')} | {cell(r, 'ms', '.1f')} | {cell(r, 'difference', '.1e')} | "
              f"{cell(r, 'labels', '.1%')} |" for r in rows]
    return "\n".join([*lines, *(f"\n{r['model']}: {r['why']}" for r in rows if "why" in r)])


def readme(subject: Subject, file: str, rows: list[Row]) -> str:
    return (f"# {subject.name}, exported\n\n`{file}`: {type(subject.model).__name__}, written by `course export`.\n\n"
            f"inputs: {', '.join(subject.inputs)}\n\noutputs: {', '.join(subject.outputs)}\n\n{table(rows)}\n\n"
            f"Compared with torch on {len(subject.texts)} texts of at most 64 tokens; times are those of one thread. "
            "Whoever runs it elsewhere has to cut texts as the files of the tokenizer say.\n")


def main(argv: list[str], write_page: Callable[..., list[dict[str, Any]]]) -> int:
    """write_page: that of browser.py, which builds on this file."""
    parser = argparse.ArgumentParser(prog="course export", description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a name or folder, like pocket/sentiment")
    parser.add_argument("--to", default="onnx", help=f"{', '.join(TARGETS)}, browser; all: those that are installed")
    parser.add_argument("--int8", action="store_true", help=f"weights of 8 bits: a quarter of the size ({', '.join(INT8)})")
    parser.add_argument("--labels", type=float, default=LABELS, help=f"share of labels that int8 must keep ({LABELS})")
    parser.add_argument("-o", "--output", help="the folder to make; default: after model and target, here")
    options = parser.parse_args(argv)
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")          # with it TensorFlow begins with a notice
    for library in ("absl", "coremltools", "torch", "torchao"):  # which parts of theirs could not be loaded is no news here
        logging.getLogger(library).setLevel("ERROR")
    try:
        rows = write_page(options.model, options.output, options.labels) if options.to == "browser" else export(
            options.model, options.to, options.int8, options.output, labels=options.labels)
    except KeyboardInterrupt:
        print("\nStopped; nothing was left behind.", file=sys.stderr)
        return 130
    except (OSError, ValueError, ImportError) as error:
        print(f"course export: {error}", file=sys.stderr)
        return 1
    print(table(rows))
    return 0
