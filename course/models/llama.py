"""Llama: Touvron et al. 2023, https://arxiv.org/abs/2302.13971; SmolLM2, TinyLlama and others are the same network.
Qwen2: Yang et al. 2024, https://arxiv.org/abs/2407.10671

What is new versus GPT-2:
- rotary positions: queries and keys are turned by an angle that grows with the position; nothing is added to the words
- RMSNorm instead of LayerNorm, and no biases (Qwen2 has some, for queries, keys and values)
- a feed-forward network with a gate
- grouped heads: several queries share one head of keys and values, which keeps the cache small
"""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from course.config import ModelConfig
from course.generation import LanguageModel
from course.heads import causal_lm_loss, classification_loss, cross_entropy, last_token, span_loss
from course.inputs import check_inputs, per_layer
from course.modeling import PreTrainedModel
from course.nn import (
    Embedding,
    GatedFeedForward,
    KeyValueCache,
    MultiHeadAttention,
    PreNormBlock,
    RMSNorm,
    Rotary,
    make_mask,
    rotary_frequencies,
)
from course.outputs import (
    BaseModelOutputWithPast,
    CausalLMOutputWithPast,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)


@dataclass(init=False, repr=False, eq=False)
class LlamaConfig(ModelConfig):
    """The defaults are Llama 1 with 7 billion weights."""

    model_type: ClassVar[str] = "llama"
    prefix: ClassVar[str] = "model"
    unused: ClassVar[tuple[str, ...]] = ("pretraining_tp",)

    vocab_size: int = 32000
    hidden_size: int = 4096                         # D
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32                   # H, of the queries
    num_key_value_heads: int | None = None          # None: as many
    head_dim: int | None = None                     # d; None: hidden_size / num_attention_heads
    hidden_act: str = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = False
    rope_theta: float = 10000.0                     # the larger, the longer the slowest wave
    rope_scaling: dict[str, Any] | None = None      # see course.nn.rotary_frequencies
    rope_parameters: dict[str, Any] | None = None   # the newer way to say both
    attention_bias: bool = False
    attention_dropout: float = 0.0
    classifier_dropout: float | None = None         # None: 0.1
    mlp_bias: bool = False

    @property
    def head_width(self) -> int:
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def biases(self) -> tuple[bool, bool]:
        """Have queries, keys and values a bias; has the attention's output one?"""
        return self.attention_bias, self.attention_bias

    def check(self) -> None:
        super().check()
        scaling = self.rope_parameters                # transformers 5 writes rope_theta and rope_scaling as one
        if scaling is not None:
            if any(isinstance(part, dict) for part in scaling.values()):
                raise ValueError(f"{type(self).__name__}: in rope_parameters every kind of layer has its own, which is not "
                                 f"written here: {str(scaling)[:200]}")
            self.rope_theta = scaling.get("rope_theta", self.rope_theta)
            rest = {name: value for name, value in scaling.items() if name != "rope_theta"}
            self.rope_scaling = rest if rest.get("rope_type", "default") != "default" else None
            self.rope_parameters = None
        groups = self.num_key_value_heads
        if groups is not None and (groups < 1 or self.num_attention_heads % groups):
            raise ValueError(f"{type(self).__name__}: {self.num_attention_heads} heads cannot share "
                             f"num_key_value_heads={groups} heads of keys and values evenly")
        rotary_frequencies(2, self.rope_theta, self.rope_scaling)             # refuses a scaling that it does not know


@dataclass(init=False, repr=False, eq=False)
class Qwen2Config(LlamaConfig):
    """Llama with biases on queries, keys and values."""

    model_type: ClassVar[str] = "qwen2"
    unused: ClassVar[tuple[str, ...]] = ("sliding_window", "max_window_layers")     # without use_sliding_window

    vocab_size: int = 151936
    intermediate_size: int = 22016
    num_key_value_heads: int | None = 32
    max_position_embeddings: int = 32768
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    use_sliding_window: bool = False

    @property
    def biases(self) -> tuple[bool, bool]:
        return True, False

    def check(self) -> None:
        super().check()
        if self.use_sliding_window:
            raise ValueError("use_sliding_window=True is not supported: load with use_sliding_window=False, which gives "
                             "the same numbers for texts shorter than the window")


class LlamaModel(PreTrainedModel):
    """Token ids -> one vector per token, made of it and the tokens before it."""

    config_class = LlamaConfig

    def __init__(self, config: LlamaConfig):
        super().__init__(config)
        width, eps, (bias, out_bias) = config.hidden_size, config.rms_norm_eps, config.biases
        self.tokens = Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.layers = nn.ModuleList(
            PreNormBlock(
                MultiHeadAttention(width, config.num_attention_heads, config.attention_dropout, bias=bias,
                                   out_bias=out_bias, kv_heads=config.num_key_value_heads,
                                   head_width=config.head_width, causal=True),
                GatedFeedForward(width, config.intermediate_size, config.hidden_act, bias=config.mlp_bias),
                width, eps, norm=RMSNorm)
            for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(width, eps)
        self.rotary = Rotary()
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                position_ids: Tensor | None = None, past_key_values: KeyValueCache | None = None,
                inputs_embeds: Tensor | None = None, use_cache: bool | None = None, head_mask: Tensor | None = None,
                output_attentions: bool | None = None,
                output_hidden_states: bool | None = None) -> BaseModelOutputWithPast:
        """input_ids (B, T), or inputs_embeds (B, T, D), of the tokens that are not in past_key_values yet; position_ids
        (B, T); attention_mask (B, S) for all tokens; head_mask (H,) or (layers, H): 0 switches a head off."""
        use_cache = self.config.use_cache if use_cache is None else use_cache
        cache = KeyValueCache.start(past_key_values, use_cache, len(self.layers))
        past = 0 if cache is None else cache.length
        check_inputs(self.config, input_ids, inputs_embeds, attention_mask, past)
        x = self.tokens(input_ids) if inputs_embeds is None else inputs_embeds  # (B, T, D)
        if position_ids is None:
            position_ids = torch.arange(past, past + x.shape[1], device=x.device)[None]  # (1, T)
        rotate = self.rotary(position_ids, x.dtype, self.config.head_width, self.config.rope_theta, self.config.rope_scaling)
        mask = make_mask(attention_mask, x, past, causal=True)  # (B, 1, 1 or T, S) or None
        want_weights = self.config.output_attentions if output_attentions is None else output_attentions
        want_states = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        head_masks = per_layer(head_mask, len(self.layers), self.config.num_attention_heads)
        states: tuple[Tensor, ...] = ()
        attentions: tuple[Tensor, ...] = ()
        for number, layer in enumerate(self.layers):
            states += (x,) if want_states else ()
            x, weights = layer(x, mask, head_masks[number], want_weights, rotate, cache and cache.layers[number])
            attentions += (weights,) if want_weights else ()
        x = self.norm(x)
        states += (x,) if want_states else ()       # the last state is the normalised one
        return BaseModelOutputWithPast(x, cache if use_cache else None, states or None, attentions or None)


class LlamaForCausalLM(PreTrainedModel, LanguageModel):
    """A score for every word of the vocabulary: which one comes next?"""

    config_class = LlamaConfig

    def __init__(self, config: LlamaConfig):
        super().__init__(config)
        self.model = LlamaModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, logits_to_keep: int = 0, **inputs: Any) -> CausalLMOutputWithPast:
        """labels (B, T): the tokens themselves, -100 where nothing is to be guessed; the shift by one happens here.
        logits_to_keep: scores for so many last positions only, 0 = all."""
        body = self.model(input_ids, attention_mask, return_dict=True, **inputs)
        logits = self.lm_head(body.last_hidden_state[:, -logits_to_keep:])  # (B, T, V)
        loss = causal_lm_loss(logits, labels)
        return CausalLMOutputWithPast(loss, logits, body.past_key_values, body.hidden_states, body.attentions)


class LlamaForSequenceClassification(PreTrainedModel):
    """One label for a text, read from its last token, the only one that has seen everything."""

    config_class = LlamaConfig

    def __init__(self, config: LlamaConfig):
        super().__init__(config)
        self.model = LlamaModel(config)
        self.score = nn.Linear(config.hidden_size, config.num_labels, bias=False)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> SequenceClassifierOutput:
        """labels (B,) class numbers; (B, L) floats for several labels a text; see course.heads.classification_loss."""
        body = self.model(input_ids, attention_mask, return_dict=True, **inputs)
        logits = self.score(last_token(body.last_hidden_state, input_ids, self.config.pad_token_id))  # (B, L)
        loss = classification_loss(logits, labels, self.config)
        return SequenceClassifierOutput(loss, logits, body.hidden_states, body.attentions)


class LlamaForTokenClassification(PreTrainedModel):
    """One label for every token, which has seen what came before it."""

    config_class = LlamaConfig

    def __init__(self, config: LlamaConfig):
        super().__init__(config)
        self.model = LlamaModel(config)
        self.dropout = nn.Dropout(0.1 if config.classifier_dropout is None else config.classifier_dropout)
        self.score = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> TokenClassifierOutput:
        """labels (B, T) class numbers, -100 for tokens that do not count."""
        body = self.model(input_ids, attention_mask, return_dict=True, **inputs)
        logits = self.score(self.dropout(body.last_hidden_state))  # (B, T, L)
        return TokenClassifierOutput(cross_entropy(logits, labels), logits, body.hidden_states, body.attentions)


class LlamaForQuestionAnswering(PreTrainedModel):
    """Where in the second text the answer to the first begins and ends."""

    config_class = LlamaConfig

    def __init__(self, config: LlamaConfig):
        super().__init__(config)
        self.model = LlamaModel(config)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                start_positions: Tensor | None = None, end_positions: Tensor | None = None,
                **inputs: Any) -> QuestionAnsweringModelOutput:
        """start_positions, end_positions (B,): first and last token of the answer."""
        body = self.model(input_ids, attention_mask, return_dict=True, **inputs)
        start, end = self.qa_outputs(body.last_hidden_state).unbind(-1)  # (B, T) each
        loss = span_loss(start, end, start_positions, end_positions)
        return QuestionAnsweringModelOutput(loss, start, end, body.hidden_states, body.attentions)


class Qwen2Model(LlamaModel):
    config_class = Qwen2Config


class Qwen2ForCausalLM(LlamaForCausalLM):
    config_class = Qwen2Config


class Qwen2ForSequenceClassification(LlamaForSequenceClassification):
    config_class = Qwen2Config


class Qwen2ForTokenClassification(LlamaForTokenClassification):
    config_class = Qwen2Config


class Qwen2ForQuestionAnswering(LlamaForQuestionAnswering):
    config_class = Qwen2Config


def from_checkpoint(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The files of question answering call the body transformer."""
    return {re.sub(r"^transformer\.", "model.", name): value for name, value in weights.items()}


def to_checkpoint(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of from_checkpoint."""
    body = "transformer." if "qa_outputs.weight" in weights else "model."
    return {re.sub(r"^model\.", body, name): value for name, value in weights.items()}


HF_NAMES = {
    "model.embed_tokens.*": "model.tokens.*",
    "model.layers.#.input_layernorm.weight": "model.layers.#.attention_norm.weight",
    "model.layers.#.self_attn.q_proj.*": "model.layers.#.attention.q.*",
    "model.layers.#.self_attn.k_proj.*": "model.layers.#.attention.k.*",
    "model.layers.#.self_attn.v_proj.*": "model.layers.#.attention.v.*",
    "model.layers.#.self_attn.o_proj.*": "model.layers.#.attention.out.*",
    "model.layers.#.self_attn.rotary_emb.inv_freq": None,                   # follows from rope_theta
    "model.layers.#.post_attention_layernorm.weight": "model.layers.#.norm.weight",
    "model.layers.#.mlp.gate_proj.*": "model.layers.#.feed_forward.gate.*",
    "model.layers.#.mlp.up_proj.*": "model.layers.#.feed_forward.up.*",
    "model.layers.#.mlp.down_proj.*": "model.layers.#.feed_forward.down.*",
    "model.norm.weight": "model.norm.weight",
    "lm_head.weight": "lm_head.weight",
    "score.*": "score.*",
    "qa_outputs.*": "qa_outputs.*",
}
