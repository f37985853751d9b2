"""LoRA adapters: a few small matrices in place of a fine-tuned model (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

    W + alpha / r * B A        W (out, in) of the base model, A (r, in) and B (out, r) of the adapter

The files are those of the library PEFT: adapter_config.json, which names the base model, and adapter_model.safetensors.
"""

import os
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from course import hub
from course.checkpoint import our_name, read_file, read_weights, weight_files


def is_adapter(path: Path) -> bool:
    return path.name == "adapter_model.safetensors"


def read_merged(name: str | os.PathLike, path: Path, model: Any,
                **options: Any) -> tuple[dict[str, Tensor], list[str]]:
    """What checkpoint.read_weights gives of the base model, with the adapter in the file `path` added. After that the model
    is an ordinary one."""
    file = hub.find_file(name, "adapter_config.json", **options)
    settings = hub.read_json(file)  # type: ignore[arg-type]
    if settings.get("peft_type") != "LORA":
        raise ValueError(f"{name} is an adapter of the type {settings.get('peft_type')!r}; course reads LORA adapters")
    base, rank, alpha = (settings.get(key) for key in ("base_model_name_or_path", "r", "lora_alpha"))
    if not isinstance(base, str) or not isinstance(rank, int) or not isinstance(alpha, (int, float)) or rank < 1:
        raise ValueError(f"{file} must name its base_model_name_or_path, r (at least 1) and lora_alpha")
    for option in ("use_dora", "use_rslora", "fan_in_fan_out", "rank_pattern", "alpha_pattern"):
        if settings.get(option):
            raise ValueError(f"{file} asks for {option}, which course does not have: merge the adapter into its model "
                             "with PEFT (merge_and_unload) and load that")
    options.pop("revision", None)                     # the adapter's, not its base's
    try:
        files = weight_files(base, **options)
        if is_adapter(files[0]):
            raise ValueError(f"{name} is an adapter over {base!r}, which is an adapter itself: it needs a whole model")
        weights, extra = read_weights(files, model)
    except OSError as error:
        raise type(error)(f"{name} is an adapter over {base!r}, which cannot be loaded: {error}") from None
    adapter = {key.removeprefix("base_model.model."): value for key, value in read_file(path)}
    for key, value in adapter.items():
        found = re.fullmatch(r"(.+)\.lora_([AB])\.weight", key)
        ours = our_name(f"{found[1]}.weight" if found else key, model)
        if found and f"{found[1]}.lora_{'BA'['AB'.index(found[2])]}.weight" not in adapter:
            raise ValueError(f"{path} holds {key!r} without its counterpart; is the file complete?")
        if ours and found and ours not in weights:
            raise ValueError(f"{path} changes {ours!r}, which {base!r} does not hold")
        if ours and not found:
            weights[ours] = value
        elif ours and found[2] == "A":  # type: ignore[index]
            down, up = value.float(), adapter[key.replace("lora_A", "lora_B")].float()     # (r, in), (out, r)
            if (len(up), *down.shape[1:]) != weights[ours].shape:
                raise ValueError(f"{path} changes {ours!r} by {len(up)} x {down.shape[-1]} numbers, in {base!r} it has the "
                                 f"shape {tuple(weights[ours].shape)}. Is it the right base?")
            weights[ours] = weights[ours].float() + alpha / rank * (up @ down)
    return weights, extra
