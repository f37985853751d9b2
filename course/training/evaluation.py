"""Scores: a model's answers to a whole data set, in the order of the data, whatever the batches and processes were."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course.training import setup
from course.training.batches import Batches, lengths_of
from course.training.metrics import EvalPrediction, PredictionOutput

Part = tuple[list[int], tuple, tuple, float, int]       # places, predictions, labels, loss, items of one batch
SKIP = ("loss", "past_key_values", "mems", "hidden_states", "attentions", "cross_attentions")


def predict(trainer: Any, rows: Any, prefix: str, **generation: Any) -> PredictionOutput:
    """Loss, predictions and labels of rows (what as_rows returns); metrics are named prefix_…"""
    args, accelerator, model = trainer.args, trainer.accelerator, trainer.model
    began, was_training = time.monotonic(), model.training
    model.to(accelerator.device).eval()
    lengths = lengths_of(rows, args.length_column_name, False) if hasattr(rows, "__len__") else None
    batches = Batches(rows, args.per_device_eval_batch_size, setup.Collate(trainer), shuffle=False, lengths=lengths,
                      rank=accelerator.process_index, world=accelerator.num_processes, workers=args.dataloader_num_workers)
    parts: list[Part] = []
    try:
        for places, batch in batches.epoch(0):
            part = predict_batch(trainer, trainer.to_device(batch), places, generation)
            if places:                                # empty: this process has no share in the last batch
                parts.append(part)
            trainer.call("on_prediction_step")
    finally:
        model.train(was_training)
    if accelerator.num_processes > 1:
        from accelerate.utils import gather_object
        parts = gather_object(parts)
    count, seconds = sum(len(part[0]) for part in parts), time.monotonic() - began
    if count == 0:
        raise ValueError("the data to evaluate on are an empty stream")
    predictions = join([part[0] for part in parts], [part[1] for part in parts], count)
    labels = join([part[0] for part in parts], [part[2] for part in parts], count)
    metrics: dict[str, Any] = {}
    items = sum(part[4] for part in parts)
    if items:
        metrics["loss"] = sum(part[3] for part in parts) / items
    if trainer.compute_metrics is not None and labels is not None and predictions is not None:
        scores = trainer.compute_metrics(EvalPrediction(predictions, labels))
        if not isinstance(scores, Mapping):
            raise TypeError("compute_metrics must return a dict like {'accuracy': 0.9}, it returned a "
                            f"{type(scores).__name__}")
        metrics |= {name: value.item() if hasattr(value, "item") else value for name, value in scores.items()}
    metrics |= {"runtime": round(seconds, 4), "samples_per_second": round(count / seconds, 3),
                "steps_per_second": round(len(parts) / seconds, 3)}
    return PredictionOutput(predictions, labels, {
        name if name.startswith(f"{prefix}_") else f"{prefix}_{name}": value for name, value in metrics.items()})


@torch.no_grad()
def predict_batch(trainer: Any, batch: dict[str, Any], places: list[int], generation: dict[str, Any]) -> Part:
    args = trainer.args
    names = args.label_names or [n for n in ("labels", "start_positions", "end_positions") if n in batch]
    labels = tuple(batch[name] for name in names if name in batch)
    loss, items, outputs = 0.0, 0, None
    with trainer.accelerator.autocast():
        if labels:
            value, outputs = trainer.compute_loss(trainer.model, batch, return_outputs=True)
            items = setup.count_items(trainer.model, batch)
            loss = value.item() * items if items else 0.0
        if args.predict_with_generate:
            settings = {"max_length": args.generation_max_length, "num_beams": args.generation_num_beams} | generation
            inputs = {name: batch[name] for name in ("input_ids", "attention_mask") if name in batch}
            written = trainer.model.generate(**inputs, **{k: v for k, v in settings.items() if v is not None})
            return places, (numpy(written),), tuple(map(numpy, labels)), loss, items
        if outputs is None:
            outputs = trainer.model(**batch)
    found = answers(outputs, bool(labels))
    if trainer.preprocess_logits_for_metrics is not None:
        kept = trainer.preprocess_logits_for_metrics(found[0] if len(found) == 1 else found,
                                                     labels[0] if len(labels) == 1 else labels or None)
        found = kept if isinstance(kept, tuple) else (kept,)
    return places, tuple(map(numpy, found)), tuple(map(numpy, labels)), loss, items


def answers(outputs: Any, with_loss: bool) -> tuple[Tensor, ...]:
    """The logits of a model's outputs: all that are called so, else all tensors but the loss."""
    if hasattr(outputs, "items"):
        named = [v for n, v in outputs.items() if n.endswith("logits")] or [
            v for n, v in outputs.items() if not n.endswith(SKIP) and isinstance(v, Tensor)]
        return tuple(named)
    if isinstance(outputs, Tensor):
        return () if with_loss else (outputs,)
    return tuple(v for v in outputs[1 if with_loss else 0:] if isinstance(v, Tensor))


def numpy(value: Tensor) -> np.ndarray:
    return (value.float() if value.dtype == torch.bfloat16 else value).detach().cpu().numpy()


def join(places: list[list[int]], columns: list[tuple], count: int) -> Any:
    """Batches -> one array (N, …) in the order of the data, filled with -100; a tuple of them where a batch had several."""
    if not columns[0]:
        return None
    whole = []
    for number in range(len(columns[0])):
        arrays = [column[number] for column in columns]
        arrays = [a.reshape(1) if a.ndim == 0 else a for a in arrays]
        if any(len(a) != len(p) for a, p in zip(arrays, places, strict=True)):      # labels (1, B), or one number for a batch
            arrays = [a.reshape(len(p), -1)[:, 0] if a.size == len(p) else np.resize(a, len(p))
                      for a, p in zip(arrays, places, strict=True)]
        shape = np.max([a.shape[1:] for a in arrays], axis=0).astype(int) if arrays[0].ndim > 1 else ()
        table = np.full((count, *shape), -100, dtype=np.result_type(*arrays))
        for a, p in zip(arrays, places, strict=True):
            table[(np.array(p), *(slice(n) for n in a.shape[1:]))] = a  # type: ignore[index]
        whole.append(table)
    return whole[0] if len(whole) == 1 else tuple(whole)
