"""text2text-generation, summarization, translation: one text in, another one out.

Documents longer than the model reads are cut between sentences into parts that it does read; their answers are joined.
"""

import re
from typing import Any, ClassVar

from course.pipelines.writing import WritingPipeline
from course.tokenizers.base import NO_LIMIT
from course.tokenizers.encoding import BatchEncoding, Row

SENTENCE = re.compile(r"(?<=[.!?…。！？])\s+|\n+")      # where a long document may be cut


class Text2TextGenerationPipeline(WritingPipeline):
    """Options: those of all writing tasks; prefix (stands before each text; without it what the checkpoint says for the task),
    truncation (True: the beginning of a long text alone; False: refuse it; without it: all of it, in parts).

    One text -> [{generated_text}], a list of texts -> a dict for each, with num_return_sequences a list for each.
    """

    task = "text2text-generation"
    field = "generated"
    joined = "their answers were joined"
    usual: ClassVar[dict[str, Any]] = {"max_new_tokens": 256, "num_beams": 4}
    max_length_counts = False

    def __call__(self, inputs: Any, **options: Any) -> Any:
        found = super().__call__(inputs, **options)
        return [found] if self.is_one(inputs) and isinstance(found, dict) else found

    def encode(self, items: list[str], options: dict[str, Any]) -> BatchEncoding:
        prefix = self.prefix(options)
        texts = [prefix + item for item in items]
        for number, item in enumerate(items):
            if not item.strip():
                raise ValueError(f"text number {number} (counting from 0) is empty: drop such rows first")
        if options["truncation"] is not None:
            return self.tokenize(texts, options)
        limit, sources, parts = self.limit(options), [], []
        lengths = self.tokenizer(texts, truncation=False, split_special_tokens=True, verbose=False)["input_ids"]
        for number, (item, ids) in enumerate(zip(items, lengths, strict=True)):
            pieces = [item] if len(ids) <= limit or limit >= NO_LIMIT else self.split(item, prefix, limit)
            parts += [prefix + piece for piece in pieces]
            sources += [number] * len(pieces)
        encoding = self.tokenize(parts, options | {"truncation": True})
        for row, source in zip(encoding.rows, sources, strict=True):
            row.source = source
        return encoding

    def split(self, text: str, prefix: str, limit: int) -> list[str]:
        """Parts of a long text that have room together with the prefix: whole sentences, where they are not too long."""
        room = limit - len(self.tokenizer(prefix)["input_ids"]) - 1
        if room < 1:
            raise ValueError(f"the prefix alone fills the {limit} tokens that this model reads: shorten it")
        encoding = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True,
                                  verbose=False)
        ends = [match.start() for match in SENTENCE.finditer(text)]
        spans, parts, begin = encoding["offset_mapping"], [], 0
        while begin < len(spans):
            end = min(begin + room, len(spans))
            if end < len(spans):                      # back to the end of the last whole sentence
                fits = [place for place in ends if spans[begin][0] < place <= spans[end - 1][1]]
                stop = fits[-1] if fits else spans[end - 1][1]
                end = max(begin + 1, next((n for n in range(begin, end) if spans[n][1] > stop), end))
            parts.append(text[spans[begin][0]:spans[end - 1][1]])
            begin = end
        return parts

    def answer(self, item: str, rows: list[tuple[Row, Any]], options: dict[str, Any]) -> Any:
        texts = list(zip(*(found for _, found in rows), strict=True))            # (texts of a part) for each return sequence
        answers: list[dict[str, Any]]
        if options["return_tensors"]:
            answers = [{f"{self.field}_token_ids": [token for part in parts for token in part]} for parts in texts]
        else:
            answers = [{f"{self.field}_text": " ".join(self.text(part, options).strip() for part in parts)} for parts in texts]
        return answers[0] if len(answers) == 1 else answers


class SummarizationPipeline(Text2TextGenerationPipeline):
    """A text in fewer words: [{summary_text}]. min_length, max_length: tokens of the summary."""

    task = "summarization"
    field = "summary"


class TranslationPipeline(Text2TextGenerationPipeline):
    """A text in another language: [{translation_text}]. The task's name says the languages, translation_en_to_de, or src_lang
    and tgt_lang do."""

    task = "translation"
    field = "translation"
    defaults: ClassVar[dict[str, Any]] = WritingPipeline.defaults | {"src_lang": None, "tgt_lang": None}

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        if self.task != type(self).task:              # a pair that is not known is refused before there is a text
            self.specific(self.options)

    def specific(self, options: dict[str, Any]) -> dict[str, Any]:
        """What the checkpoint says of this pair of languages. Raises ValueError for a pair that it does not know."""
        known = {name: said for name, said in (getattr(self.model.config, "task_specific_params", None) or {}).items()
                 if name.startswith("translation_")}
        task = self.task
        if options["src_lang"] or options["tgt_lang"]:
            task = f"translation_{options['src_lang']}_to_{options['tgt_lang']}"
        if task == "translation" and len(known) == 1:
            return next(iter(known.values()))
        if task in known or not known:
            return known.get(task, {})
        raise ValueError(f"this model does not know the pair {task!r}. It has: {', '.join(sorted(known))}. Name one of them "
                         "as the task, or say src_lang='…', tgt_lang='…'")
