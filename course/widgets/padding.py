"""Mask and padding explorer: a batch as a grid, and what padding, truncation and max_length do to it."""

import html
from collections.abc import Sequence
from typing import Any

from course.widgets.base import CHIP, HATCHED, Explorer, choice, line, scrolls, slider

ANSWERS = ("The rent has doubled.", "My children walk to school every morning, even when it rains.", "I don't hate it.")


def padding_explorer(tokenizer: Any = "pocket/sentiment", texts: Sequence[str] = ANSWERS) -> "Padding":
    """A batch of texts, at most eight, as tokens with their mask. tokenizer: a name or a tokenizer."""
    from course import AutoTokenizer
    if isinstance(texts, str) or not texts or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"texts must be a list of texts, got {texts!r:.60}")
    if len(texts) > 8:
        raise ValueError(f"{len(texts)} texts make a grid nobody can read: give 8 or fewer")
    return Padding(AutoTokenizer.from_pretrained(tokenizer) if isinstance(tokenizer, str) else tokenizer, list(texts))


class Padding(Explorer):
    """values: padding, truncation, max_length, side."""

    def __init__(self, tokenizer: Any, texts: list[str]):
        self.tokenizer, self.texts = tokenizer, texts
        ids = tokenizer(texts, truncation=False, verbose=False)["input_ids"]
        self.longest = max(map(len, ids))
        self.least = tokenizer.num_special_tokens_to_add() + 1
        if tokenizer.pad_token is None:
            raise ValueError("this tokenizer has no padding token, so its texts cannot be filled up to one length: "
                             "tokenizer.pad_token = tokenizer.eos_token")
        super().__init__(padding="longest", truncation=False, max_length=max(self.least, min(12, self.longest)), side="right")

    def controls(self, w: Any) -> dict[str, Any]:
        start = self.values
        return {"padding": choice(w, "padding", [("False", False), ("longest", "longest"), ("max_length", "max_length")],
                                  start["padding"]),
                "truncation": w.Checkbox(value=start["truncation"], description="truncation", indent=False,
                                         layout={"width": "auto", "margin": "2px 12px"}),
                "max_length": slider(w, "max_length", start["max_length"], self.least, max(self.longest + 4, self.least + 1)),
                "side": choice(w, "padding_side", ["right", "left"], start["side"])}

    def encoded(self) -> Any:
        v = self.values
        return self.tokenizer(self.texts, padding=v["padding"], truncation=v["truncation"], padding_side=v["side"],
                              max_length=v["max_length"], split_special_tokens=True, return_attention_mask=True, verbose=False)

    def draw(self) -> str:
        encoding = self.encoded()
        rows = []
        for number, (mask, cut) in enumerate(zip(encoding["attention_mask"], encoding.cut, strict=True)):
            cells = "".join(cell(token, i, bool(counts)) for token, i, counts in zip(
                encoding.tokens(number), encoding["input_ids"][number], mask, strict=True))
            rows.append(f'<tr style="background: none"><th scope="row" style="padding: 2px 8px; white-space: nowrap">text '
                        f'{number + 1}</th>{cells}<td style="padding: 2px 8px; white-space: nowrap">'
                        f'{f"<b>{cut} cut off</b>" if cut else ""}</td></tr>')
        return scrolls(f'<table style="border: 0">{"".join(rows)}</table>', "The batch") + line(self.say())

    def say(self) -> str:
        encoding = self.encoded()
        lengths = [len(ids) for ids in encoding["input_ids"]]
        filled = sum(mask.count(0) for mask in encoding["attention_mask"])
        if len(set(lengths)) > 1:
            return (f"The rows have {', '.join(map(str, lengths))} tokens: they make no tensor, and no batch. "
                    f"{sum(encoding.cut)} tokens are cut off.")
        return (f"{len(lengths)} rows of {lengths[0]} tokens: {sum(lengths)} places, {filled} of them padding "
                f"({filled / sum(lengths):.0%}), mask 0; {sum(encoding.cut)} tokens are cut off.")


def cell(token: str, i: int, counts: bool) -> str:
    style = f"{CHIP}; background: {'#cfe4f3' if counts else HATCHED}; text-align: center; min-width: 2em"
    return (f'<td style="padding: 1px" title="id {i}"><span style="{style}">{html.escape(token)}<br>'
            f'<small style="color: #444">{int(counts)}</small></span></td>')
