"""The time from starting Python to the first answer of each task (import, load, predict), without a network.

    .venv/bin/python benchmarks/first_answer.py [--runs 3] [--task ner]

Every run is a process of its own, in which opening a connection fails. Elapsed seconds count what others do on the machine;
processor seconds do not. The aim: an answer within 3 seconds of a machine that does nothing else.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time

from course.pipelines import TASKS

TEXT = "Anna Berg of Port Sarn wants more buses. The council votes in May."
CALLS = {
    "text-classification": (TEXT,), "token-classification": (TEXT,), "fill-mask": ("She moved to [MASK] last year.",),
    "question-answering": ({"question": "When is the vote?", "context": TEXT},), "feature-extraction": (TEXT,),
    "zero-shot-classification": (TEXT, ["transport", "health"]), "sentence-similarity": (TEXT, "The bus is late."),
    "text-generation": ("Once upon a time",), "text2text-generation": (TEXT,), "summarization": (TEXT,), "translation": (TEXT,),
}
CODE = """
import socket
def refuse(*arguments, **options): raise OSError("no network here")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from course import pipeline
answer = pipeline({task!r})(*{given!r})
print(str(answer)[:80])
"""


def first_answer(task: str) -> tuple[float, float, str]:
    """Seconds elapsed and processor seconds of one process, and what it answered."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", CODE.format(task=task, given=CALLS[task])], capture_output=True, text=True,
                          env=os.environ | {"TQDM_DISABLE": "1"})
    elapsed, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{task} failed:\n{done.stderr}")
    return elapsed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--task", choices=TASKS)
    arguments = parser.parse_args()
    if missing := TASKS.keys() ^ CALLS.keys():
        raise SystemExit(f"CALLS and TASKS differ: {', '.join(missing)}")
    print(f"{'task':26} {'elapsed':>8} {'processor':>10}   (seconds, median of {arguments.runs} processes)")
    for task in [arguments.task] if arguments.task else TASKS:
        runs = [first_answer(task) for _ in range(arguments.runs)]
        elapsed, processor = (statistics.median(column) for column in list(zip(*runs, strict=True))[:2])
        print(f"{task:26} {elapsed:8.2f} {processor:10.2f}   {'' if processor <= 3 else 'over 3 s  '}{runs[0][2]}", flush=True)


if __name__ == "__main__":
    main()
