"""What a decoder remembers of the tokens that it has read, so that each of them is computed once."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor


class LayerCache:
    """Keys and values (B, H, S, d) that one layer has computed. Room grows by doubling, so that a new token is written
    into its place instead of copying all earlier ones."""

    def __init__(self, room: int = 0):
        self.room, self.length = room, 0
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.memory: tuple[Tensor, Tensor] | None = None        # keys and values of a cross-attention, computed once

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """k, v (B, H, T, d) of new tokens -> keys, values (B, H, S, d) of all of them."""
        if self.keys is not None and len(self.keys) != len(k):
            raise ValueError(f"past_key_values holds {len(self.keys)} texts and the new tokens belong to {len(k)}: "
                             "give both the same rows, or start anew without past_key_values")
        past, self.length = self.length, self.length + k.shape[2]
        if past == 0 and self.length >= self.room:              # nothing to copy: also the way of a training step
            self.keys, self.values = k, v
        elif k.requires_grad:                                   # a gradient must not find its tensors overwritten
            self.keys, self.values = (torch.cat([old[:, :, :past], new], 2) if past else new
                                      for old, new in ((self.keys, k), (self.values, v)))
        else:
            if self.keys is None or self.length > self.keys.shape[2]:
                self.room = self.room if self.length <= self.room else 2 * self.length
                old = self[:past] if past else (k[:, :, :0], v[:, :, :0])
                self.keys, self.values = (x.new_empty(*x.shape[:2], self.room, x.shape[3]) for x in (k, v))
                self.keys[:, :, :past], self.values[:, :, :past] = old
            self.keys[:, :, past:self.length], self.values[:, :, past:self.length] = k, v
        return self[:self.length]

    def __getitem__(self, positions: slice) -> tuple[Tensor, Tensor]:
        return self.keys[:, :, positions], self.values[:, :, positions]

    def take(self, rows: Tensor, length: int) -> "LayerCache":
        """A new cache with these rows (K,) of the first `length` tokens, and as much room: what lies beyond is not copied."""
        new = LayerCache(self.room)
        new.length = min(length, self.length)
        if self.keys is not None:
            new.keys, new.values = (x.new_empty(len(rows), x.shape[1], max(self.room, new.length), x.shape[3])
                                    for x in (self.keys, self.values))
            for copy, x in ((new.keys, self.keys), (new.values, self.values)):
                copy[:, :, :new.length] = x[:, :, :new.length][rows]
        if self.memory is not None:
            new.memory = self.memory[0][rows], self.memory[1][rows]
        return new


class KeyValueCache:
    """What all layers remember of the tokens read so far.

    A model returns it as past_key_values and takes it back together with the next tokens. cache[i] are the keys and
    values (B, H, S, d) of layer i. room: positions to reserve from the start, where the final length is known.
    """

    def __init__(self, layers: int, room: int = 0):
        self.layers = [LayerCache(room) for _ in range(layers)]

    @classmethod
    def start(cls, past_key_values: Any, use_cache: bool, layers: int) -> Self | None:
        """The cache to go on with, or a new one, or None where none is wanted."""
        if past_key_values is None:
            return cls(layers) if use_cache else None
        if not isinstance(past_key_values, cls):
            raise TypeError(f"past_key_values must be what an earlier call of the model returned (a {cls.__name__}), "
                            f"got {type(past_key_values).__name__}: model(next_ids, past_key_values=out.past_key_values)")
        if not torch.is_inference_mode_enabled():
            past_key_values.leave_inference_mode()
        return past_key_values

    @property
    def length(self) -> int:
        """How many tokens it holds."""
        return self.layers[0].length if self.layers else 0

    def get_seq_length(self) -> int:
        return self.length

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, layer: int) -> tuple[Tensor, Tensor]:
        return self.layers[layer][:self.length]

    def reserve(self, room: int) -> None:
        """The next token finds room for so many: where the final length is known, nothing is copied twice."""
        for layer in self.layers:
            layer.room = max(layer.room, room)

    def crop(self, length: int) -> None:
        """Forgets all tokens after the first `length`."""
        for layer in self.layers:
            layer.length = min(layer.length, length)

    def select(self, rows: Tensor, same_texts: bool = False) -> None:
        """Keeps these rows (K,) of the batch in this order; a row may be taken several times. same_texts: as many as there are,
        and each place keeps the text that a decoder looks at there; then they change within their room."""
        if not same_texts:
            self.layers = [layer.take(rows, layer.length) for layer in self.layers]
        for layer in self.layers if same_texts else ():
            for known in layer[:layer.length]:
                known.copy_(known[rows])

    def expand(self, times: int) -> None:
        """Every row `times` times, one copy beside the other: the same beginning for several continuations."""
        if self.layers and self.layers[0].keys is not None:
            rows = torch.arange(len(self.layers[0].keys), device=self.layers[0].keys.device)
            self.select(rows.repeat_interleave(times))

    def prefix(self, length: int, rows: Tensor) -> Self:
        """A cache of its own with the first `length` tokens of these rows (K,): a beginning that many texts share is computed
        once, and each batch goes on from a copy."""
        new = type(self)(0)
        new.layers = [layer.take(rows, length) for layer in self.layers]
        return new

    def leave_inference_mode(self) -> None:
        """Tensors made under torch.inference_mode() can neither be written into nor have a gradient elsewhere: copies can."""
        for layer in self.layers:
            if layer.keys is not None and layer.keys.is_inference():
                layer.keys, layer.values = layer.keys.clone(), layer.values.clone()
            if layer.memory is not None and layer.memory[0].is_inference():
                layer.memory = layer.memory[0].clone(), layer.memory[1].clone()


def select_rows(memory: Any, rows: Tensor, same_texts: bool = False) -> Any:
    """Rows (K,) of whatever a language model remembers: a KeyValueCache, a list of mems (M, B, D), or nothing."""
    if isinstance(memory, KeyValueCache):
        memory.select(rows, same_texts)
        return memory
    return [mem[:, rows] for mem in memory] if isinstance(memory, Sequence) else memory
