"""What all tasks share that write: settings, batches of similar length, and text made of the new tokens."""

import difflib
import logging
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, ClassVar, cast

import torch

from course.generation_config import GenerationConfig
from course.pipelines.base import NO_EFFECT, Pipeline, shorten, show
from course.tokenizers.encoding import BatchEncoding

log = logging.getLogger(__name__)
SETTINGS = {f.name for f in fields(GenerationConfig)} - {"others", "return_dict_in_generate", "output_scores", "output_logits"}
FUNCTIONS = ("streamer", "stopping_criteria", "logits_processor")
BATCH = (16, 128)                                   # rows that are written on together, on a CPU and on a GPU


class WritingPipeline(Pipeline):
    """Options of all writing tasks: every setting of course.GenerationConfig (max_new_tokens, do_sample, num_beams, …); seed;
    streamer, stopping_criteria and logits_processor as in generate().

    What the call says counts most, then what the checkpoint says for the task (task_specific_params in config.json), then its
    generation_config.json, then `usual`.
    """

    defaults: ClassVar[dict[str, Any]] = {"seed": None, "prefix": None, "clean_up_tokenization_spaces": None,
                                          "return_tensors": False} | dict.fromkeys(FUNCTIONS)
    usual: ClassVar[dict[str, Any]] = {}            # settings where nobody says otherwise
    max_length_counts = True                        # more than a usual max_new_tokens; not so in transformers' later tasks

    def merge(self, options: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        for name in new.keys() - options.keys() - SETTINGS - self.older.keys() - set(NO_EFFECT):
            if close := difflib.get_close_matches(name, SETTINGS, n=2, cutoff=0.7):
                raise TypeError(f"{self.task} has no option {name!r}. Did you mean {' or '.join(close)}?")
        return super().merge(options | dict.fromkeys(new.keys() & SETTINGS), new)

    def specific(self, options: dict[str, Any]) -> dict[str, Any]:
        """What the checkpoint says of this task."""
        return (getattr(self.model.config, "task_specific_params", None) or {}).get(self.task, {})

    def prefix(self, options: dict[str, Any]) -> str:
        """What stands before each text."""
        return options["prefix"] if options["prefix"] is not None else self.specific(options).get("prefix") or ""

    def limit(self, options: dict[str, Any]) -> int:
        """max_length belongs to what is written here, not to what is read."""
        return super().limit(options | {"max_length": None})

    def settings(self, options: dict[str, Any], longest: int) -> dict[str, Any]:
        """The settings of generate() for prompts of at most `longest` tokens."""
        called = {name: value for name, value in options.items() if name in SETTINGS and (value, name) != (None, "max_length")}
        said = {name: value for name, value in self.specific(options).items() if name in SETTINGS} | called
        own = cast(Any, self.model).generation_config.changed()
        known = own | said
        usual = {name: value for name, value in self.usual.items() if name not in known}
        if "max_length" in (known if self.max_length_counts else own):
            usual.pop("max_new_tokens", None)
        elif "max_length" in called and "max_new_tokens" in usual:
            log.warning("max_length=%s has no effect: this model brings no length, and then max_new_tokens=%s of the task "
                        "counts more. Say max_new_tokens=… instead.", called["max_length"], usual["max_new_tokens"])
        if "max_length" in called and "max_new_tokens" not in called and "max_new_tokens" in own:
            said["max_new_tokens"] = None             # the call counts more than the checkpoint
        if (most := self.model.config.max_tokens) and "max_new_tokens" in usual:
            usual["max_new_tokens"] = max(1, min(usual["max_new_tokens"], most - longest))
        if not known.get("do_sample", usual.get("do_sample", False)):
            usual.pop("temperature", None)
        return usual | said

    def batches(self, ids: list[list[int]], batch_size: int | None) -> Iterator[list[int]]:
        """Numbers of rows of similar length, the longest first."""
        order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
        size = batch_size or BATCH[self.device.type != "cpu"]
        yield from (order[start:start + size] for start in range(0, len(order), size))

    def compute(self, encoding: BatchEncoding, rows: list[int], options: dict[str, Any]) -> list[list[list[int]]]:
        """The new tokens of every text of every row. generate() makes padding harmless."""
        texts = [torch.tensor(encoding["input_ids"][row]) for row in rows]
        ids, mask = (torch.nn.utils.rnn.pad_sequence(x, batch_first=True).to(self.device)
                     for x in (texts, [torch.ones_like(text) for text in texts]))
        return self.forward({"input_ids": ids, "attention_mask": mask}, options)

    def forward(self, batch: dict[str, Any], options: dict[str, Any]) -> list[list[list[int]]]:
        model = cast(Any, self.model)
        longest = 1 if hasattr(model.base_model, "encode") else batch["input_ids"].shape[1]       # what the text begins with
        settings = self.settings(options, longest)
        functions = {name: options[name] for name in FUNCTIONS}
        found = model.generate(**batch, **settings, **functions, seed=options["seed"], tokenizer=self.tokenizer)
        ends = model.generation_config.with_settings(settings).ends
        texts = [until_end(text, ends) for text in found[:, longest:].tolist()]
        each = len(texts) // len(batch["input_ids"])
        return [texts[start:start + each] for start in range(0, len(texts), each)]

    def text(self, ids: list[int], options: dict[str, Any]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True,
                                     clean_up_tokenization_spaces=options["clean_up_tokenization_spaces"])

    # -- looking inside ----------------------------------------------------------------------------------------------------

    def example(self, item: Any, options: dict[str, Any]) -> dict[str, str]:
        return {"text": self.prefix(options) + item}

    def explain(self, item: Any, **options: Any) -> None:
        """Prints the steps behind `pipe(item)` as code to run, with the numbers of this item as comments."""
        if not self.is_one(item):
            raise self.refusal(item, "the input of explain")
        chosen = self.merge(self.options, options)
        lines, inputs = self.heading(item, chosen)
        show("\n".join([*lines, "", *self.steps(item, inputs, None, chosen)]))

    def steps(self, item: Any, inputs: BatchEncoding, outputs: Any, options: dict[str, Any]) -> list[str]:
        found = next(iter(self.stream([item], options | {"return_tensors": True, "allowed_outputs": None}, None)))
        ids = next(iter((found[0] if isinstance(found, list) else found).values()))
        new = "ids[0, 1:]" if hasattr(self.model.base_model, "encode") else "ids[0]"       # without the decoder's start token
        settings = self.settings(options, inputs["input_ids"].shape[1]) | {"seed": options["seed"]}
        settings = {name: value for name, value in settings.items() if value is not None}
        drawn = " (drawn by chance: yours will differ)" if settings.get("do_sample") and "seed" not in settings else ""
        return ["# 2. The model guesses the next token, reads it too, and so on",
                f"ids = model.generate(**inputs{''.join(f', {name}={value!r}' for name, value in settings.items())})",
                f"print({new}.tolist())    # {shorten(ids)}{drawn}", "", "# 3. The numbers become text",
                f"print(tokenizer.decode({new}, skip_special_tokens=True))    # {self.text(ids, options)!r}"]


def until_end(ids: list[int], ends: list[int]) -> list[int]:
    """ids up to the first end token, with it; what follows is padding."""
    place = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    return ids[:place + 1]
