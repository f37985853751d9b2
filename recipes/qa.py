"""Make pocket/qa: the part of a text that answers a question, or no answer; a LoRA adapter over pocket/encoder.

    python -m recipes.qa --data ../shared/data
    python -m recipes.qa --data ../shared/data --evaluate     (scores and model card only)

"No answer" is the position of [CLS], as in models of SQuAD 2. Questions without an answer are made: a question beside
another part of the text, of its article, or of any article. Whole paragraphs are costly to read, so it learns from
single sentences first, then from a few sentences around an answer, and from paragraphs last.
"""
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from course import BertForQuestionAnswering
from recipes import common
from recipes.squad import f1, squad, words

NAME = "qa"
FIRST = ("qamr",)                                                       # single sentences, many odd questions
SQUAD = "squad_train", "squad_more_train", "squad_scattered_train"
LONG = *SQUAD, "squadshifts_new_wiki"                                   # whole paragraphs, also other people's questions


def window(row: dict, words: float, rng: np.random.Generator) -> tuple[str, int, int]:
    """Sentences of the context around the answer, of about so many words: text, first and last character of the answer."""
    context, (answer, first) = row["context"], row["answers"][0]
    cuts, place = [0], 0
    for sentence in common.sentences(context):
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
    guard, rng = common.Guard(common.evaluation_texts(args.data)), np.random.default_rng(args.seed)
    found, counts, parts = [], {}, []
    # first sentences, then texts around the answer, then whole paragraphs, as they are asked about later
    stages = [(FIRST, args.words), (SQUAD, args.words), (LONG, [args.words[1] // 2, 2 * args.words[1]])]
    for names, lengths in (stages[number - 1] for number in args.stages):
        start = len(found)
        for name in names:  # each for itself and in its order, so that a neighbouring paragraph is one
            rows = guard.clean(squad(args.data / f"qa/{name}.json"), lambda row: (row["context"], row["question"]), name)
            found, counts[name] = found + examples(rows, lengths, args.unanswered, rng), len(rows)
        parts.append(np.arange(start, len(found)))
    batch = common.tokenizer()([row[0] for row in found], [row[1] for row in found], truncation="only_second",
                               max_length=args.length, return_offsets_mapping=True)
    ids, targets = batch["input_ids"], spans(batch, found)
    common.log.info("%d questions, %.2f M tokens", len(ids), sum(map(len, ids)) / 1e6)

    def loss(output, pick: np.ndarray) -> torch.Tensor:
        hidden = common.pad([ids[i] for i in pick]) == common.PAD
        return sum(F.cross_entropy(x.masked_fill(hidden, -1e4), targets[pick, i])
                   for i, x in enumerate((output.start_logits, output.end_logits))) / 2

    common.learn(BertForQuestionAnswering, (), ids, parts, loss, args, guard,
                 (text for row in found for text in row[:2]), words=args.words, stages=args.stages, questions=counts,
                 unanswered=round(float((targets[:, 0] == 0).float().mean()), 3))


def answers(folder: Path, pairs: list[tuple[str, str]], longest: int = 30) -> list[tuple[str, bool]]:
    """For every (question, context): the best answer, and whether "no answer" scores higher."""
    batch = common.tokenizer(folder)([q for q, _ in pairs], [c for _, c in pairs], truncation="only_second", max_length=512,
                                     return_offsets_mapping=True)
    out: list = [None] * len(pairs)

    def note(i: int, inputs: dict, output: common.Any, place: int) -> None:
        inside = inputs["token_type_ids"][place].bool() & (inputs["input_ids"][place] != 3)
        first, last = (x[place].masked_fill(~inside, -1e4) for x in (output.start_logits, output.end_logits))
        fits = torch.ones(len(first), len(first), dtype=torch.bool).triu().tril(longest - 1)
        both = (first[:, None] + last[None]).masked_fill(~fits, -1e9)
        a, b = divmod(int(both.argmax()), len(first))
        text = pairs[i][1][batch["offset_mapping"][i][a][0]:batch["offset_mapping"][i][b][1]]
        out[i] = text, bool(output.start_logits[place, 0] + output.end_logits[place, 0] > both.max())

    common.predict(BertForQuestionAnswering.from_pretrained(str(folder)), batch["input_ids"], note)
    return out


def score(data: Path, folder: Path) -> dict:
    """SQuAD's F1 and exact match on 600 questions of squad_dev, with and without leave to refuse; refusals of 200 questions
    beside the next paragraph of the article and beside a paragraph of another one."""
    rows = common.sample(squad(data / "qa/squad_dev.json"), 600)
    found = answers(folder, [(row["question"], row["context"]) for row in rows])
    truths = [[text for text, _ in row["answers"]] for row in rows]
    contexts = list(dict.fromkeys(row["context"] for row in rows))
    place = {context: i for i, context in enumerate(contexts)}
    both = [(answer, refused, truth) for (answer, refused), truth in zip(found, truths, strict=True)]
    out = {"squad_dev_f1": common.mean_and_error(f1(a, truth) for a, _, truth in both),
           "squad_dev_exact": common.mean_and_error(any(words(a) == words(x) for x in truth) for a, _, truth in both),
           "squad_dev_f1_may_refuse": common.mean_and_error(0 if no else f1(a, truth) for a, no, truth in both)}
    for name, step in (("next_paragraph", 1), ("other_article", len(contexts) // 2)):
        pairs = [(row["question"], contexts[(place[row["context"]] + step) % len(contexts)])
                 for row in common.sample(rows, 200)]
        out[f"refused_{name}"] = common.mean_and_error(no for _, no in answers(folder, pairs))
    def answer(rows: list[dict]) -> list[str]:
        return ["none" if no else text for text, no in answers(folder, [(row["question"], row["context"]) for row in rows])]

    return out | {"everyday": common.everyday(NAME, answer, lambda found, expected: f1(found, [expected]) > 0.6)}


if __name__ == "__main__":
    common.run(__doc__, NAME, fit, score, words=[15, 80], stages=[1, 2, 3], unanswered=0.2, length=256, tokens=768)
