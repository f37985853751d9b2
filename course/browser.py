"""A page that needs no Python: sentiment and gap filling by one network that the browser runs itself.

    course export pocket/sentiment --to browser -o page
    cd page && python -m http.server                        then open http://localhost:8000, or put the folder on any web server

The sentiment model is the encoder that fills gaps, and an adapter; so both are one file, and the adapter has a switch. The page
itself is docs/browser/ of the repository, with ONNX Runtime for browsers beside it.
"""

import gzip
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course import hub
from course.checkpoint import our_name, read_file
from course.export import LABELS, Subject, judge, measure, writing
from course.runtimes import need, record, round_weights, run_onnx

GUESSES = 0.8            # share of first guesses that rounding must keep: among ten thousand words many are nearly tied
PAGE = Path(__file__).parents[1] / "docs/browser"


class Switched(nn.Linear):
    """A linear layer, and beside it an adapter that counts as much as the switch says: W x + switch B A x."""

    lora_A: nn.Parameter                              # (r, in)
    lora_B: nn.Parameter                              # (out, r)
    switch: list[Tensor]                              # one number, the same list for all layers

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return super().forward(x) + F.linear(F.linear(x, self.lora_A), self.lora_B) * self.switch[0]


class TwoTasks(nn.Module):
    """An encoder that fills gaps, and classifies texts when its adapter is switched on."""

    def __init__(self, classifier: Subject, filler: Subject):
        super().__init__()
        self.filler, self.switch = filler.model, [torch.zeros(1)]
        self.pooler, self.classifier = classifier.model.bert.pooler, classifier.model.classifier
        settings = hub.read_json(hub.find_file(classifier.name, "adapter_config.json"))  # type: ignore[arg-type]
        scale, found = settings["lora_alpha"] / settings["r"], dict[str, dict[str, Tensor]]()
        for key, value in read_file(hub.find_file(classifier.name, "adapter_model.safetensors")):  # type: ignore[arg-type]
            stem, _, part = key.removeprefix("base_model.model.").rpartition(".lora_")
            if stem:
                layer = our_name(f"{stem}.weight", classifier.model).removesuffix(".weight")  # type: ignore[union-attr]
                found.setdefault(layer, {})[part[0]] = value.float() * (scale if part[0] == "B" else 1)
        for name, parts in found.items():
            layer = self.filler.get_submodule(name)
            layer.__class__ = Switched
            layer.lora_A, layer.lora_B, layer.switch = nn.Parameter(parts["A"]), nn.Parameter(parts["B"]), self.switch

    def forward(self, input_ids: Tensor, positions: Tensor, adapter: Tensor) -> tuple[Tensor, Tensor]:
        """(1, T), (K,), (1,) -> scores of the labels (1, L), of the words at the positions (K, V)."""
        self.switch[0] = adapter
        x = self.filler.base_model(input_ids).last_hidden_state                                   # (1, T, D)
        return self.classifier(torch.tanh(self.pooler(x[:, 0]))), self.filler.head(x[0, positions])


def write_page(name: str = "pocket/sentiment", folder: str | Path | None = None, labels: float = LABELS,
               texts: list[str] | None = None, filler: str = "pocket/encoder") -> list[dict[str, Any]]:
    """Makes a folder with the page, the model in 8 bits and all that it needs; returns the rows of export.table.

    name: a BERT classifier that is an adapter over `filler`. Raises as export.export does; then nothing is left.
    """
    need("onnx")
    if not PAGE.is_dir():
        raise FileNotFoundError("the page is part of the repository, not of the installed package: run the command in a clone")
    if hub.find_file(name, "adapter_model.safetensors", required=False) is None:
        raise ValueError(f"{name} is no adapter: the page shares one body between two tasks, so it takes an adapter over "
                         f"{filler}, like pocket/sentiment")
    with writing(Path(folder or "browser").expanduser()) as made:
        tasks = Subject(name, texts), Subject(filler, texts)
        judged = [([{k: x.numpy() for k, x in task.batch([text]).items()} for text in task.texts[:number]], task)
                  for task, number in zip(tasks, (200, 60), strict=True)]
        truths = [[task.answers(batch) for batch in batches] for batches, task in judged]
        both, path = TwoTasks(*tasks).eval(), made / "model.onnx"
        example = {"input_ids": torch.from_numpy(judged[0][0][0]["input_ids"]), "positions": torch.tensor([1, 3]),
                   "adapter": torch.ones(1)}
        record(both, example, path, list(example), ["logits", "words"],
               {"input_ids": {1: "length"}, "positions": {0: "gaps"}, "words": {0: "gaps"}})
        rows = []
        for rounded in (False, True):
            if rounded:
                round_weights(path)
            run = run_onnx(path)

            def classify(inputs: dict[str, np.ndarray], run: Any = run) -> list[np.ndarray]:
                return run({"input_ids": inputs["input_ids"], "positions": np.zeros(0, int),
                            "adapter": np.ones(1, np.float32)})[:1]

            def fill(inputs: dict[str, np.ndarray], run: Any = run) -> list[np.ndarray]:
                return [run({"input_ids": inputs["input_ids"], "positions": np.arange(inputs["input_ids"].shape[1]),
                             "adapter": np.zeros(1, np.float32)})[1][None]]

            for (batches, task), truth, answer in zip(judged, truths, (classify, fill), strict=True):
                row = {"model": f"{task.name}, {'int8' if rounded else 'float32'}", "MB": path.stat().st_size / 1e6}
                rows.append(row | measure(task, answer, batches, truth))
                judge(rows[-1], rounded, labels if task is tasks[0] else GUESSES, max(float(np.abs(x).max()) for x in truth[0]))
        shutil.copytree(PAGE, made, dirs_exist_ok=True)
        with gzip.GzipFile(made / "model.onnx.gz", "wb", 6, mtime=0) as file:
            file.write(path.read_bytes())
        path.unlink()
        tokenizer = tasks[0].tokenizer
        tokenizer.save_vocabulary(made)
        packed = ("model.onnx.gz", "vocab.txt", "runtime/ort-wasm-simd-threaded.wasm.gz")
        hub.write_json(made / "about.json", {
            "labels": [tasks[0].model.config.id2label[n] for n in range(tasks[0].model.config.num_labels)],
            "bytes": sum((made / file).stat().st_size for file in packed), "tokenizer": {
                key: tokenizer.init_kwargs[key] for key in ("do_lower_case", "strip_accents", "tokenize_chinese_chars")}})
    return rows
