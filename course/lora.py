"""LoRA adapters: a few small matrices in place of a fine-tuned model (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

    W + alpha / r * B A        W (out, in) of the base model, A (r, in) and B (out, r) of the adapter

The files are those of the library PEFT: adapter_config.json, which names the base model, and adapter_model.safetensors.

    model = add_lora(AutoModelForSequenceClassification.from_pretrained("pocket/encoder", num_labels=3), rank=8)
    …train it as any model; model.save_pretrained(folder) writes the adapter alone, from_pretrained(folder) reads it merged
"""

import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from course import hub
from course.checkpoint import convert, our_name, part_of, read_file, read_weights, their_names, weight_files


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


# -- training ------------------------------------------------------------------------------------------------------------


class LoRALinear(nn.Linear):
    """A frozen linear layer plus alpha / r * B A. A starts random and B zero: at first it computes what the layer did.

    It is the layer itself under another class, so that its weight and bias keep their names.
    """

    lora_A: nn.Parameter                              # (r, in)
    lora_B: nn.Parameter                              # (out, r)
    lora_scale: float
    lora_dropout: float

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        down = F.linear(F.dropout(input, self.lora_dropout, self.training), self.lora_A)       # (..., r)
        return super().forward(input) + F.linear(down, self.lora_B * self.lora_scale)


def add_lora(model: Any, rank: int = 8, alpha: float = 16, dropout: float = 0.0, targets: Sequence[str] | str = ("q", "v"),
             also: Sequence[str] = ()) -> Any:
    """Freezes a model but for an adapter, and returns the model.

    targets: which linear layers get one, by the end of their name, ours or the Hub's ("query"); "all": every one in the
    layers. The head of a task, and parts that the checkpoint lacks, are trained whole; `also` names more such parts
    ("norm"). alpha: how strongly the adapter counts. Raises ValueError where nothing is meant, or no adapter file can hold it.
    """
    if vars(model).get("adapter"):
        raise ValueError("the model has an adapter already: merge_lora(model) first")
    if not isinstance(rank, int) or rank < 1 or not 0 <= dropout < 1:
        raise ValueError(f"rank must be a whole number above 0, dropout at least 0 and below 1; got {rank!r} and {dropout!r}")
    names, head = their_names(model), model.base_model is not model and model.get_output_embeddings() is None
    wanted = [targets] if isinstance(targets, str) else list(targets)
    chosen = {}
    for name, module in model.named_modules():
        theirs = names.get(f"{name}.weight", "").removesuffix(".weight")
        if type(module) is nn.Linear and ".layers." in f".{name}" and (wanted == ["all"] or any(
                full == end or full.endswith(f".{end}") for end in wanted for full in (name, theirs))):
            chosen[name] = theirs
    if not chosen:
        ends = sorted({n.split(".")[-1] for n, m in model.named_modules() if type(m) is nn.Linear and ".layers." in f".{n}"})
        raise ValueError(f"no linear layer of {type(model).__name__} is called {' or '.join(wanted)}; they end in "
                         f"{', '.join(ends)}")
    for name, theirs in chosen.items():
        weight = {f"{theirs}.weight": model.get_submodule(name).weight.detach()}
        try:
            same = {n: v.shape for n, v in convert("to_checkpoint", dict(weight), model).items()} == {
                n: v.shape for n, v in weight.items()}
        except KeyError:
            same = False
        if not same:
            raise ValueError(f"{name} is stored together with other weights in a checkpoint of this architecture, so no "
                             "adapter file can name it alone: choose other targets")
    whole = {name for name, p in model.named_parameters() if any(part in name.split(".") for part in also) or
             (head and not name.startswith(f"{model.config_class.prefix}.")) or part_of(name, model) in model.may_be_new}
    for name, p in model.named_parameters():
        p.requires_grad_(name in whole)
    for name in chosen:
        layer = model.get_submodule(name)
        layer.__class__ = LoRALinear
        layer.lora_A = nn.Parameter(torch.randn(rank, layer.in_features).to(layer.weight) / math.sqrt(layer.in_features))
        layer.lora_B = nn.Parameter(torch.zeros(layer.out_features, rank).to(layer.weight))
        layer.lora_scale, layer.lora_dropout = alpha / rank, dropout
    model.adapter = {"rank": rank, "alpha": alpha, "dropout": dropout, "names": names, "whole": sorted(whole)}
    return model


def layers(model: Any) -> Iterator[tuple[str, LoRALinear]]:
    return ((name, module) for name, module in model.named_modules() if isinstance(module, LoRALinear))


def merge_lora(model: Any) -> Any:
    """Adds the adapter to the weights; after that the model is an ordinary one, as fast as before, and all of it trains."""
    with torch.no_grad():
        for _, layer in list(layers(model)):
            layer.weight += (layer.lora_B @ layer.lora_A * layer.lora_scale).to(layer.weight)
            del layer.lora_A, layer.lora_B, layer.lora_scale, layer.lora_dropout
            layer.__class__ = nn.Linear  # type: ignore[assignment]
    vars(model).pop("adapter", None)
    return model.requires_grad_(True)


def adapter_weights(model: Any) -> dict[str, Tensor]:
    """What was trained, by PEFT's names; the very tensors of the model."""
    names, found = model.adapter["names"], dict[str, Tensor]()
    for name, layer in layers(model):
        theirs = f"base_model.model.{names[f'{name}.weight'].removesuffix('.weight')}"
        found |= {f"{theirs}.lora_A.weight": layer.lora_A.data, f"{theirs}.lora_B.weight": layer.lora_B.data}
    parameters = dict(model.named_parameters())
    return found | {f"base_model.model.{names[name]}": parameters[name].data for name in model.adapter["whole"]}


def save_adapter(model: Any, folder: Path) -> None:
    """adapter_model.safetensors, adapter_config.json and config.json, each whole or not at all."""
    if not model.name_or_path:
        raise ValueError("an adapter file names the model that it belongs to, and this one was never loaded or saved: "
                         "model.save_pretrained(base) and from_pretrained(base) before add_lora(model)")
    settings, weights = model.adapter, adapter_weights(model)
    targets = {re.sub(r"^.*\.\d+\.", "", settings["names"][f"{name}.weight"].removesuffix(".weight"))
               for name, _ in layers(model)}
    modules, body = set(), f"{model.config_class.prefix}."
    for theirs in (settings["names"][name] for name in settings["whole"]):
        stem = theirs.rpartition(".")[0]
        part = stem.rpartition(".")[2] if theirs.startswith(body) else stem.split(".")[0]
        modules.add("pooler" if "pooler" in stem else part)
    kind = next((k for end, k in (("SequenceClassification", "SEQ_CLS"), ("TokenClassification", "TOKEN_CLS"), (
        "QuestionAnswering", "QUESTION_ANS"), ("ForCausalLM", "CAUSAL_LM"), ("ConditionalGeneration", "SEQ_2_SEQ_LM"))
        if type(model).__name__.endswith(end)), None)
    with hub.replacing(folder / "adapter_model.safetensors") as file:
        save_file({name: value.cpu().contiguous() for name, value in weights.items()}, file, metadata={"format": "pt"})
    hub.write_json(folder / "adapter_config.json", {
        "peft_type": "LORA", "task_type": kind, "base_model_name_or_path": model.name_or_path, "r": settings["rank"],
        "lora_alpha": settings["alpha"], "lora_dropout": settings["dropout"], "bias": "none", "fan_in_fan_out": False,
        "inference_mode": True, "target_modules": sorted(targets),
        "modules_to_save": sorted(modules) or None})
    model.config.save_pretrained(folder)


def load_adapter(model: Any, folder: Path) -> None:
    """Puts a saved adapter into a model that add_lora has prepared alike."""
    saved = dict(read_file(folder / "adapter_model.safetensors"))
    own = adapter_weights(model)
    if {n: v.shape for n, v in own.items()} != {n: v.shape for n, v in saved.items()}:
        raise ValueError(f"the adapter in {folder} has other targets or another rank than this model: call add_lora as for the "
                         "run that saved it")
    for name, value in own.items():
        value.copy_(saved[name])
