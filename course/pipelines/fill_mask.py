"""fill-mask: which words fit into a gap. "The [MASK] met in Canberra." -> committee, ministers, …"""

import warnings
from collections.abc import Collection
from typing import Any, ClassVar

import torch

from course.pipelines.base import Pipeline, whole
from course.tokenizers.encoding import BatchEncoding, Row


class FillMaskPipeline(Pipeline):
    """Options: top_k, targets (only these words compete; a word of several pieces counts with its first).

    One gap -> a list of {score, token, token_str, sequence}, best first; several gaps -> one such list for each. In a long
    text each gap is filled from the part in whose middle it stands.
    """

    task = "fill-mask"
    defaults: ClassVar[dict[str, Any]] = {"top_k": 5, "targets": None, "stride": None}
    special_tokens_in_text = True

    def __call__(self, inputs: Any, *, batch_size: int | None = None, **options: Any) -> Any:
        answer = super().__call__(inputs, batch_size=batch_size, **options)
        return answer[0] if isinstance(inputs, list) and len(inputs) == 1 else answer              # as it always did

    def encode(self, items: list[str], options: dict[str, Any]) -> BatchEncoding:
        mask, number = self.tokenizer.mask_token, self.tokenizer.mask_token_id
        if number is None:
            raise ValueError("fill-mask needs a model that learned to fill gaps; the tokenizer of this one has no mask token. "
                             "Models that go on with a text are for text-generation")
        stride = self.limit(options) // 2 if options["stride"] is None else options["stride"]
        encoding = self.tokenize(items, options | {"stride": stride})
        with_gap = {row.source for row in encoding.rows if number in row.ids}
        for source, text in enumerate(items):
            if source not in with_gap:
                raise ValueError(f"there is no gap to fill in {text[:60]!r}: write {mask} where a word is missing"
                                 + (f" (it stands behind the {self.limit(options)} tokens that truncation=True keeps)"
                                    if mask in text else ""))
        return encoding

    def forward(self, batch: dict[str, Any], options: dict[str, Any]) -> list[list[Any]]:
        """For each row its gaps: (position, ids of the best words, their scores)."""
        targets, top_k = self.target_ids(options["targets"]), whole("top_k", options["top_k"]) or 5
        is_gap = batch["input_ids"] == self.tokenizer.mask_token_id                                # (B, T)
        gaps: list[list[Any]] = [[] for _ in is_gap]
        needed = is_gap.any(1)                        # parts of a long text without a gap need no model
        if not needed.any():
            return gaps
        logits = self.model(**{name: column[needed] for name, column in batch.items()})["logits"]
        scores = self.checked(logits[is_gap[needed]]).softmax(-1)                                  # (gaps, V)
        if targets is not None:
            scores = scores[:, targets]
        best, index = scores.topk(min(top_k, scores.shape[-1]))
        if targets is not None:
            index = torch.tensor(targets, device=index.device)[index]
        rows, places = is_gap.nonzero(as_tuple=True)
        for row, *gap in zip(rows.tolist(), places.tolist(), index.tolist(), best.tolist(), strict=True):
            gaps[row].append(gap)
        return gaps

    def answer(self, item: str, rows: list[tuple[Row, Any]], options: dict[str, Any]) -> Any:
        found: dict[int, tuple] = {}                  # gap -> (tokens around it in its row, best words, their scores)
        for row, gaps in rows:
            pieces, start, end = row.parts["A"]
            head = row.special.index(0) if 0 in row.special else 0
            ids = [*row.ids[:head], *pieces.ids, *row.ids[head + end - start:]]                    # of the whole text
            for place, *guesses in gaps:
                around = min(place, len(row.ids) - place)
                if around > found.get(place + start, (-1,))[0]:
                    found[place + start] = around, *guesses
        answers = []
        for place, (_, tokens, scores) in sorted(found.items()):
            sequences = [[*ids[:place], token, *ids[place + 1:]] for token in tokens]
            answers.append([{"score": score, "token": token, "token_str": self.tokenizer.decode([token]),
                             "sequence": self.tokenizer.decode(sequence, skip_special_tokens=len(found) == 1)}
                            for token, score, sequence in zip(tokens, scores, sequences, strict=True)])
        return answers[0] if len(answers) == 1 else answers

    def target_ids(self, targets: str | list[str] | None) -> list[int] | None:
        """The vocabulary entries of the words that may compete."""
        if targets is None:
            return None
        if not isinstance(targets, Collection) or not all(isinstance(word, str) for word in targets):
            raise TypeError(f"targets must be a word or a list of words, got {str(targets)[:60]!r}")
        found, vocabulary = [], self.tokenizer.get_vocab()
        for word in [targets] if isinstance(targets, str) else targets:
            if word in vocabulary:
                found.append(vocabulary[word])
                continue
            pieces = self.tokenizer(word, add_special_tokens=False)["input_ids"]
            if not pieces:
                raise ValueError(f"the target {word!r} holds no piece of the vocabulary")
            if len(pieces) > 1:
                first = self.tokenizer.convert_ids_to_tokens(pieces[0])
                warnings.warn(f"the target {word!r} is cut into {len(pieces)} pieces and a gap holds one: the score is that of "
                              f"{first!r}, not of the word. Compare words that are whole in the vocabulary", stacklevel=2)
            found.append(pieces[0])
        if not found:
            raise ValueError("targets is empty: give at least one word, or leave it out")
        return list(dict.fromkeys(found))

    def records(self, answer: Any) -> list[dict[Any, Any]]:
        return [guess for gap in (answer if isinstance(answer[0], list) else [answer]) for guess in gap]

    def steps(self, item: str, inputs: BatchEncoding, outputs: Any, options: dict[str, Any]) -> list[str]:
        self.encode([item], options)                  # refuses a text without a gap
        ids = inputs["input_ids"][0].tolist()
        if ids.count(self.tokenizer.mask_token_id) != 1:
            raise ValueError("explain shows one gap at a time: keep a single mask, in what the model reads at once")
        place, shape = ids.index(self.tokenizer.mask_token_id), tuple(outputs.logits.shape)
        best = outputs.logits[0, place].float().softmax(-1).topk(options["top_k"])
        words = self.tokenizer.convert_ids_to_tokens(best.indices.tolist())
        return [f"print(tuple(outputs.logits.shape))    # {shape}: a score for each word at each position",
                "", "# 3. Softmax over the vocabulary, at the gap alone",
                "place = inputs.input_ids[0].tolist().index(tokenizer.mask_token_id)",
                f"print(place)               # {place}", "scores = outputs.logits[0, place].softmax(-1)", "",
                "# 4. The highest ones are the answer", f"best = scores.topk({len(words)})",
                f"print(tokenizer.convert_ids_to_tokens(best.indices))    # {words}",
                f"print(best.values)         # {[round(score, 4) for score in best.values.tolist()]}"]
