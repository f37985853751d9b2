"""fill-mask: which words fit into a gap. "The [MASK] met in Canberra." -> committee, ministers, …"""

import warnings
from collections.abc import Collection
from numbers import Integral
from typing import Any, ClassVar

import torch

from course.pipelines.base import Pipeline
from course.tokenizers.encoding import BatchEncoding, Row


class FillMaskPipeline(Pipeline):
    """Options: top_k, targets (only these words compete; a word of several pieces counts with its first).

    One gap -> a list of {score, token, token_str, sequence}, best first; several gaps -> one such list for each.
    """

    defaults: ClassVar[dict[str, Any]] = {"top_k": 5, "targets": None}
    special_tokens_in_text = True

    def encode(self, items: list[str], options: dict[str, Any]) -> BatchEncoding:
        encoding = super().encode(items, options)
        mask = self.tokenizer.mask_token
        for text, ids in zip(items, encoding["input_ids"], strict=True):
            if self.tokenizer.mask_token_id not in ids:
                raise ValueError(f"there is no gap to fill in {text[:60]!r}: write {mask} where a word is missing"
                                 + (f" (it stands behind the {self.limit(options)} tokens that this model reads)"
                                    if mask in text else ""))
        return encoding

    def forward(self, batch: dict[str, Any], options: dict[str, Any]) -> list[list[Any]]:
        """For each row its gaps: (position, ids of the best words, their scores)."""
        targets, top_k = self.target_ids(options["targets"]), options["top_k"]
        if isinstance(top_k, bool) or not isinstance(top_k, Integral) or top_k < 1:
            raise ValueError(f"top_k must be a whole number of at least 1, got {top_k!r}")
        rows, places = (batch["input_ids"] == self.tokenizer.mask_token_id).nonzero(as_tuple=True)     # (gaps,) each
        scores = self.model(**batch)["logits"][rows, places].float().softmax(-1)                   # (gaps, V)
        if targets is not None:
            scores = scores[:, targets]
        best, index = scores.topk(min(top_k, scores.shape[-1]))
        if targets is not None:
            index = torch.tensor(targets, device=index.device)[index]
        gaps: list[list[Any]] = [[] for _ in batch["input_ids"]]
        for row, *gap in zip(rows.tolist(), places.tolist(), index.tolist(), best.tolist(), strict=True):
            gaps[row].append(gap)
        return gaps

    def answer(self, item: str, rows: list[tuple[Row, Any]], options: dict[str, Any]) -> Any:
        (row, gaps), = rows
        answers = []
        for place, tokens, scores in gaps:
            guesses = []
            for token, score in zip(tokens, scores, strict=True):
                filled = [*row.ids[:place], token, *row.ids[place + 1:]]
                guesses.append({"score": score, "token": token, "token_str": self.tokenizer.decode([token]),
                                "sequence": self.tokenizer.decode(filled, skip_special_tokens=len(gaps) == 1)})
            answers.append(guesses)
        return answers[0] if len(answers) == 1 else answers

    def target_ids(self, targets: str | list[str] | None) -> list[int] | None:
        """The vocabulary entries of the words that may compete."""
        if targets is None:
            return None
        if not isinstance(targets, Collection) or not all(isinstance(word, str) for word in targets):
            raise TypeError(f"targets must be a word or a list of words, got {str(targets)[:60]!r}")
        found = []
        for word in [targets] if isinstance(targets, str) else targets:
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

    def steps(self, text: str) -> list[str]:
        guesses = self(text, targets=None)
        if isinstance(guesses[0], list):
            raise ValueError("explain shows one gap at a time: keep a single mask in the text")
        words = [guess["token_str"] for guess in guesses]
        inputs = self.tokenizer(text, truncation=True, max_length=self.limit(self.options))
        place = inputs["input_ids"].index(self.tokenizer.mask_token_id)
        shape = (1, len(inputs["input_ids"]), self.model.config.vocab_size)
        return [f"print(tuple(outputs.logits.shape))    # {shape}: a score for each word at each position",
                "", "# 3. Softmax over the vocabulary, at the gap alone",
                "place = inputs.input_ids[0].tolist().index(tokenizer.mask_token_id)",
                f"print(place)               # {place}", "scores = outputs.logits[0, place].softmax(-1)", "",
                "# 4. The highest ones are the answer", f"best = scores.topk({len(words)})",
                f"print(tokenizer.convert_ids_to_tokens(best.indices))    # {words}",
                f"print(best.values)         # {[round(guess['score'], 4) for guess in guesses]}"]
