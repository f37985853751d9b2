"""Scores: how often a model is right, and where it is wrong.

    def compute_metrics(prediction):
        return classification_scores(prediction.label_ids, prediction.predictions.argmax(-1))
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class EvalPrediction:
    """What compute_metrics gets: predictions (N, …) as the model made them, label_ids (N, …); arrays, or tuples of them."""

    predictions: Any
    label_ids: Any

    def __iter__(self) -> Iterator:
        return iter((self.predictions, self.label_ids))

    def __getitem__(self, index: int) -> Any:
        return (self.predictions, self.label_ids)[index]


class PredictionOutput(NamedTuple):
    predictions: Any
    label_ids: Any
    metrics: dict[str, float]


class TrainOutput(NamedTuple):
    global_step: int
    training_loss: float
    metrics: dict[str, float]


def confusion_matrix(labels: Sequence, predictions: Sequence, names: Sequence[str] | None = None) -> "pd.DataFrame":
    """How often each label (row) was predicted as each label (column). names: what the numbers 0, 1, … mean."""
    import pandas as pd
    table, names = counts(labels, predictions, names)
    return pd.DataFrame(table, index=pd.Index(names, name="label"), columns=pd.Index(names, name="predicted"))


def per_class(labels: Sequence, predictions: Sequence, names: Sequence[str] | None = None) -> "pd.DataFrame":
    """A row for each class: precision (of what was called so, the share that is so), recall (of what is so, the share that was
    found), F1 (their harmonic mean) and support (how many there are). Where nothing can be divided, the score is 0."""
    import pandas as pd
    table, names = counts(labels, predictions, names)
    return pd.DataFrame(ratios(table) | {"support": table.sum(1)}, index=pd.Index(names, name="label"))


def classification_scores(labels: Sequence, predictions: Sequence) -> dict[str, float]:
    """accuracy, and the plain means over the classes of precision, recall and F1 ("macro": a rare class counts as much)."""
    table, _ = counts(labels, predictions, None)
    means = {name: float(values.mean()) for name, values in ratios(table).items()}
    return {"accuracy": float(np.trace(table) / table.sum())} | means


def ratios(table: np.ndarray) -> dict[str, np.ndarray]:
    """Counts (classes, classes) -> precision, recall, F1 of each class."""
    right = np.diag(table)
    precision, recall = right / np.maximum(table.sum(0), 1), right / np.maximum(table.sum(1), 1)
    both = precision + recall
    return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / np.where(both > 0, both, 1)}


def counts(labels: Any, predictions: Any, names: Sequence[str] | None) -> tuple[np.ndarray, list]:
    """(table of labels by predictions, the names of its rows), without positions that have the label -100."""
    labels, predictions = np.asarray(labels).reshape(-1), np.asarray(predictions).reshape(-1)
    if labels.shape != predictions.shape:
        raise ValueError(f"{len(labels)} labels and {len(predictions)} predictions: each text needs one of both. Scores of a "
                         "model become predictions by .argmax(-1)")
    if labels.dtype.kind in "iuf":
        labels, predictions = labels[labels != -100], predictions[labels != -100]
    if not len(labels):
        raise ValueError("there are no labels to compare with")
    classes = np.unique(np.concatenate([labels, predictions]))
    if names is not None and classes.dtype.kind in "iu":
        if classes[0] < 0 or classes[-1] >= len(names):
            raise ValueError(f"the classes {classes[0]} to {classes[-1]} do not all have a name: there are {len(names)} names")
        classes = np.arange(len(names))
    table = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(table, (np.searchsorted(classes, labels), np.searchsorted(classes, predictions)), 1)
    return table, classes.tolist() if names is None else list(names)
