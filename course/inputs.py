"""What is checked before a model computes: inputs that would fail deep inside torch, or not at all and give nonsense."""

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from course.config import ModelConfig


def check_inputs(config: ModelConfig, input_ids: Tensor | None, inputs_embeds: Tensor | None,
                 attention_mask: Tensor | None = None, past: int = 0) -> None:
    """Raises TypeError, ValueError or IndexError, with the cure, for inputs that would fail deep inside torch.
    past: how many tokens a cache holds; attention_mask covers them as well."""
    if (input_ids is None) == (inputs_embeds is None):
        raise ValueError("give the model either input_ids or inputs_embeds"
                         + (", not both" if input_ids is not None else ": model(**tokenizer(text, return_tensors='pt'))"))
    x: Any = inputs_embeds if input_ids is None else input_ids
    if isinstance(x, Mapping):
        raise TypeError(f"the model got a whole {type(x).__name__} in the place of input_ids: put two stars before it, "
                        "model(**batch)")
    if not isinstance(x, Tensor):
        raise TypeError(f"the model needs tensors, got {type(x).__name__}: call the tokenizer with return_tensors='pt'")
    if input_ids is not None and x.dim() != 2:
        raise ValueError(f"input_ids must have the shape (batch, length), got {tuple(x.shape)}"
                         + (": put one text into a batch with ids[None]" if x.dim() == 1 else ""))
    if inputs_embeds is not None and (x.dim() != 3 or x.shape[2] != config.hidden_size):
        raise ValueError(f"inputs_embeds must have the shape (batch, length, {config.hidden_size}), "
                         f"got {tuple(x.shape)}")
    if x.shape[1] == 0:
        raise ValueError("the text has no tokens at all: leave add_special_tokens=False out, or drop empty texts")
    most, length = config.max_tokens, past + x.shape[1]
    if most is not None and length > most:
        raise ValueError(f"the text has {length} tokens and this model reads at most {most}: "
                         f"cut it with tokenizer(text, truncation=True, max_length={most}) or split it into windows")
    if attention_mask is not None and not isinstance(attention_mask, Tensor):
        raise TypeError(f"attention_mask must be a tensor, got {type(attention_mask).__name__}")
    rows = x.shape[0]                                 # not len(x), which would fix the number for torch.export
    if attention_mask is not None and tuple(attention_mask.shape) not in ((rows, length), (rows, x.shape[1], length)):
        raise ValueError(f"attention_mask has the shape {tuple(attention_mask.shape)}, the texts {(rows, length)} "
                         "(batch, length): take both from the same call of the tokenizer"
                         + (f", and let the mask cover the {past} tokens in past_key_values too" if past else ""))
    if input_ids is not None:
        check_ids("input_ids", x, config.vocab_size, "Do tokenizer and model belong together? After adding "
                  "tokens call model.resize_token_embeddings(len(tokenizer))")


def check_encoded(config: ModelConfig, states: Tensor, rows: int, attention_mask: Tensor | None) -> None:
    """Raises ValueError for states of an encoder (B, S, D) that a decoder with so many rows cannot look at."""
    length = states.shape[1] if attention_mask is None else attention_mask.shape[-1]
    if states.shape[1:] != (length, config.hidden_size) or states.shape[0] not in (1, rows):
        raise ValueError(f"encoder_outputs have the shape {tuple(states.shape)}, the decoder asks for "
                         f"{(rows, length, config.hidden_size)}: give it texts, attention_mask and encoder_outputs that "
                         "belong together, of one model")


def check_beside(name: str, value: Any, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> None:
    """Raises TypeError or ValueError for what does not have one number for each token."""
    x = inputs_embeds if input_ids is None else input_ids
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(value).__name__}: call the tokenizer with return_tensors='pt'")
    if isinstance(x, Tensor) and x.dim() > 1 and (value.dim() > 2 or value.shape[-1] != x.shape[1] or (
            value.dim() == 2 and value.shape[0] not in (1, x.shape[0]))):
        raise ValueError(f"{name} has the shape {tuple(value.shape)}, the texts {tuple(x.shape[:2])} (batch, length): "
                         "each token needs a number of its own; take both from the same call of the tokenizer")


def check_ids(name: str, ids: Tensor, size: int, cure: str = "") -> None:
    """Raises TypeError or IndexError for ids that are no row of an embedding of this size."""
    if ids.is_floating_point():
        raise TypeError(f"{name} must hold whole numbers, got {ids.dtype}: {name}.long() makes them")
    if ids.device.type == "cpu" and not torch.compiler.is_compiling() and ids.numel():
        low, high = ids.min().item(), ids.max().item()
        if low < 0 or high >= size:
            raise IndexError(f"{name} holds {low if low < 0 else high}, but this model knows the ids 0 to {size - 1}. "
                             f"{cure}")


def per_layer(head_mask: Tensor | None, layers: int, heads: int) -> Tensor | list[None]:
    """head_mask (H,) for all layers alike or (layers, H) -> one (H,) per layer; None stays None."""
    if head_mask is None:
        return [None] * layers
    if not isinstance(head_mask, Tensor):
        raise TypeError(f"head_mask must be a tensor, got {type(head_mask).__name__}: write torch.tensor(…)")
    if head_mask.shape not in ((heads,), (layers, heads)):
        raise ValueError(f"head_mask must have the shape ({heads},) or (layers, heads) = ({layers}, {heads}), "
                         f"got {tuple(head_mask.shape)}")
    return head_mask.expand(layers, heads)


def check_size(new_size: Any, multiple: Any, pad_token_id: int | None) -> int:
    """A size for a vocabulary, rounded up to a multiple. Raises TypeError or ValueError for one that cannot be."""
    try:
        size, step = operator.index(new_size), operator.index(multiple or 1)
    except TypeError:
        raise TypeError(f"the size of a vocabulary is a whole number, like len(tokenizer); got {new_size!r}, a multiple of "
                        f"{multiple!r}") from None
    if size < 1 or step < 1:
        raise ValueError(f"a vocabulary needs at least 1 token, got new_size={size}" + (f", a multiple of {step}" * (step < 1)))
    size = -(-size // step) * step
    if pad_token_id is not None and pad_token_id >= size:
        raise ValueError(f"with {size} tokens there is no room for padding, the token pad_token_id={pad_token_id}: set "
                         "model.config.pad_token_id to one that stays, or to None")
    return size
