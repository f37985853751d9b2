"""Pipeline: what all tasks share. A task is one short file that says which options it has and how logits become answers.

    items --encode--> rows that know their item --forward--> an output for each row --answer--> one answer for each item

Items go through in windows of 1,024: tokenized at once, their rows sorted by length and computed in batches, their answers
put back into the order of the input. So a list comes back as a list, and a generator streams in constant memory.
A batch holds rows of one length. Nothing is padded: no answer can depend on its neighbours, on the side that a tokenizer
pads or on whether it has a padding token, and the model is spared the masks.
"""

import difflib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Sized
from inspect import signature
from itertools import islice
from numbers import Integral
from typing import Any, ClassVar

import torch
from tqdm import tqdm

from course.modeling import PreTrainedModel
from course.tokenizers.base import NO_LIMIT, PreTrainedTokenizer
from course.tokenizers.encoding import BatchEncoding, Row

log = logging.getLogger(__name__)
WINDOW = 1024                                       # items that are sorted together
# at most so many rows, and so many tokens, are computed together: on a CPU what fits into its cache
CPU_BATCH = (32, 2048)
GPU_BATCH = (256, 32768)


class Pipeline:
    """Base class: `pipe(text)`, `pipe([text, …])`, `pipe(generator)`, `pipe(table["column"])`."""

    task = ""                                       # what a pipeline made by the name of its class calls itself
    defaults: ClassVar[dict[str, Any]] = {}         # the task's options
    special_tokens_in_text = False                  # whether "[MASK]" in a text is the special token

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizer, task: str = "",
                 device: torch.device | str = "cpu", batch_size: int | None = None, **options: Any):
        self.task, self.tokenizer, self.batch_size = task or self.task, tokenizer, whole("batch_size", batch_size)
        self.model = model.to(device).eval()
        self.device = torch.device(device)
        self.options = self.merge({"truncation": True, "max_length": None} | self.defaults, options)
        self.names: dict[str, str] = {}               # the names that model and tokenizer were loaded by, for explain()
        # a mask would hold nothing but ones
        self.columns = set(signature(model.base_model.forward).parameters) - {"attention_mask"}

    # -- what a task provides --------------------------------------------------------------------------------------------

    def merge(self, options: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        """Options with new values; refuses unknown names."""
        for name in new:
            if name not in options:
                close = difflib.get_close_matches(name, options, n=2)
                raise TypeError(f"{self.task} has no option {name!r}." + (
                    f" Did you mean {' or '.join(close)}?" if close else f" It has: {', '.join(options)}, batch_size"))
        return options | new

    def is_one(self, item: Any) -> bool:
        """Whether this is a single input of the task."""
        return isinstance(item, str)

    def encode(self, items: list[Any], options: dict[str, Any]) -> BatchEncoding:
        """Items -> rows of ids, not padded. `rows[i].source` is the number of the item that row i belongs to; it also
        knows the offsets, words and special tokens of its ids."""
        return self.tokenize(items, options)

    def forward(self, batch: dict[str, Any], options: dict[str, Any]) -> Sequence[Any]:
        """Rows of one length, {"input_ids": (B, T), …} -> what the model says of each of them."""
        return list(self.model(**batch)["logits"].float())

    def answer(self, item: Any, rows: list[tuple[Row, Any]], options: dict[str, Any]) -> Any:
        """An item, and its rows with what forward gave for each -> the answer."""
        raise NotImplementedError

    def steps(self, text: str) -> list[str]:
        """The lines of explain() that follow the model's call; they may use `outputs`, `inputs`, `model`, `tokenizer`."""
        raise NotImplementedError

    # -- the call ----------------------------------------------------------------------------------------------------------

    def __call__(self, inputs: Any, *, batch_size: int | None = None, **options: Any) -> Any:
        """Answers for one text, a list, a column of a table, or a generator (then a generator of answers)."""
        chosen = self.merge(self.options, options)
        size = whole("batch_size", batch_size) or self.batch_size
        if self.is_one(inputs):
            return list(self.stream([inputs], chosen, size))[0]
        if not isinstance(inputs, Iterable) or isinstance(inputs, (bytes, dict)) or getattr(inputs, "ndim", 1) != 1:
            raise self.refusal(inputs, "the input")
        if isinstance(inputs, Iterator) or not isinstance(inputs, Sized):
            return self.stream(inputs, chosen, size)
        return list(self.stream(inputs, chosen, size, len(inputs)))

    def refusal(self, item: Any, where: str) -> TypeError:
        missing = item is None or type(item).__name__ in ("NAType", "NaTType") or isinstance(item, float) and item != item
        what = f"{type(item).__name__} {str(item)[:40]!r}" if item is not None else "None"
        cure = ("it is a missing value: drop such rows, table.dropna(subset=[…]), or fill them, column.fillna('')" if missing
                else "choose the column that holds the texts, table['…']" if getattr(item, "ndim", 0) == 2
                else "choose what to read of each row, [row['…'] for row in rows]" if isinstance(item, dict)
                else "decode it first: text.decode('utf-8')" if isinstance(item, bytes)
                else "numbers become text with str(…)" if isinstance(item, (int, float)) else "check the type of the input")
        return TypeError(f"{self.task} needs a text, a list of texts, a column of a table or a generator of texts; "
                         f"{where} is {what}. {cure[0].upper()}{cure[1:]}")

    def stream(self, items: Iterable[Any], options: dict[str, Any], batch_size: int | None,
               total: int | None = None) -> Iterator[Any]:
        """The answers in the order of the items, a window at a time."""
        iterator, seen, cut, most = iter(items), 0, 0, 0
        with tqdm(total=total, desc=self.task, unit="text", delay=2, leave=False) as bar:
            while window := list(islice(iterator, WINDOW)):
                for number, item in enumerate(window):
                    if not self.is_one(item):
                        raise self.refusal(item, f"number {seen + number} (counting from 0)")
                encoding = self.encode(window, options)
                losses = [loss for loss in encoding.cut if loss]
                cut, most = cut + len(losses), max([most, *losses])
                outputs: list[list[Any]] = [[] for _ in window]
                open_rows = Counter(row.source for row in encoding.rows)
                found: list[Any] = [None] * len(encoding.rows)
                for rows in self.batches(encoding["input_ids"], batch_size):
                    for row, output in zip(rows, self.compute(encoding, rows, options), strict=True):
                        found[row] = output
                        open_rows[encoding.rows[row].source] -= 1
                        bar.update(not open_rows[encoding.rows[row].source])
                for tokens, output in zip(encoding.rows, found, strict=True):
                    outputs[tokens.source].append((tokens, output))
                seen += len(window)
                for item, parts in zip(window, outputs, strict=True):
                    yield self.answer(item, parts, options)
        if cut:
            log.warning("%d of %d texts had more than %d tokens and were cut at the end, by up to %d tokens: the answer does "
                        "not know what stood there. Split long texts into parts, or pass truncation=False to get an error "
                        "instead.", cut, seen, self.limit(options), most)

    def limit(self, options: dict[str, Any]) -> int:
        """The tokens that one row may have."""
        most = self.model.config.max_tokens or NO_LIMIT
        return min(whole("max_length", options["max_length"]) or NO_LIMIT, self.tokenizer.model_max_length, most)

    def tokenize(self, texts: list[Any], options: dict[str, Any]) -> BatchEncoding:
        limit = self.limit(options)
        encoding = self.tokenizer(texts, truncation=options["truncation"], max_length=limit if limit < NO_LIMIT else None,
                                  split_special_tokens=not self.special_tokens_in_text, verbose=False)
        longest = max(map(len, encoding["input_ids"]))
        if longest > limit:
            raise ValueError(f"a text has {longest} tokens and this model reads at most {limit}: "
                             "leave truncation=False out to have it cut, or split the text")
        return encoding

    def batches(self, ids: list[list[int]], batch_size: int | None) -> Iterator[list[int]]:
        """Numbers of rows that have one length, the longest first: what does not fit into memory fails at once, not after
        an hour."""
        order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
        texts, tokens = CPU_BATCH if self.device.type == "cpu" else GPU_BATCH
        while order:
            length = len(ids[order[0]])
            size = batch_size or max(1, min(texts, tokens // max(1, length)))
            rows = [row for row in order[:size] if len(ids[row]) == length]
            yield rows
            order = order[len(rows):]

    def compute(self, encoding: BatchEncoding, rows: list[int], options: dict[str, Any]) -> Sequence[Any]:
        """What the model says of some rows of one length."""
        batch = {name: torch.tensor([column[row] for row in rows]).to(self.device)
                 for name, column in encoding.items() if name in self.columns}
        with torch.inference_mode():
            return self.forward(batch, options)

    # -- looking inside ----------------------------------------------------------------------------------------------------

    def explain(self, text: str) -> None:
        """Prints the steps behind `pipe(text)` as code to run, with the numbers of this text as comments."""
        if not isinstance(text, str):
            raise self.refusal(text, "the input of explain")
        name, files = self.names.get("model"), self.names.get("tokenizer")
        given = "  # the pipeline's own: it was not loaded by a name"
        dtype = "" if self.model.dtype == torch.float32 else f", dtype={self.model.dtype}"
        limit = self.limit(self.options)
        cut = "" if limit == self.tokenizer.model_max_length else f", max_length={limit}"
        tensors = self.tokenizer(text, return_tensors="pt", truncation=True, max_length=limit,
                                 split_special_tokens=not self.special_tokens_in_text)
        lines = [
            "import torch",
            f"from course import AutoTokenizer, {type(self.model).__name__}",
            "",
            f"text = {text!r}",
            f"tokenizer = AutoTokenizer.from_pretrained({files!r})" if files else f"tokenizer = pipe.tokenizer{given}",
            f"model = {type(self.model).__name__}.from_pretrained({name!r}{dtype})" if name else f"model = pipe.model{given}",
            "",
            "# 1. The tokenizer cuts the text into pieces that the model knows and gives their numbers",
            f"inputs = tokenizer(text, return_tensors='pt', truncation=True{cut}"
            + ("" if self.special_tokens_in_text else ", split_special_tokens=True") + ")",
            f"print(inputs.tokens())     # {shorten(tensors.tokens())}",
            f"print(inputs.input_ids)    # {shorten(tensors['input_ids'][0].tolist())}",
            "",
            "# 2. The model turns the numbers into scores, called logits",
            "with torch.inference_mode():",
            "    outputs = model(**inputs)",
        ]
        print("\n".join(lines + self.steps(text)))

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(task={self.task!r}, model={self.model.name_or_path or type(self.model).__name__!r}, "
                f"device={str(self.device)!r})")


def whole(name: str, value: int | None) -> int | None:
    """An option that is a whole number from 1 on, or None."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, Integral) or value < 1):
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    return value


def shorten(values: list[Any], most: int = 40) -> str:
    """A list as it prints, with its middle left out when it is long."""
    if len(values) <= most:
        return str(values)
    half = most // 2
    return f"{str(values[:half])[:-1]}, …, {str(values[-half:])[1:]}  ({len(values)} in all)"
