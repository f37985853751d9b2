"""Pipeline: what all tasks share. A task is one short file that says which options it has and how logits become answers.

    items --encode--> rows that know their item --forward--> an output for each row --answer--> one answer for each item

Items go through in windows of 1,024: tokenized at once, their rows sorted by length and computed in batches, their answers
put back into the order of the input. So a list comes back as a list, and a generator streams in constant memory.
A batch holds rows of one length. Nothing is padded: no answer can depend on its neighbours, on the side that a tokenizer
pads or on whether it has a padding token, and the model is spared the masks.
A text that is longer than the model reads becomes several rows, overlapping by `stride` tokens; nothing is left out.
"""

import difflib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Sized
from inspect import signature
from itertools import islice
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from course.modeling import PreTrainedModel
from course.notes import note, once, progress
from course.tokenizers.base import NO_LIMIT, PreTrainedTokenizer
from course.tokenizers.encoding import BatchEncoding, Row

if TYPE_CHECKING:
    import pandas as pd

WINDOW = 1024                                       # items that are sorted together
# at most so many rows, and so many tokens, are computed together: on a CPU what fits into its cache
CPU_BATCH = (32, 1024)
GPU_BATCH = (256, 32768)
NO_EFFECT = ("padding", "num_workers")              # options of tutorials that change no answer here


class Pipeline:
    """Base class: `pipe(text)`, `pipe([text, …])`, `pipe(generator)`, `pipe(table["column"])`, `pipe.frame(column)`."""

    task = ""                                       # what a pipeline made by the name of its class calls itself
    reading: ClassVar[dict[str, Any]] = {           # options of all tasks that read: what to do with long texts
        "truncation": None,                         # None: in several parts; True: the beginning alone; False: refuse
        "max_length": None,                         # tokens in a part; None: as many as the model reads
        "stride": 0,                                # tokens that a part has in common with the one before
        "tokenize_kwargs": {}}                      # options of the tokenizer's call
    defaults: ClassVar[dict[str, Any]] = {}         # the task's options
    older: ClassVar[dict[str, str]] = {"tokenizer_kwargs": "tokenize_kwargs"}       # their older names
    special_tokens_in_text = False                  # whether "[MASK]" in a text is the special token
    shortens: bool | str = True                     # the truncation of one row: True, "only_first" or "only_second"
    joined = ""                                     # how the parts of a long text become one answer, where that has to be said

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizer, task: str = "",
                 device: torch.device | str = "cpu", batch_size: int | None = None, **options: Any):
        self.task, self.tokenizer, self.batch_size = task or self.task, tokenizer, whole("batch_size", batch_size)
        self.model = model.to(device).eval()
        self.device = torch.device(device)
        self.options = self.merge(self.reading | self.defaults, options)
        self.names: dict[str, str] = {}               # the names that model and tokenizer were loaded by, for explain()
        # a mask would hold nothing but ones
        self.columns = set(signature(model.base_model.forward).parameters) - {"attention_mask"}

    # -- what a task provides --------------------------------------------------------------------------------------------

    def merge(self, options: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        """Options with new values; refuses unknown names."""
        new = {name: value for name, value in new.items() if name not in NO_EFFECT}
        for old in new.keys() & self.older.keys():
            once(f"{old} is called {self.older[old]} now; both work here.")
            new[self.older[old]] = new.pop(old)
        extra = new.get("tokenize_kwargs", {})
        if not isinstance(extra, dict):
            raise TypeError(f"tokenize_kwargs must be a dict of options of the tokenizer, got {extra!r}")
        if extra:
            new = {name: value for name, value in extra.items() if name in self.reading} | new | {"tokenize_kwargs": {
                name: value for name, value in extra.items() if name not in (*self.reading, *NO_EFFECT, "return_tensors")}}
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

    def rows_each(self, options: dict[str, Any]) -> int:
        """The rows of an item that is not too long."""
        return 1

    def forward(self, batch: dict[str, Any], options: dict[str, Any]) -> Sequence[Any]:
        """Rows of one length, {"input_ids": (B, T), …} -> what the model says of each of them."""
        return list(self.checked(self.model(**batch)["logits"]))

    def answer(self, item: Any, rows: list[tuple[Row, Any]], options: dict[str, Any]) -> Any:
        """An item, and its rows with what forward gave for each -> the answer."""
        raise NotImplementedError

    def records(self, answer: Any) -> list[dict[Any, Any]]:
        """An answer as lines of a table."""
        return [answer] if isinstance(answer, dict) else list(answer)

    def example(self, item: Any, options: dict[str, Any]) -> dict[str, str]:
        """What explain() shows the tokenizer of an item: {"text": …}, or a pair of texts by the names they shall have."""
        return {"text": item}

    def steps(self, item: Any, inputs: BatchEncoding, outputs: Any, options: dict[str, Any]) -> list[str]:
        """The lines of explain() that follow the model's call, as code that may use `inputs` and `outputs`."""
        raise NotImplementedError

    # -- the call ----------------------------------------------------------------------------------------------------------

    def __call__(self, inputs: Any, *, batch_size: int | None = None, **options: Any) -> Any:
        """Answers for one text, a list, a column of a table, or a generator (then a generator of answers)."""
        chosen = self.merge(self.options, options)
        size = whole("batch_size", batch_size) or self.batch_size
        if self.is_one(inputs):
            return list(self.stream([inputs], chosen, size))[0]
        if not isinstance(inputs, Iterable) or isinstance(inputs, (str, bytes, dict)) or getattr(inputs, "ndim", 1) != 1:
            raise self.refusal(inputs, "the input")
        if isinstance(inputs, Iterator) or not isinstance(inputs, Sized):
            return self.stream(inputs, chosen, size)
        return list(self.stream(inputs, chosen, size, len(inputs)))

    def frame(self, column: Any, **options: Any) -> "pd.DataFrame":
        """The answers for a column as a table with the column's index, so that `table.join(pipe.frame(table["text"]))` puts
        each where it belongs. A missing value gives an empty line, an answer with several entries several lines."""
        import pandas as pd
        column = column if isinstance(column, pd.Series) else pd.Series(list(column), dtype=object)
        present = column.notna().tolist()
        # a tuple, because some tasks answer a list of one without a list
        answers = iter(self(tuple(item for item, there in zip(column.tolist(), present, strict=True) if there), **options))
        lines = [self.records(next(answers)) if there else [] for there in present]
        index = column.index.repeat([max(1, len(one)) for one in lines])
        return pd.DataFrame([record for one in lines for record in one or [{}]], index=index)

    def refusal(self, item: Any, where: str) -> Exception:
        missing = item is None or type(item).__name__ in ("NAType", "NaTType") or isinstance(item, float) and item != item
        what = f"{type(item).__name__} {str(item)[:40]!r}" if item is not None else "None"
        cure = ("it is a missing value: pipe.frame(column) leaves such rows empty and every answer in its row; "
                "column.fillna('') makes empty texts of them" if missing
                else "choose the column that holds the texts, table['…']" if getattr(item, "ndim", 0) == 2
                else "choose what to read of each row, [row['…'] for row in rows]" if isinstance(item, dict)
                else "decode it first: text.decode('utf-8')" if isinstance(item, bytes)
                else "numbers become text with str(…)" if isinstance(item, (int, float)) else "check the type of the input")
        return TypeError(f"{self.task} needs a text, a list of texts, a column of a table or a generator of texts; "
                         f"{where} is {what}. {cure[0].upper()}{cure[1:]}")

    def stream(self, items: Iterable[Any], options: dict[str, Any], batch_size: int | None,
               total: int | None = None) -> Iterator[Any]:
        """The answers in the order of the items, a window at a time."""
        iterator, seen, losses, long = iter(items), 0, [0], 0
        with progress(total=total, desc=self.task, unit="text", delay=2, leave=False) as bar:
            while window := list(islice(iterator, WINDOW)):
                for number, item in enumerate(window):
                    if not self.is_one(item):
                        raise self.refusal(item, f"number {seen + number} (counting from 0)")
                encoding = self.encode(window, options)
                losses += [loss for loss in encoding.cut if loss]
                sources = [row.source for row in encoding.rows]
                left = Counter(sources)
                long += sum(rows > self.rows_each(options) for rows in left.values())
                outputs: list[Any] = [None] * len(sources)
                for rows in self.batches(encoding["input_ids"], batch_size):
                    for row, output in zip(rows, self.compute(encoding, rows, options), strict=True):
                        outputs[row] = output
                        left[sources[row]] -= 1
                        bar.update(not left[sources[row]])
                parts: list[list[tuple[Row, Any]]] = [[] for _ in window]
                for tokens, output in zip(encoding.rows, outputs, strict=True):
                    parts[tokens.source].append((tokens, output))
                seen += len(window)
                for item, own in zip(window, parts, strict=True):
                    yield self.answer(item, own, options)
        self.report(seen, losses, long, options)

    def report(self, seen: int, losses: list[int], long: int, options: dict[str, Any]) -> None:
        """Says at the end what happened to long texts."""
        if max(losses):
            note("%d of %d texts had more than %d tokens and were cut at the end, by up to %d tokens: the answer does not "
                 "know what stood there. Leave truncation out, and they are read in parts; truncation=False gives an error "
                 "instead.", len(losses) - 1, seen, self.limit(options), max(losses))
        if long and self.joined:
            note("%d of %d texts had more than %d tokens: they were read in parts, and %s. truncation=True reads the "
                 "beginning alone.", long, seen, self.limit(options), self.joined)

    def limit(self, options: dict[str, Any]) -> int:
        """The tokens that one row may have."""
        most = self.model.config.max_tokens or NO_LIMIT
        return min(whole("max_length", options["max_length"]) or NO_LIMIT, self.tokenizer.model_max_length, most)

    def tokenize(self, texts: list[str], options: dict[str, Any], pairs: list[str] | None = None,
                 parts: str | bool = True) -> BatchEncoding:
        """Texts, or pairs of texts, -> rows. parts: which of a pair goes through in several parts when both are too long
        together, "only_first" or "only_second"; False: neither, the longer one is cut."""
        limit, how = self.limit(options), options["truncation"]
        settings = {"split_special_tokens": not self.special_tokens_in_text, "verbose": False} | options["tokenize_kwargs"]
        if how is None and parts:
            settings |= {"truncation": parts, "return_overflowing_tokens": True, "stride": options["stride"]}
        elif how is not False:
            settings |= {"truncation": how or True}
        if limit < NO_LIMIT:
            settings |= {"max_length": limit, "truncation": settings.get("truncation", False)}
        else:                                         # nothing is too long
            settings.pop("return_overflowing_tokens", None)
        try:
            encoding = self.tokenizer(texts, pairs, **settings)
        except ValueError as error:
            if "cannot make this pair fit" not in str(error):
                raise
            raise ValueError(f"{self.task}: one of two texts that belong together takes up all {limit} tokens that are read at "
                             "once, and leaves no room for the other: shorten it, or raise max_length") from None
        encoding.pop("overflow_to_sample_mapping", None)
        for number, ids in enumerate(encoding["input_ids"]):
            if len(ids) > limit:
                raise ValueError(f"a text has {len(ids)} tokens and this model reads at most {limit}: "
                                 "leave truncation=False out to have it read in parts, or split the text")
            if not ids:                               # GPT-2 and its kind put nothing around a text
                start = next((token for token in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
                              if token is not None), None)
                if start is None:
                    raise ValueError(f"number {encoding.rows[number].source} of the texts (counting from 0) is empty, and this "
                                     "model has no token that stands for the start of a text: leave empty texts out")
                for name, column in encoding.items():
                    column[number] = [start if name == "input_ids" else 0]
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

    def checked(self, scores: Tensor) -> Tensor:
        """The scores in float32. Raises ValueError when the model has computed nonsense."""
        scores = scores.float()
        if not scores.isfinite().all():
            raise ValueError(f"{self.task}: the model gives NaN or infinity instead of scores. Either its weights are damaged, "
                             f"or numbers grow beyond what {str(self.model.dtype)[6:]} holds: try dtype=torch.float32, and "
                             "load the model once more with force_download=True")
        return scores

    # -- files and looking inside ------------------------------------------------------------------------------------------

    def save_pretrained(self, folder: str) -> None:
        """Writes model and tokenizer into a folder that `pipeline(task, model=folder)` reads."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def explain(self, item: Any, **options: Any) -> None:
        """Prints the steps behind `pipe(item)` as code to run, with the numbers of this item as comments."""
        if not self.is_one(item):
            raise self.refusal(item, "the input of explain")
        chosen = self.merge(self.options, options)
        lines, inputs = self.heading(item, chosen)
        with torch.inference_mode():
            outputs = self.model(**{name: value.to(self.device) for name, value in inputs.items() if name in self.columns})
        lines += ["", "# 2. The model turns the numbers into scores, called logits" if "logits" in outputs else
                  "# 2. The model turns the numbers into other numbers",
                  "with torch.inference_mode():", "    outputs = model(**inputs)"]
        show("\n".join(lines + self.steps(item, inputs, outputs, chosen)))

    def heading(self, item: Any, options: dict[str, Any]) -> tuple[list[str], BatchEncoding]:
        """The lines of explain() up to the model's input, and that input."""
        name, files = self.names.get("model"), self.names.get("tokenizer")
        given = "  # the pipeline's own: it was not loaded by a name"
        dtype = self.names.get("dtype", str(self.model.dtype))
        dtype = "" if dtype == "torch.float32" else f", dtype={dtype}"
        texts, limit = self.example(item, options), self.limit(options)
        settings: dict[str, Any] = {"return_tensors": "pt", "truncation": self.shortens} | ({} if limit in (
            NO_LIMIT, self.tokenizer.model_max_length) else {"max_length": limit}) | (
            {} if self.special_tokens_in_text else {"split_special_tokens": True})
        inputs = self.tokenizer(*list(texts.values()), verbose=False, **settings)  # type: ignore[arg-type]
        cut = inputs.cut[0]
        return [
            "import torch",
            f"from course import AutoTokenizer, {type(self.model).__name__}",
            "",
            *(f"{name} = {text!r}" for name, text in texts.items()),
            f"tokenizer = AutoTokenizer.from_pretrained({files!r})" if files else f"tokenizer = pipe.tokenizer{given}",
            f"model = {type(self.model).__name__}.from_pretrained({name!r}{dtype})" if name else f"model = pipe.model{given}",
            "",
            "# 1. The tokenizer cuts the text into pieces that the model knows and gives their numbers",
            *([f"# (the text has {cut} more tokens than this model reads at once: the pipeline goes on with further parts)"]
              if cut else []),
            f"inputs = tokenizer({', '.join(texts)}, {', '.join(f'{key}={value!r}' for key, value in settings.items())})",
            f"print(inputs.tokens())     # {shorten(inputs.tokens())}",
            f"print(inputs.input_ids)    # {shorten(inputs['input_ids'][0].tolist())}",
        ], inputs

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(task={self.task!r}, model={self.model.name_or_path or type(self.model).__name__!r}, "
                f"device={str(self.device)!r})")


def whole(name: str, value: int | None) -> int | None:
    """An option that is a whole number from 1 on, or None."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, Integral) or value < 1):
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    return value


def show(text: str) -> None:
    """Prints; a character that the console does not know appears as an escape, which inside quotes means the same."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def shorten(values: list[Any], most: int = 40) -> str:
    """A list as it prints, with its middle left out when it is long."""
    if len(values) <= most:
        return str(values)
    half = most // 2
    return f"{str(values[:half])[:-1]}, …, {str(values[-half:])[1:]}  ({len(values)} in all)"
