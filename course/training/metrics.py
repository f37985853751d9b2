"""Scores: how often a model is right, and where it is wrong.

    def compute_metrics(prediction):
        return classification_scores(prediction.label_ids, prediction.predictions.argmax(-1))

    args = TrainingArguments("out", predict_with_generate=True)          # summaries, translations: scored as written
    trainer = Trainer(model, args, …, compute_metrics=text_scores(tokenizer, "rouge", "bleu"))
"""

from collections.abc import Callable, Iterator, Sequence
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


# -- texts that were written ---------------------------------------------------------------------------------------------


def rouge(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """rouge1, rouge2, rougeL and rougeLsum: the mean F, from 0 to 1, of the shared words, pairs of words and longest common
    sequences (Lin 2004; rougeLsum: line by line), by the library rouge-score, with its stemmer.

    It knows the letters a to z alone: raises ValueError for references in another script.
    """
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise ImportError('ROUGE is counted by the library rouge-score: pip install "course[metrics]"') from None
    pairs, letters = paired(predictions, references), [letter for text in references for letter in text if letter.isalpha()]
    if 2 * sum(letter.isascii() for letter in letters) < len(letters):
        raise ValueError("ROUGE counts words of the letters a to z, and the references are in another script: use bleu")
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL", "rougeLsum"], use_stemmer=True)
    rows = [scorer.score(reference, prediction) for prediction, reference in pairs]
    return {name: float(np.mean([row[name].fmeasure for row in rows])) for name in scorer.rouge_types}


def bleu(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """bleu, from 0 to 100: BLEU of the whole corpus (Papineni et al. 2002) as the library sacrebleu counts it (Post 2018)."""
    try:
        from sacrebleu.metrics import BLEU
    except ImportError:
        raise ImportError('BLEU is counted by the library sacrebleu: pip install "course[metrics]"') from None
    pairs = paired(predictions, references)
    return {"bleu": BLEU().corpus_score([p for p, _ in pairs], [[r for _, r in pairs]]).score}


def paired(predictions: Sequence[str], references: Sequence[str]) -> list[tuple[str, str]]:
    if isinstance(predictions, str) or isinstance(references, str) or len(predictions) != len(references) or not predictions:
        raise ValueError("scores of texts need two lists of the same length: what was written, and for each text what it is "
                         "compared with")
    return list(zip(predictions, references, strict=True))


TEXT_SCORES: dict[str, Callable[[Sequence[str], Sequence[str]], dict[str, float]]] = {"rouge": rouge, "bleu": bleu}


def text_scores(tokenizer: Any, *names: str) -> Callable[[EvalPrediction], dict[str, float]]:
    """A compute_metrics for predict_with_generate: decodes what was written and the labels, and gives the scores named
    ("rouge", "bleu") and gen_len, the mean number of tokens written.

    Raises ValueError for another name, and ImportError with the cure at once, not after an epoch.
    """
    if not names or set(names) - set(TEXT_SCORES):
        raise ValueError(f"text_scores(tokenizer, …) takes one or more of {', '.join(map(repr, TEXT_SCORES))}; got "
                         f"{', '.join(map(repr, names)) or 'none'}")
    for name in names:
        TEXT_SCORES[name](["a"], ["a"])

    def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
        special = set(tokenizer.all_special_ids)
        rows = prediction.predictions[0] if isinstance(prediction.predictions, tuple) else prediction.predictions
        if np.ndim(rows) != 2 or np.asarray(rows).dtype.kind not in "iu":
            raise ValueError("these predictions are scores of tokens, not texts: TrainingArguments(predict_with_generate=True)")
        written, wanted = ([[int(token) for token in row if token >= 0] for row in part]
                           for part in (rows, prediction.label_ids))
        texts = [[tokenizer.decode(row, skip_special_tokens=True).strip() for row in part] for part in (written, wanted)]
        found: dict[str, float] = {}
        for name in names:
            found |= TEXT_SCORES[name](*texts)
        return found | {"gen_len": float(np.mean([sum(token not in special for token in row) for row in written]))}
    return compute_metrics
