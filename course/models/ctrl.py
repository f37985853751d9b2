"""CTRL: Keskar et al. 2019, https://arxiv.org/abs/1909.05858

What is new versus GPT-2:
- the first token is a control code ("Reviews", "Wikipedia", …) that says what kind of text is to follow
- positions are fixed sine waves, and embeddings are multiplied by the root of their width before those are added
- relu in the feed-forward network, no dropout on the attention weights; the predictions have a bias
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from course.config import ModelConfig
from course.generation import LanguageModel
from course.heads import causal_lm_loss, classification_loss, last_token
from course.inputs import check_ids, check_inputs, per_layer
from course.modeling import PreTrainedModel
from course.nn import Embedding, FeedForward, KeyValueCache, MultiHeadAttention, PreNormBlock, make_mask, sinusoids
from course.outputs import BaseModelOutputWithPast, CausalLMOutputWithPast, SequenceClassifierOutput

EPS = 1e-6                                          # of the norms inside the layers, whatever the config says


@dataclass(init=False, repr=False, eq=False)
class CTRLConfig(ModelConfig):
    """The defaults are Salesforce/ctrl."""

    model_type: ClassVar[str] = "ctrl"
    prefix: ClassVar[str] = "transformer"
    aliases: ClassVar[dict[str, str]] = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer",
                                         "num_attention_heads": "n_head", "intermediate_size": "dff",
                                         "max_position_embeddings": "n_positions"}
    unused: ClassVar[tuple[str, ...]] = ("n_ctx", "summary_type", "summary_use_proj", "summary_activation",
                                          "summary_proj_to_labels", "summary_first_dropout")

    vocab_size: int = 246534
    n_positions: int = 256
    n_embd: int = 1280                              # D
    dff: int = 8192
    n_layer: int = 48
    n_head: int = 16                                # H
    resid_pdrop: float = 0.1                        # dropout after attention and feed-forward
    embd_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-6
    initializer_range: float = 0.02
    use_cache: bool = True
    pad_token_id: int | None = None


class CTRLModel(PreTrainedModel):
    """Token ids -> one vector per token, made of it and the tokens before it."""

    config_class = CTRLConfig

    def __init__(self, config: CTRLConfig):
        super().__init__(config)
        width = config.n_embd
        self.tokens = Embedding(config.vocab_size, width)
        self.dropout = nn.Dropout(config.embd_pdrop)
        self.layers = nn.ModuleList(
            PreNormBlock(MultiHeadAttention(width, config.n_head, causal=True),
                         FeedForward(width, config.dff, "relu", config.resid_pdrop), width, EPS, config.resid_pdrop)
            for _ in range(config.n_layer))
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_epsilon)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, past_key_values: KeyValueCache | None = None,
                attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None,
                position_ids: Tensor | None = None, head_mask: Tensor | None = None,
                inputs_embeds: Tensor | None = None, use_cache: bool | None = None,
                output_attentions: bool | None = None,
                output_hidden_states: bool | None = None) -> BaseModelOutputWithPast:
        """input_ids (B, T), or inputs_embeds (B, T, D), of the tokens that are not in past_key_values yet; position_ids,
        token_type_ids (B, T); attention_mask (B, S) for all tokens; head_mask (H,) or (layers, H): 0 switches a head off."""
        use_cache = self.config.use_cache if use_cache is None else use_cache
        cache = KeyValueCache.start(past_key_values, use_cache, len(self.layers))
        past = 0 if cache is None else cache.length
        check_inputs(self.config, input_ids, inputs_embeds, attention_mask, past)
        x = self.tokens(input_ids) if inputs_embeds is None else inputs_embeds  # (B, T, D)
        if token_type_ids is not None:
            x = x + self.tokens(token_type_ids)     # a token type is a word of the vocabulary here
        if position_ids is None:
            position_ids = torch.arange(past, past + x.shape[1], device=x.device)
        check_ids("position_ids", position_ids, self.config.n_positions)
        waves = sinusoids(torch.arange(self.config.n_positions, device=x.device), x.shape[2]).to(x.dtype)
        x = self.dropout(x * x.shape[2]**0.5 + waves[position_ids])
        mask = make_mask(attention_mask, x, past, causal=True)  # (B, 1, 1 or T, S) or None
        want_weights = self.config.output_attentions if output_attentions is None else output_attentions
        want_states = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        head_masks = per_layer(head_mask, len(self.layers), self.config.num_attention_heads)
        states: tuple[Tensor, ...] = ()
        attentions: tuple[Tensor, ...] = ()
        for number, layer in enumerate(self.layers):
            states += (x,) if want_states else ()
            x, weights = layer(x, mask, head_masks[number], want_weights, cache=cache and cache.layers[number])
            attentions += (weights,) if want_weights else ()
        x = self.norm(x)
        states += (x,) if want_states else ()       # the last state is the normalised one
        return BaseModelOutputWithPast(x, cache if use_cache else None, states or None, attentions or None)


class CTRLLMHeadModel(PreTrainedModel, LanguageModel):
    """A score for every word of the vocabulary: which one comes next?"""

    config_class = CTRLConfig

    def __init__(self, config: CTRLConfig):
        super().__init__(config)
        self.transformer = CTRLModel(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    def forward(self, input_ids: Tensor | None = None, past_key_values: KeyValueCache | None = None,
                attention_mask: Tensor | None = None, labels: Tensor | None = None, logits_to_keep: int = 0,
                **inputs: Any) -> CausalLMOutputWithPast:
        """labels (B, T): the tokens themselves, -100 where nothing is to be guessed; the shift by one happens here.
        logits_to_keep: scores for so many last positions only, 0 = all."""
        body = self.transformer(input_ids, past_key_values, attention_mask, return_dict=True, **inputs)
        logits = self.lm_head(body.last_hidden_state[:, -logits_to_keep:])  # (B, T, V)
        loss = causal_lm_loss(logits, labels)
        return CausalLMOutputWithPast(loss, logits, body.past_key_values, body.hidden_states, body.attentions)


class CTRLForSequenceClassification(PreTrainedModel):
    """One label for a text, read from its last token, the only one that has seen everything."""

    config_class = CTRLConfig

    def __init__(self, config: CTRLConfig):
        super().__init__(config)
        self.transformer = CTRLModel(config)
        self.classifier = nn.Linear(config.n_embd, config.num_labels, bias=False)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> SequenceClassifierOutput:
        """labels (B,) class numbers; (B, L) floats for several labels a text; see course.heads.classification_loss."""
        body = self.transformer(input_ids, attention_mask=attention_mask, return_dict=True, **inputs)
        logits = self.classifier(last_token(body.last_hidden_state, input_ids, self.config.pad_token_id))  # (B, L)
        loss = classification_loss(logits, labels, self.config)
        return SequenceClassifierOutput(loss, logits, body.hidden_states, body.attentions)


HF_NAMES = {
    "transformer.w.*": "transformer.tokens.*",
    "transformer.h.#.layernorm1.*": "transformer.layers.#.attention_norm.*",
    "transformer.h.#.multi_head_attention.Wq.*": "transformer.layers.#.attention.q.*",
    "transformer.h.#.multi_head_attention.Wk.*": "transformer.layers.#.attention.k.*",
    "transformer.h.#.multi_head_attention.Wv.*": "transformer.layers.#.attention.v.*",
    "transformer.h.#.multi_head_attention.dense.*": "transformer.layers.#.attention.out.*",
    "transformer.h.#.layernorm2.*": "transformer.layers.#.norm.*",
    "transformer.h.#.ffn.0.*": "transformer.layers.#.feed_forward.up.*",
    "transformer.h.#.ffn.2.*": "transformer.layers.#.feed_forward.down.*",
    "transformer.layernorm.*": "transformer.norm.*",
    "lm_head.*": "lm_head.*",
    "classifier.*": "classifier.*",
}
