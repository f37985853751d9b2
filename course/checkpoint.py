"""Checkpoints: the files that hold a model's weights, and the names that the weights have in them.

Names are data. Each file in `models/` ends with a table HF_NAMES from the names that checkpoints on the Hub use to ours,
read in both directions: '#' stands for the number of the layer, '*' for weight or bias, None for an entry that holds
nothing learned. Where a weight needs more than another name (it is turned, or several are stored as one), two functions
stand beside the table: from_checkpoint and to_checkpoint, which take and give a dict of tensors by the Hub's names.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_safetensors
from safetensors.torch import save_file
from torch import Tensor, nn

from course import hub
from course.notes import note

log = logging.getLogger(__name__)
Names = dict[str, str | None]                       # a table HF_NAMES

# -- names ---------------------------------------------------------------------------------------------------------------


def table_file(model: Any) -> ModuleType:
    """The file in `models/` with the table HF_NAMES of this model, which may be a subclass written elsewhere."""
    files = (sys.modules[part.__module__] for part in (*type(model).__mro__, *type(model).config_class.__mro__))
    return next(file for file in files if hasattr(file, "HF_NAMES"))


def translate(theirs: str, table: Names, prefix: str) -> str | None:
    """A checkpoint's name of a weight -> ours in a model with a head, None when it holds nothing learned.
    prefix: what stands before the names of the body. Raises KeyError for a name that is not in the table."""
    name = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", theirs))      # TensorFlow's names for a norm
    for candidate in (name, f"{prefix}.{name}"):                                    # a body saved alone has no prefix
        number = re.search(r"\.(\d+)\.", candidate)
        pattern = candidate if number is None else candidate.replace(number[0], ".#.", 1)
        stem, _, last = pattern.rpartition(".")
        for key in (candidate, pattern, f"{stem}.*" if last in ("weight", "bias") else pattern):
            if key in table:
                return (table[key] or "").replace("*", last).replace("#", number[1] if number else "#") or None
    raise KeyError(theirs)


def our_name(theirs: str, model: Any) -> str | None:
    """The name of a checkpoint's weight in this model; None when it belongs to another head or is no weight.

    Raises ValueError for a name that the table does not know.
    """
    prefix = model.config_class.prefix
    try:
        ours = translate(theirs, table_file(model).HF_NAMES, prefix)
    except KeyError:
        raise ValueError(f"the checkpoint holds {theirs!r}, which {type(model).__name__} has no place for. Its model_type is "
                         f"{model.config.model_type!r}: is this a checkpoint of that architecture?") from None
    if ours is None:
        return None
    part, is_body = ours.removeprefix(f"{prefix}."), model.base_model is model
    owner = model if part == ours else model.base_model
    if (is_body and part == ours) or getattr(owner, part.split(".")[0], None) is None:
        return None
    return part if is_body else ours


def their_names(model: Any) -> dict[str, str]:
    """Our name -> the Hub's name, for every weight of this model; the inverse of our_name."""
    inverse: dict[str, str] = {}
    for theirs, ours in table_file(model).HF_NAMES.items():
        if ours is not None:
            inverse.setdefault(ours, theirs)
    prefix, is_body, found = model.config_class.prefix, model.base_model is model, {}
    for name in model.state_dict():
        full = f"{prefix}.{name}" if is_body else name
        number = re.search(r"\.(\d+)\.", full)
        pattern = full if number is None else full.replace(number[0], ".#.", 1)
        stem, _, last = pattern.rpartition(".")
        theirs = inverse.get(pattern) or inverse.get(f"{stem}.*", "").replace("*", last)
        if not theirs and (is_body or full.startswith(f"{prefix}.")):
            raise ValueError(f"this {type(model).__name__} has {name!r}, a part of your own that no checkpoint of a "
                             f"{model.config.model_type!r} model has a name for: keep it with "
                             "torch.save(model.state_dict(), file) and load it into a model that you changed alike")
        theirs = theirs or name                       # a head of your own
        theirs = theirs.replace("#", number[1] if number else "#")
        found[name] = theirs.removeprefix(f"{prefix}.") if is_body else theirs
    return found


def convert(direction: str, weights: dict[str, Tensor], model: Any) -> dict[str, Tensor]:
    """from_checkpoint or to_checkpoint of the file that this model is written in, where it has them."""
    function = getattr(table_file(model), direction, None)
    return weights if function is None else function(weights)


def part_of(name: str, model: Any) -> str:
    """'bert.layers.0.norm.weight' -> 'layers', 'classifier.bias' -> 'classifier'."""
    return name.removeprefix(f"{model.config_class.prefix}.").split(".")[0]


# -- reading -------------------------------------------------------------------------------------------------------------


def read_weights(files: Iterable[Path], model: Any) -> tuple[dict[str, Tensor], list[str]]:
    """All weights in these files that the model has a place for, by our names; the names of those that no model of the
    architecture with this config has a place for. What belongs to another head is in neither."""
    weights, extra, tied, places = {}, [], model.tied_names(), model.state_dict().keys()
    found = {name: value for path in files for name, value in read_file(path)}      # whole, before it is converted
    for theirs, value in convert("from_checkpoint", found, model).items():
        try:
            ours = our_name(theirs, model)
        except ValueError:
            ours = theirs
        if ours is not None and ours not in places:
            extra.append(theirs)
        elif ours is not None and ours not in tied:
            weights[ours] = value
    return weights, extra


def weight_files(name: str | os.PathLike, gguf_file: str | None = None, from_tf: bool = False, **options: Any) -> list[Path]:
    """The files that hold a checkpoint's weights, in the forms that exist on the Hub. from_tf: those of TensorFlow, which are
    read without it as well where there are no others."""
    if gguf_file is not None:
        return [hub.find_file(name, gguf_file, **options)]  # type: ignore[list-item]
    if from_tf:
        if found := tf_files(name, **options):
            return found
        raise FileNotFoundError(f"{name} holds no weights of TensorFlow, neither tf_model.h5 nor bert_model.ckpt.index; "
                                "without from_tf=True its other files are read, if it has any")
    for single in ("model.safetensors", "pytorch_model.bin"):
        if found := whole_or_shards(name, single, **options):
            return found
    if adapter := hub.find_file(name, "adapter_model.safetensors", required=False, **options):
        return [adapter]
    if found := tf_files(name, **options):
        note("%s holds weights of TensorFlow only: they are read from %s.", name, found[0].name)
        return found
    hub.find_file(name, "model.safetensors", **options)       # raises with the reason
    return []


def tf_files(name: str | os.PathLike, **options: Any) -> list[Path]:
    """tf_model.h5 or its shards, else the .index of a bert_model.ckpt; [] if there is neither."""
    from course import tf_checkpoints
    return tf_checkpoints.ckpt_itself(name) or whole_or_shards(name, "tf_model.h5", **options) or \
        tf_checkpoints.ckpt_files(name, **options)


def whole_or_shards(name: str | os.PathLike, single: str, **options: Any) -> list[Path]:
    """The file of that name, or those that its index lists; [] if there is neither."""
    if path := hub.find_file(name, single, required=False, **options):
        return [path]
    index = hub.find_file(name, f"{single}.index.json", required=False, **options)
    if index is None:
        return []
    found = hub.read_json(index).get("weight_map")
    shards = set(found.values()) if isinstance(found, dict) else set()
    ending = Path(single).suffix
    if not shards or not all(isinstance(s, str) and re.fullmatch(rf"[\w\-.]+{ending}", s) for s in shards):
        raise ValueError(f"{index} is damaged: its weight_map must give the name of a {ending} file in the same "
                         "folder for every weight")
    try:
        return [hub.find_file(name, s, **options) for s in sorted(shards)]  # type: ignore[misc]
    except FileNotFoundError as error:
        raise FileNotFoundError(f"the checkpoint is incomplete, {index} lists {len(shards)} files: {error}") from None


def read_file(path: Path) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of each weight in a .safetensors, .bin, .gguf or TensorFlow file. Nothing in it is ever executed."""
    if path.suffix == ".gguf":
        from course import gguf
        yield from gguf.read_tensors(path)
        return
    if path.suffix in (".h5", ".index"):
        from course import tf_checkpoints
        yield from (tf_checkpoints.read_h5 if path.suffix == ".h5" else tf_checkpoints.read_ckpt)(path)
        return
    try:
        if path.suffix != ".safetensors":
            import zipfile
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
            if not all(isinstance(key, str) and isinstance(value, Tensor) and value.layout is torch.strided
                       and not value.is_meta for key, value in content.items()):
                raise TypeError("not a table of names and weights")
            yield from content.items()
            return
        with safe_open(path, framework="pt") as file:
            form = (file.metadata() or {}).get("format")
            # Windows cannot replace a file that is mapped into memory
            whole = load_safetensors(path.read_bytes()) if os.name == "nt" else None
            for key in file.keys():  # noqa: SIM118 - not a dict
                value = whole[key] if whole else file.get_tensor(key)
                if form == "tf":                      # saved by a TF class: other names, matrices turned
                    from course.tf_checkpoints import from_h5
                    key, value = from_h5(key, value, by_layer=False)
                yield key, value
    except SafetensorError as error:
        raise OSError(f"{path} is damaged or cut off ({error}). Download it again with force_download=True, "
                      "or copy the file once more") from None
    except Exception as error:
        if path.suffix == ".safetensors" or isinstance(error, (PermissionError, FileNotFoundError, GeneratorExit)):
            raise
        if "GLOBAL" in str(error):                    # torch's word for the name of a function or class in a pickle
            raise ValueError(f"{path} asks to run code while it is opened, which a file of weights never needs; it was not "
                             "opened. Use a checkpoint in the safetensors format from a source you trust") from None
        raise OSError(f"{path} is damaged or no file of weights ({type(error).__name__}). Download it again with "
                      "force_download=True, or copy the file once more") from None


def fill(model: Any, weights: dict[str, Tensor], extra: list[str], source: str, dtype: torch.dtype, resized: bool) -> None:
    """Puts the weights, by our names, into a model on the meta device; what a new head lacks gets random weights.
    extra: what the checkpoint holds beside them, for a warning."""
    for name in model.may_be_new if model.base_model is model else ():
        if not any(part_of(n, model) == name for n in weights):
            setattr(model, name, None)             # better no pooler_output than one made of random numbers
    expected = model.state_dict(keep_vars=True)
    parts = {n.removeprefix(f"{model.config_class.prefix}.").split(".")[0] for n in model.base_model.state_dict()}
    body = parts - set(model.may_be_new)
    for name, value in list(weights.items()):
        part = part_of(name, model)
        if not value.is_floating_point():
            raise ValueError(f"{name} is stored as {value.dtype} in {source}: course reads weights in floating-point "
                             "formats, not quantized ones. Load the checkpoint that was quantized")
        if value.shape != expected[name].shape:
            if not resized or part in body:
                raise ValueError(
                    f"{name} has the shape {tuple(value.shape)} in {source} and {tuple(expected[name].shape)} in "
                    f"{type(model).__name__} with this config. Load with the config of the checkpoint, or pass "
                    "num_labels=… (ignore_mismatched_sizes=True) to start a head anew")
            for other in [n for n in weights if part_of(n, model) == part]:   # a head is new as a whole
                del weights[other]
    tied = model.tied_names()
    missing = [n for n in expected if n not in weights and n not in tied]
    for name in missing:
        part = part_of(name, model)
        if part in body or any(part_of(n, model) == part for n in weights):
            raise ValueError(f"{source} lacks {name!r}, which {type(model).__name__} needs "
                             f"({their_names(model)[name]!r} in the file)"
                             + (f"; it holds {extra[0]!r}, which {type(model).__name__} has no place for" if extra else "")
                             + f". Is the checkpoint complete, and is it a {model.config.model_type!r} model?")
    model.load_state_dict({n: v.to(dtype) if v.is_floating_point() else v for n, v in weights.items()},
                         strict=False, assign=True)
    model.tie_weights()
    for module in model.modules():
        own = dict(module.named_parameters(recurse=False))
        loaded = {n: p for n, p in own.items() if p.device.type != "meta"}
        if len(loaded) < len(own):
            for n, p in own.items():
                setattr(module, n, nn.Parameter(torch.empty_like(p, device="cpu", dtype=dtype)))
            model.init_weights(module)
            for n, p in loaded.items():           # a tied weight beside a new bias keeps its values
                setattr(module, n, p)
    model.tie_weights()
    if extra:
        names = ", ".join(map(repr, extra[:20])) + (f" and {len(extra) - 20} more" if extra[20:] else "")
        log.warning("%s holds what a %s with this config has no place for; it was not read: %s.", source, type(model).__name__,
                    names)
    if missing:
        new = sorted({part_of(n, model) for n in missing})
        log.warning("%s: %s %s new, initialized with random weights (%s has none that fit): train the model before you use "
                    "its predictions.", type(model).__name__, " and ".join(new), "are" if new[1:] else "is", source)


def resolve_dtype(dtype: str | torch.dtype | None, device: str | torch.device = "cpu") -> torch.dtype:
    """None -> float32; a name or a dtype -> that; "auto" -> bfloat16 where the device computes it fast, else float32. "int8" on
    a CPU: weights of 8 bits, see course.speed."""
    if dtype is None:
        return torch.float32
    if dtype == "auto":
        if torch.device(device).type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        return torch.bfloat16 if torch.device(device).type == "cpu" and bfloat16_is_fast() else torch.float32
    found = dtype if isinstance(dtype, torch.dtype) else getattr(torch, str(dtype).removeprefix("torch."), None)
    if found is torch.int8 and torch.device(device).type != "cpu":
        raise ValueError('dtype="int8" is for CPUs; a graphics card computes fast in bfloat16: dtype="auto"')
    if not isinstance(found, torch.dtype) or not (found.is_floating_point or found is torch.int8):
        raise ValueError(f'dtype must be "auto", "float32", "bfloat16", "float16", "int8" or a torch dtype, got {dtype!r}')
    return found


@cache
def bfloat16_is_fast() -> bool:
    """Measured, in some hundredths of a second: whether this processor multiplies clearly faster in bfloat16 than in float32.
    The name of its units does not tell; with AVX-512's bfloat16 both 1.7 times as fast and 1.7 times as slow were met."""
    def seconds(dtype: torch.dtype) -> float:
        x, weight = torch.ones(256, 384, dtype=dtype), torch.ones(1024, 384, dtype=dtype)
        times = []
        for _ in range(6):                            # the first ones prepare
            start = perf_counter()
            torch.nn.functional.linear(x, weight)
            times.append(perf_counter() - start)
        return min(times)
    with torch.inference_mode():
        return seconds(torch.bfloat16) * 1.3 < seconds(torch.float32)


# -- writing -------------------------------------------------------------------------------------------------------------


def named_weights(model: Any) -> dict[str, Tensor]:
    """The weights of a model by the Hub's names, in the form that files have."""
    names, state, seen = their_names(model), {}, set()
    skip = model.tied_names()
    for ours, value in model.state_dict().items():
        if ours not in skip:                          # layers that share a weight: a file has it for each of them
            value = value.detach().clone() if value.data_ptr() in seen else value.detach().contiguous()
            seen.add(value.data_ptr())
            state[names[ours]] = value.cpu()
    return convert("to_checkpoint", state, model)


def save_for_tf(model: Any, folder: Path) -> None:
    """Writes config.json and tf_model.h5, both or none."""
    from course.tf_checkpoints import as_h5
    path, content = folder / "tf_model.h5", as_h5(named_weights(model), model.config_class.prefix)
    with hub.replacing(path) as file:
        try:
            Path(file).write_bytes(content)
        except OSError as error:
            raise OSError(f"the weights cannot be written to {path} ({error.strerror}); nothing half is kept. Is the disk "
                          "full?") from None
        model.config.save_pretrained(folder)          # may fail as well, and then the old weights stay too


def save_weights(model: Any, folder: Path, max_shard_size: int | str) -> None:
    """Writes config.json and model.safetensors, or its shards, all of them or none."""
    state = named_weights(model)
    shards = split_shards(state, max_shard_size)
    files = ["model.safetensors"] if len(shards) == 1 else [
        f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    with ExitStack() as whole:
        try:
            for file, shard in zip(files, shards, strict=True):
                save_file(shard, whole.enter_context(hub.replacing(folder / file)), metadata={"format": "pt"})
        except SafetensorError as error:
            raise OSError(f"the weights cannot be written to {folder} ({error}); nothing half is kept. "
                          "Is the disk full?") from None
        model.config.save_pretrained(folder)          # may fail as well, and then the old weights stay too
        if writes := vars(model).get("generation_config"):
            writes.save_pretrained(folder)
    index = "model.safetensors.index.json"
    if len(shards) > 1:
        size = sum(v.nbytes for v in state.values())
        where = {name: file for file, shard in zip(files, shards, strict=True) for name in shard}
        hub.write_text(folder / index, json.dumps({"metadata": {"total_size": size}, "weight_map": where}, indent=2))
        files.append(index)
    files += ["generation_config.json"] if writes else []
    # what an older checkpoint in this folder left behind
    for old in (*folder.glob("model-*-of-*.safetensors"), *map(folder.joinpath, (
            "model.safetensors", index, "adapter_config.json", "adapter_model.safetensors", "generation_config.json"))):
        if old.name not in files:
            old.unlink(missing_ok=True)


def split_shards(state: dict[str, Tensor], most: int | str) -> list[dict[str, Tensor]]:
    """Weights in groups of at most `most` bytes."""
    if isinstance(most, str):
        found = re.fullmatch(r"\s*(\d+|\d*\.\d+)\s*([KMGT]?)B?\s*", most.upper())
        if found is None:
            raise ValueError(f"max_shard_size must be a number of bytes or a text like '500MB', got {most!r}")
        most = int(float(found[1]) * 1000 ** " KMGT".index(found[2] or " "))
    if not isinstance(most, (int, float)) or most < 1:
        raise ValueError(f"max_shard_size must be a number of bytes or a text like '500MB', got {most!r}")
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, value in state.items():
        if shards[-1] and size + value.nbytes > most:
            shards.append({})
            size = 0
        shards[-1][name] = value
        size += value.nbytes
    return shards
