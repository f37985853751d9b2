"""Make pocket/summarizer: one or two sentences, or a title, for a short English text; a small T5 trained from scratch.

    python -m recipes.summarizer --data ../shared/data
    python -m recipes.summarizer --data ../shared/data --evaluate     (scores and model card only)

It starts as a model that copies (recipes/copying.py), learns to copy the sentence that says most, then to shorten.
"""
import re
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from rouge_score.rouge_scorer import RougeScorer

from course import T5ForConditionalGeneration, T5Tokenizer, T5TokenizerFast
from recipes.common import (
    HERE,
    Guard,
    evaluation_texts,
    lines,
    log,
    mean_and_error,
    run,
    sentences,
    table,
    train,
)
from recipes.copying import copying_start
from recipes.from_scratch import Muon, endless, save
from recipes.translator import learn_tokenizer, loss, new_model

NAME = "summarizer"
LIMIT = 256                                             # pieces of a text that the model reads
Pair = tuple[str, str]                                  # a text, its summary


def read(data: Path) -> tuple[dict[str, list[Pair]], dict[str, list[tuple[str, list[str]]]]]:
    """Training pairs by source; evaluation texts with their summaries, every tenth petition among them."""
    folder = data / "summarization"
    papers = {part: lines(folder / f"scitldr_{part}.jsonl") for part in ("train", "dev")}
    petitions = [(" ".join(row["source"].split()), row["target"]) for row in lines(folder / "uk_petitions_title_train.jsonl")]
    return {
        "scitldr": [(" ".join(row["source"]), summary) for row in papers["train"] for summary in row["target"]],
        "petitions": [pair for number, pair in enumerate(petitions) if number % 10],
        "motions": [(row["source"], row["target"]) for row in lines(folder / "parliament_motion_title_train.jsonl")
                    if not row["target"].isupper()],
    }, {
        "scitldr_dev": [(" ".join(row["source"]), row["target"]) for row in papers["dev"]],
        "petitions": [(text, [title]) for text, title in petitions[::10]],
        "news_briefs": [(row["text"], [row["summary"]]) for row in table(HERE / "news_briefs.tsv")],
    }


def gaps(data: Path, most: int) -> list[Pair]:
    """Paragraphs, each with the sentence of it that shares most words with the others (gap sentences, Zhang et al. 2020)."""
    folder = data / "text"
    found = [part for row in lines(folder / "un_general_debate_2017.jsonl") for part in row["text"].split("\n")]
    found += (folder / "onestop_elementary.txt").read_text(encoding="utf-8").split("<|endofstory|>")
    found += [re.sub(r" @(.)@ ", r"\1", line) for line in open(folder / "wikitext2_train.txt", encoding="utf-8")
              if "<unk>" not in line]
    cut = [parts for text in found if len(parts := sentences(text)[:8]) >= 3]
    return [(" ".join(parts), central(parts)) for parts in cut[:: max(1, len(cut) // most)]]


def central(parts: list[str]) -> str:
    bags = [Counter(re.findall(r"\w\w\w+", part.lower())) for part in parts]
    return max(zip(parts, bags, strict=True), key=lambda item: f1(item[1], sum((bag for bag in bags if bag is not item[1]),
                                                                                Counter())))[0]


def f1(ours: Counter, theirs: Counter) -> float:
    return 2 * (ours & theirs).total() / max(1, ours.total() + theirs.total())


def nearest(text: str, summary: str) -> Pair:
    """The text, and the sentence of it that is most like the summary."""
    bag = Counter(re.findall(r"\w+", summary.lower()))
    return text, max(sentences(text), key=lambda part: f1(Counter(re.findall(r"\w+", part.lower())), bag))


def fit(args) -> None:
    known, held_out = read(args.data)
    guard = Guard(evaluation_texts(args.data) | {name: [text for text, _ in pairs] for name, pairs in held_out.items()})
    known = {name: guard.clean(pairs, lambda pair: pair, name) for name, pairs in known.items()}
    known["gaps"] = guard.clean(gaps(args.data, args.gaps), lambda pair: pair[:1], "gaps")
    copies = known["gaps"] + [nearest(*pair) for name in ("scitldr", "petitions") for pair in known[name]]
    pairs = [pair for name in ("scitldr", "petitions", "motions") for pair in known[name]]
    tokenizer = learn_tokenizer([text for pair in pairs + known["gaps"] for text in pair], args.work / "tokenizer", args.pieces)
    sources, targets = ([tokenizer([pair[i] for pair in part], truncation=True, max_length=limit)["input_ids"]
                         for part in (copies, pairs)] for i, limit in ((0, LIMIT), (1, 80)))
    log.info("%d texts with a sentence, %d with a summary", len(copies), len(pairs))
    plan = [(stage, pick) for stage, steps in enumerate((args.copies, args.steps - args.copies))
            for pick in endless(np.array([len(row) for row in sources[stage]]), args.tokens, steps, args.seed)]
    model = new_model(len(tokenizer), d_kv=64, num_heads=3, num_layers=2)
    copying_start(model)
    steps = train(model, plan, lambda at: loss(model, *([part[at[0]][i] for i in at[1]] for part in (sources, targets))), args,
                  guard, (text for text, _ in copies + pairs), Muon(model, args.lr, args.adam))
    model.config.task_specific_params = {"summarization": {"max_length": 60, "num_beams": 4, "no_repeat_ngram_size": 3}}
    model.generation_config = model.generation_config.with_settings(
        {"max_length": 60, "num_beams": 4, "no_repeat_ngram_size": 3})
    save(model, tokenizer, args, steps=steps, copies=args.copies, pairs={name: len(pairs) for name, pairs in known.items()})


@torch.inference_mode()
def summaries(tokenizer: T5Tokenizer, model: T5ForConditionalGeneration, texts: list[str]) -> list[str]:
    out = [""] * len(texts)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for begin in range(0, len(order), 16):
        pick = order[begin: begin + 16]
        batch = tokenizer([texts[i] for i in pick], truncation=True, max_length=LIMIT, padding=True, return_tensors="pt")
        for i, row in zip(pick, model.generate(**batch), strict=True):
            out[i] = tokenizer.decode(row, skip_special_tokens=True)
    return out


def rouge(found: list[str], wanted: list[list[str]]) -> dict[str, list[float]]:
    """F of ROUGE-1 and ROUGE-L with stemming, the mean over the summaries of a text and over texts, and its standard error."""
    scorer = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
    rows = [[scorer.score(summary, text) for summary in some] for text, some in zip(found, wanted, strict=True)]
    return {kind: mean_and_error(np.mean([row[kind].fmeasure for row in some]) for some in rows) for kind in scorer.rouge_types}


def score(data: Path, folder: Path) -> dict:
    tokenizer = T5TokenizerFast.from_pretrained(str(folder))
    model = T5ForConditionalGeneration.from_pretrained(str(folder)).float().eval()
    out: dict = {}
    for name, pairs in read(data)[1].items():
        texts, wanted = [text for text, _ in pairs], [some for _, some in pairs]
        found = summaries(tokenizer, model, texts)
        words = round(float(np.mean([len(text.split()) for text in found])))
        for kind, texts_found in (("", found), ("_lead", [sentences(text)[0] for text in texts]),
                                  ("_words", [" ".join(text.split()[:words]) for text in texts])):
            out |= {f"{name}{kind}_{measure}": value for measure, value in rouge(texts_found, wanted).items()}
        out[f"{name}_length"] = words
        if name == "news_briefs":
            out["examples"] = "\n".join(f"- {text} **{short}**" for text, short in zip(texts[:6], found, strict=False))
            shares = [rouge([text], [some])["rouge1"][0] for text, some in zip(found, wanted, strict=True)]
            out["everyday"] = [{"text": texts[i], "expected": wanted[i][0], "answer": found[i], "right": shares[i] >= 0.3}
                               for i in np.argsort(shares)]
    return out


if __name__ == "__main__":
    run(__doc__, NAME, fit, score, lr=0.01, adam=0.003, tokens=4000, steps=700, copies=70, gaps=6000, pieces=6000,
        length=LIMIT, warm=40)
