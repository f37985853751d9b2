"""question-answering: a question and a context -> the span of the context that answers it."""

from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any, ClassVar

import torch
from torch import Tensor

from course.notes import once
from course.pipelines.base import Pipeline, whole
from course.tokenizers.encoding import BatchEncoding, Row


class QuestionAnsweringPipeline(Pipeline):
    """pipe(question="Who …?", context="…"); one of them, or both, may be a list or a column. An item by itself is
    {"question": …, "context": …}. -> {score, start, end, answer}, where context[start:end] is the answer.

    Options: top_k (a list of that many answers, best first), handle_impossible_answer (the empty answer competes, with the
    score of [CLS]), max_answer_len (tokens), align_to_words (spans end where words end), max_seq_len and doc_stride (a long
    context is read in overlapping parts). The score is the probability of the first token times that of the last one
    (Devlin et al. 2018, section 4.2), each within its part; the same answer found twice adds up.
    """

    task = "question-answering"
    defaults: ClassVar[dict[str, Any]] = {"top_k": 1, "handle_impossible_answer": False, "max_answer_len": 15,
                                          "align_to_words": True, "max_length": 384, "stride": None}
    older: ClassVar[dict[str, str]] = Pipeline.older | {"topk": "top_k"}
    shortens = "only_second"

    def merge(self, options: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        """max_seq_len and doc_stride are this task's names for max_length and stride; no question is cut."""
        names = {"max_seq_len": "max_length", "doc_stride": "stride"}
        new = super().merge(options, {names.get(n, n): value for n, value in new.items() if n != "max_question_len"})
        for name in ("top_k", "max_answer_len"):
            whole(name, new[name])
        return new

    def __call__(self, *inputs: Any, question: Any = None, context: Any = None, batch_size: int | None = None,
                 **options: Any) -> Any:
        if len(inputs) == 2 and question is None and context is None and not isinstance(inputs[0], dict):
            question, context, inputs = *inputs, ()
        for old in ("X", "data"):
            if old in options:
                once(f"{old}=… is written pipe(question=…, context=…) now; both work here.")
                inputs = (options.pop(old),)
        if inputs:
            if question is not None or context is not None:
                raise TypeError("question-answering takes question=… and context=…, or items {'question': …, 'context': …}, "
                                "not both at once")
            items: Any = inputs[0] if len(inputs) == 1 else list(inputs)
            answer = super().__call__(items, batch_size=batch_size, **options)
            return answer[0] if isinstance(items, list) and len(items) == 1 else answer        # as it always did
        several = [not isinstance(x, str) and isinstance(x, Iterable) for x in (question, context)]
        if not any(several):
            return super().__call__({"question": question, "context": context}, batch_size=batch_size, **options)
        questions, contexts = (x if many else repeat(x) for x, many in zip((question, context), several, strict=True))
        items = ({"question": q, "context": c} for q, c in zip(questions, contexts, strict=all(several)))
        if any(isinstance(x, Iterator) for x in (question, context)):
            return super().__call__(items, batch_size=batch_size, **options)
        if all(several) and len(question) != len(context):
            raise ValueError(f"there are {len(question)} questions and {len(context)} contexts: give one of either for all, or "
                             "a context for each question")
        return self(list(items), batch_size=batch_size, **options)

    def is_one(self, item: Any) -> bool:
        return isinstance(item, dict) and all(isinstance(item.get(name), str) and item[name].strip()
                                              for name in ("question", "context"))

    def refusal(self, item: Any, where: str) -> Exception:
        if not isinstance(item, (dict, str)):
            return super().refusal(item, where)
        for name in ("question", "context"):
            if isinstance(item, str) or item.get(name) is None and not (name in item and len(item) > 2):
                return TypeError(f"question-answering needs a question and a context, pipe(question='…', context='…'); {where} "
                                 f"has no {name if isinstance(item, dict) else 'context'}: {str(item)[:60]!r}")
            if not isinstance(item[name], str):
                return super().refusal(item[name], f"the {name} of {where}")
            if not item[name].strip():
                return ValueError(f"the {name} of {where} is empty: leave such rows out")
        return super().refusal(item, where)

    def encode(self, items: list[dict[str, str]], options: dict[str, Any]) -> BatchEncoding:
        stride = min(self.limit(options) // 2, 128) if options["stride"] is None else options["stride"]
        questions, contexts = ([item[name] for item in items] for name in ("question", "context"))
        if self.context_first():
            return self.tokenize(contexts, options | {"stride": stride}, questions, parts="only_first")
        return self.tokenize(questions, options | {"stride": stride}, contexts, parts="only_second")

    def context_first(self) -> bool:
        """XLNet reads the question last, beside its [CLS]."""
        ids = self.tokenizer("a", verbose=False)["input_ids"]
        return self.tokenizer.cls_token_id is not None and ids[-1] == self.tokenizer.cls_token_id != ids[0]

    def forward(self, batch: dict[str, Any], options: dict[str, Any]) -> list[Tensor]:
        outputs = self.model(**batch)
        return list(self.checked(torch.stack([outputs["start_logits"], outputs["end_logits"]], 1)).cpu())     # B of (2, T)

    def answer(self, item: dict[str, str], rows: list[tuple[Row, Tensor]], options: dict[str, Any]) -> Any:
        top_k, part, null = options["top_k"], 0 if self.context_first() else 1, 1.0
        answers: dict[str, dict[str, Any]] = {}
        for row, logits in rows:
            inside = torch.tensor([sequence == part for sequence in row.sequences])                # (T,)
            cls = torch.tensor([bool(special) and number == self.tokenizer.cls_token_id
                                for special, number in zip(row.special, row.ids, strict=True)])
            p = logits.masked_fill(~(inside | cls), -torch.inf).softmax(-1)                        # (2, T)
            null = min(null, float(p[:, cls].sum(1).prod())) if cls.any() else 0.0
            # (T, T): probability of a span; none ends before it starts or goes on for too long
            spans = (p[0] * inside)[:, None] * (p[1] * inside)[None]
            spans = spans.triu().tril(options["max_answer_len"] - 1)
            best = spans.flatten().topk(min(top_k * 2 + 10 if options["align_to_words"] else top_k, spans.numel()))
            offsets, words = row.offsets, self.words(row, part) if options["align_to_words"] else {}
            for place, score in zip(best.indices.tolist(), best.values.tolist(), strict=True):
                first, last = divmod(place, len(offsets))
                if not (inside[first] and inside[last] and first <= last):
                    continue
                start = words.get(first, offsets[first])[0]
                end = words.get(last, offsets[last])[1]
                text = item["context"][start:end]
                known = answers.setdefault(text.lower(), {"score": 0.0, "start": start, "end": end, "answer": text})
                known["score"] += score
        found = list(answers.values())
        if options["handle_impossible_answer"]:
            found.append({"score": null, "start": 0, "end": 0, "answer": ""})
        found = sorted(found, key=lambda one: -one["score"])[:top_k]
        found = found or [{"score": 0.0, "start": 0, "end": 0, "answer": ""}]        # a context in which no token stands
        return found[0] if len(found) == 1 else found

    @staticmethod
    def words(row: Row, part: int) -> dict[int, tuple[int, int]]:
        """Token -> start and end of its word, as far as this row holds it."""
        places: dict[int, list[int]] = {}
        for token, (word, sequence) in enumerate(zip(row.words, row.sequences, strict=True)):
            if sequence == part and word is not None:
                places.setdefault(word, []).append(token)
        offsets = row.offsets
        return {token: (offsets[tokens[0]][0], offsets[tokens[-1]][1]) for tokens in places.values() for token in tokens}

    def frame(self, column: Any, question: str = "", **options: Any) -> Any:
        """The answers to one question for a column of contexts, with the column's index; missing ones give empty lines."""
        if not isinstance(question, str) or not question.strip():
            raise ValueError("frame asks one question of every text: pipe.frame(table['text'], question='…?')")
        import pandas as pd
        column = column if isinstance(column, pd.Series) else pd.Series(list(column), dtype=object)
        items = column.map(lambda context: {"question": question, "context": context}, na_action="ignore")
        return super().frame(items, **options)

    def example(self, item: dict[str, str], options: dict[str, Any]) -> dict[str, str]:
        names = ("context", "question") if self.context_first() else ("question", "context")
        return {name: item[name] for name in names}

    def explain(self, item: Any = None, context: Any = None, *, question: Any = None, **options: Any) -> None:
        """Prints the steps behind `pipe(question=…, context=…)` as code to run, with its numbers as comments."""
        super().explain(item if isinstance(item, dict) else {"question": question or item, "context": context}, **options)

    def steps(self, item: dict[str, str], inputs: BatchEncoding, outputs: Any, options: dict[str, Any]) -> list[str]:
        start, end = int(outputs.start_logits[0].argmax()), int(outputs.end_logits[0].argmax())
        text = self.tokenizer.decode(inputs["input_ids"][0, start:end + 1].tolist())
        return [f"print(outputs.start_logits.shape)    # {tuple(outputs.start_logits.shape)}: an answer's start at each token",
                "", "# 3. The best first and the best last token", "start, end = outputs.start_logits[0].argmax(), "
                "outputs.end_logits[0].argmax()", f"print(int(start), int(end))          # {start} {end}", "",
                "# 4. What stands between them is the answer; the pipeline also sees to it that it lies in the context",
                f"print(tokenizer.decode(inputs.input_ids[0, start:end + 1]))    # {text}"]
