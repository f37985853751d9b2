"""What a caller may hand to generate() beside settings: who sees a text while it is written, and functions on (ids, scores).

A streamer has two methods: put(ids) is given the prompt (N, S) and then one token (N,) after the other, end() comes last.
"""

from collections.abc import Iterator
from queue import Queue
from typing import Any

from torch import Tensor


class TextStreamer:
    """Prints the text of one prompt word by word: model.generate(**inputs, streamer=TextStreamer(tokenizer, skip_prompt=True)).

    Further keywords go to tokenizer.decode. What to do with a piece of text is in on_finalized_text(text, stream_end).
    """

    def __init__(self, tokenizer: Any, skip_prompt: bool = False, **decode_kwargs: Any):
        self.tokenizer, self.skip_prompt, self.decode_kwargs = tokenizer, skip_prompt, decode_kwargs
        self.ids: list[int] = []                      # of the line that is being written
        self.shown, self.at_prompt = 0, True          # letters of it that have been shown

    def put(self, value: Tensor) -> None:
        """The prompt (1, S), or the next tokens (T,), of one text."""
        if value.dim() > 1 and len(value) > 1 or not self.at_prompt and value.dim() == 1 and len(value) > 1:
            raise ValueError(f"a {type(self).__name__} shows one text, and {len(value)} are written: give generate one prompt")
        skip, self.at_prompt = self.at_prompt and self.skip_prompt, False
        if skip:
            return
        self.ids += value.flatten().tolist()
        text = self.tokenizer.decode(self.ids, **self.decode_kwargs)
        whole = text.endswith("\n") or text and is_chinese(text[-1])
        self.show(text, len(text) if whole else text.rfind(" ") + 1)        # a word may still change as long as it grows
        if text.endswith("\n"):
            self.ids, self.shown = [], 0

    def end(self) -> None:
        """Shows what is left, and is ready for the next text."""
        text = self.tokenizer.decode(self.ids, **self.decode_kwargs) if self.ids else ""
        self.show(text, len(text), True)
        self.ids, self.shown, self.at_prompt = [], 0, True

    def show(self, text: str, end: int, stream_end: bool = False) -> None:
        new, self.shown = text[self.shown:end], max(self.shown, end)
        self.on_finalized_text(new, stream_end=stream_end)

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        print(text, flush=True, end="\n" if stream_end else "")


class TextIteratorStreamer(TextStreamer):
    """Keeps the pieces for a loop, `for piece in streamer: …`, while generate() runs in a thread of its own.

    timeout: seconds after which waiting for a piece raises queue.Empty; None: waits as long as it takes.
    """

    def __init__(self, tokenizer: Any, skip_prompt: bool = False, timeout: float | None = None, **decode_kwargs: Any):
        super().__init__(tokenizer, skip_prompt, **decode_kwargs)
        self.timeout = timeout
        self.text_queue: Queue[str | None] = Queue()

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        self.text_queue.put(text)
        if stream_end:
            self.text_queue.put(None)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if (piece := self.text_queue.get(timeout=self.timeout)) is None:
            raise StopIteration
        return piece


def is_chinese(letter: str) -> bool:
    """Whether words are written without blanks between them, so that none is to be waited for."""
    return "\u4e00" <= letter <= "\u9fff" or "\u3400" <= letter <= "\u4dbf" or "\U00020000" <= letter <= "\U0002ebef"


class LogitsProcessor:
    """Base of functions that change the scores of the next token: __call__(input_ids, scores) -> scores. A plain function
    will do."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} needs a method __call__(self, input_ids, scores) that returns scores")


class StoppingCriteria:
    """Base of functions that say whether a text ends here: __call__(input_ids, scores) -> True, False or one for each row. A
    plain function will do."""

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} needs a method __call__(self, input_ids, scores) that returns a bool")


class LogitsProcessorList(list):
    """A list of such functions, by the name that tutorials give it."""


class StoppingCriteriaList(list):
    """A list of such functions, by the name that tutorials give it."""
