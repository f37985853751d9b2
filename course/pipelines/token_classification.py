"""token-classification, also called ner: a text -> the names in it, each with its kind, its score and its place."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from course.notes import once
from course.pipelines.base import Pipeline, shorten
from course.tokenizers.encoding import BatchEncoding, Row
from course.tokenizers.wordpiece import BertTokenizer

STRATEGIES = ("none", "simple", "first", "average", "max")


class TokenClassificationPipeline(Pipeline):
    """Options: aggregation_strategy, how tokens become entities, and ignore_labels, which are left out.

    "none": every token by itself, {entity, score, index, word, start, end}. "simple": neighbours of one kind together,
    {entity_group, score, word, start, end}; B-PER begins a person and I-PER goes on with it (Ramshaw and Marcus 1995). "first",
    "average", "max": the pieces of a word agree before that, on the label of its first piece, of the mean of their scores,
    of the surest piece. start and end slice the text. With is_split_into_words=True an item is a list of words.
    A long text is read in overlapping parts; of entities found twice the longer one stays.
    """

    task = "token-classification"
    defaults: ClassVar[dict[str, Any]] = {"aggregation_strategy": "none", "ignore_labels": ("O",), "stride": None,
                                          "is_split_into_words": False, "delimiter": " "}

    def merge(self, options: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        new = dict(new)
        if "grouped_entities" in new or "ignore_subwords" in new:
            grouped, whole_words = new.pop("grouped_entities", False), new.pop("ignore_subwords", False)
            new.setdefault("aggregation_strategy", ("first" if whole_words else "simple") if grouped else "none")
            once("grouped_entities=True is called aggregation_strategy='simple' now, with ignore_subwords=True 'first'; both "
                 "work here.")
        new = super().merge(options, new)
        strategy = getattr(new["aggregation_strategy"], "value", new["aggregation_strategy"])
        if str(strategy).lower() not in STRATEGIES:
            raise ValueError(f"aggregation_strategy must be one of {', '.join(STRATEGIES)}, got {strategy!r}")
        if isinstance(new["ignore_labels"], str):
            raise TypeError(f"ignore_labels must be a list of labels: [{new['ignore_labels']!r}]")
        return new | {"aggregation_strategy": str(strategy).lower()}

    def __call__(self, inputs: Any, *, batch_size: int | None = None, **options: Any) -> Any:
        if isinstance(inputs, list):                  # of texts; or, with is_split_into_words, of words or of lists of words
            words = self.merge(self.options, options)["is_split_into_words"] and all(isinstance(word, str) for word in inputs)
            inputs = (inputs,) if words and inputs else tuple(inputs)
        return super().__call__(inputs, batch_size=batch_size, **options)

    def is_one(self, item: Any) -> bool:
        return isinstance(item, str) or isinstance(item, list) and bool(item) and all(isinstance(word, str) for word in item)

    def encode(self, items: list[Any], options: dict[str, Any]) -> BatchEncoding:
        words = options["is_split_into_words"]
        wrong = next((item for item in items if isinstance(item, str) == words), None)
        if wrong is not None:
            raise TypeError(f"is_split_into_words={words} asks for {'lists of words' if words else 'texts in one piece'}, got "
                            f"{str(wrong)[:40]!r}")
        # a quarter in common: no name is so long that neither of two parts holds it
        stride = self.limit(options) // 4 if options["stride"] is None else options["stride"]
        settings = options["tokenize_kwargs"] | ({"is_split_into_words": True} if words else {})
        return self.tokenize(items, options | {"stride": stride, "tokenize_kwargs": settings})

    def forward(self, batch: dict[str, Any], options: dict[str, Any]) -> list[Tensor]:
        return list(self.checked(self.model(**batch)["logits"]).softmax(-1).cpu())                 # B of (T, L)

    def answer(self, item: Any, rows: list[tuple[Row, Tensor]], options: dict[str, Any]) -> list[dict[str, Any]]:
        strategy, found = options["aggregation_strategy"], []
        for row, scores in rows:
            tokens = self.tokens(item, row, scores, options)
            if strategy in ("first", "average", "max"):
                tokens = self.words(tokens, strategy)
            entities = [self.fields(token) for token in tokens] if strategy == "none" else self.groups(tokens)
            found += [one for one in entities if one.get("entity", one.get("entity_group")) not in options["ignore_labels"]]
        return found if len(rows) == 1 else without_overlaps(found)

    def tokens(self, item: Any, row: Row, scores: Tensor, options: dict[str, Any]) -> list[dict[str, Any]]:
        """The tokens of a row with their places in the text; `goes_on` says that a token belongs to the word before it."""
        starts, text = [0], item
        if options["is_split_into_words"]:
            text = options["delimiter"].join(item)
            for word in item:
                starts.append(starts[-1] + len(word) + len(options["delimiter"]))
        shift = row.parts["A"][1]                     # index counts through all parts of a text
        labels, surest = self.model.config.id2label, scores.max(-1)
        columns = zip(self.tokenizer.convert_ids_to_tokens(row.ids), row.ids, row.special, row.offsets, row.words,
                      surest.values.tolist(), surest.indices.tolist(), scores, strict=False)
        found = []
        for index, (piece, number, special, (start, end), word, score, label, every) in enumerate(columns):
            if special:
                continue
            if options["is_split_into_words"]:
                start, end = start + starts[word], end + starts[word]
            if isinstance(self.tokenizer, BertTokenizer):                  # "##ing" goes on with the word before it
                goes_on = len(piece) != end - start
            else:                                                          # others say with a blank that a word begins
                goes_on = start > 0 and " " not in text[start - 1:start + 1]
            if number == self.tokenizer.unk_token_id:
                piece, goes_on = text[start:end], False
            found.append({"entity": labels[label], "score": score, "index": index + shift, "word": piece, "start": start,
                          "end": end, "scores": every, "goes_on": goes_on})
        return found

    @staticmethod
    def fields(token: dict[str, Any]) -> dict[str, Any]:
        return {name: token[name] for name in ("entity", "score", "index", "word", "start", "end")}

    def words(self, tokens: list[dict[str, Any]], strategy: str) -> list[dict[str, Any]]:
        """Tokens -> words, whose pieces have agreed on a label."""
        groups: list[list[dict[str, Any]]] = []
        for token in tokens:
            if groups and token["goes_on"]:
                groups[-1].append(token)
            else:
                groups.append([token])
        found = []
        for group in groups:
            scores = (group[0]["scores"] if strategy == "first" else max(group, key=lambda token: token["score"])["scores"]
                      if strategy == "max" else torch.stack([token["scores"] for token in group]).mean(0))        # (L,)
            found.append({"entity": self.model.config.id2label[int(scores.argmax())], "score": float(scores.max()),
                          "word": self.text_of([token["word"] for token in group]),
                          "start": group[0]["start"], "end": group[-1]["end"]})
        return found

    def groups(self, tokens: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Neighbours that carry one label together: {entity_group, score, word, start, end}."""
        groups: list[tuple[str, list[dict[str, Any]]]] = []
        for token in tokens:
            begins, kind = token["entity"].startswith("B-"), token["entity"].removeprefix("B-").removeprefix("I-")
            if groups and groups[-1][0] == kind and not begins:
                groups[-1][1].append(token)
            else:
                groups.append((kind, [token]))
        return [{"entity_group": group[0]["entity"].split("-", 1)[-1],
                 "score": sum(token["score"] for token in group) / len(group),
                 "word": self.text_of([token["word"] for token in group]),
                 "start": group[0]["start"], "end": group[-1]["end"]} for _, group in groups]

    def text_of(self, pieces: list[str]) -> str:
        text = self.tokenizer.convert_tokens_to_string(pieces)
        if isinstance(self.tokenizer, BertTokenizer):                      # it puts a blank before every mark
            for mark in ".?!,":
                text = text.replace(f" {mark}", mark)
        return text

    def steps(self, item: Any, inputs: BatchEncoding, outputs: Any, options: dict[str, Any]) -> list[str]:
        labels = [self.model.config.id2label[i] for i in outputs.logits[0].argmax(-1).tolist()]
        pairs = list(zip(inputs.tokens(), labels, strict=True))
        named = [f"{token} {label}" for token, label in pairs if label not in options["ignore_labels"]]
        shape = tuple(outputs.logits.shape)
        return [f"print(tuple(outputs.logits.shape))    # {shape}: a score for each label at each token", "",
                "# 3. The highest score is the label of a token", "best = outputs.logits[0].argmax(-1).tolist()",
                "labels = [model.config.id2label[number] for number in best]",
                f"print(labels)              # {shorten(labels)}", "",
                "# 4. The tokens whose label is not O are the answer; aggregation_strategy='simple' joins neighbours",
                f"# {', '.join(named) or 'there are none'}"]


class NerPipeline(TokenClassificationPipeline):
    """The older name of TokenClassificationPipeline."""


def without_overlaps(entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of entities that two parts of a text both found the longer one, of equally long ones the surer."""
    kept: list[dict[str, Any]] = []
    for one in sorted(entities, key=lambda one: one["start"]):
        if kept and kept[-1]["start"] <= one["start"] < kept[-1]["end"]:
            kept[-1] = max(kept[-1], one, key=lambda each: (each["end"] - each["start"], each["score"]))
        else:
            kept.append(one)
    return kept
