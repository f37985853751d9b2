"""The machine codes texts: five methods behind one call, each with a probability for every label of the codebook.

| method | what the model does | needs |
|---|---|---|
| zero-shot | judges whether the text entails "This text is about …" for each label | a model of inference (pocket/nli) |
| similarity | compares the vector of the text with that of each label's words | an encoder (pocket/encoder) |
| few-shot | a logistic regression on the vectors of texts coded by hand | an encoder and `train` |
| fine-tuned | all weights of an encoder learn from texts coded by hand | an encoder and `train` |
| prompt | a language model reads the codebook and the text; each legal answer is scored | a language model (pocket/generator) |
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from course import __version__, hub
from course.notes import progress
from course.research.agreement import Report
from course.research.codebook import Codebook
from course.research.evidence import estimate, with_id

SHARPNESS = 20.0                                        # of the softmax over cosines, which differ by a few hundredths


def annotate(frame: pd.DataFrame, text: str, codebook: Codebook, model: str | os.PathLike | None = None,
             method: str = "zero-shot", *, style: str = "definition", shots: int = 0, train: pd.DataFrame | None = None,
             gold_label: str = "gold", seed: int = 0, save: str | os.PathLike | None = None, **options: Any) -> pd.DataFrame:
    """The frame with id, label, p_LABEL for every label of the codebook, margin (between the best two), n_tokens, truncated
    and valid. An empty text gets no label. style: how much of the codebook the model reads (name, definition, full).

    train: texts with hand codes in the column gold_label, for the methods that learn; its ids are kept in the record, so that
    validate() and estimate() refuse them as a test. The run record (model and its revision, codebook and its version,
    prompt, seed, versions, date, seconds, texts cut) is in `.attrs["record"]`, and with save="coded.csv" beside the table as
    coded.record.json. options: for the pipeline (device, dtype, batch_size, hypothesis_template).
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if text not in frame:
        raise KeyError(f"there is no column {text!r}; there are: {', '.join(map(str, frame.columns))}")
    frame = with_id(frame)
    task, default, run, learns = METHODS[method]
    examples: tuple[list[str], list[str]] | None = None
    record: dict[str, Any] = {"method": method, "model": str(model or default), "train_ids": [], "seed": seed}
    if learns:
        if train is None:
            raise ValueError(f"method={method!r} learns from hand codes: train=coded, with texts and a column {gold_label!r}")
        train = with_id(train, "train")
        usable = train[train[gold_label].notna() & train[text].notna()]
        codebook.check(usable[gold_label])
        if missing := [name for name in codebook if name not in set(usable[gold_label])]:
            raise ValueError(f"no text in train has the label {missing[0]!r}: nothing can be learned about it. Code some, or "
                             "take it out of the codebook")
        examples = usable[text].astype(str).tolist(), usable[gold_label].tolist()
        record["train_ids"] = train["id"].tolist()
    elif train is not None:
        raise ValueError(f"method={method!r} learns nothing; train belongs to few-shot and fine-tuned")
    if shots:
        shown = set(codebook.examples())
        record["train_ids"] = [i for i, t in zip(frame["id"], frame[text], strict=True) if t in shown]
    texts = frame[text]
    given = texts.notna() & (texts.astype(str).str.strip() != "")
    chosen = texts[given].astype(str).tolist()
    if not chosen:
        raise ValueError(f"the column {text!r} holds no text at all")
    from course.pipelines import pipeline
    from course.training.seed import set_seed
    set_seed(seed)
    pipe = pipeline(task, model=model or default, **options)
    start = time.perf_counter()
    probabilities = run(pipe, chosen, codebook, style, shots, examples, seed)                   # (texts, labels)
    seconds = time.perf_counter() - start
    names = list(codebook)
    result = frame.copy()
    filled = np.full((len(frame), len(names)), np.nan)
    filled[given.to_numpy()] = probabilities
    best = np.sort(filled, 1)
    lengths = np.zeros(len(frame), int)
    lengths[given.to_numpy()] = [len(ids) for ids in pipe.tokenizer(chosen, truncation=False, verbose=False)["input_ids"]]
    most = min(pipe.tokenizer.model_max_length, pipe.model.config.max_tokens or 10**9)
    labels = [names[row.argmax()] if ok else None for row, ok in zip(filled, given, strict=True)]
    result["label"] = pd.Series(labels, frame.index, object)
    for number, name in enumerate(names):
        result[f"p_{name}"] = filled[:, number]
    result["margin"] = best[:, -1] - best[:, -2]
    result["n_tokens"], result["truncated"], result["valid"] = lengths, lengths > most, given
    record |= {"revision": revision(record["model"]), "codebook": codebook.name, "codebook_hash": codebook.hash,
               "labels": names, "style": style, "shots": shots, "prompt": codebook.prompt(style=style, shots=shots),
               "texts": len(chosen),
               "empty": int((~given).sum()), "truncated": int(result["truncated"].sum()), "seconds": round(seconds, 2),
               "texts_per_second": round(len(chosen) / max(seconds, 1e-9), 1), "dtype": str(pipe.model.dtype),
               "device": str(pipe.device), "options": {key: str(value) for key, value in options.items()},
               "date": time.strftime("%Y-%m-%d"), "python": platform.python_version(), "versions": {"course": __version__} | {
                   name: importlib.metadata.version(name) for name in ("torch", "tokenizers", "numpy", "pandas")}}
    result.attrs["record"] = record
    if save is not None:
        hub.write_text(Path(save), result.to_csv(index=False))
        hub.write_json(Path(save).with_suffix(".record.json"), json.loads(json.dumps(record, default=str)))
    return result


def read_record(path: str | os.PathLike) -> dict[str, Any]:
    """The run record that annotate(save=…) wrote: table.attrs["record"] = read_record("coded.record.json")."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


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


# -- the methods: (pipeline, texts, codebook, style, shots, (texts, labels) to learn from, seed) -> (texts, labels) ----------

def zero_shot(pipe: Any, texts: list[str], codebook: Codebook, style: str, shots: int, examples: Any, seed: int) -> np.ndarray:
    words = [label.text(style) for label in codebook.labels.values()]
    answers = pipe(texts, candidate_labels=words)
    return np.array([[dict(zip(a["labels"], a["scores"], strict=True))[word] for word in words] for a in answers])


def embed(pipe: Any, texts: Sequence[str]) -> Any:
    """A tensor (texts, D): the mean of the token vectors, of length 1."""
    import torch
    return torch.nn.functional.normalize(torch.stack(pipe(list(texts), pooling="mean", return_tensors=True)), dim=-1)


def similarity(pipe: Any, texts: list[str], codebook: Codebook, style: str, shots: int, examples: Any, seed: int) -> np.ndarray:
    words = embed(pipe, [label.text(style) for label in codebook.labels.values()])
    return (SHARPNESS * embed(pipe, texts) @ words.T).softmax(-1).numpy()


def few_shot(pipe: Any, texts: list[str], codebook: Codebook, style: str, shots: int, examples: Any, seed: int) -> np.ndarray:
    """Multinomial logistic regression with a penalty on the squared weights, as scikit-learn's (C = 10)."""
    import torch
    from torch import nn
    place = {name: number for number, name in enumerate(codebook)}
    x, y = embed(pipe, examples[0]), torch.tensor([place[label] for label in examples[1]])
    layer = nn.Linear(x.shape[1], len(place))
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    search = torch.optim.LBFGS(layer.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Any:
        search.zero_grad()
        value = nn.functional.cross_entropy(layer(x), y, reduction="sum") * 10 + layer.weight.square().sum() / 2
        value.backward()
        return value

    search.step(loss)
    with torch.inference_mode():
        return layer(embed(pipe, texts)).softmax(-1).numpy()


def fine_tuned(pipe: Any, texts: list[str], codebook: Codebook, style: str, shots: int, examples: Any, seed: int) -> np.ndarray:
    """All weights of the encoder, and a new head, learn for eight epochs (lesson 5)."""
    import tempfile

    from course import AutoModelForSequenceClassification, Trainer, TrainingArguments, pipeline
    names = dict(enumerate(codebook))
    place = {name: number for number, name in names.items()}
    encoded = pipe.tokenizer(examples[0], truncation=True)
    rows = [{"input_ids": ids, "labels": place[label]} for ids, label in zip(encoded["input_ids"], examples[1], strict=True)]
    model = AutoModelForSequenceClassification.from_pretrained(pipe.names["model"], num_labels=len(names), id2label=names,
                                                               label2id=place)
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(folder, num_train_epochs=8, per_device_train_batch_size=16, learning_rate=3e-4,
                                     warmup_ratio=0.1, save_strategy="no", report_to="none", seed=seed)
        Trainer(model, settings, train_dataset=rows, processing_class=pipe.tokenizer).train()
    answers = pipeline("text-classification", model=model, tokenizer=pipe.tokenizer)(texts, top_k=None)
    return np.array([[{a["label"]: a["score"] for a in answer}[name] for name in codebook] for answer in answers])


def prompted(pipe: Any, texts: list[str], codebook: Codebook, style: str, shots: int, examples: Any, seed: int) -> np.ndarray:
    """Each label is scored in full as the answer, with a line break behind it, so that none is how another begins."""
    import torch
    answers = [f" {name}\n" for name in codebook]
    found = []
    for start in progress(range(0, len(texts), 32), desc="prompt", unit="batch", delay=2, leave=False):
        prompts = [codebook.prompt(text, style, shots) for text in texts[start:start + 32]]
        batch = pipe.tokenizer(prompts, padding=True, padding_side="left", return_tensors="pt",
                               split_special_tokens=True).to(pipe.device)
        output = pipe.model.generate(**batch, allowed_outputs=answers, tokenizer=pipe.tokenizer)
        found.append(output.probabilities.float().cpu())
    return torch.cat(found).numpy()


Method = Callable[[Any, list[str], Codebook, str, int, Any, int], np.ndarray]
METHODS: dict[str, tuple[str, str, Method, bool]] = {
    "zero-shot": ("zero-shot-classification", "pocket/nli", zero_shot, False),
    "similarity": ("feature-extraction", "pocket/encoder", similarity, False),
    "few-shot": ("feature-extraction", "pocket/encoder", few_shot, True),
    "fine-tuned": ("feature-extraction", "pocket/encoder", fine_tuned, True),
    "prompt": ("text-generation", "pocket/generator", prompted, False),
}


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
