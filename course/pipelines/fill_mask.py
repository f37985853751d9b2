"""fill-mask: which words fit into a gap. "The [MASK] met in Canberra." -> committee, ministers, …"""

import warnings
from collections.abc import Collection
from numbers import Integral
from typing import Any, ClassVar

import torch

from course.outputs import ModelOutput
from course.pipelines.base import Pipeline
from course.tokenizers.encoding import BatchEncoding


class FillMaskPipeline(Pipeline):
    """Options: top_k, targets (only these words compete; a word of several pieces counts with its first).

    One gap -> a list of {score, token, token_str, sequence}, best first; several gaps -> one such list for each.
    """

    defaults: ClassVar[dict[str, Any]] = {"top_k": 5, "targets": None}
    special_tokens_in_text = True

    def encode(self, texts: list[Any], options: dict[str, Any]) -> BatchEncoding:
        encoding = super().encode(texts, options)
        mask = self.tokenizer.mask_token
        for text, ids in zip(texts, encoding["input_ids"], strict=True):
            if self.tokenizer.mask_token_id not in ids:
                raise ValueError(f"there is no gap to fill in {text[:60]!r}: write {mask} where a word is missing"
                                 + (f" (it stands behind the {self.limit(options)} tokens that this model reads)"
                                    if mask in text else ""))
        return encoding

    def results(self, outputs: ModelOutput, batch: BatchEncoding, options: dict[str, Any]) -> list[Any]:
        ids, targets = batch["input_ids"], self.target_ids(options["targets"])
        gap_rows, places = (ids == self.tokenizer.mask_token_id).nonzero(as_tuple=True)            # (gaps,) each
        scores = outputs["logits"][gap_rows, places].float().softmax(-1)                           # (gaps, V)
        if targets is not None:
            scores = scores[:, targets]
        if isinstance(options["top_k"], bool) or not isinstance(options["top_k"], Integral) or options["top_k"] < 1:
            raise ValueError(f"top_k must be a whole number of at least 1, got {options['top_k']!r}")
        best, index = scores.topk(min(options["top_k"], scores.shape[-1]))
        if targets is not None:
            index = torch.tensor(targets, device=index.device)[index]
        answers: list[list[Any]] = [[] for _ in ids]
        gaps = gap_rows.bincount(minlength=len(ids)).tolist()
        for row, place, values, tokens in zip(gap_rows.tolist(), places.tolist(), best.tolist(), index.tolist(), strict=True):
            whole = ids[row][batch["attention_mask"][row].bool()] if "attention_mask" in batch else ids[row]
            shift = int((batch["attention_mask"][row] == 0).sum()) if self.tokenizer.padding_side == "left" else 0
            guesses = []
            for score, token in zip(values, tokens, strict=True):
                filled = whole.clone()
                filled[place - shift] = token
                guesses.append({"score": score, "token": token, "token_str": self.tokenizer.decode([token]),
                                "sequence": self.tokenizer.decode(filled, skip_special_tokens=gaps[row] == 1)})
            answers[row].append(guesses)
        return [answer[0] if len(answer) == 1 else answer for answer in answers]

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
