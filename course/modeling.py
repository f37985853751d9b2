"""PreTrainedModel: what all models share and no paper describes: loading, saving, tying, resizing.

Checkpoint names are data. Each file in `models/` ends with a table HF_NAMES from the names that checkpoints on the Hub
use to ours, read in both directions: '#' stands for the number of the layer, '*' for weight or bias, None for an entry
that holds nothing learned. Where a weight needs more than another name (it is turned, or several are stored as one), two
functions stand beside the table: from_checkpoint and to_checkpoint, which take and give a dict of tensors by the Hub's names.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from copy import copy
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_safetensors
from safetensors.torch import save_file
from torch import Tensor, nn

from course import hub, threads
from course.config import ModelConfig
from course.generation import LanguageModel
from course.generation_config import GenerationConfig
from course.nn import Embedding, LayerCache

log = logging.getLogger(__name__)
threads.fit()                                       # before the first model computes


class PreTrainedModel(nn.Module):
    """Base class of all models. A subclass sets config_class; a task class keeps its body in the attribute named
    config_class.prefix (`model.bert`), which `model.base_model` finds for every architecture."""

    config_class: ClassVar[type[ModelConfig]] = ModelConfig
    is_gradient_checkpointing = False
    may_be_new: ClassVar[tuple[str, ...]] = ("pooler",)     # parts of a body that a checkpoint may lack: new under a head,
                                                            # left out of a body alone

    def __init__(self, config: ModelConfig):
        super().__init__()
        if not isinstance(config, self.config_class):
            raise TypeError(f"{type(self).__name__} needs a {self.config_class.__name__}, got {type(config).__name__}. "
                            f"To load a checkpoint use {type(self).__name__}.from_pretrained(name)")
        self.config = config
        self.name_or_path = ""                        # what from_pretrained loaded

    def post_init(self) -> None:
        """The last line of every __init__: random weights for what has none yet, tied weights tied."""
        for module in self.modules():
            if not hasattr(module, "_course_ready"):
                module._course_ready = True  # type: ignore[assignment]
                if next((p.device.type for p in module.parameters(recurse=False)), "meta") != "meta":
                    self.init_weights(module)
        self.tie_weights()

    @torch.no_grad()
    def init_weights(self, module: nn.Module) -> None:
        """Normal with the config's initializer_range for matrices, 0 for biases, 1 for the factors of a norm."""
        if isinstance(module, (nn.Linear, nn.Embedding)):
            module.weight.normal_(0.0, getattr(self.config, "initializer_range", 0.02))
            if isinstance(module, nn.Linear) and module.bias is not None:
                module.bias.zero_()
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx].zero_()
        elif isinstance(module, nn.LayerNorm):
            module.weight.fill_(1.0)
            module.bias.zero_()

    def __call__(self, *args: Any, return_dict: bool | None = None, **kwargs: Any) -> Any:
        """return_dict=False gives a plain tuple. A head asks its body for return_dict=True, whatever the config says."""
        if self.training and self.is_gradient_checkpointing and "use_cache" in signature(self.forward).parameters:
            kwargs["use_cache"] = False               # keys and values kept in a cache would not be given up
        if self.base_model is self:
            for name in ("token_type_ids", "position_ids"):
                if kwargs.get(name) is not None:
                    self.check_beside(name, kwargs[name], args[0] if args else kwargs.get("input_ids"),
                                      kwargs.get("inputs_embeds"))
        outputs = super().__call__(*args, **kwargs)
        keep = self.config.return_dict if return_dict is None else return_dict
        return outputs if keep or not hasattr(outputs, "to_tuple") else outputs.to_tuple()

    # -- parts ---------------------------------------------------------------------------------------------------------

    @property
    def base_model(self) -> "PreTrainedModel":
        """The body without its head (for a body: itself)."""
        return getattr(self, self.config_class.prefix, self)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def check_inputs(self, input_ids: Tensor | None, inputs_embeds: Tensor | None,
                     attention_mask: Tensor | None = None, past: int = 0) -> None:
        """Raises TypeError, ValueError or IndexError, with the cure, for inputs that would fail deep inside torch.
        past: how many tokens a cache holds; attention_mask covers them as well."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give the model either input_ids or inputs_embeds"
                             + (", not both" if input_ids is not None else ": model(**tokenizer(text, return_tensors='pt'))"))
        x: Any = inputs_embeds if input_ids is None else input_ids
        if not isinstance(x, Tensor):
            raise TypeError(f"the model needs tensors, got {type(x).__name__}: call the tokenizer with return_tensors='pt'")
        if input_ids is not None and x.dim() != 2:
            raise ValueError(f"input_ids must have the shape (batch, length), got {tuple(x.shape)}"
                             + (": put one text into a batch with ids[None]" if x.dim() == 1 else ""))
        if inputs_embeds is not None and (x.dim() != 3 or x.shape[2] != self.config.hidden_size):
            raise ValueError(f"inputs_embeds must have the shape (batch, length, {self.config.hidden_size}), "
                             f"got {tuple(x.shape)}")
        if x.shape[1] == 0:
            raise ValueError("the text has no tokens at all: leave add_special_tokens=False out, or drop empty texts")
        most, length = self.config.max_tokens, past + x.shape[1]
        if most is not None and length > most:
            raise ValueError(f"the text has {length} tokens and this model reads at most {most}: "
                             f"cut it with tokenizer(text, truncation=True, max_length={most}) or split it into windows")
        if attention_mask is not None and not isinstance(attention_mask, Tensor):
            raise TypeError(f"attention_mask must be a tensor, got {type(attention_mask).__name__}")
        rows = x.shape[0]                             # not len(x), which would fix the number for torch.export
        if attention_mask is not None and tuple(attention_mask.shape) not in ((rows, length), (rows, x.shape[1], length)):
            raise ValueError(f"attention_mask has the shape {tuple(attention_mask.shape)}, the texts {(rows, length)} "
                             "(batch, length): take both from the same call of the tokenizer"
                             + (f", and let the mask cover the {past} tokens in past_key_values too" if past else ""))
        if input_ids is not None:
            self.check_ids("input_ids", x, self.config.vocab_size, "Do tokenizer and model belong together? After adding "
                           "tokens call model.resize_token_embeddings(len(tokenizer))")

    @staticmethod
    def check_beside(name: str, value: Any, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> None:
        """Raises TypeError or ValueError for what does not have one number for each token."""
        x = inputs_embeds if input_ids is None else input_ids
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(value).__name__}: call the tokenizer with return_tensors='pt'")
        if isinstance(x, Tensor) and x.dim() > 1 and (value.dim() > 2 or value.shape[-1] != x.shape[1] or (
                value.dim() == 2 and value.shape[0] not in (1, x.shape[0]))):
            raise ValueError(f"{name} has the shape {tuple(value.shape)}, the texts {tuple(x.shape[:2])} (batch, length): "
                             "each token needs a number of its own; take both from the same call of the tokenizer")

    @staticmethod
    def check_ids(name: str, ids: Tensor, size: int, cure: str = "") -> None:
        """Raises TypeError or IndexError for ids that are no row of an embedding of this size."""
        if ids.is_floating_point():
            raise TypeError(f"{name} must hold whole numbers, got {ids.dtype}: {name}.long() makes them")
        if ids.device.type == "cpu" and ids.numel() and not torch.compiler.is_compiling():
            low, high = ids.min().item(), ids.max().item()
            if low < 0 or high >= size:
                raise IndexError(f"{name} holds {low if low < 0 else high}, but this model knows the ids 0 to {size - 1}. "
                                 f"{cure}")

    def head_masks(self, head_mask: Tensor | None, layers: int, heads: int | None = None) -> Tensor | list[None]:
        """head_mask (H,) for all layers alike or (layers, H) -> one (H,) per layer; None stays None."""
        if head_mask is None:
            return [None] * layers
        heads = heads or self.config.num_attention_heads
        if not isinstance(head_mask, Tensor):
            raise TypeError(f"head_mask must be a tensor, got {type(head_mask).__name__}: write torch.tensor(…)")
        if head_mask.shape not in ((heads,), (layers, heads)):
            raise ValueError(f"head_mask must have the shape ({heads},) or (layers, heads) = ({layers}, {heads}), "
                             f"got {tuple(head_mask.shape)}")
        return head_mask.expand(layers, heads)

    def num_parameters(self, only_trainable: bool = False) -> int:
        """How many weights; tied ones count once."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad or not only_trainable)

    def describe(self, length: int | None = None) -> Any:
        """What each part costs, as a pandas table: weights, their share and memory in the present number format, and FLOPs,
        the multiplications and additions of a forward pass for each token of a text of `length` tokens (None: 128, or as
        many as the model reads).

        FLOPs are 2 for each weight of a matrix, and what attention does on top of its matrices: 4 * length * D, also where
        the future is hidden. Norms, activations and biases are left out. A pooler and a classifier of texts run once per
        text, an encoder-decoder is given as many tokens to write as to read. Tied weights count once, where they are first.
        """
        most = self.config.max_tokens or 128
        if length is not None and not 1 <= length <= (self.config.max_tokens or length):
            raise ValueError(f"length={length}: this model reads 1 to {most} tokens")
        try:
            from course.costs import describe
        except ImportError as error:
            raise ImportError(f"describe() makes a table and needs pandas ({error}): pip install pandas") from None
        return describe(self, length or min(128, most))

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict[str, Any] | None = None) -> None:
        """Training in less memory: a layer keeps only its input, and is computed a second time for its gradients, which
        are the same (Chen et al. 2016, "Training deep nets with sublinear memory cost"). About a third more time.

        gradient_checkpointing_kwargs: for torch.utils.checkpoint.checkpoint, if its defaults do not do.
        """
        self.checkpoint_layers({"use_reentrant": False} | (gradient_checkpointing_kwargs or {}))

    def gradient_checkpointing_disable(self) -> None:
        """Each layer keeps again what its gradients need."""
        self.checkpoint_layers(None)

    def checkpoint_layers(self, options: dict[str, Any] | None) -> None:
        """Every layer of every stack gets another forward, or with None its own again."""
        for name, module in self.named_modules():
            if isinstance(module, PreTrainedModel):
                module.is_gradient_checkpointing = options is not None
            for layer in module.children() if name.split(".")[-1] == "layers" else ():
                vars(layer).pop("forward", None)
                if options is not None:
                    layer.forward = partial(twice, layer, options)  # type: ignore[method-assign]

    def get_input_embeddings(self) -> nn.Embedding:
        return self.base_model.tokens  # type: ignore[return-value]

    def get_output_embeddings(self) -> nn.Linear | None:
        """The layer that turns hidden states into scores for words, where a model has one."""
        return None

    def tie_weights(self) -> None:
        """Output and input embeddings become one tensor, unless config.tie_word_embeddings is False."""
        if (output := self.get_output_embeddings()) is not None and self.config.tie_word_embeddings:
            output.weight = self.get_input_embeddings().weight

    def resize_token_embeddings(self, new_size: int | None = None) -> nn.Embedding:
        """Makes room for new_size tokens: the first rows stay, new ones are random. Call it after adding tokens."""
        old = self.get_input_embeddings()
        if new_size is None or new_size == old.num_embeddings:
            return old
        if new_size < 1:
            raise ValueError(f"a vocabulary needs at least 1 token, got new_size={new_size}")
        keep = min(new_size, old.num_embeddings)
        new = Embedding(new_size, old.embedding_dim, old.padding_idx).to(old.weight)
        self.init_weights(new)
        output = self.get_output_embeddings()
        with torch.no_grad():
            new.weight[:keep] = old.weight[:keep]
            if output is not None:
                wider = nn.Linear(output.in_features, new_size, output.bias is not None).to(output.weight)
                self.init_weights(wider)
                wider.weight[:keep] = output.weight[:keep]
                if output.bias is not None:
                    wider.bias[:keep] = output.bias[:keep]
                output.weight, output.bias, output.out_features = wider.weight, wider.bias, new_size
        self.base_model.tokens = new
        self.config.vocab_size = new_size
        self.tie_weights()
        return new

    # -- names -----------------------------------------------------------------------------------------------------------

    @classmethod
    def names(cls) -> dict[str, str | None]:
        """The table HF_NAMES of the file that this model is written in."""
        return sys.modules[cls.__module__].HF_NAMES

    @classmethod
    def convert(cls, direction: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """from_checkpoint or to_checkpoint of the file that this model is written in, where it has them."""
        function = getattr(sys.modules[cls.__module__], direction, None)
        return weights if function is None else function(weights)

    def our_name(self, theirs: str) -> str | None:
        """The name of a checkpoint's weight in this model; None when it belongs to another head or is no weight.

        Raises ValueError for a name that the table does not know.
        """
        prefix = self.config_class.prefix
        name = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", theirs))      # TensorFlow's names for a norm
        for candidate in (name, f"{prefix}.{name}"):                                    # a body saved alone has no prefix
            number = re.search(r"\.(\d+)\.", candidate)
            pattern = candidate if number is None else candidate.replace(number[0], ".#.", 1)
            stem, _, last = pattern.rpartition(".")
            for key in (candidate, pattern, f"{stem}.*" if last in ("weight", "bias") else pattern):
                if key in self.names():
                    ours = self.names()[key]
                    if ours is None:
                        return None
                    ours = ours.replace("*", last).replace("#", number[1] if number else "#")
                    part = ours.removeprefix(f"{prefix}.")
                    if self.base_model is self:
                        return part if part != ours and getattr(self, part.split(".")[0], None) is not None else None
                    owner = self.base_model if part != ours else self
                    return ours if getattr(owner, part.split(".")[0], None) is not None else None
        raise ValueError(f"the checkpoint holds {theirs!r}, which {type(self).__name__} has no place for. "
                         f"Its model_type is {self.config.model_type!r}: is this a checkpoint of that architecture?")

    def their_names(self) -> dict[str, str]:
        """Our name -> the Hub's name, for every weight of this model; the inverse of our_name."""
        inverse: dict[str, str] = {}
        for theirs, ours in self.names().items():
            if ours is not None:
                inverse.setdefault(ours, theirs)
        prefix, found = self.config_class.prefix, {}
        for name in self.state_dict():
            full = f"{prefix}.{name}" if self.base_model is self else name
            number = re.search(r"\.(\d+)\.", full)
            pattern = full if number is None else full.replace(number[0], ".#.", 1)
            stem, _, last = pattern.rpartition(".")
            theirs = inverse.get(pattern) or inverse.get(f"{stem}.*", "").replace("*", last)
            if not theirs:
                raise ValueError(f"this {type(self).__name__} has {name!r}, a part of your own that no checkpoint of a "
                                 f"{self.config.model_type!r} model has a name for: keep it with "
                                 "torch.save(model.state_dict(), file) and load it into a model that you changed alike")
            theirs = theirs.replace("#", number[1] if number else "#")
            found[name] = theirs.removeprefix(f"{prefix}.") if self.base_model is self else theirs
        return found

    # -- loading and saving ----------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, config: ModelConfig | None = None, *,
                        gguf_file: str | None = None, dtype: str | torch.dtype | None = None,
                        ignore_mismatched_sizes: bool = False, **kwargs: Any) -> Self:
        """The model of a checkpoint (Hub name, pocket name, folder), in eval mode and float32 unless dtype says otherwise.

        Keywords override the config (`num_labels=10` gives a new, random head) or say where to look (`cache_dir`,
        `revision`, `local_files_only`, `token`, `force_download`). dtype: a torch dtype, its name, or "auto".
        gguf_file: the file to read where the checkpoint holds GGUF files (see course.gguf).
        Raises OSError or ValueError when files are missing, damaged, or belong to another architecture.
        """
        dtype = resolve_dtype(kwargs.pop("torch_dtype", None) if dtype is None else dtype)
        options, overrides = hub.split_options(kwargs)
        if config is None:
            config = cls.config_class.from_pretrained(name, gguf_file=gguf_file, **options, **overrides)
        elif overrides:
            config = type(config).from_dict(config.to_dict(), **overrides)
        with torch.device("meta"):                    # shapes only: no time and memory for weights that are replaced
            model = cls(config)
        resized = ignore_mismatched_sizes or "num_labels" in overrides
        model._fill(read_weights(name, model, gguf_file, **options), str(name), dtype, resized)
        model.name_or_path = str(name)
        if isinstance(model, LanguageModel):
            model.generation_config = GenerationConfig.from_pretrained(name, config, **options)
        return model.eval()

    def _fill(self, weights: dict[str, Tensor], source: str, dtype: torch.dtype, resized: bool) -> None:
        """Puts the weights, by our names, into a model on the meta device; what a new head lacks gets random weights."""
        for name in self.may_be_new if self.base_model is self else ():
            if not any(self.part(n) == name for n in weights):
                setattr(self, name, None)             # better no pooler_output than one made of random numbers
        expected = self.state_dict(keep_vars=True)
        parts = {n.removeprefix(f"{self.config_class.prefix}.").split(".")[0] for n in self.base_model.state_dict()}
        body = parts - set(self.may_be_new)
        for name, value in list(weights.items()):
            part = self.part(name)
            if name not in expected:
                raise ValueError(f"{source} holds {name!r}, which a {type(self).__name__} with this config does not have "
                                 f"(num_hidden_layers={getattr(self.config, 'num_hidden_layers', '?')}). "
                                 "Do config.json and the weights belong together?")
            if not value.is_floating_point():
                raise ValueError(f"{name} is stored as {value.dtype} in {source}: course reads weights in floating-point "
                                 "formats, not quantized ones. Load the checkpoint that was quantized")
            if value.shape != expected[name].shape:
                if not resized or part in body:
                    raise ValueError(
                        f"{name} has the shape {tuple(value.shape)} in {source} and {tuple(expected[name].shape)} in "
                        f"{type(self).__name__} with this config. Load with the config of the checkpoint, or pass "
                        "num_labels=… (ignore_mismatched_sizes=True) to start a head anew")
                for other in [n for n in weights if self.part(n) == part]:   # a head is new as a whole
                    del weights[other]
        missing = [n for n in expected if n not in weights and n not in self.tied_names()]
        for name in missing:
            part = self.part(name)
            if part in body or any(self.part(n) == part for n in weights):
                raise ValueError(f"{source} lacks {name!r}, which {type(self).__name__} needs "
                                 f"({self.their_names()[name]!r} in the file). Is the checkpoint complete, "
                                 f"and is it a {self.config.model_type!r} model?")
        self.load_state_dict({n: v.to(dtype) if v.is_floating_point() else v for n, v in weights.items()},
                             strict=False, assign=True)
        self.tie_weights()
        for module in self.modules():
            own = dict(module.named_parameters(recurse=False))
            loaded = {n: p for n, p in own.items() if p.device.type != "meta"}
            if len(loaded) < len(own):
                for n, p in own.items():
                    setattr(module, n, nn.Parameter(torch.empty_like(p, device="cpu", dtype=dtype)))
                self.init_weights(module)
                for n, p in loaded.items():           # a tied weight beside a new bias keeps its values
                    setattr(module, n, p)
        self.tie_weights()
        if missing:
            new = sorted({self.part(n) for n in missing})
            log.warning("%s: %s %s new, initialized with random weights (%s has none that fit): train the model before you use "
                        "its predictions.", type(self).__name__, " and ".join(new), "are" if new[1:] else "is", source)

    def part(self, name: str) -> str:
        """'bert.layers.0.norm.weight' -> 'layers', 'classifier.bias' -> 'classifier'."""
        return name.removeprefix(f"{self.config_class.prefix}.").split(".")[0]

    def tied_names(self) -> set[str]:
        """Our names of the weights that tying fills."""
        output = self.get_output_embeddings()
        if output is None or not self.config.tie_word_embeddings:
            return set()
        return {f"{n}.weight" for n, m in self.named_modules() if m is output}

    def save_pretrained(self, folder: str | os.PathLike, max_shard_size: int | str = "5GB", **kwargs: Any) -> None:
        """Writes config.json and model.safetensors under the Hub's names; transformers loads the folder as well.

        All weights are written or none. max_shard_size: bytes, or a string like "500MB".
        """
        if kwargs.pop("safe_serialization", True) is False:
            raise ValueError("course saves safetensors only: a pickle can run code on the computer that opens it")
        if kwargs:
            raise TypeError(f"save_pretrained has no option {next(iter(kwargs))!r}; it has: max_shard_size")
        folder = hub.make_folder(folder)
        names, state, seen = self.their_names(), {}, set()
        skip = self.tied_names()
        for ours, value in self.state_dict().items():
            if ours not in skip:                      # layers that share a weight: a file has it for each of them
                value = value.detach().clone() if value.data_ptr() in seen else value.detach().contiguous()
                seen.add(value.data_ptr())
                state[names[ours]] = value.cpu()
        self.config.architectures = [type(self).__name__]
        self.config.torch_dtype = str(self.dtype).removeprefix("torch.")
        shards = split_shards(self.convert("to_checkpoint", state), max_shard_size)
        files = ["model.safetensors"] if len(shards) == 1 else [
            f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
        with ExitStack() as whole:
            try:
                for file, shard in zip(files, shards, strict=True):
                    save_file(shard, whole.enter_context(hub.replacing(folder / file)), metadata={"format": "pt"})
            except SafetensorError as error:
                raise OSError(f"the weights cannot be written to {folder} ({error}); nothing half is kept. "
                              "Is the disk full?") from None
            self.config.save_pretrained(folder)       # may fail as well, and then the old weights stay too
            if writes := vars(self).get("generation_config"):
                writes.save_pretrained(folder)
        index = "model.safetensors.index.json"
        if len(shards) > 1:
            size = sum(v.nbytes for v in state.values())
            where = {name: file for file, shard in zip(files, shards, strict=True) for name in shard}
            hub.write_text(folder / index, json.dumps({"metadata": {"total_size": size}, "weight_map": where}, indent=2))
            files.append(index)
        # what an older checkpoint in this folder left behind
        for old in (*folder.glob("model-*-of-*.safetensors"), *map(folder.joinpath, (
                "model.safetensors", index, "adapter_config.json", "adapter_model.safetensors", "generation_config.json"))):
            if old.name not in files and not (writes and old.name == "generation_config.json"):
                old.unlink(missing_ok=True)


def twice(layer: nn.Module, options: dict[str, Any], *inputs: Any, **named: Any) -> Any:
    """The forward of a layer under gradient checkpointing."""
    from torch.utils.checkpoint import checkpoint

    def forward(*inputs: Any, **named: Any) -> Any:
        # a cache is written into: the second time has to find it as the first time did
        inputs = tuple(copy(x) if isinstance(x, LayerCache) else x for x in inputs)
        named = {name: copy(x) if isinstance(x, LayerCache) else x for name, x in named.items()}
        return type(layer).forward(layer, *inputs, **named)

    if not (layer.training and torch.is_grad_enabled()):
        return type(layer).forward(layer, *inputs, **named)
    return checkpoint(forward, *inputs, **options, **named)


# -- files ---------------------------------------------------------------------------------------------------------------


def resolve_dtype(dtype: str | torch.dtype | None, device: str | torch.device = "cpu") -> torch.dtype:
    """None -> float32; a name or a dtype -> that; "auto" -> bfloat16 where the device computes it fast, else float32."""
    if dtype is None:
        return torch.float32
    if dtype == "auto":
        if torch.device(device).type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        units = [getattr(torch.cpu, f"_is_{name}_supported", bool)() for name in ("avx512_bf16", "amx_tile")]
        return torch.bfloat16 if torch.device(device).type == "cpu" and any(units) else torch.float32
    found = dtype if isinstance(dtype, torch.dtype) else getattr(torch, str(dtype).removeprefix("torch."), None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(f'dtype must be "auto", "float32", "bfloat16", "float16" or a torch dtype, got {dtype!r}')
    return found


def read_weights(name: str | os.PathLike, model: PreTrainedModel, gguf_file: str | None = None,
                 **options: Any) -> dict[str, Tensor]:
    """All weights of a checkpoint that this model has a place for, by our names."""
    weights: dict[str, Tensor] = {}
    for path in weight_files(name, **options) if gguf_file is None else [hub.find_file(name, gguf_file, **options)]:
        if path.name == "adapter_model.safetensors":
            add_adapter(name, path, model, weights, **options)
            continue
        for theirs, value in model.convert("from_checkpoint", dict(read_file(path))).items():
            ours = model.our_name(theirs)
            if ours is not None and ours not in model.tied_names():
                weights[ours] = value
    return weights


def weight_files(name: str | os.PathLike, **options: Any) -> list[Path]:
    """The files that hold a checkpoint's weights, in the forms that exist on the Hub."""
    for single in ("model.safetensors", "pytorch_model.bin"):
        if path := hub.find_file(name, single, required=False, **options):
            return [path]
        if index := hub.find_file(name, f"{single}.index.json", required=False, **options):
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
    if adapter := hub.find_file(name, "adapter_model.safetensors", required=False, **options):
        return [adapter]
    hub.find_file(name, "model.safetensors", **options)       # raises with the reason
    return []


def read_file(path: Path) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of each weight in a .safetensors, .bin or .gguf file. Nothing in the file is ever executed."""
    if path.suffix == ".gguf":
        from course import gguf
        yield from gguf.read_tensors(path)
        return
    try:
        if path.suffix != ".safetensors":
            import zipfile
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
            if not all(isinstance(key, str) and isinstance(value, Tensor) and value.layout is torch.strided
                       and not value.is_meta for key, value in content.items()):
                raise TypeError("not a table of names and weights")
            yield from content.items()
        elif os.name == "nt":                         # Windows cannot replace a file that is mapped into memory
            yield from load_safetensors(path.read_bytes()).items()
        else:
            with safe_open(path, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118 - not a dict
                    yield key, file.get_tensor(key)
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


def add_adapter(name: str | os.PathLike, path: Path, model: PreTrainedModel, weights: dict[str, Tensor],
                **options: Any) -> None:
    """Adds a LoRA adapter (Hu et al. 2021; the file format of the library PEFT) to the weights of its base model:
    W + alpha / r * B A. After that the model is an ordinary one."""
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
        if weight_files(base, **options)[0].name == path.name:
            raise ValueError(f"{name} is an adapter over {base!r}, which is an adapter itself: it needs a whole model")
        weights.update(read_weights(base, model, **options))
    except OSError as error:
        raise type(error)(f"{name} is an adapter over {base!r}, which cannot be loaded: {error}") from None
    adapter = {key.removeprefix("base_model.model."): value for key, value in read_file(path)}
    for key, value in adapter.items():
        found = re.fullmatch(r"(.+)\.lora_([AB])\.weight", key)
        ours = model.our_name(f"{found[1]}.weight" if found else key)
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
