"""A model elsewhere: written for programs without Python or torch, run again there, and compared, before it counts as done.

    course export pocket/sentiment --to onnx --int8

    onnx        model.onnx, for ONNX Runtime (servers, .NET, Java, browsers): any batch and length; GPT-2 with its cache
    executorch  model.pte, for ExecuTorch, PyTorch's runtime on Android and iOS
    coreml      model.mlpackage, for macOS and iOS: written anywhere, it runs on a Mac alone
    browser     a folder with a page that needs no Python: browser.py

int8: each row of a matrix, the weights of one output, becomes whole numbers from -127 to 127 and a factor, as in speed.py. What
goes through the model stays float32: an answer depends neither on the processor nor on the other texts of its batch, as it
does when those numbers are rounded too (onnxruntime's quantize_dynamic kept 97 to 99 % of labels here, this 99.6 %).
"""

import argparse
import csv
import importlib.metadata
import re
import shutil
import statistics
import sys
import tempfile
import time
import warnings
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

KINDS = ("bert", "distilbert", "roberta", "gpt2")       # whose exports are tested
OPSET = 17                                              # of ONNX, 2022: old enough for every runtime in use
NEEDS = {                                               # target -> what it needs: package, oldest version
    "onnx": (("onnx", "1.16"), ("onnxruntime", "1.18")), "executorch": (("executorch", "1.0"),),
    "coreml": (("coremltools", "8.0"),)}
LABELS = 0.99                                           # share of labels that rounded weights must keep
Run = Callable[[dict[str, np.ndarray]], list[np.ndarray]]


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


# -- the targets: each writes a file and says how it is run -----------------------------------------------------------------


def to_onnx(subject: Subject, folder: Path, int8: bool) -> tuple[Path, Run]:
    path, example = folder / "model.onnx", subject.batch(sorted(subject.texts, key=len)[-2:], past=3)
    record(subject.module, example, path, subject.inputs, subject.outputs, subject.axes)
    if int8:
        round_weights(path)
    return path, run_onnx(path)


def record(module: nn.Module, example: dict[str, Tensor], path: Path, inputs: list[str], outputs: list[str],
           axes: dict[str, dict[int, str]]) -> None:
    """Follows a module through one example and writes what it did as an ONNX graph. The older exporter of torch, which traces:
    3 seconds for a model of 6 layers where the newer one, on torch.export, takes over a minute."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")             # what a trace cannot see: checks of inputs, which have been passed
            torch.onnx.export(module, tuple(example[name] for name in inputs), str(path), input_names=inputs, dynamo=False,
                              output_names=outputs, dynamic_axes=axes, opset_version=OPSET, do_constant_folding=False)
    except torch.onnx.OnnxExporterError as error:
        raise ValueError(f"ONNX (opset {OPSET}) cannot express this model: {str(error).splitlines()[0]}") from None


def round_weights(path: Path) -> None:
    """The matrices of an ONNX file as int8, a factor for each row: a quarter of the size. Runtimes turn them back when they
    load the file, so that it is as fast as before."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    graph, nodes = (model := onnx.load(path)).graph, []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != 2:
            continue
        weight, name = numpy_helper.to_array(tensor), tensor.name
        factors = np.maximum(np.abs(weight).max(1, keepdims=True), 1e-12) / 127
        graph.initializer.remove(tensor)
        graph.initializer.extend([numpy_helper.from_array(np.round(weight / factors).astype(np.int8), f"{name}.int8"),
                                  numpy_helper.from_array(factors.astype(np.float32), f"{name}.factors")])
        nodes += [helper.make_node("Cast", [f"{name}.int8"], [f"{name}.float"], to=TensorProto.FLOAT),
                  helper.make_node("Mul", [f"{name}.float", f"{name}.factors"], [name])]
    for node in reversed(nodes):
        graph.node.insert(0, node)
    onnx.save(model, path)


def run_onnx(path: Path) -> Run:
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:                          # its own kinds of errors have no common name
        raise ValueError(f"onnxruntime {onnxruntime.__version__} cannot read {path.name}: {str(error)[:200]}") from None
    return lambda inputs: session.run(None, inputs)


def to_executorch(subject: Subject, folder: Path, int8: bool) -> tuple[Path, Run]:
    """One text at a time, of at most 128 tokens: what a phone asks for."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime
    path, length = folder / "model.pte", torch.export.Dim("length", min=2, max=subject.longest)
    example = subject.batch(subject.texts[:1])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(subject.module, tuple(example[name] for name in subject.inputs), strict=False,
                                          dynamic_shapes=(tuple({1: length} for _ in subject.inputs),))
            path.write_bytes(to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch().buffer)
    except Exception as error:                          # of many kinds, in three libraries
        raise ValueError(f"ExecuTorch cannot express this model: {str(error).splitlines()[0][:200]}") from None
    method = Runtime.get().load_program(path).load_method("forward")

    def run(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        rows = [method.execute([torch.from_numpy(inputs[name][row:row + 1]) for name in subject.inputs])
                for row in range(len(inputs["input_ids"]))]
        return [np.concatenate([row[k].numpy() for row in rows]) for k in range(len(subject.outputs))]

    return path, run


def to_coreml(subject: Subject, folder: Path, int8: bool) -> tuple[Path, Run | None]:
    import coremltools
    path, example = folder / "model.mlpackage", subject.batch(subject.texts[:2])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(subject.module, tuple(example[name].int() for name in subject.inputs))
            shape = (coremltools.RangeDim(1, 64), coremltools.RangeDim(2, subject.longest))
            made = coremltools.convert(traced, convert_to="mlprogram", inputs=[
                coremltools.TensorType(name, shape, dtype=np.int32) for name in subject.inputs], outputs=[
                coremltools.TensorType(name) for name in subject.outputs], compute_precision=coremltools.precision.FLOAT32)
            made.save(str(path))
    except Exception as error:
        raise ValueError(f"Core ML cannot express this model: {str(error).splitlines()[0][:200]}") from None
    if sys.platform != "darwin":
        return path, None

    def run(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        found = made.predict({name: inputs[name].astype(np.int32) for name in subject.inputs})
        return [np.asarray(found[name]) for name in subject.outputs]

    return path, run


TARGETS: dict[str, Callable[[Subject, Path, bool], tuple[Path, Run | None]]] = {
    "onnx": to_onnx, "executorch": to_executorch, "coreml": to_coreml}


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




def export(name: str, to: str = "onnx", int8: bool = False, folder: str | Path | None = None, texts: list[str] | None = None,
           labels: float = LABELS) -> list[dict[str, Any]]:
    """Writes a model into a new folder for another program, with its tokenizer, config and a README, and returns the rows of
    the table that compares it: {"model", "MB", "ms a text", "largest difference", "labels agreed"}.

    The folder appears when the exported model has answered as torch does, on batches of several sizes and lengths; labels: the
    share that int8 must keep. Raises ValueError, FileExistsError, OSError or ImportError with the cure; then nothing is left.
    """
    if to not in TARGETS:
        raise ValueError(f"there is no target {to!r}; there are {', '.join(TARGETS)} and browser" + (
            ". TFLite files are made from Keras models, which course does not write yet: --to onnx and --to executorch run on "
            "phones" if to == "tflite" else ""))
    if int8 and to != "onnx":
        raise ValueError(f"int8 exists for onnx alone; leave --int8 out for {to}")
    need(to)
    target = Path(folder or f"{Path(name).name}-{to}{'-int8' * int8}").expanduser()
    with writing(target) as made:
        subject = Subject(name, texts)
        weights = subject.model.get_memory_footprint()
        if (free := shutil.disk_usage(made).free) < 3 * weights:
            raise OSError(f"{target.parent} has {free / 1e6:.0f} MB left, and about {3 * weights / 1e6:.0f} are needed for a "
                          "while: make room, or choose another place with -o")
        sizes = (1,) * 8 + (2, 5) + (8,) * 24           # texts in a batch
        starts = [sum(sizes[:n]) for n in range(len(sizes))]
        chosen = [subject.texts[start:start + size] for start, size in zip(starts, sizes, strict=True)]
        batches = [subject.batch(some) for some in chosen if some]
        if subject.writes:
            batches = batches[:14] + [subject.batch(chosen[n], past=past) for n, past in ((8, 4), (9, 9)) if chosen[n]]
        inputs = [{name: x.numpy() for name, x in batch.items()} for batch in batches]
        truth = [subject.answers(batch) for batch in inputs]
        rows = [{"model": "torch, float32", "MB": weights / 1e6, **measure(subject, subject.answers, inputs, truth)}]
        for rounded in (False, True)[:1 + int8]:
            path, run = TARGETS[to](subject, made, rounded)
            row = {"model": f"{to}, {'int8' if rounded else 'float32'}", "MB": size_of(path) / 1e6}
            rows.append(row | ({"difference": None, "labels": None, "ms": None} if run is None else
                               measure(subject, run, inputs, truth)))
            if run is not None:
                judge(rows[-1], rounded, labels, max(float(np.abs(x).max()) for x in truth[-1]))
        subject.tokenizer.save_pretrained(made)
        subject.model.config.save_pretrained(made)
        hub.write_text(made / "README.md", readme(subject, path.name, rows))
    return rows


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
        self.made = Path(tempfile.mkdtemp(dir=self.target.parent, prefix=f".{self.target.name}-"))
        return self.made

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.made.chmod(0o755)                      # mkdtemp makes folders that only their owner may read
            self.made.rename(self.target)
        else:
            shutil.rmtree(self.made, ignore_errors=True)


def need(to: str) -> None:
    """Raises ImportError, with what to type, where a target's library is missing or too old."""
    for package, oldest in NEEDS[to]:
        cure = f'pip install --upgrade "course[{to}]"'
        try:
            have = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise ImportError(f"--to {to} needs {package}, which is not installed. Try: {cure}") from None
        if [int(n) for n in re.findall(r"\d+", have)[:2]] < [int(n) for n in oldest.split(".")]:
            raise ImportError(f"--to {to} needs {package} {oldest} or newer; here is {have}. Try: {cure}")


def size_of(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if path.is_dir() else path.stat().st_size


def table(rows: list[dict[str, Any]]) -> str:
    """The comparison as text, a Markdown table as well."""
    def cell(value: float | None, form: str) -> str:
        return "not run" if value is None else "-" if value != value else format(value, form)

    lines = ["| model | MB | ms a text | largest difference | labels agreed |", "|---|---:|---:|---:|---:|"]
    return "\n".join([*lines, *(f"| {r['model']} | {r['MB']:.1f} | {cell(r['ms'], '.1f')} | {cell(r['difference'], '.1e')} | "
                                f"{cell(r['labels'], '.1%')} |" for r in rows)])


def readme(subject: Subject, file: str, rows: list[dict[str, Any]]) -> str:
    ran = "This file was not run where it was written: Core ML runs on macOS only.\n\n" if rows[-1]["ms"] is None else ""
    return (f"# {subject.name}, exported\n\n`{file}`: {type(subject.model).__name__}, written by `course export`.\n\n"
            f"inputs: {', '.join(subject.inputs)}\n\noutputs: {', '.join(subject.outputs)}\n\n{ran}{table(rows)}\n\n"
            f"Compared with torch on {len(subject.texts)} texts of at most 64 tokens; times are those of one thread. "
            "Whoever runs it elsewhere has to cut texts as the files of the tokenizer say.\n")


def main(argv: list[str], write_page: Callable[..., list[dict[str, Any]]]) -> int:
    """write_page: that of browser.py, which builds on this file."""
    parser = argparse.ArgumentParser(prog="course export", description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a name or folder, like pocket/sentiment")
    parser.add_argument("--to", default="onnx", help="onnx (default), executorch, coreml or browser")
    parser.add_argument("--int8", action="store_true", help="weights of 8 bits: a quarter of the size (onnx)")
    parser.add_argument("--labels", type=float, default=LABELS, help=f"share of labels that int8 must keep ({LABELS})")
    parser.add_argument("-o", "--output", help="the folder to make; default: after model and target, here")
    options = parser.parse_args(argv)
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
