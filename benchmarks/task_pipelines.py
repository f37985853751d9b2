"""Zero-shot coding of 200 answers under 10 labels, and questions to 50 long contexts: same weights, one process, in turn.

    .venv-parity/bin/python benchmarks/task_pipelines.py [--runs 5] [--texts 200] [--contexts 50]

The body is that of pocket/encoder, a MiniLM of 6 layers, with a random head for each task. Besides the speed it prints how far
the answers agree. transformers runs as it comes and with batches of 16.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import transformers
from pipeline_throughput import CLAUSES, made_up
from side_by_side import compare

import course

LABELS = ["transport", "housing", "schools", "health", "safety", "noise", "the council", "parks", "work", "neighbours"]
QUESTIONS = ["What comes far too late?", "Who treated my mother kindly?", "What have rents become?",
             "Who is short of teachers?"]


def save(folder: Path, head: str, **settings: object) -> str:
    """The encoder with a head of random weights, large enough that its answers differ."""
    torch.manual_seed(0)
    model = getattr(course, f"AutoModelFor{head}").from_pretrained("pocket/encoder", **settings)
    with torch.no_grad():
        (model.classifier if head == "SequenceClassification" else model.qa_outputs).weight.normal_(0, 0.3)
    model.save_pretrained(folder / head)
    course.AutoTokenizer.from_pretrained("pocket/encoder").save_pretrained(folder / head)
    return str(folder / head)


def side_by_side(task: str, path: str, what: str, number: int, runs: int, call: Callable[..., list[dict]]) -> None:
    """call(pipe) answers `number` items."""
    theirs = transformers.pipeline(task, model=path, device="cpu")
    programs = {"transformers, as it comes": partial(call, theirs),
                "transformers, batch_size=16": partial(call, theirs, batch_size=16)}
    for name, dtype in (("course", None), ("course, dtype='int8'", "int8")):
        programs[name] = partial(call, course.pipeline(task, model=path, device="cpu", dtype=dtype))
    answers = {}

    def rate(name: str) -> float:
        start = time.perf_counter()
        answers[name] = programs[name]()
        return number / (time.perf_counter() - start)

    compare(what, "items/s", {name: partial(rate, name) for name in programs}, runs, higher_is_better=True)
    best = {name: [one["labels"][0] if "labels" in one else one["answer"] for one in found] for name, found in answers.items()}
    reference, *others = best
    for name in others:
        same = sum(a == b for a, b in zip(best[reference], best[name], strict=True)) / number
        print(f"{name}: {same:.1%} of the answers as {reference}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--contexts", type=int, default=50)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    chance = random.Random(1)
    texts = made_up(arguments.texts)
    contexts = [". ".join(chance.choices(CLAUSES, k=chance.randint(60, 180))) + "." for _ in range(arguments.contexts)]
    questions = [chance.choice(QUESTIONS) for _ in contexts]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nli = save(folder, "SequenceClassification", id2label={0: "contradiction", 1: "neutral", 2: "entailment"})
        side_by_side("zero-shot-classification", nli, f"Zero-shot, {len(texts)} texts x {len(LABELS)} labels", len(texts),
                     arguments.runs, lambda pipe, **options: pipe(texts, LABELS, **options))
        qa = save(folder, "QuestionAnswering")
        side_by_side("question-answering", qa, f"Questions to {len(contexts)} long contexts", len(contexts), arguments.runs,
                     lambda pipe, **options: pipe(question=questions, context=contexts, **options))


if __name__ == "__main__":
    main()
