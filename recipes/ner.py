"""Make pocket/ner: people, organisations, places and other names in English text. pocket/encoder, taught capital letters.

    python -m recipes.ner --data ../shared/data
    python -m recipes.ner --data ../shared/data --evaluate     (scores and model card only)

The encoder reads lower case, and names are what capitals are for. So every piece of its vocabulary that the training texts
write otherwise too (Paris, NATO, ##Gregor) gets a line of its own, which starts as that of the lower-case piece; then all
weights are trained.

First silver labels (links of Wikipedia) and gold labels of the web, Wikipedia and Twitter, then mostly Wikipedia. Sets
without the class MISC say nothing about it: where they have O, the model may answer O or MISC.
"""
import re
from pathlib import Path

import numpy as np
import torch

from course import BertForTokenClassification
from recipes import common
from recipes.cased import cased_encoder
from recipes.entities import LABELS, OPEN, another_case, other_names, pieces, read, spans
from recipes.from_scratch import save

NAME = "ner"
CROSSNER = [f"crossner_{topic}.conll" for topic in ("politics", "science", "music", "literature", "ai")]


def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy (N, 9), (N,); for OPEN, of the chance of O and MISC together."""
    chances = logits.float().log_softmax(-1)
    either = torch.logsumexp(chances[:, [0, LABELS.index("B-MISC"), LABELS.index("I-MISC")]], -1)
    known = torch.where(targets == OPEN, either, chances.gather(1, (targets % OPEN).clamp(0, 8)[:, None])[:, 0])
    return -known[targets != -100].mean()


def fit(args) -> None:
    guard = common.Guard(common.evaluation_texts(args.data))
    folder, counts, rows = args.data / "ner", {}, []

    def add(name: str, misc: bool = True, most: int = 10**9) -> np.ndarray:
        clean = guard.clean(read(folder / name, misc), lambda row: [" ".join(row[0])], name)
        picked = np.random.default_rng(args.seed).permutation(len(clean))[:most]
        counts[name.split(".")[0]] = len(picked)
        rows.extend(clean[i] for i in picked)
        return np.arange(len(rows) - len(picked), len(rows))

    gold, wiki = add("wikigold_train.conll"), np.concatenate([add(name) for name in CROSSNER])
    web = np.concatenate([add("uner_ewt.conll", False), add("wnut17_train.conll")])
    silver = np.concatenate([add("wikiann_en_train.txt", False, args.silver), add("sec_filings.conll", False, 300)])
    if args.begin:
        model, tokenizer = common.new_model(BertForTokenClassification, args.begin), common.tokenizer(Path(args.begin))
    else:
        model, tokenizer = cased_encoder(LABELS, [words for words, _ in rows], args.cased, args.work / "tokenizer")
    rng = np.random.default_rng([args.seed, 1])
    stages = ((silver, web, wiki, gold), (silver, web, wiki, gold, gold), (web, wiki, gold, gold),
              (web[::3], wiki, gold, gold, gold), (wiki[::4], *[gold] * 6))
    parts, ids, targets = [], [], []
    for part in (stages[number - 1] for number in args.stages):
        some = another_case(other_names([rows[i] for i in np.concatenate(part)], args.swap, rng), rng)
        found = pieces(tokenizer, some, args.length)
        parts.append(np.arange(len(ids), len(ids) + len(some)))
        ids, targets = ids + found[0], targets + found[1]
    plan = common.in_parts(ids, parts, args)
    steps = common.train(model, plan, lambda pick: loss(
        model(**common.model_inputs([ids[i] for i in pick])).logits.flatten(0, 1),
        common.pad([targets[i] for i in pick], -100).flatten()), args, guard, (" ".join(words) for words, _ in rows))
    save(model, tokenizer, args, 512, steps=steps, planned=len(plan), sentences=counts, minutes=args.minutes,
         stages=args.stages, pieces=len(tokenizer), **common.earlier(args))


def predict(folder: Path, sentences: list[list[str]]) -> list[list[str]]:
    """A tag for every word: that of its first piece."""
    ids, _, places = pieces(common.tokenizer(folder), [(words, ["O"] * len(words)) for words in sentences], 512)
    out = [["O"] * len(words) for words in sentences]

    def note(i: int, inputs: dict, output: common.Any, place: int) -> None:
        best = output.logits[place].argmax(-1).tolist()
        for position in range(len(ids[i]) - 1, -1, -1):
            if places[i][position] is not None:
                out[i][places[i][position]] = LABELS[best[position]]

    common.predict(BertForTokenClassification.from_pretrained(str(folder)), ids, note)
    return out


def f1(found: list[set], truth: list[set]) -> list[float]:
    """Micro-averaged F1 of whole entities and its standard error over sentences."""
    counts = np.array([[len(a & b), len(a), len(b)] for a, b in zip(found, truth, strict=True)])
    return common.bootstrap(lambda rows: 2 * counts[rows, 0].sum() / max(1, counts[rows, 1:].sum()), len(counts))


def score(data: Path, folder: Path) -> dict:
    """Entity F1 on text that was never trained on; BTC and UNER have no MISC, so answers of that kind are dropped there."""
    out = {}
    for name, files in (("wikigold_dev", ["wikigold_dev.conll"]), ("wnut17_dev", ["wnut17_dev.conll"]),
                        ("btc", [f"btc_{part}.conll" for part in "abefg"])):
        rows = common.sample([row for file in files for row in read(data / "ner" / file)], 2000)
        drop = {"MISC"} if name == "btc" else set()
        found, truth = ([{s for s in spans(tags) if s[2] not in drop} for tags in some]
                        for some in (predict(folder, [words for words, _ in rows]), [tags for _, tags in rows]))
        out[f"{name}_f1"] = f1(found, truth)
        if name == "wikigold_dev":
            out |= {f"wikigold_dev_{kind}": f1(*([{s for s in row if s[2] == kind} for row in some] for some in (found, truth)))
                    for kind in ("PER", "ORG", "LOC", "MISC")}
    def answer(rows: list[dict]) -> list[str]:
        sentences = [re.findall(r"\w+(?:[-'’]\w+)*|[^\w\s]", row["sentence"]) for row in rows]
        return ["; ".join(f"{' '.join(words[a:b])} {kind}" for a, b, kind in sorted(spans(tags))) or "none"
                for words, tags in zip(sentences, predict(folder, sentences), strict=True)]

    return out | {"everyday": common.everyday(NAME, answer)}


if __name__ == "__main__":
    common.run(__doc__, NAME, fit, score, silver=10000, cased=3500, swap=0.3, stages=[1, 2, 3, 4, 5], lr=2e-4, tokens=1024)
