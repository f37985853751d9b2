"""What a model costs: weights, memory and arithmetic of each of its parts, read off its modules. `model.describe()`."""

from typing import Any

import pandas
from torch import nn


class CostTable(pandas.DataFrame):
    """An ordinary DataFrame that shows its numbers with separators."""

    SHOWN = {"parameters": "{:,.0f}".format, "share": "{:.1%}".format, "MB": "{:,.2f}".format,
             "FLOPs per token": "{:,.0f}".format}

    @property
    def _constructor(self) -> type["CostTable"]:
        return CostTable

    def __repr__(self) -> str:
        return self.to_string(formatters=self.SHOWN)

    def _repr_html_(self) -> str:
        return self.to_html(formatters=self.SHOWN)


def describe(model: Any, length: int) -> CostTable:
    """See PreTrainedModel.describe."""
    rows: dict[str, list[float]] = {}                 # part -> weights, bytes, FLOPs per token
    layers: dict[str, set[str]] = {}                  # part -> numbers of the layers that have it
    seen = set()
    for path, module in model.named_modules():
        part, layer = part_of(model, path)
        new = [weight for weight in module.parameters(recurse=False) if weight not in seen]
        seen.update(new)
        flops: float = 0
        if isinstance(module, nn.Linear):
            flops = 2 * module.weight.numel()         # a tied matrix is stored once, but computed with all the same
            if part == "pooler" or part == "head" and type(model).__name__.endswith("ForSequenceClassification"):
                flops /= length                       # once per text
        elif hasattr(module, "flops"):
            flops = module.flops(length)
        if new or flops:
            row = rows.setdefault(part, [0, 0, 0])
            for place, value in enumerate((sum(w.numel() for w in new), sum(w.nbytes for w in new), flops)):
                row[place] += value
            layers.setdefault(part, set()).update(layer)
    total = [sum(column) for column in zip(*rows.values(), strict=True)]
    names = [part if len(layers[part]) < 2 else f"{len(layers[part])} x {part}" for part in rows]
    table = CostTable([[weights, weights / total[0], size / 1e6, round(flops)]
                       for weights, size, flops in (*rows.values(), total)],
                      index=[*names, "total"], columns=list(CostTable.SHOWN))
    table.columns.name = f"{type(model).__name__}, {str(model.dtype).removeprefix('torch.')}, {length} tokens"
    return table


def part_of(model: Any, path: str) -> tuple[str, list[str]]:
    """'bert.layers.3.attention.q' -> 'attention', ['3']; what stands outside the body is its head."""
    names = path.split(".")
    body = model.base_model
    if body is not model:
        if names[0] != model.config_class.prefix:
            return "head", []
        names = names[1:] or [""]
    stack = [names.pop(0)] if hasattr(getattr(body, names[0], None), "layers") else []      # an encoder, a decoder
    number = []
    if names[:1] == ["layers"]:
        number, names = names[1:2], names[2:]
    part = names[0] if names else ""
    return " ".join([*stack, "norms" if part.endswith("norm") else part]).strip() or "body", number
