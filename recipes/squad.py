"""SQuAD's file format, and its score of an answer."""
import json
import re
import string
from collections import Counter
from pathlib import Path


def squad(path: Path) -> list[dict]:
    """Questions of a file in SQuAD's format: context, question, answers [(text, start)]."""
    return [{"context": part["context"], "question": qa["question"],
             "answers": [(a["text"], a["answer_start"]) for a in qa["answers"]]}
            for article in json.loads(path.read_text(encoding="utf-8"))["data"]
            for part in article["paragraphs"] for qa in part["qas"]]


def words(text: str) -> list[str]:
    """As SQuAD counts: lower case, without punctuation and articles."""
    return re.sub(r"\b(a|an|the)\b", " ", "".join(c for c in text.lower() if c not in string.punctuation)).split()


def f1(answer: str, truths: list[str]) -> float:
    """The best overlap in words with one of the right answers."""
    best = 0.0
    for truth in truths:
        a, b = words(answer), words(truth)
        same = sum((Counter(a) & Counter(b)).values())
        best = max(best, 2 * same / (len(a) + len(b)) if a and b else float(a == b))
    return best
