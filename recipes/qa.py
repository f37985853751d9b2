"""Make pocket/qa: the part of a text that answers a question, or no answer; a LoRA adapter over pocket/encoder.

    python -m recipes.qa --data ../shared/data
    python -m recipes.qa --data ../shared/data --evaluate     (scores and model card only)

"No answer" is the position of [CLS], as in models of SQuAD 2. Questions without an answer are made: a question beside
another part of the text, of its article, or of any article. Whole paragraphs are costly to read, so it learns from a few
sentences around an answer.
"""
import collections
import re
import string
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from course import BertForQuestionAnswering, BertTokenizerFast
from recipes.common import (
    POCKET,
    Guard,
    batches,
    evaluation_texts,
    everyday,
    log,
    mean_and_error,
    model_inputs,
    new_model,
    run,
    save_adapter,
    sentences,
    squad,
    train,
    wrap,
)

NAME = "qa"
SOURCES = {"squad_train": 1.0, "squad_more_train": 1.0, "squad_scattered_train": 1.0}  # share of its questions that is read


def window(row: dict, words: float, rng: np.random.Generator) -> tuple[str, int, int]:
    """Sentences of the context around the answer, of about so many words: text, first and last character of the answer."""
    context, (answer, first) = row["context"], row["answers"][0]
    cuts, place = [0], 0
    for sentence in sentences(context):
        place = context.find(sentence[-12:], place)
        place = place + len(sentence[-12:]) if place >= 0 else len(context)
        cuts.append(place)
    cuts[-1] = len(context)
    a = max(i for i in range(len(cuts) - 1) if cuts[i] <= first)
    b = min(i for i in range(1, len(cuts)) if cuts[i] >= first + len(answer))
    while (a > 0 or b < len(cuts) - 1) and len(context[cuts[a]:cuts[b]].split()) < words:
        left = a > 0 and (b == len(cuts) - 1 or rng.random() < 0.5)
        a, b = a - left, b + (not left)
    return context[cuts[a]:cuts[b]], first - cuts[a], first - cuts[a] + len(answer)


def examples(rows: list[dict], words: list[int], unanswered: float, rng: np.random.Generator) -> list[tuple]:
    """(question, text, first, last character) of every row, (0, 0) where nothing answers: as many again as `unanswered`
    says, half of them beside a neighbouring paragraph."""
    out = []
    for i, row in enumerate(rows):
        out.append((row["question"], *window(row, rng.uniform(*words), rng)))
        if rng.random() < unanswered:
            near = i + int(rng.integers(-12, 13))
            j = int(rng.integers(len(rows))) if rng.random() < 0.5 else min(len(rows) - 1, max(0, near))
            if rows[j]["context"] != row["context"]:
                out.append((row["question"], window(rows[j], rng.uniform(*words), rng)[0], 0, 0))
    return out


def spans(batch, found: list[tuple]) -> torch.Tensor:
    """First and last token (N, 2) of the answers; 0, [CLS], where there is none or where it was cut off."""
    out = torch.zeros(len(found), 2, dtype=torch.long)
    for i, (_, _, first, last) in enumerate(found):
        ends = [place for place, token in enumerate(batch["input_ids"][i]) if token == 3]
        for place in range(ends[0] + 1, ends[-1]):
            a, b = batch["offset_mapping"][i][place]
            if last and a <= first < b:
                out[i, 0] = place
            if last and a < last <= b:
                out[i, 1] = place
        if not out[i].all():
            out[i] = 0
    return out


def fit(args) -> None:
    guard, rng = Guard(evaluation_texts(args.data)), np.random.default_rng(args.seed)
    parts = {name: guard.clean(squad(args.data / f"qa/{name}.json"), lambda row: (row["context"], row["question"]), name)
             for name in SOURCES}
    found = []
    for rows in parts.values():  # each for itself and in its order, so that a neighbouring paragraph is one
        found += examples(rows, args.words, args.unanswered, rng)
    tokenizer = BertTokenizerFast.from_pretrained(str(POCKET / "encoder"))
    batch = tokenizer([row[0] for row in found], [row[1] for row in found], truncation="only_second", max_length=args.length,
                      return_offsets_mapping=True)
    ids, targets = batch["input_ids"], spans(batch, found)
    lengths = np.array([len(row) for row in ids])
    plan = batches(lengths, args.tokens, rng)
    log.info("%d questions, %.2f M tokens, %d without an answer", len(ids), lengths.sum() / 1e6, (targets[:, 0] == 0).sum())
    model = new_model(BertForQuestionAnswering, args.begin)
    loras = wrap(model, args.rank, args.alpha, args.frozen)

    def loss(pick: np.ndarray) -> torch.Tensor:
        inputs = model_inputs([ids[i] for i in pick])
        out = model(**inputs)
        hidden = (inputs["attention_mask"] == 0)
        return sum(F.cross_entropy(x.masked_fill(hidden, -1e4), targets[pick, i])
                   for i, x in enumerate((out.start_logits, out.end_logits))) / 2

    steps = train(model, plan, loss, args, guard, (text for row in found for text in row[:2]))
    seen = np.concatenate(plan[:steps])
    save_adapter(model, loras, args, steps=steps, planned=len(plan), read=len(seen), words=args.words,
                 questions={name: len(rows) for name, rows in parts.items()}, unanswered=int((targets[seen, 0] == 0).sum()))


def answers(folder: Path, pairs: list[tuple[str, str]], longest: int = 30) -> list[tuple[str, bool]]:
    """For every (question, context): the best answer, and whether "no answer" scores higher."""
    tokenizer = BertTokenizerFast.from_pretrained(str(folder))
    model = BertForQuestionAnswering.from_pretrained(str(folder)).float().eval()
    batch = tokenizer([q for q, _ in pairs], [c for _, c in pairs], truncation="only_second", max_length=512,
                      return_offsets_mapping=True)
    out: list = [None] * len(pairs)
    for pick in batches(np.array([len(row) for row in batch["input_ids"]]), 4096, np.random.default_rng(0)):
        inputs = model_inputs([batch["input_ids"][i] for i in pick])
        with torch.inference_mode():
            result = model(**inputs)
        for k, i in enumerate(pick):
            inside = inputs["token_type_ids"][k].bool() & (inputs["input_ids"][k] != 3)
            first, last = (x[k].masked_fill(~inside, -1e4) for x in (result.start_logits, result.end_logits))
            fits = torch.ones(len(first), len(first), dtype=torch.bool).triu().tril(longest - 1)
            both = (first[:, None] + last[None]).masked_fill(~fits, -1e9)
            a, b = divmod(int(both.argmax()), len(first))
            text = pairs[i][1][batch["offset_mapping"][i][a][0]:batch["offset_mapping"][i][b][1]]
            out[i] = text, bool(result.start_logits[k, 0] + result.end_logits[k, 0] > both.max())
    return out


def words(text: str) -> list[str]:
    """As SQuAD counts: lower case, without punctuation and articles."""
    return re.sub(r"\b(a|an|the)\b", " ", "".join(c for c in text.lower() if c not in string.punctuation)).split()


def f1(answer: str, truths: list[str]) -> float:
    """The best overlap in words with one of the right answers."""
    best = 0.0
    for truth in truths:
        a, b = words(answer), words(truth)
        same = sum((collections.Counter(a) & collections.Counter(b)).values())
        best = max(best, 2 * same / (len(a) + len(b)) if a and b else float(a == b))
    return best


def score(data: Path, folder: Path) -> dict:
    """SQuAD's F1 and exact match on squad_dev, with and without leave to refuse; refusals of each question beside the
    next paragraph of its article and beside a paragraph of another one."""
    rows = squad(data / "qa/squad_dev.json")
    found = answers(folder, [(row["question"], row["context"]) for row in rows])
    truths = [[text for text, _ in row["answers"]] for row in rows]
    contexts = list(dict.fromkeys(row["context"] for row in rows))
    place = {context: i for i, context in enumerate(contexts)}
    both = [(answer, refused, truth) for (answer, refused), truth in zip(found, truths, strict=True)]
    out = {"squad_dev_f1": mean_and_error(f1(a, truth) for a, _, truth in both),
           "squad_dev_exact": mean_and_error(any(words(a) == words(x) for x in truth) for a, _, truth in both),
           "squad_dev_f1_may_refuse": mean_and_error(0 if no else f1(a, truth) for a, no, truth in both)}
    for name, step in (("next_paragraph", 1), ("other_article", len(contexts) // 2)):
        other = [contexts[(place[row["context"]] + step) % len(contexts)] for row in rows]
        out[f"refused_{name}"] = mean_and_error(
            no for _, no in answers(folder, list(zip([row["question"] for row in rows], other, strict=True))))
    def answer(rows: list[dict]) -> list[str]:
        return ["none" if no else text for text, no in answers(folder, [(row["question"], row["context"]) for row in rows])]

    return out | {"everyday": everyday(NAME, answer, lambda found, expected: f1(found, [expected]) > 0.6)}


if __name__ == "__main__":
    run(__doc__, NAME, fit, score, words=[15, 80], unanswered=0.15, length=224, tokens=512)
