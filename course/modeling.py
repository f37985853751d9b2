"""PreTrainedModel: what all models share and no paper describes: loading, saving, tying, resizing.

What the files of a checkpoint look like is told in checkpoint.py, what is checked before a model computes in inputs.py.
"""

import os
from copy import deepcopy
from inspect import signature
from typing import Any, ClassVar, Self

import torch
from torch import nn

from course import hub, lora, threads
from course.checkpoint import fill, read_weights, resolve_dtype, save_for_tf, save_weights, weight_files
from course.config import ModelConfig
from course.generation import LanguageModel
from course.generation_config import GenerationConfig
from course.inputs import check_beside, check_size
from course.nn import Embedding, Layer
from course.speed import Int8Linear, to_int8

threads.fit()                                       # before the first model computes

# keywords of other libraries' save_pretrained, in the value that changes nothing
SAVING = {"push_to_hub": False, "is_main_process": True, "save_config": True, "save_peft_format": True, "state_dict": None,
          "variant": None, "token": None}


class PreTrainedModel(nn.Module):
    """Base class of all models. A subclass sets config_class; a task class keeps its body in the attribute named
    config_class.prefix (`model.bert`), which `model.base_model` finds for every architecture."""

    config_class: ClassVar[type[ModelConfig]] = ModelConfig
    base_model_prefix: ClassVar[str] = ""                   # = config_class.prefix
    main_input_name: ClassVar[str] = "input_ids"
    is_gradient_checkpointing = False
    order: tuple[str, ...] = ()
    may_be_new: ClassVar[tuple[str, ...]] = ("pooler",)     # parts of a body that a checkpoint may lack: new under a head,
                                                            # left out of a body alone

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.base_model_prefix = cls.config_class.prefix

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
        self.order = self.argument_order()
        if self.config.gradient_checkpointing:        # as in config.json files of 2020
            self.gradient_checkpointing_enable()

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
        """return_dict=False gives a plain tuple. A head asks its body for return_dict=True, whatever the config says.
        Arguments without a name have the same order in a body and its heads, see argument_order."""
        if args and self.order:
            kwargs |= self.by_name(args, kwargs)
            args = ()
        if self.training and self.is_gradient_checkpointing and "use_cache" in signature(self.forward).parameters:
            kwargs["use_cache"] = False               # keys and values kept in a cache would not be given up
        if self.base_model is self:
            for name in ("token_type_ids", "position_ids"):
                if kwargs.get(name) is not None:
                    check_beside(name, kwargs[name], args[0] if args else kwargs.get("input_ids"),
                                 kwargs.get("inputs_embeds"))
        outputs = super().__call__(*args, **kwargs)
        keep = self.config.use_return_dict if return_dict is None else return_dict
        return outputs if keep or not hasattr(outputs, "to_tuple") else outputs.to_tuple()

    def argument_order(self) -> tuple[str, ...]:
        """What arguments without a name mean to a head of this package: first what the body takes, before its switches what
        the head adds, labels. () for all other models, where it is the order in their forward."""
        body = self.base_model
        if body is self or not type(self).forward.__module__.startswith("course.models."):
            return ()
        names, own = list(signature(body.forward).parameters), signature(self.forward).parameters.values()
        switches = min((names.index(name) for name in ("use_cache", "use_mems", "output_attentions") if name in names),
                       default=len(names))
        added = [p.name for p in own if p.kind is p.POSITIONAL_OR_KEYWORD and p.name not in (*names, "logits_to_keep")]
        return (*names[:switches], *added, *names[switches:])

    def by_name(self, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Arguments without a name, with their names. Raises TypeError for one that is given twice, or too many."""
        if len(args) > len(self.order) or (twice := set(self.order[:len(args)]) & set(kwargs)):
            problem = f"{min(twice)} twice" if len(args) <= len(self.order) else f"{len(args)} arguments"
            raise TypeError(f"{type(self).__name__} was given {problem}: without their names it takes {', '.join(self.order)}")
        return dict(zip(self.order, args, strict=False))

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

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """How many weights; tied ones count once. exclude_embeddings: without the tables of words, positions and types."""
        tables = {m.weight for m in self.modules() if isinstance(m, nn.Embedding)} if exclude_embeddings else set()
        return sum(p.numel() for p in self.parameters() if (p.requires_grad or not only_trainable) and p not in tables)

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Bytes of the weights, and of what else the model holds."""
        return sum(x.nbytes for x in (*self.parameters(), *(self.buffers() if return_buffers else ())))

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

    def set_input_embeddings(self, new: nn.Embedding) -> None:
        """Another table of the words' vectors, as wide as the old one."""
        if new.embedding_dim != self.get_input_embeddings().embedding_dim:
            raise ValueError(f"the model is {self.get_input_embeddings().embedding_dim} wide, the new vectors "
                             f"{new.embedding_dim}")
        self.resize_token_embeddings(new.num_embeddings)      # the predictions need as many rows
        self.base_model.tokens = new
        self.tie_weights()

    def get_encoder(self) -> nn.Module:
        """The part that reads, of an encoder-decoder: called with input_ids and attention_mask it gives encoder_outputs."""
        return Encoder(self.base_model)

    def get_decoder(self) -> nn.Module:
        """The part that writes; of a model that does nothing else its body."""
        return getattr(self.base_model, "decoder", self.base_model)

    def get_output_embeddings(self) -> nn.Linear | None:
        """The layer that turns hidden states into scores for words, where a model has one."""
        return None

    def tie_weights(self) -> None:
        """Output and input embeddings become one tensor, unless config.tie_word_embeddings is False."""
        if (output := self.get_output_embeddings()) is not None and self.config.tie_word_embeddings:
            output.weight = self.get_input_embeddings().weight

    def resize_token_embeddings(self, new_size: int | None = None, pad_to_multiple_of: int | None = None) -> nn.Embedding:
        """Makes room for new_size tokens: the first rows stay, new ones are random. Call it after adding tokens.
        pad_to_multiple_of: rounds new_size up; some processors are faster with a round number. What is frozen stays frozen."""
        old, config = self.get_input_embeddings(), self.config
        new_size = check_size(old.num_embeddings if new_size is None else new_size, pad_to_multiple_of, config.pad_token_id)
        if new_size == old.num_embeddings:
            return old
        keep = min(new_size, old.num_embeddings)
        padding = old.padding_idx if (old.padding_idx or 0) < new_size else config.pad_token_id
        new = Embedding(new_size, old.embedding_dim, padding).to(old.weight).requires_grad_(old.weight.requires_grad)
        self.init_weights(new)
        output = self.get_output_embeddings()
        with torch.no_grad():
            new.weight[:keep] = old.weight[:keep]
            if output is not None:
                wider = nn.Linear(output.in_features, new_size, output.bias is not None).to(output.weight)
                self.init_weights(wider)
                for name, weight in list(output.named_parameters()):
                    wider.get_parameter(name).requires_grad_(weight.requires_grad)[:keep] = weight[:keep]
                    setattr(output, name, wider.get_parameter(name))
                output.out_features = new_size
        self.base_model.tokens = new
        config.vocab_size = new_size
        self.tie_weights()
        return new

    # -- loading and saving ----------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, config: ModelConfig | dict[str, Any] | str | os.PathLike | None = None, *,
                        gguf_file: str | None = None, dtype: str | torch.dtype | None = None, device_map: Any = None,
                        ignore_mismatched_sizes: bool = False, from_tf: bool = False, **kwargs: Any) -> Self:
        """The model of a checkpoint (Hub name, pocket name, folder), in eval mode and float32 unless dtype says otherwise.

        Keywords override the config (`num_labels=10` gives a new, random head) or say where to look (`cache_dir`,
        `revision`, `local_files_only`, `token`, `force_download`). dtype: a torch dtype, its name, "auto", or
        "int8" (see course.speed).
        config: settings instead of the checkpoint's, or the name of the checkpoint or file to take them from; it is copied.
        gguf_file: the file to read where the checkpoint holds GGUF files (see course.gguf). device_map: where the model goes,
        a device or "auto": the graphics card where there is one. from_tf: reads the weights of TensorFlow (see
        course.tf_checkpoints) also where there are others.
        Raises OSError or ValueError when files are missing, damaged, or belong to another architecture.
        """
        dtype = resolve_dtype(kwargs.pop("torch_dtype", None) if dtype is None else dtype)
        options, overrides = hub.split_options(kwargs)
        settings: Any = config
        if config is None:
            settings = cls.config_class.from_pretrained(name, gguf_file=gguf_file, **options, **overrides)
        elif isinstance(config, (str, os.PathLike)):
            settings = cls.config_class.from_pretrained(config, **options, **overrides)
        elif isinstance(config, dict):                # the contents of a config.json that was read already
            settings = cls.config_class.from_dict(config, **overrides)
        else:
            settings = type(config).from_dict(config.to_dict(), **overrides) if overrides else deepcopy(config)
        with torch.device("meta"):                    # shapes only: no time and memory for weights that are replaced
            model = cls(settings)
        resized = ignore_mismatched_sizes or "num_labels" in overrides
        files = weight_files(name, gguf_file, from_tf, **options)
        weights, extra = (lora.read_merged(name, files[0], model, **options) if lora.is_adapter(files[0])
                          else read_weights(files, model))
        fill(model, weights, extra, str(name), torch.float32 if dtype is torch.int8 else dtype, resized)
        model.name_or_path = str(name)
        if isinstance(model, LanguageModel):
            model.generation_config = GenerationConfig.from_pretrained(name, settings, **options)
        if dtype is torch.int8:
            to_int8(model)
        if device_map is not None:
            device = device_map.get("", "auto") if isinstance(device_map, dict) else device_map
            model.to(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        return model.eval()

    def tied_names(self) -> set[str]:
        """Our names of the weights that tying fills."""
        output = self.get_output_embeddings()
        if output is None or not self.config.tie_word_embeddings:
            return set()
        return {f"{n}.weight" for n, m in self.named_modules() if m is output}

    def save_pretrained(self, folder: str | os.PathLike, max_shard_size: int | str = "5GB", *, to_tf: bool = False,
                        **kwargs: Any) -> None:
        """Writes config.json and model.safetensors under the Hub's names; transformers loads the folder as well.

        All weights are written or none; of a model with an adapter, the adapter (see course.lora). max_shard_size: bytes, or
        a string like "500MB". to_tf: of BERT and DistilBERT, tf_model.h5 instead, for TFBert… and TFDistilBert….
        """
        if kwargs.pop("safe_serialization", True) is False:
            raise ValueError("course saves safetensors only: a pickle can run code on the computer that opens it")
        kwargs = {name: value for name, value in kwargs.items() if name not in SAVING or value != SAVING[name]}
        if kwargs:
            raise TypeError(f"save_pretrained has no option {next(iter(kwargs))!r}; it has: max_shard_size, to_tf")
        if any(isinstance(part, Int8Linear) for part in self.modules()):
            raise ValueError("a model in 8 bits is for computing and has lost the weights that it was made of: save the one "
                             "that was loaded without dtype='int8'")
        folder = hub.make_folder(folder)
        self.config.architectures = [type(self).__name__]
        self.config.torch_dtype = str(self.dtype).removeprefix("torch.")
        if vars(self).get("adapter"):
            lora.save_adapter(self, folder)
        elif to_tf:
            save_for_tf(self, folder)
        else:
            save_weights(self, folder, max_shard_size)


class Encoder(nn.Module):
    """What get_encoder gives: the encoder of a model with the words' embeddings, called with a text."""

    def __init__(self, body: Any):
        super().__init__()
        if not hasattr(body, "encode"):
            raise AttributeError(f"{type(body).__name__} is no encoder-decoder: it is all one part, model.base_model")
        self.tokens, self.encoder, self.encode = body.tokens, body.encoder, body.encode

    def forward(self, *inputs: Any, return_dict: bool = True, **named: Any) -> Any:
        outputs = self.encode(*inputs, **named)
        return outputs if return_dict else outputs.to_tuple()
