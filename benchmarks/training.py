"""Fine-tuning the pocket encoder: course's Trainer beside that of transformers, same weights, texts and batch size.

    .venv-parity/bin/python benchmarks/training.py [--steps 56] [--runs 5] [--threads 2]
    .venv-parity/bin/python benchmarks/training.py --learn TRAIN.tsv --until DEV.tsv --accuracy 0.85

Three comparisons: float32 in the same order of examples; each package with its own defaults and its padding collator; peak
memory of training all weights and a LoRA adapter (each in a process of its own). Samples per second are given by the clock and,
because other programs may run on the machine, by the processor time that this process got. The second form: how long each
package takes, with its defaults, until so much of DEV is labelled rightly (files with the columns text and label; every 64
steps the clock stands still for a look).
"""

import argparse
import csv
import multiprocessing
import statistics
import tempfile
import threading
import time
import warnings
from functools import partialmethod
from pathlib import Path

import psutil
import torch
from side_by_side import compare, machine

import course
from course import hub

ENCODER = Path(course.__file__).parent / "pocket/encoder"
MODEL = "AutoModelForSequenceClassification"


def rows(tokenizer, fixed):
    """Answers of the survey; fixed: all as long as the longest, so that both packages pad alike in any order."""
    with open(hub.DATASETS / "local_life.csv", encoding="utf-8", newline="") as file:
        data = [(row["answer"], row["topic_a"]) for row in csv.DictReader(file) if row["answer"]]
    names = sorted({label for _, label in data})
    options = {"padding": "max_length", "max_length": 32} if fixed else {"max_length": 128}
    encoded = [tokenizer(text, truncation=True, **options) for text, _ in data]
    return [{name: row[name] for name in ("input_ids", "attention_mask")} | {"label": names.index(label)}
            for row, (_, label) in zip(encoded, data, strict=True)], len(names)


def sentences(file, tokenizer):
    with open(file, encoding="utf-8", newline="") as lines:
        data = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [{name: row[name] for name in ("input_ids", "attention_mask")} | {"label": int(label)} for row, label in
            ((tokenizer(one["text"], truncation=True, max_length=128), one["label"]) for one in data)]


def learn(library, files, wanted, batch=16):
    """Seconds of the processor and of the clock, and steps, until the accuracy is reached."""
    tokenizer = course.AutoTokenizer.from_pretrained(ENCODER) if library is course else \
        library.BertTokenizerFast.from_pretrained(ENCODER)
    data, held = (sentences(file, tokenizer) for file in files)
    torch.manual_seed(0)
    model = getattr(library, MODEL).from_pretrained(ENCODER, num_labels=2)
    spent, began = [0.0, 0.0], [0.0, 0.0]

    def clocks():
        return time.process_time(), time.perf_counter()

    def pause():
        for number, now in enumerate(clocks()):
            spent[number] += now - began[number]

    class Look(library.TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            began[:] = clocks()

        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step % 64:
                return
            pause()
            model.eval()
            with torch.inference_mode():
                right = sum(int(model(torch.tensor([one["input_ids"]])).logits.argmax()) == one["label"] for one in held)
            model.train()
            print(f"  {library.__name__}, step {state.global_step}: {right / len(held):.3f}, {spent[0]:.1f} s", flush=True)
            control.should_training_stop = right / len(held) >= wanted
            began[:] = clocks()

    with tempfile.TemporaryDirectory() as folder:
        args = library.TrainingArguments(output_dir=folder, num_train_epochs=3, per_device_train_batch_size=batch, use_cpu=True,
                                         report_to="none", save_strategy="no", disable_tqdm=True, logging_steps=10**6,
                                         learning_rate=1e-4)
        trainer = library.Trainer(model, args, train_dataset=data, processing_class=tokenizer, callbacks=[Look()])
        trainer.train()
    return *spent, trainer.state.global_step


def train(library, steps, fixed, adapter=False, batch=16, **settings):
    """(samples a second by the clock, by processor time)"""
    tokenizer = course.AutoTokenizer.from_pretrained(ENCODER) if library is course else \
        library.BertTokenizerFast.from_pretrained(ENCODER)
    data, classes = rows(tokenizer, fixed)
    torch.manual_seed(0)
    model = getattr(library, MODEL).from_pretrained(ENCODER, num_labels=classes)
    if adapter:
        course.add_lora(model)
    with tempfile.TemporaryDirectory() as folder:
        args = library.TrainingArguments(**{
            "output_dir": folder, "max_steps": steps, "per_device_train_batch_size": batch, "report_to": "none",
            "use_cpu": True, "save_strategy": "no", "disable_tqdm": True, "logging_steps": steps, "learning_rate": 1e-4}
            | settings)
        trainer = library.Trainer(model, args, train_dataset=data, processing_class=tokenizer)
        began, used = time.perf_counter(), time.process_time()
        trainer.train()
        return steps * batch / (time.perf_counter() - began), steps * batch / (time.process_time() - used)


def memory(connection, kind):
    """MiB that training takes beyond the loaded model, in a fresh process: the largest of many looks."""
    looks, process = [], psutil.Process()

    def look():
        while True:
            looks.append(process.memory_info().rss)
            time.sleep(0.005)

    def note(*args, plain, **kwargs):
        looks.append(process.memory_info().rss)
        threading.Thread(target=look, daemon=True).start()
        return plain(*args, **kwargs)
    if kind.startswith("transformers"):
        import transformers
        transformers.Trainer._inner_training_loop = partialmethod(note, plain=transformers.Trainer._inner_training_loop)
        train(transformers, 3, True)
    else:
        course.Trainer.run = partialmethod(note, plain=course.Trainer.run)
        train(course, 3, True, adapter="LoRA" in kind, bf16=False, group_by_length=False)
    connection.send((max(looks) - looks[0]) / 2**20)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memory", action="store_true", help="nothing but the memory")
    parser.add_argument("--steps", type=int, default=56, help="56 are one epoch")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--learn", type=Path)
    parser.add_argument("--until", type=Path)
    parser.add_argument("--accuracy", type=float, default=0.85)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    import transformers
    transformers.logging.set_verbosity_error()
    if options.learn:
        found = {library.__name__: learn(library, (options.learn, options.until), options.accuracy)
                 for library in (course, transformers)}
        for name, (used, wall, steps) in found.items():
            print(f"{name}: {options.accuracy} after {steps} steps, {used:.0f} s of the processor, {wall:.0f} s of the clock "
                  f"({machine()})")
        return
    comparisons = [("float32, same order, 32 tokens each", True, {"bf16": False, "group_by_length": False}),
                   ("defaults of each package", False, {})]
    for what, fixed, ours in comparisons[:0 if options.memory else 2]:
        cpu: dict[str, list[float]] = {"transformers": [], "course": []}

        def run(library, settings, fixed=fixed, cpu=cpu):
            wall, used = train(library, options.steps, fixed, **settings)
            cpu[library.__name__].append(used)
            return wall
        compare(what, "samples/s", {"transformers": lambda run=run: run(transformers, {}),
                                    "course": lambda run=run, ours=ours: run(course, ours)}, options.runs, True)
        theirs, own = (statistics.median(cpu[name]) for name in ("transformers", "course"))
        print(f"by processor time: transformers {theirs:.1f}, course {own:.1f} samples a second, ratio {own / theirs:.2f}")
    print(f"\npeak memory beyond the loaded model (MiB; {machine()})")
    start = multiprocessing.get_context("spawn")
    for kind in ("transformers, all weights", "course, all weights", "course, LoRA"):
        ours, theirs = start.Pipe()
        process = start.Process(target=memory, args=(theirs, kind))
        process.start()
        print(f"{kind:<42}{ours.recv():9.0f}")
        process.join()


if __name__ == "__main__":
    main()
