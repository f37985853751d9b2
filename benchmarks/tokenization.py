"""Tokenizers against those of transformers, same vocabularies and texts, one process, in turn; and how long learning takes.

    .venv-parity/bin/python benchmarks/tokenization.py --texts FOLDER --vocab FOLDER [--runs 5] [--only rust python training]

--texts: a folder of books (.txt), which are cut into sentences. --vocab: a folder with bert-base-uncased (vocab.txt), gpt2
(vocab.json, merges.txt), t5-small (spiece.rebuilt.model, tokenizer.json) and xlnet-base-cased (spiece.model). Three parts:
rust: 10,000 texts, padded to tensors, by the default engines. python: 1,000 texts by the engines in Python, other texts in
every run, so that words are mostly but not all known from before. training: 8,000 merges from 1 MB and from 5 MB of text.
Besides the speed the first two print how many texts get the same ids. Two things to know: the slow T5 and XLNet tokenizers
of transformers are SentencePiece, a C++ program; and its fast XLNet splits '.', '-' and '(' off, which the published model
(and course) does not.
"""

import argparse
import re
import time
from pathlib import Path

import transformers
from side_by_side import compare

import course

FILES = {"Bert": ("bert-base-uncased", {"vocab_file": "vocab.txt"}),
         "GPT2": ("gpt2", {"vocab_file": "vocab.json", "merges_file": "merges.txt"}),
         "T5": ("t5-small", {"vocab_file": "spiece.rebuilt.model"}),
         "XLNet": ("xlnet-base-cased", {"vocab_file": "spiece.model"})}


def sentences(folder: Path) -> list[str]:
    """The sentences of all books, one of each book in turn."""
    books = [re.split(r"(?<=[.!?])\s+", path.read_text(encoding="utf-8", errors="replace"))
             for path in sorted(folder.glob("*.txt"))]
    return [" ".join(book[number].split()) for number in range(max(map(len, books))) for book in books if number < len(book)]


def loaded(start: str, folder: Path, fast: bool) -> dict[str, object]:
    """The tokenizer of both packages; where there is none for padding, the end of a text serves."""
    name, files = FILES[start]
    ours = {argument: str(folder / name / file) for argument, file in files.items()}
    theirs = {"tokenizer_file": str(folder / name / "tokenizer.json")} if start == "T5" and fast else ours
    made = {package.__name__: getattr(package, f"{start}Tokenizer{'Fast' * fast}")(**given)
            for package, given in ((transformers, theirs), (course, ours))}
    for tokenizer in made.values():
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
    return made


def against_transformers(texts: list[str], folder: Path, fast: bool, number: int, runs: int) -> None:
    options = {"padding": True, "return_tensors": "pt", "verbose": False} if fast else {"verbose": False}
    for start in FILES:
        made = loaded(start, folder, fast)
        batches = [texts[:number]] * runs if fast else [texts[run * number:(run + 1) * number] for run in range(1, runs + 1)]
        ids: dict[str, list] = {name: [] for name in made}

        def rate(name: str, made=made, batches=batches, ids=ids) -> float:
            batch = batches[len(ids[name])]
            start = time.perf_counter()
            found = made[name](batch, **options)["input_ids"]
            seconds = time.perf_counter() - start
            ids[name].append(found.tolist() if fast else found)
            return len(batch) / seconds

        for tokenizer in made.values():
            tokenizer(texts[:100], **options)             # once without counting
        compare(f"{start}: {number} texts, {'Rust engine, padded to tensors' if fast else 'Python engine'}", "texts/s",
                {name: (lambda name=name: rate(name)) for name in made}, runs, higher_is_better=True)
        pairs = [pair for one, other in zip(*ids.values(), strict=True) for pair in zip(one, other, strict=True)]
        print(f"{sum(one == other for one, other in pairs) / len(pairs):.2%} of the texts have the same ids")


def training(texts: list[str], runs: int) -> None:
    """The time for 1 MB is the yardstick: a ratio of 0.2 for five times the text is linear growth, more is better than that."""
    parts = {}
    for megabytes in (1, 5):
        size, end = 0, 0
        while end < len(texts) and size < megabytes * 1e6:
            size, end = size + len(texts[end].encode()) + 1, end + 1
        parts[f"{megabytes} MB"] = texts[:end]

    def seconds(train, part: str, fast: bool) -> float:
        start = time.perf_counter()
        tokenizer = train(parts[part], 8000 + 257, use_fast=fast)        # 256 bytes, <|endoftext|> and 8,000 merges
        taken = time.perf_counter() - start
        learnt[part, fast] = tokenizer.get_vocab()
        return taken

    for train in (course.train_byte_bpe, course.train_wordpiece, course.train_bpe, course.train_unigram):
        learnt: dict = {}
        for fast in (False, True):
            programs = {part: (lambda train=train, part=part, fast=fast: seconds(train, part, fast)) for part in parts}
            compare(f"{train.__name__}, vocabulary of {8000 + 257}, {'Rust' if fast else 'Python'}", "seconds", programs, runs,
                    higher_is_better=False)
        for part in parts:
            same = len(learnt[part, False].keys() & learnt[part, True].keys()) / len(learnt[part, True])
            print(f"{part}: {same:.2%} of the pieces are the same in both engines")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True, help="folder of .txt files")
    parser.add_argument("--vocab", type=Path, required=True, help="folder of vocabularies")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=["rust", "python", "training"], default=["rust", "python", "training"])
    arguments = parser.parse_args()
    texts = sentences(arguments.texts)
    if "rust" in arguments.only:
        against_transformers(texts, arguments.vocab, True, 10_000, arguments.runs)
    if "python" in arguments.only:
        against_transformers(texts, arguments.vocab, False, 1_000, arguments.runs)
    if "training" in arguments.only:
        training(texts, arguments.runs)


if __name__ == "__main__":
    main()
