"""Training with TensorFlow as courses of 2020 show it: GLUE features for Keras, and TFTrainer.

    data = tensorflow_datasets.load("glue/mrpc")["train"]
    data = glue_convert_examples_to_features(data, tokenizer, max_length=128, task="mrpc")
    model.compile(…); model.fit(data.shuffle(100).batch(32).repeat(2), …)

The training loop is that of Keras; see course.keras for the models.
"""

import importlib.util
import math
import os
from collections.abc import Callable, Iterable
from typing import Any

from course import keras as models  # first: it chooses what Keras computes with

import keras  # isort: skip
import numpy as np
import tensorflow as tf

from course.training.arguments import TrainingArguments
from course.training.metrics import EvalPrediction

TASKS: dict[str, tuple] = {                         # of GLUE (Wang et al. 2018): columns with texts, names of labels
    "cola": (("sentence",), ("0", "1")), "sst-2": (("sentence",), ("0", "1")),
    "mrpc": (("sentence1", "sentence2"), ("0", "1")), "sts-b": (("sentence1", "sentence2"), None),
    "qqp": (("question1", "question2"), ("0", "1")), "qnli": (("question", "sentence"), ("entailment", "not_entailment")),
    "mnli": (("premise", "hypothesis"), ("contradiction", "entailment", "neutral")),
    "rte": (("sentence1", "sentence2"), ("entailment", "not_entailment")), "wnli": (("sentence1", "sentence2"), ("0", "1"))}


def glue_convert_examples_to_features(examples: Any, tokenizer: Any, max_length: int | None = None, task: str | None = None,
                                      label_list: list[str] | None = None, output_mode: str | None = None) -> tf.data.Dataset:
    """Texts with labels -> a tf.data.Dataset of (input_ids and so on, label), each text padded to max_length.

    examples: a data set of tensorflow_datasets, a pandas table or a list of dicts (load_dataset), with the columns of a task
    of GLUE; without task, with a column text, or sentence1 and sentence2. label_list: the names of the labels in their order,
    where they are texts. output_mode: "classification", or "regression" for numbers.
    """
    key = (task or "").lower().rpartition("/")[2].partition("_")[0].removesuffix("-mm")   # glue/mnli_matched is mnli
    key = {"sst2": "sst-2", "stsb": "sts-b"}.get(key, key)
    if task is not None and key not in TASKS:
        raise ValueError(f"there is no task {task!r}; there are: {', '.join(TASKS)}. Without task the columns text, or "
                         "sentence1 and sentence2, are taken")
    rows = read(examples)
    if not rows:
        raise ValueError("there are no examples: the data set is empty")
    columns, names = TASKS[key] if task else (next((pair for pair in (("sentence1", "sentence2"), ("sentence",), ("text",))
                                                    if set(pair) <= set(rows[0])), ("text",)), None)
    if missing := [name for name in columns if name not in rows[0]]:
        raise ValueError(f"the examples have no column {missing[0]!r}, which {task or 'this'} needs; they have: "
                         f"{', '.join(map(str, rows[0]))}")
    number = output_mode == "regression" or key == "sts-b"
    for place, row in enumerate(rows):
        if any(absent(row.get(name)) for name in columns):
            raise ValueError(f"example {place} has no text in {' or '.join(columns)}: leave it out first")
    texts = [[str(row[name]) for row in rows] for name in columns]
    encoded = tokenizer(*texts, padding="max_length", truncation=True, max_length=max_length, return_tensors="np")
    features = {name: np.asarray(value, np.int32) for name, value in encoded.items()}
    labels = [row.get("label") for row in rows]
    unknown = [place for place, label in enumerate(labels) if absent(label)]
    if len(unknown) == len(labels):
        return tf.data.Dataset.from_tensor_slices(features)
    if unknown:
        raise ValueError(f"example {unknown[0]} has no label, others have: leave it out, or give them without the column label")
    return tf.data.Dataset.from_tensor_slices((features, np.asarray(labels, np.float32) if number else numbered(
        labels, label_list or names)))


def read(examples: Any) -> list[dict[str, Any]]:
    """The rows as dicts of plain values."""
    if hasattr(examples, "as_numpy_iterator"):
        return [{name: value.decode() if isinstance(value, bytes) else value for name, value in row.items()}
                for row in examples.as_numpy_iterator()]
    if hasattr(examples, "to_dict") and hasattr(examples, "columns"):
        return examples.to_dict("records")
    return [dict(row) for row in examples]


def absent(value: Any) -> bool:
    """None, or what pandas has for it."""
    return value is None or value != value


def numbered(labels: list, names: Iterable[str] | None) -> np.ndarray:
    """The numbers of the labels: as they are, or their places among the names."""
    if not any(isinstance(label, str) for label in labels):
        return np.asarray(labels, np.int64)
    order = list(names or sorted(set(labels)))
    if unknown := set(labels) - set(order):
        raise ValueError(f"{min(map(str, unknown))!r} is none of the labels {', '.join(order)}: give label_list=[…]")
    return np.asarray([order.index(label) for label in labels], np.int64)


class TFTrainingArguments(TrainingArguments):
    """TrainingArguments; of those TFTrainer takes the sizes of batches, epochs or max_steps, the learning rate with warm-up and
    linear decay, weight_decay, the numbers of Adam, max_grad_norm, the seed, logging_dir and report_to."""


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Up from 0 in the first steps, then down in a line to 0 at the last."""

    def __init__(self, rate: float, warmup: int, steps: int):
        self.rate, self.warmup, self.steps = rate, warmup, steps

    def __call__(self, step: Any) -> Any:
        step = keras.ops.cast(step, "float32")
        up, down = step / max(self.warmup, 1), (self.steps - step) / max(self.steps - self.warmup, 1)
        return self.rate * keras.ops.clip(keras.ops.minimum(up, down) if self.warmup else down, 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"rate": self.rate, "warmup": self.warmup, "steps": self.steps}


class TFTrainer:
    """Trains and evaluates a TF model on data sets of (features, label), one example each.

    compute_metrics: gets EvalPrediction(predictions, label_ids). optimizers: (optimizer, None) in place of Adam with
    weight decay. Afterwards save_model writes what from_pretrained(folder, from_tf=True) reads.
    """

    def __init__(self, model: models.TFPreTrainedModel, args: TFTrainingArguments | None = None,
                 train_dataset: tf.data.Dataset | None = None, eval_dataset: tf.data.Dataset | None = None,
                 compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
                 optimizers: tuple[Any, Any] = (None, None)):
        self.model, self.args = model, args or TFTrainingArguments()
        self.train_dataset, self.eval_dataset, self.compute_metrics = train_dataset, eval_dataset, compute_metrics
        self.optimizer = optimizers[0]

    def train(self) -> Any:
        """All epochs, or max_steps; returns the History of Keras."""
        if self.train_dataset is None:
            raise ValueError("TFTrainer needs a train_dataset to train")
        args, size = self.args, count(self.train_dataset)
        if size is None and args.max_steps <= 0:
            raise ValueError("the train_dataset does not know how many examples it has: give max_steps=…, or "
                             "train_dataset.apply(tf.data.experimental.assert_cardinality(n))")
        each = math.ceil(size / args.train_batch_size) if size else args.max_steps
        steps = args.max_steps if args.max_steps > 0 else math.ceil(each * args.num_train_epochs)
        epochs = max(math.ceil(steps / each), 1)
        keras.utils.set_random_seed(args.seed)
        optimizer = self.optimizer or keras.optimizers.AdamW(
            WarmUp(args.learning_rate, args.get_warmup_steps(steps), steps), args.weight_decay, args.adam_beta1,
            args.adam_beta2, args.adam_epsilon, global_clipnorm=args.max_grad_norm or None)
        if not self.optimizer:                        # as everywhere, no decay of biases and norms
            optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self.model.compile(optimizer)
        data = self.train_dataset.shuffle(min(size or 10_000, 10_000), seed=args.seed).repeat().batch(args.train_batch_size)
        wanted = args.report_to not in ("none", []) and importlib.util.find_spec("tensorboard")
        logs = [keras.callbacks.TensorBoard(args.logging_dir)] if wanted else []
        return self.model.fit(data, epochs=epochs, steps_per_epoch=math.ceil(steps / epochs), callbacks=logs,
                              verbose=0 if args.disable_tqdm else 1)

    def predict(self, dataset: tf.data.Dataset) -> EvalPrediction:
        """(predictions, label_ids) of a data set."""
        batches = dataset.batch(self.args.eval_batch_size)
        labels = np.concatenate([label.numpy() for _, label in batches])
        return EvalPrediction(self.model.predict(batches, verbose=0).logits, labels)

    def evaluate(self, eval_dataset: tf.data.Dataset | None = None) -> dict[str, float]:
        """eval_loss, and what compute_metrics gives, as eval_…"""
        data = self.eval_dataset if eval_dataset is None else eval_dataset
        if data is None:
            raise ValueError("TFTrainer needs an eval_dataset to evaluate")
        found = self.predict(data)
        loss = self.model.own_loss({"logits": keras.ops.convert_to_tensor(found.predictions)},
                                   keras.ops.convert_to_tensor(found.label_ids))
        scores = self.compute_metrics(found) if self.compute_metrics else {}
        return {"eval_loss": float(loss)} | {name if name.startswith("eval_") else f"eval_{name}": value
                                             for name, value in scores.items()}

    def save_model(self, output_dir: str | os.PathLike | None = None) -> None:
        self.model.save_pretrained(output_dir or self.args.output_dir)


def count(data: tf.data.Dataset) -> int | None:
    """How many examples, None when that is unknown or without end."""
    size = int(data.cardinality())
    return size if size >= 0 else None
