"""Transformer-XL: Dai et al. 2019, https://arxiv.org/abs/1901.02860

What is new versus GPT-2:
- a memory: long texts come in segments, and every layer also looks at what it computed for the segments before (mems)
- attention knows distances instead of positions, so that a remembered state means the same in every later segment
- frequent words have wide embeddings, rare ones narrow ones, and the softmax first chooses between a frequent word and
  a class of rarer ones: a vocabulary of 268,000 whole words becomes affordable ("adaptive", Grave et al. 2016)
- post-norm and relu like the first Transformer; matrices of attention have no biases
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.config import ModelConfig
from course.generation import LanguageModel
from course.heads import check_labels, classification_loss, last_token
from course.inputs import check_ids, check_inputs, check_size, per_layer
from course.modeling import PreTrainedModel
from course.nn import Embedding, FeedForward, MultiHeadAttention, PostNormBlock, hide, sinusoids
from course.outputs import AdaptiveLMOutput, MemoryHeadOutput, MemoryModelOutput


@dataclass(init=False, repr=False, eq=False)
class TransfoXLConfig(ModelConfig):
    """The defaults are transfo-xl-wt103."""

    model_type: ClassVar[str] = "transfo-xl"
    prefix: ClassVar[str] = "transformer"
    aliases: ClassVar[dict[str, str]] = {"hidden_size": "d_model", "num_hidden_layers": "n_layer", "head_dim": "d_head",
                                         "num_attention_heads": "n_head", "intermediate_size": "d_inner",
                                         "initializer_range": "init_std", "n_token": "vocab_size"}
    unused: ClassVar[tuple[str, ...]] = ("init", "init_range", "proj_init_std")
    variants: ClassVar[dict[str, Any]] = {"attn_type": 0, "adaptive": True, "sample_softmax": -1}

    vocab_size: int = 267735
    cutoffs: list = field(default_factory=lambda: [20000, 40000, 200000])     # where classes of rarer words begin
    d_model: int = 1024                             # D
    d_embed: int = 1024                             # width of the most frequent words
    div_val: int = 4                                # each class is narrower by this factor; 1: one table for all words
    n_head: int = 16                                # H
    d_head: int = 64                                # d, on its own: heads * d_head need not be d_model
    d_inner: int = 4096
    n_layer: int = 18
    pre_lnorm: bool = False
    mem_len: int = 1600                             # positions remembered, 0 = none; nothing yet to remember counts as zeros
    clamp_len: int = 1000                           # distances beyond count as this one; 0: they all differ
    same_length: bool = True                        # every position looks at just as many: mem_len with itself
    untie_r: bool = True                            # every layer has its own biases of the scores
    proj_share_all_but_first: bool = True           # input and output share the projections of the rarer classes,
    tie_projs: list | None = None                   # or of these classes
    dropout: float = 0.1
    dropatt: float = 0.0
    init_std: float = 0.02
    layer_norm_epsilon: float = 1e-5
    eos_token_id: int = 0
    pad_token_id: int | None = None

    @property
    def classes(self) -> list[tuple[int, int, int]]:
        """First id, last id + 1 and width of every class of words, the most frequent first."""
        ends = [0, *self.cutoffs, self.vocab_size]
        return [(ends[i], ends[i + 1], self.d_embed // self.div_val**i) for i in range(len(ends) - 1)]

    @property
    def tables(self) -> list[tuple[int, int, int]]:
        """The same for every table of embeddings."""
        return self.classes if self.div_val > 1 else [(0, self.vocab_size, self.d_embed)]

    def check(self) -> None:
        super().check()
        if self.div_val < 1 or self.d_model % 2 or any(low >= high or width < 1 for low, high, width in self.classes):
            raise ValueError(f"TransfoXLConfig: cutoffs {self.cutoffs} must rise and stay below vocab_size {self.vocab_size}, "
                             f"d_embed {self.d_embed} be divisible by div_val {self.div_val} for each, d_model be even")
        if self.mem_len < 0 or (self.same_length and self.mem_len == 0):
            raise ValueError(f"TransfoXLConfig: with same_length each position looks at mem_len positions, got {self.mem_len}: "
                             "set same_length=False to do without a memory")


class RelativeAttention(MultiHeadAttention):
    """score(i, j) = (q_i + u) k_j + (q_i + v) r_(i-j), where r is made of the distance alone (section 3.3); u is called
    biases["content"] and v biases["distance"]."""

    def __init__(self, width: int, heads: int, head_width: int, dropout: float, biases: nn.ParameterDict | None = None):
        super().__init__(width, heads, dropout, head_width=head_width, bias=False, out_bias=False)
        self.r = nn.Linear(width, heads * head_width, bias=False)
        self.biases = biases or make_biases(heads, head_width)

    def keys(self, source: Tensor, distances: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What queries meet: source (B, S, D), distances (1 or B, P, D) -> k, v (B, H, S, d), r (1 or B, H, P, d)."""
        return self.split(self.k(source)), self.split(self.v(source)), self.split(self.r(distances))

    def forward(self, x: Tensor, keys: tuple[Tensor, Tensor, Tensor], mask: Tensor | None = None,  # type: ignore[override]
                head_mask: Tensor | None = None, need_weights: bool = False, **context: Any) -> tuple[Tensor, Tensor | None]:
        """x (B, T, D), mask (…, T, S) -> output (B, T, D), weights (B, H, T, S) or None. What is known about the pairs beside
        their content is added to the scores like a mask, so that torch's fused attention can be used."""
        q, (k, v, r) = self.split(self.q(x)), keys                                        # (B, H, T, d)
        bias = self.pairs(q, r, k.shape[2], **context) * self.scale + (0.0 if mask is None else mask)     # (B, H, T, S)
        q = q + self.biases["content"][:, None]
        dropout = self.dropout if self.training else 0.0
        if need_weights or head_mask is not None:
            weights = F.dropout((q @ k.mT * self.scale + bias).softmax(-1), dropout)
            weights = weights if head_mask is None else weights * head_mask[:, None, None]
            mixed = weights @ v                                                           # (B, H, T, d)
        else:
            weights, mixed = None, F.scaled_dot_product_attention(q, k, v, bias, dropout, scale=self.scale)
        return self.out(mixed.transpose(1, 2).flatten(2)), weights                        # (B, T, D)

    def pairs(self, q: Tensor, r: Tensor, source: int) -> Tensor:
        """q (B, H, T, d), r (1 or B, H, P, d) -> (B, H, T, S). r stands in falling order of the distance, the one of the
        first query to the first key at place T; each later query finds its own one place further left (appendix B)."""
        by_distance = (q + self.biases["distance"][:, None]) @ r.mT                       # (B, H, T, P)
        return by_distance.flatten(2)[..., q.shape[2]:].unflatten(2, (q.shape[2], -1))[..., :source]

    def flops(self, length: int) -> int:
        return super().flops(length) * 3 // 2         # the scores of the distances cost as much as those of the content


def make_biases(heads: int, head_width: int) -> nn.ParameterDict:
    return nn.ParameterDict({name: nn.Parameter(torch.zeros(heads, head_width)) for name in ("content", "distance")})


class TransfoXLLayer(PostNormBlock):
    """The norm comes after each addition, or with pre_lnorm before each part."""

    attention: RelativeAttention

    def __init__(self, config: TransfoXLConfig, biases: nn.ParameterDict | None):
        super().__init__(RelativeAttention(config.d_model, config.n_head, config.d_head, config.dropatt, biases),
                         FeedForward(config.d_model, config.d_inner, "relu", config.dropout, config.dropout),
                         config.d_model, config.layer_norm_epsilon, config.dropout)
        self.pre_norm = config.pre_lnorm

    def forward(self, x: Tensor, source: Tensor, distances: Tensor, mask: Tensor, head_mask: Tensor | None,  # type: ignore
                need_weights: bool) -> tuple[Tensor, Tensor | None]:
        """x (B, T, D), source (B, S, D): the memory and x -> x (B, T, D), weights (B, H, T, S) or None."""
        source = self.attention_norm(source) if self.pre_norm else source
        attended, weights = self.attention(source[:, -x.shape[1]:], self.attention.keys(source, distances), mask, head_mask,
                                           need_weights)
        x = x + self.dropout(attended)
        if self.pre_norm:
            return x + self.feed_forward(self.norm(x)), weights
        x = self.attention_norm(x)
        return self.norm(x + self.feed_forward(x)), weights


def make_projections(config: TransfoXLConfig, classes: list[tuple[int, int, int]]) -> nn.ModuleList:
    """From the width of a class of words to D, where they differ; the softmax goes the other way."""
    needed = classes if config.div_val > 1 or config.d_embed != config.d_model else []
    return nn.ModuleList(nn.Linear(width, config.d_model, bias=False) for *_, width in needed)


class AdaptiveEmbedding(nn.Module):
    """Words of each class in a table of its own width, projected to D (Baevski & Auli 2018, section 3)."""

    def __init__(self, config: TransfoXLConfig):
        super().__init__()
        self.config = config
        self.tables = nn.ModuleList(Embedding(high - low, width) for low, high, width in config.tables)
        self.projections = make_projections(config, config.tables)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, D)."""
        total: Any = 0.0
        for number, (low, high, _) in enumerate(self.config.tables):
            x = self.tables[number]((ids - low).clamp(0, high - low - 1))
            x = self.projections[number](x) if self.projections else x                    # (B, T, D)
            total = total + torch.where(((ids >= low) & (ids < high))[..., None], x, 0.0)
        return total * self.config.d_model**0.5


class AdaptiveSoftmax(nn.Module):
    """A frequent word is one choice among them and the classes of rarer words; a rare word is two choices: its class, then
    the word within it (Grave et al. 2016, section 4)."""

    def __init__(self, config: TransfoXLConfig):
        super().__init__()
        self.config = config
        self.clusters = nn.Linear(config.d_embed, len(config.cutoffs)) if config.cutoffs else None
        self.layers = nn.ModuleList(nn.Linear(width, high - low) for low, high, width in config.tables)
        self.projections = make_projections(config, config.classes)

    def choose(self, x: Tensor, number: int) -> Tensor:
        """x (…, D) -> log-probabilities of the words of a class within it; in the first one, of the other classes too."""
        low, high, _ = self.config.classes[number]
        layer, rows = (self.layers[number], slice(None)) if self.config.div_val > 1 else (self.layers[0], slice(low, high))
        x = x @ self.projections[number].weight if self.projections else x  # type: ignore[operator]
        scores = F.linear(x, layer.weight[rows], layer.bias[rows])  # type: ignore[index]
        if number == 0 and self.clusters is not None:
            scores = torch.cat([scores, self.clusters(x)], -1)                            # (…, words and classes)
        return scores.log_softmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> log-probabilities of all words (B, T, V)."""
        first, size = self.choose(x, 0), self.config.classes[0][1]
        rest = (first[..., size + i, None] + self.choose(x, i + 1) for i in range(len(self.config.cutoffs)))
        return torch.cat([first[..., :size], *rest], -1)

    def losses(self, x: Tensor, labels: Tensor) -> Tensor:
        """x (N, D), labels (N,) -> minus the log-probability of each label (N,), 0 for -100. Only the classes that the
        labels belong to are computed, each for its own labels alone."""
        first, size = self.choose(x, 0), self.config.classes[0][1]
        losses = first.new_zeros(len(x))
        for number, (low, high, _) in enumerate(self.config.classes):
            here = ((labels >= low) & (labels < high)).nonzero()[:, 0]
            within = first[here] if number == 0 else first[here, size + number - 1, None] + self.choose(x[here], number)
            losses = losses.index_put((here,), -within.gather(1, (labels[here] - low)[:, None])[:, 0])
        return losses


def resize(model: Any, new_size: int | None = None, pad_to_multiple_of: int | None = None) -> Any:
    """Makes room for new_size tokens: new words, with random weights, join the class of the rarest."""
    config, tokens, softmax = model.config, model.base_model.tokens, getattr(model, "softmax", None)
    new_size = check_size(config.vocab_size if new_size is None else new_size, pad_to_multiple_of, config.pad_token_id)
    more = new_size - config.vocab_size
    if more < 0:
        raise ValueError(f"this vocabulary of {config.vocab_size} words can only grow, got new_size={new_size}")
    for table in (tokens.tables[-1], *(softmax.layers[-1:] if softmax else ())):
        for name, old in list(table.named_parameters()):
            new = torch.randn(more, *old.shape[1:]).to(old) * config.init_std
            setattr(table, name, nn.Parameter(torch.cat([old.detach(), new]), old.requires_grad))
    config.vocab_size += more
    model.tie_weights()
    return tokens


class TransfoXLModel(PreTrainedModel):
    """Token ids -> one vector per token, made of it, the tokens before it, and the memory of earlier segments."""

    config_class = TransfoXLConfig

    def __init__(self, config: TransfoXLConfig):
        super().__init__(config)
        self.tokens = AdaptiveEmbedding(config)
        self.biases = None if config.untie_r else make_biases(config.n_head, config.d_head)
        self.layers = nn.ModuleList(TransfoXLLayer(config, self.biases) for _ in range(config.n_layer))
        self.dropout = nn.Dropout(config.dropout)
        self.post_init()

    resize_token_embeddings = resize  # type: ignore[assignment]

    def forward(self, input_ids: Tensor | None = None, mems: Sequence[Tensor] | None = None,
                head_mask: Tensor | None = None, inputs_embeds: Tensor | None = None,
                output_attentions: bool | None = None, output_hidden_states: bool | None = None) -> MemoryModelOutput:
        """input_ids (B, T), or inputs_embeds (B, T, D); mems: what the call for the segment before returned; head_mask (H,)
        or (layers, H): 0 switches a head off. Texts of a batch are padded on the right, where nothing looks at padding."""
        check_inputs(self.config, input_ids, inputs_embeds)
        x = self.dropout(self.tokens(input_ids) if inputs_embeds is None else inputs_embeds)  # (B, T, D)
        config, (batch, target, width) = self.config, x.shape
        past = config.mem_len if mems is None else check_mems(mems, config.n_layer, batch, width)
        if mems is None:
            mems = [x.new_zeros(past, batch, width)] * config.n_layer
        places = torch.arange(past + target, device=x.device)  # (S,)
        waves = sinusoids(places.flip(0).clamp(0, config.clamp_len if config.clamp_len > 0 else None), width).to(x.dtype)
        distances = F.pad(self.dropout(waves), (0, 0, 1, 0))[None]  # (1, 1 + S, D): the first query starts at place T
        back = places[past:, None] - places  # (T, S)
        hidden = (back < 0) | (back >= config.mem_len) if config.same_length else back < 0
        mask = hide(hidden, x.dtype)
        want_weights = config.output_attentions if output_attentions is None else output_attentions
        want_states = config.output_hidden_states if output_hidden_states is None else output_hidden_states
        head_masks = per_layer(head_mask, len(self.layers), self.config.num_attention_heads)
        states: tuple[Tensor, ...] = ()
        attentions: tuple[Tensor, ...] = ()
        new_mems = []
        for number, layer in enumerate(self.layers):
            states += (x,) if want_states else ()
            source = torch.cat([mems[number].transpose(0, 1), x], 1)  # (B, S, D)
            new_mems.append(source[:, max(0, past + target - config.mem_len):].transpose(0, 1).detach())
            x, weights = layer(x, source, distances, mask, head_masks[number], want_weights)
            attentions += (weights,) if want_weights else ()
        x = self.dropout(x)
        states += (x,) if want_states else ()
        return MemoryModelOutput(x, new_mems if config.mem_len else None, states or None, attentions or None)


class TransfoXLLMHeadModel(PreTrainedModel, LanguageModel):
    """A probability for every word of the vocabulary: which one comes next?"""

    config_class = TransfoXLConfig

    def __init__(self, config: TransfoXLConfig):
        super().__init__(config)
        self.transformer = TransfoXLModel(config)
        self.softmax = AdaptiveSoftmax(config)
        self.post_init()

    resize_token_embeddings = resize  # type: ignore[assignment]

    def tie_weights(self) -> None:
        """The tables of words serve input and output, and so do the projections that the config names."""
        tokens, config = self.transformer.tokens, self.config
        for layer, table in zip(self.softmax.layers, tokens.tables, strict=True):
            layer.weight = table.weight if config.tie_word_embeddings else layer.weight
        shared = config.tie_projs or [False] + [config.proj_share_all_but_first] * len(config.cutoffs)
        for number, projection in enumerate(self.softmax.projections):
            if shared[number]:
                projection.weight = tokens.projections[number if config.div_val > 1 else 0].weight

    def tied_names(self) -> set[str]:
        body = {id(weight) for weight in self.transformer.parameters()}
        return {name for name, weight in self.softmax.named_parameters("softmax", remove_duplicate=False) if id(weight) in body}

    reads_padding = True

    def next_inputs(self, ids: Tensor, mask: Tensor | None, memory: Any = None) -> dict[str, Any]:
        """The last token and the states of all before it; where nothing is to be remembered, all of the text."""
        return {"input_ids": ids[:, -1:] if memory else ids, "mems": memory}

    def forward(self, input_ids: Tensor | None = None, mems: Sequence[Tensor] | None = None, labels: Tensor | None = None,
                logits_to_keep: int = 0, **inputs: Any) -> AdaptiveLMOutput:
        """labels (B, T): the tokens themselves, -100 where nothing is to be guessed; the shift by one happens here.
        logits_to_keep: scores for so many last positions only, 0 = all."""
        body = self.transformer(input_ids, mems, return_dict=True, **inputs)
        x, more = body.last_hidden_state, (body.mems, body.hidden_states, body.attentions)
        if labels is None:
            return AdaptiveLMOutput(None, self.softmax(x[:, -logits_to_keep:]), *more)  # (B, T, V)
        check_labels(labels)
        if labels.shape != x.shape[:2]:
            raise ValueError(f"labels has the shape {tuple(labels.shape)}, the texts have {tuple(x.shape[:2])}")
        wanted = labels[:, 1:].flatten()  # (B * (T - 1),)
        counts = wanted != -100
        check_ids("labels", wanted[counts], self.config.vocab_size, "Positions that do not count have the label -100")
        losses = self.softmax.losses(x[:, :-1].flatten(0, 1), wanted)
        return AdaptiveLMOutput(losses[counts].mean(), None, *more, losses.unflatten(0, (len(x), -1)))


class TransfoXLForSequenceClassification(PreTrainedModel):
    """One label for a text, read from its last token, the only one that has seen everything."""

    config_class = TransfoXLConfig

    def __init__(self, config: TransfoXLConfig):
        super().__init__(config)
        self.transformer = TransfoXLModel(config)
        self.score = nn.Linear(config.d_model, config.num_labels, bias=False)
        self.post_init()

    resize_token_embeddings = resize  # type: ignore[assignment]

    def forward(self, input_ids: Tensor | None = None, mems: Sequence[Tensor] | None = None, labels: Tensor | None = None,
                **inputs: Any) -> MemoryHeadOutput:
        """labels (B,) class numbers; (B, L) floats for several labels a text; see course.heads.classification_loss."""
        body = self.transformer(input_ids, mems, return_dict=True, **inputs)
        logits = self.score(last_token(body.last_hidden_state, input_ids, self.config.pad_token_id))  # (B, L)
        loss = classification_loss(logits, labels, self.config)
        return MemoryHeadOutput(loss, logits, body.mems, body.hidden_states, body.attentions)


def check_mems(mems: Sequence[Tensor], layers: int, batch: int, width: int) -> int:
    """How many positions are remembered. Raises ValueError for what is no memory of these texts."""
    shapes = [tuple(m.shape) for m in mems]
    if len(shapes) != layers or len(set(shapes)) != 1 or len(shapes[0]) != 3 or shapes[0][1:] != (batch, width):
        raise ValueError(f"mems must be what the call for the segment before returned: {layers} tensors of the shape "
                         f"(length, {batch}, {width}), got {shapes}. Rows of a batch keep their places from segment to segment")
    return shapes[0][0]


def from_checkpoint(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The files hold the matrices of q, k and v as one, and call a projection by its number alone."""
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        if ".qkv_net." in name:
            found |= {name.replace("qkv_net", part): piece for part, piece in zip("qkv", value.chunk(3), strict=True)}
        else:
            found[re.sub(r"(_projs\.\d+)$", r"\1.weight", name)] = value
    return found


def to_checkpoint(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of from_checkpoint. Biases that layers share are stored for each, and the lengths of the waves once."""
    found = {}
    for name, value in weights.items():
        layer, _, part = name.partition(".dec_attn.")
        body = layer.rpartition("layers.")[0]
        if part == "q.weight":
            found[f"{layer}.dec_attn.qkv_net.weight"] = torch.cat([weights[f"{layer}.dec_attn.{p}.weight"] for p in "qkv"])
            found |= {f"{layer}.dec_attn.{bias}": weights[body + bias].clone() for bias in ("r_w_bias", "r_r_bias")
                      if body + bias in weights}
            found[f"{body}pos_emb.inv_freq"] = 1 / 10000.0 ** (torch.arange(0, value.shape[1], 2) / value.shape[1])
        elif part not in ("k.weight", "v.weight"):
            found[re.sub(r"(_projs\.\d+)\.weight$", r"\1", name)] = value
    return found


HF_NAMES = {
    "transformer.word_emb.emb_layers.#.*": "transformer.tokens.tables.#.*",
    "transformer.word_emb.emb_projs.#.*": "transformer.tokens.projections.#.*",
    "transformer.pos_emb.inv_freq": None,                                   # lengths of the waves
    "transformer.r_w_bias": "transformer.biases.content", "transformer.r_r_bias": "transformer.biases.distance",
    **{f"transformer.layers.#.{theirs}": f"transformer.layers.#.{ours}" for theirs, ours in {
        "dec_attn.q.*": "attention.q.*", "dec_attn.k.*": "attention.k.*", "dec_attn.v.*": "attention.v.*",  # one: qkv_net
        "dec_attn.o_net.*": "attention.out.*", "dec_attn.r_net.*": "attention.r.*",
        "dec_attn.r_w_bias": "attention.biases.content", "dec_attn.r_r_bias": "attention.biases.distance",
        "dec_attn.layer_norm.*": "attention_norm.*", "pos_ff.layer_norm.*": "norm.*",
        "pos_ff.CoreNet.0.*": "feed_forward.up.*", "pos_ff.CoreNet.3.*": "feed_forward.down.*"}.items()},
    "crit.cluster_weight": "softmax.clusters.weight",
    "crit.cluster_bias": "softmax.clusters.bias",
    "crit.out_layers.#.*": "softmax.layers.#.*",
    "crit.out_projs.#.*": "softmax.projections.#.*",
    "score.weight": "score.weight",
}
