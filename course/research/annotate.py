"""The machine codes texts: seven methods behind one call, each with a probability for every label of the codebook.

| method | what the model does | needs |
|---|---|---|
| zero-shot | judges whether the text entails "This text is about …" for each label | a model of inference (pocket/nli) |
| similarity | compares the vector of the text with that of each label's words | an encoder (pocket/encoder) |
| few-shot | a logistic regression on the vectors of texts coded by hand | an encoder and `train` |
| contrastive | the encoder learns to keep texts of one label together; then as few-shot | an encoder and `train` |
| lora | an adapter beside the encoder, and a head, learn from texts coded by hand | an encoder and `train` |
| fine-tuned | all weights of an encoder learn from texts coded by hand | an encoder and `train` |
| prompt | a language model reads the codebook and the text; each legal answer is scored | a language model (pocket/generator) |
"""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from course import hub
from course.research.agreement import Report
from course.research.codebook import Codebook
from course.research.coders import METHODS, Coder, Setting
from course.research.evidence import estimate, with_id
from course.training.record import data_hash, revision, versions


def annotate(frame: pd.DataFrame, text: str, codebook: Codebook, model: str | os.PathLike | None = None,
             method: str = "zero-shot", *, style: str = "definition", shots: int = 0, train: pd.DataFrame | None = None,
             gold_label: str = "gold", seed: int = 0, training: dict[str, Any] | None = None,
             save: str | os.PathLike | None = None, **options: Any) -> pd.DataFrame:
    """The frame with id, label, p_LABEL for every label of the codebook, margin (between the best two), n_tokens, truncated
    and valid. An empty text gets no label. style: how much of the codebook the model reads (name, definition, full).

    train: texts with hand codes in the column gold_label, for the methods that learn; its ids are kept in the record, so that
    validate() and estimate() refuse them as a test. training: for TrainingArguments, like {"num_train_epochs": 3}. The run
    record (model and its revision, codebook and its version, prompt, seed, versions, date, seconds, texts cut) is in
    `.attrs["record"]`, and with save="coded.csv" beside the table as coded.record.json. options: for the pipeline (device,
    dtype, batch_size, hypothesis_template). A corpus that is larger than memory: `course annotate --codebook …`.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if text not in frame:
        raise KeyError(f"there is no column {text!r}; there are: {', '.join(map(str, frame.columns))}")
    frame, start = with_id(frame), time.perf_counter()
    coding = Coding(text, codebook, model, method, style=style, shots=shots, train=train, gold_label=gold_label, seed=seed,
                    training=training, **options)
    if not coding.given(frame).any():
        raise ValueError(f"the column {text!r} holds no text at all")
    result = coding(frame)
    seconds = time.perf_counter() - start
    texts = int(result["valid"].sum())
    record = coding.record | {"texts": texts, "empty": len(result) - texts, "truncated": int(result["truncated"].sum()),
                              "seconds": round(seconds, 2), "texts_per_second": round(texts / max(seconds, 1e-9), 1)}
    if shots:
        shown = set(codebook.examples())
        record["train_ids"] = [i for i, t in zip(frame["id"], frame[text], strict=True) if t in shown]
    result.attrs["record"] = record
    if save is not None:
        hub.write_text(Path(save), result.to_csv(index=False))
        hub.write_json(Path(save).with_suffix(".record.json"), json.loads(json.dumps(record, default=str)))
    return result


class Coding:
    """A method with its model and codebook: called with a table, it gives the table back with the columns of annotate().

    What learns has learned when the first table comes. `record` is complete after it.
    """

    def __init__(self, text: str, codebook: Codebook, model: str | os.PathLike | None = None, method: str = "zero-shot", *,
                 style: str = "definition", shots: int = 0, train: pd.DataFrame | None = None, gold_label: str = "gold",
                 seed: int = 0, training: dict[str, Any] | None = None, **options: Any):
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
        self.text, self.codebook = text, codebook
        self.coder: Coder | None = None
        self.task, default, self.make, learns = METHODS[method]
        self.model, self.options = model or default, options
        self.record: dict[str, Any] = {
            "method": method, "model": str(self.model), "train_ids": [], "seed": seed, "codebook": codebook.name,
            "codebook_hash": codebook.hash, "labels": list(codebook), "style": style, "shots": shots,
            "prompt": codebook.prompt(style=style, shots=shots), "training": training or {},
            "options": {key: str(value) for key, value in options.items()}}
        self.settings: dict[str, Any] = {"style": style, "shots": shots, "seed": seed, "training": training or {}}
        if learns:
            if train is None:
                raise ValueError(f"method={method!r} learns from hand codes: train=coded, with texts and a column "
                                 f"{gold_label!r}")
            train = with_id(train, "train")
            if lacking := [name for name in (text, gold_label) if name not in train]:
                raise KeyError(f"train has no column {lacking[0]!r}; it has {', '.join(map(str, train.columns))}. It needs the "
                               f"texts in {text!r} and hand codes in {gold_label!r}")
            usable = train[train[gold_label].notna() & self.given(train)]
            codebook.check(usable[gold_label])
            if missing := [name for name in codebook if name not in set(usable[gold_label])]:
                raise ValueError(f"no text in train has the label {missing[0]!r}: nothing can be learned about it. Code some, "
                                 "or take it out of the codebook")
            self.settings["examples"] = usable[text].astype(str).tolist(), usable[gold_label].tolist()
            self.record |= {"train_ids": train["id"].tolist(),
                            "train_data": data_hash(list(zip(*self.settings["examples"], strict=True)))}
        elif train is not None or training:
            raise ValueError(f"method={method!r} learns nothing; train and training belong to "
                             f"{', '.join(name for name, entry in METHODS.items() if entry[3])}")

    def given(self, frame: pd.DataFrame) -> pd.Series:
        """Which rows hold a text."""
        return frame[self.text].notna() & (frame[self.text].astype(str).str.strip() != "")

    def learn(self) -> None:
        from course.pipelines import pipeline
        from course.training.seed import set_seed
        set_seed(self.settings["seed"])
        pipe = self.pipe = pipeline(self.task, model=self.model, **self.options)
        setting = Setting(pipe, self.codebook, **self.settings)
        self.coder = self.make(setting)
        self.record |= {"revision": revision(self.record["model"]), "dtype": str(pipe.model.dtype), "device": str(pipe.device),
                        "date": time.strftime("%Y-%m-%d"), "versions": versions(), "run": setting.record}

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        if self.coder is None:
            self.learn()
        given, names, result = self.given(frame), list(self.codebook), frame.copy()
        chosen = frame[self.text][given].astype(str).tolist()
        filled, lengths = np.full((len(frame), len(names)), np.nan), np.zeros(len(frame), int)
        if chosen:
            filled[given.to_numpy()] = self.coder(chosen)
            encoded = self.pipe.tokenizer(chosen, truncation=False, verbose=False)["input_ids"]
            lengths[given.to_numpy()] = [len(ids) for ids in encoded]
        best = np.sort(filled, 1)
        most = min(self.pipe.tokenizer.model_max_length, self.pipe.model.config.max_tokens or 10**9)
        labels = [names[row.argmax()] if ok else None for row, ok in zip(filled, given, strict=True)]
        result["label"] = pd.Series(labels, frame.index, object)
        for number, name in enumerate(names):
            result[f"p_{name}"] = filled[:, number]
        result["margin"] = best[:, -1] - best[:, -2]
        result["n_tokens"], result["truncated"], result["valid"] = lengths, lengths > most, given
        return result


def read_record(path: str | os.PathLike) -> dict[str, Any]:
    """The run record that annotate(save=…) wrote: table.attrs["record"] = read_record("coded.record.json")."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


# -- the same conclusion under other choices -------------------------------------------------------------------------------

def multiverse(frame: pd.DataFrame, text: str, codebook: Codebook, formula: str, gold: pd.DataFrame, *,
               term: str | None = None,
               models: Iterable[Any] = (None,), methods: Iterable[str] = ("similarity",),
               styles: Iterable[str] = ("definition",), seeds: Iterable[int] = (0,), gold_label: str = "gold",
               train: pd.DataFrame | None = None,
               **options: Any) -> Report:
    """The coefficient of `term` (by default the last of the formula) under every choice of method, model, words and seed,
    naive and corrected: what would have been concluded. options: for estimate (cluster, target, logit)."""
    rows = []
    for method in methods:
        for model in models:
            for style in styles:
                for seed in seeds:
                    learns = METHODS[method][3] if method in METHODS else False
                    machine = annotate(frame, text, codebook, model, method, style=style, seed=seed,
                                       gold_label=gold_label, train=train if learns else None)
                    table = estimate(formula, machine, gold, gold_label=gold_label, **options)
                    wanted = term or table["term"].iloc[-1]
                    for row in table[table["term"] == wanted].to_dict("records"):
                        rows.append({"method_of_coding": method, "model": machine.attrs["record"]["model"], "style": style,
                                     "seed": seed} | row)
    result = Report(rows)
    result.record = {"formula": formula, "paths": len(rows) // 3}
    return result
