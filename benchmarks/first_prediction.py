"""The time from starting Python to the first prediction (import, load, predict), in fresh processes, in turn.

    .venv-parity/bin/python benchmarks/first_prediction.py [--model FOLDER] [--runs 5]

Without --model the classifier is pocket/sentiment, a MiniLM of 6 layers, saved as an ordinary checkpoint.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

from side_by_side import compare

from course import AutoModelForSequenceClassification, AutoTokenizer

CODE = """
from {package} import pipeline
print(pipeline("sentiment-analysis", model={model!r})("The new timetable is a relief."))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder of a text classifier")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.model is None:
            AutoModelForSequenceClassification.from_pretrained("pocket/sentiment").save_pretrained(folder)
            AutoTokenizer.from_pretrained("pocket/sentiment").save_pretrained(folder)
        answers = {}

        def seconds(package: str) -> float:
            code = CODE.format(package=package, model=arguments.model or folder)
            start = time.perf_counter()
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                                  env=os.environ | {"HF_HUB_OFFLINE": "1"})
            answers[package] = done.stdout.strip()
            return time.perf_counter() - start

        def torch_alone() -> float:
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", "import torch"], check=True)
            return time.perf_counter() - start

        seconds("transformers"), seconds("course")        # once without counting: the files are in the disk cache then
        compare("First prediction of a fresh process", "seconds",
                {"transformers": lambda: seconds("transformers"), "course": lambda: seconds("course"),
                 "(import torch alone)": torch_alone}, arguments.runs, higher_is_better=False)
        print("\n".join(f"{package}: {answer}" for package, answer in answers.items()))


if __name__ == "__main__":
    main()
