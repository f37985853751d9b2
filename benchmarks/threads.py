"""One process against four at once, with threads as torch starts them and as `course` sets them (course/threads.py).

    .venv/bin/python benchmarks/threads.py [--processes 4] [--runs 3]

Each process loads pocket/sentiment, then classifies 64 short answers together and 20 one at a time; the figure is the
seconds of the slowest process, without loading. "before": waiting threads spin, which is what OpenMP does unless told.
"""

import argparse
import os
import subprocess
import sys

from side_by_side import compare

CODE = """
import logging, time
logging.disable(logging.WARNING)
from course import pipeline
classify = pipeline("sentiment-analysis")
texts = [f"Bus number {i} is a relief for everyone who lives out here and works in town." for i in range(64)]
classify(texts)
print("ready", flush=True)
input()
start = time.perf_counter()
classify(texts)
for text in texts[:20]:
    classify(text)
print(time.perf_counter() - start)
"""
# What libgomp does when no variable is set: 300,000 turns of a loop before a waiting thread lets others work.
BEFORE = {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "300000"}


def slowest(processes: int, variables: dict[str, str]) -> float:
    """Seconds of the slowest of so many processes that start computing together."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "MKL_NUM", "GOMP_"))} | variables
    running = [subprocess.Popen([sys.executable, "-c", CODE], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True) for _ in range(processes)]
    for process in running:
        process.stdout.readline()
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    return max(float(process.communicate()[0]) for process in running)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    for number in (1, arguments.processes):
        compare(f"{number} process(es) at once", "seconds",
                {"before": lambda n=number: slowest(n, BEFORE), "course": lambda n=number: slowest(n, {}),
                 "one thread each": lambda n=number: slowest(n, {"OMP_NUM_THREADS": "1"})},
                arguments.runs, higher_is_better=False)


if __name__ == "__main__":
    main()
