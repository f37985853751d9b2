"""The record of a run: everything that its numbers depend on, in a form that repeats it and that two runs can be compared by.

    record = run_record(trainer, save="run.json")
    again = Trainer(fresh_model(), TrainingArguments(**record["arguments"]), train_dataset=rows, …)
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from course import __version__, hub

PLACES = ("output_dir", "logging_dir")                   # where a run writes changes none of its numbers
LIBRARIES = ("torch", "tokenizers", "numpy", "pandas", "accelerate")


def versions() -> dict[str, str]:
    """Of this package, of what it computes with (where installed), and of Python."""
    found = {"course": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def revision(name: str) -> str:
    """Which weights these are: the Hub's commit, or the first digits of the file's sha256."""
    for file in ("model.safetensors", "adapter_model.safetensors", "pytorch_model.bin", "model.safetensors.index.json"):
        path = hub.find_file(name, file, required=False, local_files_only=True)
        if path is not None:
            if path.parent.parent.name == "snapshots":
                return path.parent.name
            with open(path, "rb") as content:
                return "sha256 " + hashlib.file_digest(content, "sha256").hexdigest()[:12]
    return "unknown"


def data_hash(rows: Any) -> str:
    """The first digits of the sha256 of all rows in their order: it is another when a label, a letter or the order is."""
    digest = hashlib.sha256()
    rows = rows.to_dict("records") if hasattr(rows, "columns") and hasattr(rows, "to_dict") else rows
    for number in range(len(rows)):
        row = rows[number]
        digest.update(json.dumps(row, sort_keys=True, default=plain).encode() + b"\n")
    return digest.hexdigest()[:16]


def plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else dict(value) if isinstance(value, Mapping) else str(value)


def run_record(trainer: Any, save: str | os.PathLike | None = None, **more: Any) -> dict[str, Any]:
    """Settings (`arguments`, as TrainingArguments takes them), the weights at the start, what of them learns, hashes of the
    data, device, threads, versions and the date. save: also as a JSON file. more: what else should be known.

    Two runs with equal records, the date aside, give the same numbers on the same kind of machine. A stream has no hash.
    """
    model, weights = trainer.model, list(trainer.model.parameters())
    adapter = vars(model).get("adapter") or {}
    name = getattr(model, "name_or_path", None) or None
    record: dict[str, Any] = {
        "arguments": {k: v for k, v in trainer.args.to_dict().items() if k not in PLACES},
        "class": type(model).__name__, "model": name,
        "revision": revision(name) if name else "unknown", "weights": sum(p.numel() for p in weights),
        "trained": sum(p.numel() for p in weights if p.requires_grad),
        "adapter": {key: adapter[key] for key in ("rank", "alpha", "dropout") if key in adapter},
        "collator": getattr(trainer.data_collator, "__name__", type(trainer.data_collator).__name__)}
    for part, data in (("train", trainer.train_dataset), ("eval", trainer.eval_dataset)):
        known = hasattr(data, "__len__") and not isinstance(data, Mapping)
        record[f"{part}_examples"], record[f"{part}_data"] = (len(data), data_hash(data)) if known else (None, None)
    import torch
    record |= {"device": str(trainer.accelerator.device), "format": trainer.accelerator.mixed_precision,
               "processes": trainer.accelerator.num_processes, "threads": torch.get_num_threads(),
               "machine": platform.machine(), "versions": versions(), "date": time.strftime("%Y-%m-%d")} | more
    record = json.loads(json.dumps(record, default=plain))
    if save is not None and trainer.is_world_process_zero():
        hub.write_json(Path(save), record)
    return record
