"""Reformer: Kitaev et al. 2020, https://arxiv.org/abs/2001.04451

What is new versus BERT and GPT-2, all of it so that texts of hundreds of thousands of tokens fit into memory:
- LSH attention: vectors that point the same way fall into the same bucket ("locality-sensitive hashing"); positions are
  sorted by their buckets and cut into chunks, and each looks at its own chunk and its neighbours. What one round of
  hashing separates another may bring together, so several can be averaged (num_hashes)
- there, a query is also the key of its position; a position would fit itself best, so it looks at itself only if it must
- local attention, in other layers: chunks of the text as it stands
- axial positions: the text is laid out in rows, and a position is the vector of its row beside that of its column
- reversible layers: two streams, of which each adds to the other. The last state is enough to compute all earlier ones
  again, so the backward pass needs none of them in memory (Gomez et al. 2017, https://arxiv.org/abs/1707.04585)

Long, because none of this has a counterpart in nn/: both attentions, their chunks and the backward pass stand here.

There are no past_key_values: one more token can move the bounds of all chunks, and with them what earlier tokens see.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from course.config import ModelConfig
from course.generation import LanguageModel
from course.heads import ClassificationHead, causal_lm_loss, classification_loss, cross_entropy, span_loss
from course.inputs import check_ids, check_inputs, per_layer
from course.modeling import PreTrainedModel
from course.nn import Embedding, FeedForward, apply_chunking_to_forward
from course.outputs import (
    BaseModelOutput,
    CausalLMOutputWithPast,
    MaskedLMOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
)


@dataclass(init=False, repr=False, eq=False)
class ReformerConfig(ModelConfig):
    """The defaults are those of the first release: six layers, texts of 4,096 letters."""

    model_type: ClassVar[str] = "reformer"
    prefix: ClassVar[str] = "reformer"
    unused: ClassVar[tuple[str, ...]] = ("num_hidden_layers",)          # the length of attn_layers
    aliases: ClassVar[dict[str, str]] = {"head_dim": "attention_head_size", "intermediate_size": "feed_forward_size"}

    vocab_size: int = 320
    attn_layers: tuple[str, ...] | list[str] = ("local", "lsh") * 3
    hidden_size: int = 256                          # D
    num_attention_heads: int = 12                   # H
    attention_head_size: int = 64                   # d, on its own: heads * d need not be hidden_size
    feed_forward_size: int = 512
    hidden_act: str = "relu"
    hidden_dropout_prob: float = 0.05
    max_position_embeddings: int = 4096
    axial_pos_embds: bool = True                    # False: one learned vector per position
    axial_pos_shape: tuple[int, ...] | list[int] = (64, 64)             # rows and columns
    axial_pos_embds_dim: tuple[int, ...] | list[int] = (64, 192)        # their widths; together hidden_size
    axial_norm_std: float = 1.0
    local_attn_chunk_length: int | None = 64        # None where no layer is of this kind
    local_num_chunks_before: int = 1
    local_num_chunks_after: int = 0
    local_attention_probs_dropout_prob: float = 0.05
    lsh_attn_chunk_length: int | None = 64
    lsh_num_chunks_before: int = 1
    lsh_num_chunks_after: int = 0
    lsh_attention_probs_dropout_prob: float = 0.0
    num_buckets: Any = None                         # an even number, or several: their product; None: from the length
    num_hashes: int = 1
    hash_seed: int | None = None                    # None: other buckets in every call
    is_decoder: bool = False                        # a position sees itself and what came before
    chunk_size_feed_forward: int = 0                # positions per step of the feed-forward network, 0 = all
    chunk_size_lm_head: int = 0
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    classifier_dropout: float | None = None         # None: hidden_dropout_prob
    tie_word_embeddings: bool = False
    pad_token_id: int = 0
    eos_token_id: int = 2

    @property
    def num_hidden_layers(self) -> int:
        return len(self.attn_layers)

    def _fill(self, settings: dict[str, Any]) -> None:
        layers, number = settings.get("attn_layers", self.attn_layers), settings.pop("num_hidden_layers", None)
        if number is not None and len(layers) != number:
            raise ValueError(f"num_hidden_layers={number} and the {len(layers)} layers in attn_layers={layers} contradict each "
                             "other: attn_layers, a kind for each layer, is enough")
        super()._fill(settings)

    @property
    def chunks(self) -> list[int]:
        """The lengths of a chunk that the layers use."""
        return [getattr(self, f"{kind}_attn_chunk_length") for kind in set(self.attn_layers)]

    @property
    def max_tokens(self) -> int:
        most, whole = self.max_position_embeddings, math.lcm(*self.chunks)
        if self.axial_pos_embds:
            most = min(most, math.prod(self.axial_pos_shape))
        return max(most // whole * whole, min(most, *self.chunks))

    def check(self) -> None:
        for name in ("attn_layers", "axial_pos_shape", "axial_pos_embds_dim", "num_buckets"):
            if isinstance(getattr(self, name), list):
                setattr(self, name, tuple(getattr(self, name)))
        if not self.attn_layers or set(self.attn_layers) - {"lsh", "local"}:
            raise ValueError(f"attn_layers must list one of 'lsh' and 'local' for every layer, got {self.attn_layers!r}")
        if not all(self.chunks) or min(self.chunks) < 1:
            raise ValueError(f"a chunk needs at least 1 position, got lsh_attn_chunk_length={self.lsh_attn_chunk_length} and "
                             f"local_attn_chunk_length={self.local_attn_chunk_length}")
        super().check()
        if self.axial_pos_embds and (len(self.axial_pos_shape) != 2 or sum(self.axial_pos_embds_dim) != self.hidden_size):
            raise ValueError(f"axial_pos_shape must be (rows, columns), and the two widths in axial_pos_embds_dim must give "
                             f"hidden_size {self.hidden_size} together: got {self.axial_pos_shape} and "
                             f"{self.axial_pos_embds_dim}")
        if self.tie_word_embeddings:
            raise ValueError("tie_word_embeddings=True is impossible here: predictions read both streams, 2 * hidden_size")
        if "lsh" in self.attn_layers and (self.num_hashes < 1 or any(n < 2 or n % 2 for n in self.factors(1))):
            raise ValueError(f"num_buckets must be even, or several even numbers, and num_hashes at least 1: got "
                             f"{self.num_buckets} and {self.num_hashes}")

    def factors(self, length: int) -> tuple[int, ...]:
        """The numbers of buckets that are multiplied; by default about two for each chunk of the text."""
        if isinstance(self.num_buckets, int):
            return (self.num_buckets,)
        if self.num_buckets is not None:
            return tuple(self.num_buckets)
        chunk = self.lsh_attn_chunk_length
        power = max(2 * (length // chunk), 2).bit_length() - 1
        if 2**power <= 2 * max(int((self.max_position_embeddings // chunk)**0.5), chunk):
            return (2**power,)
        return 2 ** (power // 2), 2 ** (power - power // 2)


class AxialPositions(nn.Module):
    """A vector for every row and one for every column of a table: position p stands in row p // columns, column p % columns."""

    def __init__(self, config: ReformerConfig):
        super().__init__()
        (rows, columns), (first, second) = config.axial_pos_shape, config.axial_pos_embds_dim
        self.rows = nn.Parameter(torch.empty(rows, 1, first))
        self.columns = nn.Parameter(torch.empty(1, columns, second))
        self.dropout = config.hidden_dropout_prob

    def forward(self, positions: Tensor) -> Tensor:
        """(B, T) -> (B, T, D). Dropout takes whole columns of the table, for each text others."""
        columns = self.columns.shape[1]
        row, column = positions // columns, positions % columns
        x = torch.cat([self.rows[row, 0], self.columns[0, column]], -1)
        kept = F.dropout2d(x.new_ones(len(x), columns, 1, 1), self.dropout, self.training)[:, :, 0]   # (B, columns, 1)
        return x * kept.gather(1, column[..., None])


class ChunkedAttention(nn.Module):
    """What the two kinds of attention share: each chunk of positions looks at itself and at its neighbours."""

    hides_itself: ClassVar[bool] = False            # a position looks at itself only if there is nothing else
    rounds = 1                                      # how often a text is sorted and cut

    def __init__(self, config: ReformerConfig, kind: str):
        super().__init__()
        inner = config.num_attention_heads * config.attention_head_size
        self.heads, self.head_width, self.causal = config.num_attention_heads, config.attention_head_size, config.is_decoder
        self.chunk, before, after, self.dropout = (getattr(config, f"{kind}_{name}") for name in (
            "attn_chunk_length", "num_chunks_before", "num_chunks_after", "attention_probs_dropout_prob"))
        self.neighbours = range(-before, after + 1)
        self.v = nn.Linear(config.hidden_size, inner, bias=False)
        self.out = nn.Linear(inner, config.hidden_size, bias=False)

    def split(self, x: Tensor) -> Tensor:
        """(B, T, H * d) -> (B, H, T, d)."""
        return x.unflatten(-1, (-1, self.head_width)).transpose(1, 2)

    def flops(self, length: int) -> int:
        """Multiplications and additions for each token of a text of `length` tokens, beside those of the matrices."""
        seen = length if length <= self.chunk else self.rounds * self.chunk * len(self.neighbours)
        return 4 * seen * self.heads * self.head_width

    def attend(self, q: Tensor, k: Tensor, v: Tensor, places: Tensor, mask: Tensor | None,
               head_mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """q, k, v (B, H, N, d) in any order, where each stands in the text (B, H, N), mask (B, T) -> mixed (B, H, N, d),
        the logarithm of what the scores sum up to (B, H, N), weights (B, H, N, N) or, in chunks, (B, H, C, c, S)."""
        seen = torch.ones_like(places, dtype=torch.bool) if mask is None else \
            mask[:, None].expand(-1, self.heads, -1).gather(2, places)
        at = places
        if chunked := q.shape[2] > self.chunk:
            q, k, v, at, places, seen = (y.unflatten(2, (-1, self.chunk)) for y in (q, k, v, at, places, seen))
            k, v, places, seen = (torch.cat([torch.cat([y[:, :, i:], y[:, :, :i]], 2) for i in self.neighbours], 3)
                                  for y in (k, v, places, seen))
        scores = q @ k.mT                                                   # (B, H, N, N) or (B, H, C, c, S)
        never, hardly = (-1e4, -1e3) if scores.dtype == torch.float16 else (-1e9, -1e5)
        at, places, seen = at.unsqueeze(-1), places.unsqueeze(-2), seen.unsqueeze(-2)
        scores = scores.where(seen & (at >= places) if self.causal else seen, never)
        if self.hides_itself:
            scores = scores.where(at != places, hardly)
        total = scores.logsumexp(-1, keepdim=True)
        weights = F.dropout((scores - total).exp(), self.dropout, self.training)
        if head_mask is not None:
            weights = weights * head_mask.view(-1, *[1] * (weights.dim() - 2))
        mixed, total = weights @ v, total.squeeze(-1)
        return (mixed.flatten(2, 3), total.flatten(2), weights) if chunked else (mixed, total, weights)


class LocalAttention(ChunkedAttention):
    """Chunks of the text as it stands."""

    def __init__(self, config: ReformerConfig):
        super().__init__(config, "local")
        self.q = nn.Linear(config.hidden_size, self.out.in_features, bias=False)
        self.k = nn.Linear(config.hidden_size, self.out.in_features, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None, head_mask: Tensor | None, hashes: int,
                buckets: Tensor | None) -> tuple[Tensor, Tensor, None]:
        """x (B, T, D) -> (B, T, D), weights; this kind has no buckets."""
        q, k, v = (self.split(part(x)) for part in (self.q, self.k, self.v))
        places = torch.arange(x.shape[1], device=x.device).expand(q.shape[:3])
        mixed, _, weights = self.attend(q, k / self.head_width**0.5, v, places, mask, head_mask)
        return self.out(mixed.transpose(1, 2).flatten(2)), weights, None


class LSHAttention(ChunkedAttention):
    """Chunks of positions that were sorted by their buckets (section 2)."""

    hides_itself = True

    def __init__(self, config: ReformerConfig):
        super().__init__(config, "lsh")
        self.qk = nn.Linear(config.hidden_size, self.out.in_features, bias=False)
        self.factors, self.seed, self.rounds = config.factors, config.hash_seed, config.num_hashes

    def forward(self, x: Tensor, mask: Tensor | None, head_mask: Tensor | None, hashes: int,
                buckets: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """x (B, T, D) -> (B, T, D), weights, buckets (B, H, hashes * T); those given, if there are any, are used again."""
        length = x.shape[1]
        q, v = self.split(self.qk(x)), self.split(self.v(x))                # (B, H, T, d)
        places = torch.arange(length, device=x.device).expand(q.shape[:3])
        if chunked := length > self.chunk:
            # drawn even when the buckets are known: dropout must find the random numbers where the first pass found them
            planes = self.planes(q, hashes)
            buckets = self.hash(q.detach(), planes, mask) if buckets is None else buckets
            order = buckets.argsort(stable=True)                            # (B, H, hashes * T)
            places = order % length
            q, v = (y.gather(2, places[..., None].expand(-1, -1, -1, self.head_width)) for y in (q, v))
        k = q * (q.square().mean(-1, keepdim=True) + 1e-6).rsqrt() / self.head_width**0.5
        mixed, total, weights = self.attend(q, k, v, places, mask, head_mask)
        if chunked:
            back = order.argsort()
            mixed = mixed.gather(2, back[..., None].expand_as(mixed)).unflatten(2, (hashes, length))
            total = total.gather(2, back).unflatten(2, (hashes, length))    # (B, H, hashes, T)
            share = (total - total.logsumexp(2, keepdim=True)).exp()        # of each round of hashing
            mixed = (mixed * share[..., None]).sum(2)                       # (B, H, T, d)
        return self.out(mixed.transpose(1, 2).flatten(2)), weights, buckets

    def planes(self, q: Tensor, hashes: int) -> Tensor:
        """Random directions (H, d, hashes, half of all factors)."""
        generator = None if self.seed is None else torch.Generator(q.device).manual_seed(self.seed)
        shape = (self.heads, self.head_width, hashes, sum(self.factors(q.shape[2])) // 2)
        return torch.randn(shape, generator=generator, device=q.device, dtype=q.dtype)

    def hash(self, q: Tensor, planes: Tensor, mask: Tensor | None) -> Tensor:
        """q (B, H, T, d) -> number of a bucket (B, H, hashes * T): the direction, or its opposite, which a vector is nearest
        to. Padding has a bucket of its own, and every round of hashing has other numbers."""
        turned = torch.einsum("bhtd,hdnr->bhntr", q, planes)
        bucket, count = torch.zeros_like(turned[..., 0], dtype=torch.long), 1           # (B, H, hashes, T)
        factors = self.factors(q.shape[2])
        for factor, part in zip(factors, turned.split([factor // 2 for factor in factors], -1), strict=True):
            bucket = bucket + count * torch.cat([part, -part], -1).argmax(-1)
            count *= factor
        if mask is not None:
            bucket = bucket.where(mask[:, None, None], count)
        rounds = torch.arange(bucket.shape[2], device=q.device)[:, None]
        return (bucket + rounds * (count + 1)).flatten(2)


class ReformerFeedForward(FeedForward):
    """With dropout before the bend too."""

    def bend(self, x: Tensor) -> Tensor:
        return self.activation(self.dropout(self.up(x)))


class ReversibleLayer(nn.Module):
    """Two streams: attention reads the second and adds to the first, feed-forward reads the first and adds to the second."""

    def __init__(self, config: ReformerConfig, kind: str):
        super().__init__()
        width, eps, dropout = config.hidden_size, config.layer_norm_eps, config.hidden_dropout_prob
        self.attention = LSHAttention(config) if kind == "lsh" else LocalAttention(config)
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.feed_forward = ReformerFeedForward(width, config.feed_forward_size, config.hidden_act, dropout)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)
        self.chunk_size = config.chunk_size_feed_forward

    def attend(self, second: Tensor, *options: Any) -> tuple[Tensor, Tensor, Tensor | None]:
        """(B, T, D) -> what the first stream gains (B, T, D), weights, buckets."""
        attended, weights, buckets = self.attention(self.attention_norm(second), *options)
        return self.dropout(attended), weights, buckets

    def feed(self, first: Tensor) -> Tensor:
        """(B, T, D) -> what the second stream gains (B, T, D)."""
        return apply_chunking_to_forward(lambda x: self.feed_forward(self.norm(x)), self.chunk_size, 1, first)


def read_through(layers: Iterable[ReversibleLayer], mask: Tensor | None, head_masks: Tensor | list[None], hashes: int,
                 wanted: tuple[bool, bool], x: Tensor, steps: list | None = None) -> tuple:
    """x (B, T, D) -> both streams (B, T, D), and if wanted the states of the second one before, between and after the
    layers, and attention weights. steps: gets what it takes to go the way back."""
    first = second = x
    states, attentions = [x] * wanted[0], []
    for layer, head_mask in zip(layers, head_masks, strict=True):
        seeds = [fresh_seed() if layer.training and steps is not None else None]
        gain, attention, buckets = layer.attend(second, mask, head_mask, hashes, None)
        first = first + gain
        seeds.append(fresh_seed() if layer.training and steps is not None else None)
        second = second + layer.feed(first)
        states += [second] * wanted[0]
        attentions += [attention] * wanted[1]
        if steps is not None:
            steps.append((layer, seeds, (mask, head_mask, hashes, buckets)))
    return first, second, states, attentions


class Reversible(torch.autograd.Function):
    """All layers, forwards and backwards (section 3)."""

    @staticmethod
    def forward(ctx: Any, layers: Iterable[ReversibleLayer], mask: Tensor | None, head_masks: Tensor | list[None], hashes: int,
                wanted: tuple[bool, bool], x: Tensor, *weights: Tensor) -> tuple:
        """See read_through. weights: all those of the layers, which get gradients."""
        ctx.steps, ctx.layers, kind = [], layers, x.device.type
        found = read_through(layers, mask, head_masks, hashes, wanted, x, ctx.steps)
        ctx.save_for_backward(*found[:2])
        ctx.autocast = torch.autocast(kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind), False)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_first: Tensor, grad_second: Tensor, *_: None) -> tuple[Tensor | None, ...]:
        first, second = ctx.saved_tensors
        found: dict[Tensor, Tensor] = {}            # weight -> its gradient
        with torch.random.fork_rng(), ctx.autocast:
            for layer, seeds, options in reversed(ctx.steps):
                learned = [weight for weight in layer.parameters() if weight.requires_grad]
                gain, grad = replay(layer.feed, first, grad_second, seeds[1], learned, found)
                second, grad_first = second - gain, grad_first + grad
                gain, grad = replay(lambda x: layer.attend(x, *options)[0], second, grad_first, seeds[0], learned, found)  # noqa: B023
                first, grad_second = first - gain, grad_second + grad
        return *[None] * 5, grad_first + grad_second, *(found.get(weight) for weight in ctx.layers.parameters())


def fresh_seed() -> int:
    """A seed, and from here on its random numbers: with them dropout can be repeated."""
    seed = int(torch.randint(2**62, ()))
    torch.manual_seed(seed)
    return seed


def replay(step: Callable[[Tensor], Tensor], x: Tensor, grad: Tensor, seed: int | None, learned: list[Tensor],
           found: dict[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """step(x) once more, grad: the gradient of its result -> step(x), the gradient of x; those of the weights to `found`."""
    if seed is not None:
        torch.manual_seed(seed)
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        y = step(x)
    gradient, *others = torch.autograd.grad(y, [x, *learned], grad, allow_unused=True)
    found.update((weight, other) for weight, other in zip(learned, others, strict=True) if other is not None)
    return y.detach(), gradient


class ReformerModel(PreTrainedModel):
    """Token ids -> one vector per token, both streams side by side: 2 * hidden_size wide."""

    config_class = ReformerConfig

    def __init__(self, config: ReformerConfig):
        super().__init__(config)
        width = config.hidden_size
        self.tokens = Embedding(config.vocab_size, width)
        self.positions = AxialPositions(config) if config.axial_pos_embds else Embedding(
            config.max_position_embeddings, width)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.layers = nn.ModuleList(ReversibleLayer(config, kind) for kind in config.attn_layers)
        self.norm = nn.LayerNorm(2 * width, eps=config.layer_norm_eps)
        self.post_init()

    @torch.no_grad()
    def init_weights(self, module: nn.Module) -> None:
        super().init_weights(module)
        if isinstance(module, AxialPositions):
            for table in (module.rows, module.columns):
                table.normal_(0.0, self.config.axial_norm_std)

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                position_ids: Tensor | None = None, head_mask: Tensor | None = None,
                inputs_embeds: Tensor | None = None, num_hashes: int | None = None,
                output_attentions: bool | None = None, output_hidden_states: bool | None = None) -> BaseModelOutput:
        """input_ids (B, T), or inputs_embeds (B, T, D); attention_mask, position_ids (B, T); head_mask (H,) or
        (layers, H); num_hashes: rounds of hashing, instead of the config's.

        Texts longer than a chunk are padded to whole chunks; states are those of the text alone, without padding.
        Attentions are (B, H, T, T) or, in chunks, (B, H, C, c, S): of chunk number C each position c at those of the
        chunk and its neighbours S, in LSH layers sorted by buckets."""
        check_inputs(self.config, input_ids, inputs_embeds, attention_mask)
        if attention_mask is not None and attention_mask.dim() != 2:
            raise ValueError(f"attention_mask must have the shape (batch, length) here, got {tuple(attention_mask.shape)}")
        if num_hashes is not None and num_hashes < 1:
            raise ValueError(f"num_hashes must be at least 1, got {num_hashes}")
        x = self.tokens(input_ids) if inputs_embeds is None else inputs_embeds              # (B, T, D)
        length, chunks = x.shape[1], self.config.chunks
        mask = None if attention_mask is None else attention_mask.bool()
        extra = -length % math.lcm(*chunks) if length > min(chunks) else 0
        if extra:
            padding = torch.full((len(x), extra), self.config.pad_token_id, device=x.device)
            x = torch.cat([x, self.tokens(padding)], 1)
            mask = F.pad(x.new_ones(len(x), length, dtype=torch.bool) if mask is None else mask, (0, extra))
        position_ids = torch.arange(x.shape[1], device=x.device) if position_ids is None else F.pad(position_ids, (0, extra))
        check_ids("position_ids", position_ids, self.config.max_tokens)
        x, where = self.dropout(x), self.positions(position_ids.expand(x.shape[:2]))
        x = x + (where if self.config.axial_pos_embds else self.dropout(where))
        want_weights = self.config.output_attentions if output_attentions is None else output_attentions
        want_states = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        way: Any = (self.layers, mask, per_layer(head_mask, len(self.layers), self.config.num_attention_heads),
               num_hashes or self.config.num_hashes, (want_states, want_weights), x)
        # what records the computation, to compile or to trace it, finds a way back of its own
        plain = torch.compiler.is_compiling() or torch.jit.is_tracing()
        first, second, states, attentions = read_through(*way) if plain else Reversible.apply(*way, *self.layers.parameters())
        x = self.dropout(self.norm(torch.cat([first, second], -1)))[:, :length]             # (B, T, 2 * D)
        return BaseModelOutput(x, None, tuple(state[:, :length] for state in states) or None, tuple(attentions) or None)


class ReformerModelWithLMHead(PreTrainedModel, LanguageModel):
    """A score for every piece of the vocabulary: which one comes next?"""

    config_class = ReformerConfig

    def __init__(self, config: ReformerConfig):
        super().__init__(config)
        if not config.is_decoder:
            raise ValueError("to predict what comes next, the model must not see it: set is_decoder=True, or fill gaps "
                             "with ReformerForMaskedLM")
        self.reformer = ReformerModel(config)
        self.lm_head = nn.Linear(2 * config.hidden_size, config.vocab_size)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    reads_padding = True

    def next_inputs(self, ids: Tensor, mask: Tensor | None, memory: Any = None) -> dict[str, Any]:
        """All of the text: what is similar, and so what is looked at, changes with every token."""
        return {"input_ids": ids}

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, labels: Tensor | None = None,
                logits_to_keep: int = 0, **inputs: Any) -> CausalLMOutputWithPast:
        """labels (B, T): the tokens themselves, -100 where nothing is to be guessed; the shift by one happens here.
        logits_to_keep: scores for so many last positions only, 0 = all."""
        body = self.reformer(input_ids, attention_mask, return_dict=True, **inputs)
        x, chunk = body.last_hidden_state[:, -logits_to_keep:], 0 if logits_to_keep else self.config.chunk_size_lm_head
        logits = apply_chunking_to_forward(self.lm_head, chunk, 1, x)
        return CausalLMOutputWithPast(causal_lm_loss(logits, labels), logits, None, body.hidden_states, body.attentions)


class ReformerForMaskedLM(PreTrainedModel):
    """A score for every piece of the vocabulary at each position."""

    config_class = ReformerConfig

    def __init__(self, config: ReformerConfig):
        super().__init__(config)
        if config.is_decoder:
            raise ValueError("to fill gaps the model must see both sides: set is_decoder=False, or predict what comes next "
                             "with ReformerModelWithLMHead")
        self.reformer = ReformerModel(config)
        self.lm_head = nn.Linear(2 * config.hidden_size, config.vocab_size)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> MaskedLMOutput:
        """labels (B, T): the hidden pieces, -100 where nothing is to be guessed."""
        body = self.reformer(input_ids, attention_mask, return_dict=True, **inputs)
        logits = apply_chunking_to_forward(self.lm_head, self.config.chunk_size_lm_head, 1, body.last_hidden_state)
        return MaskedLMOutput(cross_entropy(logits, labels), logits, body.hidden_states, body.attentions)


class ReformerForSequenceClassification(PreTrainedModel):
    """One label for a text, read from its first token."""

    config_class = ReformerConfig

    def __init__(self, config: ReformerConfig):
        super().__init__(config)
        self.reformer = ReformerModel(config)
        dropout = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
        self.classifier = ClassificationHead(2 * config.hidden_size, config.num_labels, dropout, inner=config.hidden_size)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> SequenceClassifierOutput:
        """labels (B,) class numbers; (B, L) floats for several labels a text; see course.heads.classification_loss."""
        body = self.reformer(input_ids, attention_mask, return_dict=True, **inputs)
        logits = self.classifier(body.last_hidden_state[:, 0])              # (B, L)
        loss = classification_loss(logits, labels, self.config)
        return SequenceClassifierOutput(loss, logits, body.hidden_states, body.attentions)


class ReformerForQuestionAnswering(PreTrainedModel):
    """Where in the second text the answer to the first begins and ends."""

    config_class = ReformerConfig

    def __init__(self, config: ReformerConfig):
        super().__init__(config)
        self.reformer = ReformerModel(config)
        self.qa_outputs = nn.Linear(2 * config.hidden_size, 2)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                start_positions: Tensor | None = None, end_positions: Tensor | None = None,
                **inputs: Any) -> QuestionAnsweringModelOutput:
        """start_positions, end_positions (B,): first and last token of the answer."""
        body = self.reformer(input_ids, attention_mask, return_dict=True, **inputs)
        start, end = self.qa_outputs(body.last_hidden_state).unbind(-1)     # (B, T) each
        loss = span_loss(start, end, start_positions, end_positions)
        return QuestionAnsweringModelOutput(loss, start, end, body.hidden_states, body.attentions)


HF_NAMES = {
    "reformer.embeddings.word_embeddings.*": "reformer.tokens.*",
    "reformer.embeddings.position_embeddings.weights.0": "reformer.positions.rows",
    "reformer.embeddings.position_embeddings.weights.1": "reformer.positions.columns",
    "reformer.embeddings.position_embeddings.embedding.*": "reformer.positions.*",
    **{f"reformer.encoder.layers.#.{theirs}": f"reformer.layers.#.{ours}" for theirs, ours in {
        "attention.layer_norm.*": "attention_norm.*",
        "attention.self_attention.query_key.*": "attention.qk.*",
        "attention.self_attention.query.*": "attention.q.*",
        "attention.self_attention.key.*": "attention.k.*",
        "attention.self_attention.value.*": "attention.v.*",
        "attention.output.dense.*": "attention.out.*",
        "feed_forward.layer_norm.*": "norm.*",
        "feed_forward.dense.dense.*": "feed_forward.up.*",
        "feed_forward.output.dense.*": "feed_forward.down.*",
    }.items()},
    # constants of files from 2020
    **{f"reformer.encoder.layers.#.attention.self_attention.{name}_float{bits}": None
       for name in ("mask_value", "self_mask_value") for bits in (16, 32)},
    "reformer.encoder.layer_norm.*": "reformer.norm.*",
    "lm_head.decoder.weight": "lm_head.weight",
    "lm_head.bias": "lm_head.bias",
    "lm_head.decoder.bias": "lm_head.bias",                                 # the same numbers, stored twice
    "classifier.dense.*": "classifier.dense.*",
    "classifier.out_proj.*": "classifier.out.*",
    "qa_outputs.*": "qa_outputs.*",
}
