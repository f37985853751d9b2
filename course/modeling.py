"""PreTrainedModel: what all models share and no paper describes: loading, saving, tying, resizing.

What the files of a checkpoint look like is told in checkpoint.py, what is checked before a model computes in inputs.py.
"""

import os
from inspect import signature
from typing import Any, ClassVar, Self

import torch
from torch import nn

from course import hub, lora, threads
from course.checkpoint import fill, read_weights, resolve_dtype, save_weights, weight_files
from course.config import ModelConfig
from course.generation import LanguageModel
from course.generation_config import GenerationConfig
from course.inputs import check_beside
from course.nn import Embedding, Layer

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
                    check_beside(name, kwargs[name], args[0] if args else kwargs.get("input_ids"),
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
        for module in self.modules():
            if isinstance(module, PreTrainedModel):
                module.is_gradient_checkpointing = options is not None
            elif isinstance(module, Layer):
                module.checkpointing = options

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
        files = weight_files(name, gguf_file, **options)
        weights = (lora.read_merged(name, files[0], model, **options) if lora.is_adapter(files[0])
                   else read_weights(files, model))
        fill(model, weights, str(name), dtype, resized)
        model.name_or_path = str(name)
        if isinstance(model, LanguageModel):
            model.generation_config = GenerationConfig.from_pretrained(name, config, **options)
        return model.eval()

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
        self.config.architectures = [type(self).__name__]
        self.config.torch_dtype = str(self.dtype).removeprefix("torch.")
        save_weights(self, folder, max_shard_size)
