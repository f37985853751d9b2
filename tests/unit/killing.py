"""Trains in child processes, kills them with SIGKILL at random moments, and lets the run go on: a program for test_resume.py.

    python killing.py FOLDER MODE KILLS      prints one JSON line: how many kills, where they hit, what differed

It forks instead of starting Python anew each time, so that a kill and a resume take about a second. MODE: see MODES.
"""

import hashlib
import json
import os
import random
import signal
import socket
import sys
import time
from pathlib import Path

import accelerate  # noqa: F401 - all that a child would otherwise import anew
import numpy as np
import tiny
import torch
import torch._dynamo
import torch.distributed

import course
import course.training.trainer
from course.training import checkpoints

WORDS = ["good", "bad", "happy", "new", "school", "council", "people", "vote"]
MODES = {
    "plain": {"save_steps": 2}, "every step": {"save_steps": 1, "save_total_limit": 1},
    "accumulation": {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 3, "save_steps": 1, "num_train_epochs": 4},
    "length groups": {"group_by_length": True, "save_steps": 1, "save_total_limit": 2},
    "evaluation": {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2,
                   "load_best_model_at_end": True, "save_total_limit": 1, "warmup_steps": 3},
    "masked words": {"save_steps": 1}, "stream": {"max_steps": 9, "save_steps": 1},
    "two processes": {"save_steps": 1, "per_device_train_batch_size": 3}}


class Stream(torch.utils.data.IterableDataset):
    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)


def make(folder, mode):
    """The run of a mode: dropout, a schedule, and in one mode masks that are drawn anew in every batch."""
    generator, tokenizer = np.random.default_rng(0), tiny.tokenizer()
    texts = [" ".join(generator.choice(WORDS, 1 + i % 7)) for i in range(20)]
    rows = [dict(tokenizer(text)) | {"label": i % 2} for i, text in enumerate(texts)]
    torch.manual_seed(0)
    masked = mode == "masked words"
    collator = course.DataCollatorForLanguageModeling(tokenizer) if masked else None
    if masked:
        rows = [{k: v for k, v in row.items() if k != "label"} for row in rows]
    args = course.TrainingArguments(**{
        "output_dir": str(folder), "num_train_epochs": 2, "per_device_train_batch_size": 6, "learning_rate": 1e-3, "use_cpu": True,
        "report_to": "none", "disable_tqdm": True, "logging_steps": 1, "lr_scheduler_type": "cosine", "group_by_length": False}
        | MODES[mode])
    return course.Trainer(tiny.model("ForMaskedLM" if masked else "ForSequenceClassification"), args, collator,
                          Stream(rows) if mode == "stream" else rows, rows[:5], processing_class=tokenizer)


def trace(run):
    """Everything that was logged, bit for bit, and the weights."""
    logs = [{k: v for k, v in entry.items() if not k.endswith(("_runtime", "_per_second"))} for entry in run.state.log_history]
    digest = hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in run.model.parameters())).hexdigest()
    return {"logs": logs, "weights": digest}


def child(folder, mode, rank, world, port, die_at):
    """One training process; die_at: kills itself at that write of a checkpoint to the disk."""
    if world > 1:
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), MASTER_ADDR="127.0.0.1",
                          MASTER_PORT=str(port))
    if die_at is not None:
        flush, count = checkpoints.flush, iter(range(10**6))

        def dying(path):
            if next(count) == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            flush(path)
        checkpoints.flush = dying
    run = make(folder, mode)
    run.train(resume_from_checkpoint=True)
    if rank == 0:
        (Path(folder) / "trace.json").write_text(json.dumps(trace(run)))


def launch(folder, mode, kill_after=None, die_at=None):
    """Trains in one process or two; True when it came to its end before it was killed."""
    world, children = 2 if mode == "two processes" else 1, []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for rank in range(world):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                if kill_after is not None:            # what the torn-off ends of a killed run say is nobody's business
                    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                child(folder, mode, rank, world, port, die_at if rank == 0 else None)
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    end = None if kill_after is None else time.monotonic() + kill_after
    codes = {}
    while len(codes) < world:
        for pid in children:
            if pid not in codes:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    codes[pid] = os.waitstatus_to_exitcode(status)
        if (end is not None and time.monotonic() > end) or any(code < 0 for code in codes.values()):
            for pid in set(children) - set(codes):
                os.kill(pid, signal.SIGKILL)
                codes[pid] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        time.sleep(0.002)
    assert all(code in (0, -signal.SIGKILL) for code in codes.values()) or kill_after is not None, codes
    return not any(codes.values())


def main(folder, mode, kills):
    folder, randomly = Path(folder), random.Random(mode)
    assert launch(folder / "first", mode)             # reads from the disk what the later ones find in memory
    began = time.monotonic()
    assert launch(folder / "whole", mode)
    seconds = time.monotonic() - began
    whole = json.loads((folder / "whole/trace.json").read_text())
    found = {"kills": 0, "steps": [], "half written": 0, "differences": [], "seconds": round(seconds, 2)}
    for number in range(kills):
        place = folder / str(number)
        # every third one dies between two files of a checkpoint, the others at a random moment
        aimed = {"die_at": randomly.randrange(40)} if number % 3 == 0 else {}
        for _ in range(2):                            # a run that was killed once may be killed once more
            finished = launch(place, mode, kill_after=seconds * 3 if aimed else randomly.uniform(0, seconds), **aimed)
            found["kills"] += not finished
            left = checkpoints.folders(place)
            found["steps"].append(int(left[0].name.split("-")[1]) if left else 0)
            found["half written"] += any(place.glob(".part-*"))
            found["differences"] += [f"{path}: {checkpoints.damage(path)}" for path in left if checkpoints.damage(path)]
            if finished:
                break
            aimed = {}
        if not (place / "trace.json").exists():
            assert launch(place, mode)
        again = json.loads((place / "trace.json").read_text())
        found["differences"] += [f"kill {number}: {key}" for key in whole if whole[key] != again[key]]
        found["differences"] += [f"left behind: {path.name}" for path in place.glob(".part-*")]
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
