"""XLNet: Yang et al. 2019, https://arxiv.org/abs/1906.08237

What is new versus Transformer-XL:
- words are predicted in any order: perm_mask says which positions each one may look at, so both sides of a gap can count
- two streams: the content stream knows every word; the query stream (target_mapping) knows where the word to be guessed
  stands and what the content stream says of its context, never the word itself
- distances to both sides, and "another text" as a third part of the scores: of a pair only same or different is known
- ordinary embeddings and softmax; the memory starts empty; gelu; texts are padded on the left and end with [CLS]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.config import ModelConfig
from course.generation import LanguageModel
from course.heads import classification_loss, cross_entropy, span_loss
from course.inputs import check_inputs, per_layer
from course.modeling import PreTrainedModel
from course.models.transfo_xl import RelativeAttention, check_mems
from course.nn import ACTIVATIONS, Embedding, FeedForward, PostNormBlock, hide, sinusoids
from course.outputs import MemoryHeadOutput, MemoryModelOutput, MemoryQuestionAnsweringOutput


@dataclass(init=False, repr=False, eq=False)
class XLNetConfig(ModelConfig):
    """The defaults are xlnet-large-cased."""

    model_type: ClassVar[str] = "xlnet"
    prefix: ClassVar[str] = "transformer"
    aliases: ClassVar[dict[str, str]] = {"hidden_size": "d_model", "num_hidden_layers": "n_layer", "n_token": "vocab_size",
                                         "num_attention_heads": "n_head", "intermediate_size": "d_inner",
                                         "hidden_act": "ff_activation"}
    unused: ClassVar[tuple[str, ...]] = ("untie_r", "start_n_top", "end_n_top")

    vocab_size: int = 32000
    d_model: int = 1024                             # D
    n_layer: int = 24
    n_head: int = 16                                # H
    d_inner: int = 4096
    ff_activation: str = "gelu"
    attn_type: str = "bi"                           # "uni": nothing looks ahead
    bi_data: bool = False                           # the second half of a batch is read backwards
    clamp_len: int = -1                             # distances beyond count as this one; -1: they all differ
    same_length: bool = False                       # with "uni": every position looks back at just as many
    mem_len: int | None = 512                       # positions remembered; 0 or None: all
    reuse_len: int | None = None                    # only so many of a segment's first positions are remembered; 0 or None: all
    use_mems_eval: bool = True
    use_mems_train: bool = False
    dropout: float = 0.1
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    summary_type: str = "last"                      # what stands for a text: last, first or mean
    summary_use_proj: bool = True
    summary_activation: str | None = "tanh"
    summary_last_dropout: float = 0.1
    pad_token_id: int = 5
    bos_token_id: int = 1
    eos_token_id: int = 2

    def check(self) -> None:
        super().check()
        for name, known in (("attn_type", ("bi", "uni")), ("summary_type", ("last", "first", "mean"))):
            if getattr(self, name) not in known:
                raise ValueError(f"XLNetConfig: {name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")


class XLNetAttention(RelativeAttention):
    """Relative attention that also knows whether two positions belong to the same text (section 2.5)."""

    def __init__(self, config: XLNetConfig):
        super().__init__(config.d_model, config.n_head, config.d_model // config.n_head, config.dropout)
        shape = config.n_head, self.head_width
        self.biases["segment"] = nn.Parameter(torch.zeros(shape))
        self.segments = nn.Parameter(torch.randn(2, *shape) * config.initializer_range)   # same text, another text

    def flops(self, length: int) -> int:
        """Distances go both ways: there are twice as many, to be made by r and to be scored."""
        return super().flops(length) + 2 * self.r.weight.numel() + 2 * length * self.heads * self.head_width

    def pairs(self, q: Tensor, r: Tensor, source: int, other_text: Tensor | None = None) -> Tensor:
        """other_text (B, 1, T, S) -> what is added to the scores (B, H, T, S)."""
        known = super().pairs(q, r, source)
        if other_text is not None:
            q = q + self.biases["segment"][:, None]
            same, other = ((q * segment[:, None]).sum(-1, keepdim=True) for segment in self.segments)     # (B, H, T, 1)
            known = known + torch.where(other_text, other, same)
        return known


class XLNetLayer(PostNormBlock):
    """Both streams ask in their own way and find the same keys and values."""

    attention: XLNetAttention

    def forward(self, x: Tensor, query: Tensor | None, source: Tensor, distances: Tensor,  # type: ignore[override]
                masks: Sequence[Tensor | None], other_text: Tensor | None, targets: Tensor | None, head_mask: Tensor | None,
                need_weights: bool) -> tuple[Tensor, Tensor | None, Any]:
        """x (B, T, D), source (B, S, D), targets (B, N, T) -> x (B, T, D), query (B, N, D), weights of one or both streams."""
        keys = self.attention.keys(source, distances)
        attended, weights = self.attention(x, keys, masks[0], head_mask, need_weights, other_text=other_text)
        x = self.attention_norm(x + self.dropout(attended))
        if query is not None and targets is not None:
            attended, more = self.attention(targets.mT @ query, keys, masks[1], head_mask, need_weights, other_text=other_text)
            query = self.attention_norm(query + self.dropout(targets @ attended))
            query = self.norm(query + self.feed_forward(query))
            weights = (weights, more)
        return self.norm(x + self.feed_forward(x)), query, weights


class XLNetModel(PreTrainedModel):
    """Token ids -> one vector per token; with target_mapping one per position to be guessed."""

    config_class = XLNetConfig

    def __init__(self, config: XLNetConfig):
        super().__init__(config)
        self.tokens = Embedding(config.vocab_size, config.d_model)
        self.unknown = nn.Parameter(torch.randn(1, 1, config.d_model) * config.initializer_range)     # a word to be guessed
        self.layers = nn.ModuleList(
            XLNetLayer(XLNetAttention(config),
                       FeedForward(config.d_model, config.d_inner, config.ff_activation, config.dropout, config.dropout),
                       config.d_model, config.layer_norm_eps, config.dropout)
            for _ in range(config.n_layer))
        self.dropout = nn.Dropout(config.dropout)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                mems: Sequence[Tensor] | None = None, perm_mask: Tensor | None = None, target_mapping: Tensor | None = None,
                token_type_ids: Tensor | None = None, input_mask: Tensor | None = None, head_mask: Tensor | None = None,
                inputs_embeds: Tensor | None = None, use_mems: bool | None = None, output_attentions: bool | None = None,
                output_hidden_states: bool | None = None) -> MemoryModelOutput:
        """input_ids (B, T), or inputs_embeds (B, T, D); attention_mask (B, T), or input_mask, its opposite: 1 = padding;
        mems: what the call for the segment before returned; perm_mask (B, T, T): 1 where i must not look at j;
        target_mapping (B, N, T): 1 at the position of each of N words to be guessed; token_type_ids (B, T); head_mask (H,)
        or (layers, H). With two streams hidden_states holds both in turn, attentions a pair for each layer."""
        config = self.config
        if attention_mask is not None and input_mask is not None:
            raise ValueError("give attention_mask (1 = text) or input_mask (1 = padding), not both")
        check_inputs(self.config, input_ids, inputs_embeds, attention_mask)
        x = self.dropout(self.tokens(input_ids) if inputs_embeds is None else inputs_embeds)  # (B, T, D)
        batch, target, width = x.shape
        for name, value, shape in (("attention_mask", attention_mask, (batch, target)),
                                   ("input_mask", input_mask, (batch, target)),
                                   ("token_type_ids", token_type_ids, (batch, target)),
                                   ("perm_mask", perm_mask, (batch, target, target)),
                                   ("target_mapping", target_mapping, (batch, None, target))):
            if value is not None and (value.dim() != len(shape) or any(
                    wanted not in (None, found) for wanted, found in zip(shape, value.shape, strict=True))):
                raise ValueError(f"{name} has the shape {tuple(value.shape)}, these texts ask for "
                                 f"{tuple('any' if n is None else n for n in shape)}")
        past = 0 if mems is None else check_mems(mems, config.n_layer, batch, width)
        masks = self.masks(x, past, attention_mask, input_mask, perm_mask)
        query, other_text, targets = None, None, None
        if target_mapping is not None:
            targets = target_mapping.to(x.dtype)
            query = self.dropout(self.unknown.expand(batch, targets.shape[1], -1))  # (B, N, D)
        if token_type_ids is not None:
            types = torch.cat([token_type_ids.new_zeros(batch, past), token_type_ids], 1)  # (B, S): the memory counts as 0
            other_text = (token_type_ids[:, :, None] != types[:, None])[:, None]  # (B, 1, T, S)
        distances = self.distances(x, past)
        use_mems = (config.use_mems_train if self.training else config.use_mems_eval) if use_mems is None else use_mems
        want_weights = config.output_attentions if output_attentions is None else output_attentions
        want_states = config.output_hidden_states if output_hidden_states is None else output_hidden_states
        head_masks = per_layer(head_mask, len(self.layers), self.config.num_attention_heads)
        states: tuple[Tensor, ...] = ()
        attentions: tuple[Any, ...] = ()
        new_mems = []
        for number, layer in enumerate(self.layers):
            states += (x,) * want_states + (query,) * (want_states and query is not None)
            source = x if mems is None else torch.cat([mems[number].transpose(0, 1), x], 1)  # (B, S, D)
            if use_mems:
                kept = source[:, :past + (config.reuse_len or target)]
                new_mems.append(kept[:, -(config.mem_len or 0):].transpose(0, 1).detach())
            x, query, weights = layer(x, query, source, distances, masks, other_text, targets, head_masks[number], want_weights)
            attentions += (weights,) if want_weights else ()
        states += (x,) * want_states + (query,) * (want_states and query is not None)
        return MemoryModelOutput(self.dropout(x if query is None else query), new_mems if use_mems else None,
                                 states or None, attentions or None)

    def masks(self, x: Tensor, past: int, attention_mask: Tensor | None, input_mask: Tensor | None,
              perm_mask: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """What is added to the scores of the content stream, in which every position sees itself, and of the query stream,
        in which only the masks count. (B, 1, T, S) or (1, T, S) each, or None."""
        given = [mask for mask in (None if attention_mask is None else attention_mask[:, None] < 1,
                                   None if input_mask is None else input_mask[:, None] > 0,
                                   None if perm_mask is None else perm_mask > 0) if mask is not None]
        if not given and self.config.attn_type == "bi":
            return None, None
        places = torch.arange(past + x.shape[1], device=x.device)
        ahead = places - places[past:, None]                                              # (T, S)
        hidden = ahead > 0 if self.config.attn_type == "uni" else torch.zeros_like(ahead, dtype=torch.bool)
        if self.config.attn_type == "uni" and self.config.same_length:
            hidden = hidden | (ahead < -past)
        for mask in given:
            hidden = hidden | F.pad(mask, (past, 0))                                      # (1 or B, T, S)
        content, query = (hide(h, x.dtype).unsqueeze(-3) for h in (hidden & (ahead != 0), hidden))
        return content, query

    def distances(self, x: Tensor, past: int) -> Tensor:
        """Waves for all distances in falling order, from that of the last position to a memory before the first one on:
        (1, P, D), or with bi_data (B, P, D), where the second half of the batch reads backwards."""
        batch, target, width = x.shape
        last = -target if self.config.attn_type == "bi" else -1
        distance = torch.arange(past + target, last, -1, device=x.device)                 # (P,)
        if self.config.clamp_len > 0:
            distance = distance.clamp(-self.config.clamp_len, self.config.clamp_len)
        if not self.config.bi_data:
            return self.dropout(sinusoids(distance, width).to(x.dtype))[None]
        if batch % 2:
            raise ValueError(f"with bi_data one half of the batch is read backwards, so a batch has an even number of "
                             f"texts; got {batch}")
        both = torch.stack([sinusoids(distance, width), sinusoids(-distance, width)]).to(x.dtype)
        return self.dropout(both.repeat_interleave(batch // 2, 0))


class XLNetLMHeadModel(PreTrainedModel, LanguageModel):
    """A score for every piece of the vocabulary, at each position or for each word of target_mapping."""

    config_class = XLNetConfig

    def __init__(self, config: XLNetConfig):
        super().__init__(config)
        self.transformer = XLNetModel(config)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    reads_padding = True

    def next_inputs(self, ids: Tensor, mask: Tensor | None, memory: Any = None) -> dict[str, Any]:
        """A token to be guessed is put behind the text, and nobody else sees it. The memory is used without its last two
        states: that guess, and the token before it, which is read anew together with the one that was guessed."""
        ids = torch.cat([ids if memory is None else ids[:, -2:], ids.new_zeros(len(ids), 1)], 1)
        perm_mask, target_mapping = torch.zeros(2, len(ids), ids.shape[1], ids.shape[1], device=ids.device)
        perm_mask[:, :, -1] = target_mapping[:, 0, -1] = 1.0
        return {"input_ids": ids, "perm_mask": perm_mask, "target_mapping": target_mapping[:, :1],
                "mems": None if memory is None else [mem[:-2] for mem in memory]}

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                mems: Sequence[Tensor] | None = None, labels: Tensor | None = None, logits_to_keep: int = 0,
                **inputs: Any) -> MemoryHeadOutput:
        """labels (B, T), or (B, N) with target_mapping: the words themselves, -100 where nothing is to be guessed; nothing is
        shifted here. logits_to_keep: scores for so many last positions only, 0 = all."""
        body = self.transformer(input_ids, attention_mask, mems, return_dict=True, **inputs)
        logits = self.lm_head(body.last_hidden_state[:, -logits_to_keep:])  # (B, T or N, V)
        return MemoryHeadOutput(cross_entropy(logits, labels), logits, body.mems, body.hidden_states, body.attentions)


class Summary(nn.Module):
    """One vector for a text."""

    def __init__(self, config: XLNetConfig):
        super().__init__()
        self.kind = config.summary_type
        self.dense = nn.Linear(config.d_model, config.d_model) if config.summary_use_proj else nn.Identity()
        self.activation = ACTIVATIONS[config.summary_activation] if config.summary_activation else nn.Identity()
        self.dropout = nn.Dropout(config.summary_last_dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, D)."""
        x = x.mean(1) if self.kind == "mean" else x[:, 0 if self.kind == "first" else -1]
        return self.dropout(self.activation(self.dense(x)))


class XLNetForSequenceClassification(PreTrainedModel):
    """One label for a text or a pair of texts, read from its last token, [CLS]."""

    config_class = XLNetConfig

    def __init__(self, config: XLNetConfig):
        super().__init__(config)
        self.transformer = XLNetModel(config)
        self.summary = Summary(config)
        self.logits_proj = nn.Linear(config.d_model, config.num_labels)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                mems: Sequence[Tensor] | None = None, labels: Tensor | None = None, **inputs: Any) -> MemoryHeadOutput:
        """labels (B,) class numbers; (B, L) floats for several labels a text; see course.heads.classification_loss."""
        body = self.transformer(input_ids, attention_mask, mems, return_dict=True, **inputs)
        logits = self.logits_proj(self.summary(body.last_hidden_state))  # (B, L)
        loss = classification_loss(logits, labels, self.config)
        return MemoryHeadOutput(loss, logits, body.mems, body.hidden_states, body.attentions)


class XLNetForTokenClassification(PreTrainedModel):
    """One label for every token."""

    config_class = XLNetConfig

    def __init__(self, config: XLNetConfig):
        super().__init__(config)
        self.transformer = XLNetModel(config)
        self.classifier = nn.Linear(config.d_model, config.num_labels)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                mems: Sequence[Tensor] | None = None, labels: Tensor | None = None, **inputs: Any) -> MemoryHeadOutput:
        """labels (B, T) class numbers, -100 for tokens that do not count."""
        body = self.transformer(input_ids, attention_mask, mems, return_dict=True, **inputs)
        logits = self.classifier(body.last_hidden_state)  # (B, T, L)
        return MemoryHeadOutput(cross_entropy(logits, labels), logits, body.mems, body.hidden_states, body.attentions)


class XLNetForQuestionAnsweringSimple(PreTrainedModel):
    """Where in the second text the answer to the first begins and ends."""

    config_class = XLNetConfig

    def __init__(self, config: XLNetConfig):
        super().__init__(config)
        self.transformer = XLNetModel(config)
        self.qa_outputs = nn.Linear(config.d_model, 2)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                mems: Sequence[Tensor] | None = None, start_positions: Tensor | None = None,
                end_positions: Tensor | None = None, **inputs: Any) -> MemoryQuestionAnsweringOutput:
        """start_positions, end_positions (B,): first and last token of the answer."""
        body = self.transformer(input_ids, attention_mask, mems, return_dict=True, **inputs)
        start, end = self.qa_outputs(body.last_hidden_state).unbind(-1)  # (B, T) each
        loss = span_loss(start, end, start_positions, end_positions)
        return MemoryQuestionAnsweringOutput(loss, start, end, body.mems, body.hidden_states, body.attentions)


def from_checkpoint(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The files hold the matrices of attention in three dimensions, (D, H, d), and all but the last one turned."""
    return {name: (value.flatten(1) if name.endswith(".o") else value.flatten(1).T) if value.dim() == 3
            and ".rel_attn." in name and not name.endswith("seg_embed") else value for name, value in weights.items()}


def to_checkpoint(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of from_checkpoint."""
    found = {}
    for name, value in weights.items():
        owner, _, last = name.rpartition(".")
        if owner.endswith("rel_attn") and last in "qkvor":
            value = (value if last == "o" else value.T).unflatten(1, weights[f"{owner}.r_w_bias"].shape).contiguous()
        found[name] = value
    return found


HF_NAMES = {
    "transformer.word_embedding.*": "transformer.tokens.*",
    "transformer.mask_emb": "transformer.unknown",
    **{f"transformer.layer.#.rel_attn.{theirs}": f"transformer.layers.#.attention.{ours}" for theirs, ours in {
        "q": "q.weight", "k": "k.weight", "v": "v.weight", "o": "out.weight", "r": "r.weight", "seg_embed": "segments",
        "r_w_bias": "biases.content", "r_r_bias": "biases.distance", "r_s_bias": "biases.segment"}.items()},
    "transformer.layer.#.rel_attn.layer_norm.*": "transformer.layers.#.attention_norm.*",
    "transformer.layer.#.ff.layer_1.*": "transformer.layers.#.feed_forward.up.*",
    "transformer.layer.#.ff.layer_2.*": "transformer.layers.#.feed_forward.down.*",
    "transformer.layer.#.ff.layer_norm.*": "transformer.layers.#.norm.*",
    "lm_loss.*": "lm_head.*",
    "sequence_summary.summary.*": "summary.dense.*",
    "logits_proj.*": "logits_proj.*",
    "classifier.*": "classifier.*",
    "qa_outputs.*": "qa_outputs.*",
}
