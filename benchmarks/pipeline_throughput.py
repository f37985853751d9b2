"""Texts per second of the text-classification pipeline on 1,024 short texts, same weights, one process, in turn.

    .venv-parity/bin/python benchmarks/pipeline_throughput.py [--model FOLDER] [--texts FILE.tsv] [--runs 5]

Without --model the classifier is pocket/sentiment, a MiniLM of 6 layers, saved as an ordinary checkpoint. Without --texts
the texts are made up from a small stock of clauses, 4 to 40 words long; a file has one text per line (before the first tab).
Besides the speed it prints how far labels and scores agree. ONNX Runtime (pip install onnxruntime onnx onnxscript), where it
is installed, computes the batches of course's own pipeline: the same tokenizer, the same rows sorted by length.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from side_by_side import compare

import course

OPENINGS = ["I think that", "To be honest,", "In our street", "At work", "Since the reform", "My neighbours say that",
            "Compared with last year,", "As a nurse I can say that", "For young families", "After the meeting"]
CLAUSES = ["the buses come far too late", "people help each other", "rents have become impossible", "the new library is lovely",
           "nobody listens to us", "the council did a decent job", "schools are short of teachers", "I feel safe at night",
           "the forms are a nightmare", "things are neither better nor worse", "the clinic treated my mother kindly",
           "we could not be happier with the park", "the noise never stops", "it is hard to find a doctor"]


def made_up(number: int) -> list[str]:
    chance = random.Random(0)
    texts = []
    for _ in range(number):
        clauses = chance.sample(CLAUSES, chance.choice([1, 1, 1, 2, 2, 3, 5]))
        texts.append(f"{chance.choice(OPENINGS)} {', and '.join(clauses)}.")
    return texts


def onnx_runtime(model: str, folder: Path) -> dict[str, Callable]:
    """Pipelines whose model is computed by ONNX Runtime, in float32 and in int8."""
    try:
        import onnxruntime
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError:
        return {}
    pipe = course.pipeline("text-classification", model=model, device="cpu")
    names = [name for name in ("input_ids", "token_type_ids") if name in pipe.columns]
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")

    class Logits(torch.nn.Module):
        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            return pipe.model(**dict(zip(names, inputs, strict=True)))["logits"]

    place = folder / "model.onnx"
    torch.onnx.export(Logits(), tuple(torch.ones(2, 9, dtype=torch.long) for _ in names), place, input_names=names, dynamo=True,
                      dynamic_shapes={"inputs": tuple({0: batch, 1: length} for _ in names)}, verbose=False)
    quantize_dynamic(place, folder / "int8.onnx", weight_type=QuantType.QInt8)
    made = {}
    for kind, file in (("float32", "model.onnx"), ("int8", "int8.onnx")):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(folder / file, options, providers=["CPUExecutionProvider"])
        own = course.pipeline("text-classification", model=model, device="cpu")

        def forward(rows: dict, options: dict, own=own, session=session) -> list:
            found = session.run(None, {name: rows[name].numpy() for name in names})[0]
            return own.scores(torch.from_numpy(found), None).tolist()
        own.forward = forward
        made[f"ONNX Runtime, {kind}"] = own
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder of a text classifier")
    parser.add_argument("--texts", type=Path, help="file with one text per line")
    parser.add_argument("--number", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    texts = made_up(arguments.number)
    if arguments.texts:
        lines = arguments.texts.read_text(encoding="utf-8").splitlines()
        texts = [line.split("\t")[0] for line in lines if line.split("\t")[0].strip()]
        texts = (texts * (arguments.number // len(texts) + 1))[:arguments.number]
    with tempfile.TemporaryDirectory() as folder:
        if arguments.model is None:
            course.AutoModelForSequenceClassification.from_pretrained("pocket/sentiment").save_pretrained(folder)
            course.AutoTokenizer.from_pretrained("pocket/sentiment").save_pretrained(folder)
        model = arguments.model or folder
        theirs = transformers.pipeline("text-classification", model=model, device="cpu")
        ours = course.pipeline("text-classification", model=model, device="cpu")
        fast, small = (course.pipeline("text-classification", model=model, device="cpu", dtype=d) for d in ("auto", "int8"))
        answers = {}

        def rate(name: str, call) -> float:
            start = time.perf_counter()
            answers[name] = call()
            return len(texts) / (time.perf_counter() - start)

        programs = {"transformers, as it comes": lambda: theirs(texts),
                    "transformers, batch_size=32": lambda: theirs(texts, batch_size=32),
                    "course": lambda: ours(texts),
                    f"course, dtype='auto' ({str(fast.model.dtype)[6:]})": lambda: fast(texts),
                    "course, dtype='int8'": lambda: small(texts)}
        programs |= {name: lambda pipe=pipe: pipe(texts) for name, pipe in onnx_runtime(model, Path(folder)).items()}
        for call in programs.values():
            call()                                        # once without counting
        compare(f"Pipeline over {len(texts)} short texts", "texts/s",
                {name: (lambda name=name, call=call: rate(name, call)) for name, call in programs.items()},
                arguments.runs, higher_is_better=True)
        reference, *others = answers.items()
        for name, answer in others:
            pairs = list(zip(reference[1], answer, strict=True))
            same = sum(a["label"] == b["label"] for a, b in pairs) / len(pairs)
            far = max(abs(a["score"] - b["score"]) for a, b in pairs)
            print(f"{name}: {same:.2%} of the labels as {reference[0]}, scores at most {far:.1e} apart")


if __name__ == "__main__":
    main()
