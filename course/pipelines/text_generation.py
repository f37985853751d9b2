"""text-generation: how a text goes on, or what an instruction model answers: "The committee met" -> "… again in June"."""

from collections.abc import Iterator
from typing import Any, ClassVar, cast

from course.legal_answers import check
from course.pipelines.writing import FUNCTIONS, WritingPipeline
from course.tokenizers.encoding import BatchEncoding, Row

LEGAL_BATCH = 128                                   # prompts whose common beginning is computed once


class TextGenerationPipeline(WritingPipeline):
    """Options: those of all writing tasks; return_full_text (with the prompt, or without it), prefix (stands before each
    prompt), allowed_outputs (legal answers, see course.legal_answers), split_special_tokens (False: a prompt may hold special
    tokens). A prompt is a text or a chat, [{"role": "user", "content": "…"}, …].

    One prompt -> a list of {generated_text}, several for num_return_sequences; of a chat generated_text is the chat with the
    answer, or with return_full_text=False the answer. With allowed_outputs: {generated_text, score, probabilities}.
    """

    task = "text-generation"
    defaults: ClassVar[dict[str, Any]] = WritingPipeline.defaults | {
        "return_full_text": True, "allowed_outputs": None, "split_special_tokens": True}
    usual: ClassVar[dict[str, Any]] = {"max_new_tokens": 256, "do_sample": True, "temperature": 0.7}

    def __call__(self, inputs: Any = None, **options: Any) -> Any:
        if options.pop("return_text", False):
            options.setdefault("return_full_text", False)
        return super().__call__(options.pop("text_inputs", inputs), **options)

    def is_one(self, item: Any) -> bool:
        return isinstance(item, str) or is_chat(item)

    def encode(self, items: list[Any], options: dict[str, Any]) -> BatchEncoding:
        """What stands behind the prompt's last word (</s>, <sep>) would end the text before it begins, and is left out."""
        texts: list[str] = []
        for item in items:
            ours = is_chat(item) and item[-1]["role"] == "assistant"
            texts.append(self.tokenizer.apply_chat_template(
                item, tokenize=False, add_generation_prompt=not ours, continue_final_message=ours) if is_chat(item)
                else self.prefix(options) + item)
        every: list[list[int]] = [[]] * len(items)
        rows: list[Row] = [None] * len(items)  # type: ignore[list-item]
        for chats in (False, True):
            numbers = [number for number, item in enumerate(items) if is_chat(item) == chats]
            if not numbers:
                continue
            found = self.tokenizer([texts[number] for number in numbers], add_special_tokens=not chats, truncation=False,
                                   split_special_tokens=options["split_special_tokens"] and not chats, verbose=False,
                                   **options["tokenize_kwargs"])
            for number, row in zip(numbers, found.rows, strict=True):
                every[number], rows[number], row.source = prompt(row), row, number
                if not every[number]:
                    raise ValueError(f"prompt number {number} (counting from 0) is empty: write at least one word")
        return BatchEncoding({"input_ids": every}, rows, self.tokenizer)

    def stream(self, items: Any, options: dict[str, Any], batch_size: int | None, total: int | None = None) -> Iterator[Any]:
        legal = options["allowed_outputs"] is not None
        return super().stream(items, options, batch_size or (LEGAL_BATCH if legal else None), total)

    def forward(self, batch: dict[str, Any], options: dict[str, Any]) -> list[Any]:
        if options["allowed_outputs"] is None:
            return super().forward(batch, options)
        answers, model, found = options["allowed_outputs"], cast(Any, self.model), [("", [0.0])] * len(batch["input_ids"])
        last = batch["input_ids"].gather(1, batch["attention_mask"].sum(1, keepdim=True) - 1)[:, 0].tolist()
        behind = [self.tokenizer.decode([token])[-1:] for token in last]         # the prompt's last letter
        for end in dict.fromkeys(behind):
            rows = [row for row, letter in enumerate(behind) if letter == end]
            ids = [self.legal(answer, end) for answer in answers] if isinstance(answers, (list, tuple)) else []
            check(answers, ids)
            said = model.generate(**{name: value[rows] for name, value in batch.items()}, allowed_outputs=ids,
                                  **{name: options[name] for name in FUNCTIONS})
            for row, number, shares in zip(rows, said.indices.tolist(), said.probabilities.tolist(), strict=True):
                found[row] = answers[number], shares
        return found

    def legal(self, answer: str, end: str) -> list[int]:
        """The tokens of a legal answer behind a prompt whose last letter is `end`: between two words stands a blank."""
        if not isinstance(answer, str):
            raise TypeError(f"allowed_outputs must be a list of texts, one of them is {answer!r}")
        begin, blank = (end, "") if end.isspace() else ("a", "" if answer[:1].isspace() else " ")
        before, whole, alone = (self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
                                for text in (begin, begin + blank + answer, answer))
        return whole[len(before):] if answer and whole[:len(before)] == before else alone

    def example(self, item: Any, options: dict[str, Any]) -> dict[str, str]:
        if is_chat(item):
            raise ValueError("explain shows how a text goes on; a chat is made a text by tokenizer.apply_chat_template(chat, "
                             "tokenize=False, add_generation_prompt=True)")
        return super().example(item, options)

    def steps(self, item: Any, inputs: BatchEncoding, outputs: Any, options: dict[str, Any]) -> list[str]:
        behind = len(inputs.rows[0].ids) - len(prompt(inputs.rows[0]))
        cut = [f"inputs = {{name: x[:, :-{behind}] for name, x in inputs.items()}}    # without what would end the text", ""]
        return (cut if behind else []) + super().steps(item, inputs, outputs, options)

    def answer(self, item: Any, rows: list[tuple[Row, Any]], options: dict[str, Any]) -> list[dict[str, Any]]:
        (row, found), = rows
        if options["allowed_outputs"] is not None:
            answer, shares = found
            return [{"generated_text": answer.strip(), "score": max(shares), "probabilities": {
                legal.strip(): share for legal, share in zip(options["allowed_outputs"], shares, strict=True)}}]
        if options["return_tensors"]:
            return [{"generated_token_ids": [*prompt(row), *new]} for new in found]
        return [{"generated_text": self.whole(item, row, new, options)} for new in found]

    def whole(self, item: Any, row: Row, new: list[int], options: dict[str, Any]) -> Any:
        """The text as it is asked for."""
        text = self.text([*prompt(row), *new], options)[len(self.text(prompt(row), options)):]
        if not options["return_full_text"]:
            return text
        if isinstance(item, str):
            return item + text
        return [*item[:-1], {**item[-1], "content": item[-1]["content"] + text}] if item[-1]["role"] == "assistant" else \
            [*item, {"role": "assistant", "content": text}]


def prompt(row: Row) -> list[int]:
    """The ids of a row without the special tokens behind its text; none where it has no text."""
    return row.ids[:max((place for place, mark in enumerate(row.special) if not mark), default=-1) + 1]


def is_chat(item: Any) -> bool:
    return isinstance(item, (list, tuple)) and bool(item) and all(
        isinstance(message, dict) and {"role", "content"} <= message.keys() for message in item)
