"""GPT-2: Radford et al. 2019, "Language models are unsupervised multitask learners",
https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf

What is new versus BERT:
- a decoder: every token sees itself and what came before; the model learns by predicting the next token
- so it can write, one token after the other, and remembers keys and values of what it has read (past_key_values)
- pre-norm: each sublayer reads a normalised copy, and one more norm comes after the last layer
- no token types; the words' embeddings also make the predictions (they are tied)
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from course.config import ModelConfig
from course.generation import LanguageModel
from course.heads import causal_lm_loss, classification_loss, cross_entropy, last_token, span_loss
from course.inputs import check_ids, check_inputs, per_layer
from course.modeling import PreTrainedModel
from course.nn import Embedding, FeedForward, KeyValueCache, MultiHeadAttention, PreNormBlock, make_mask
from course.outputs import (
    BaseModelOutputWithPast,
    CausalLMOutputWithPast,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)


@dataclass(init=False, repr=False, eq=False)
class GPT2Config(ModelConfig):
    """The defaults are gpt2, the smallest of four sizes."""

    model_type: ClassVar[str] = "gpt2"
    prefix: ClassVar[str] = "transformer"
    aliases: ClassVar[dict[str, str]] = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer",
                                         "num_attention_heads": "n_head", "intermediate_size": "n_inner",
                                         "max_position_embeddings": "n_positions", "hidden_act": "activation_function"}
    unused: ClassVar[tuple[str, ...]] = ("n_ctx", "summary_type", "summary_use_proj", "summary_activation",
                                          "summary_proj_to_labels", "summary_first_dropout", "reorder_and_upcast_attn")

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768                               # D
    n_layer: int = 12
    n_head: int = 12                                # H
    n_inner: int | None = None                      # None: 4 * n_embd
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.1                        # dropout after attention and feed-forward
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    classifier_dropout: float | None = None         # None: 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    scale_attn_weights: bool = True                 # divide the scores by the root of a head's width
    scale_attn_by_inverse_layer_idx: bool = False   # and by the number of the layer, counted from 1
    use_cache: bool = True
    bos_token_id: int = 50256
    eos_token_id: int = 50256
    pad_token_id: int | None = None


class GPT2Model(PreTrainedModel):
    """Token ids -> one vector per token, made of it and the tokens before it."""

    config_class = GPT2Config

    def __init__(self, config: GPT2Config):
        super().__init__(config)
        width, eps = config.n_embd, config.layer_norm_epsilon
        self.tokens = Embedding(config.vocab_size, width)
        self.positions = Embedding(config.n_positions, width)
        self.dropout = nn.Dropout(config.embd_pdrop)
        self.layers = nn.ModuleList(
            PreNormBlock(
                MultiHeadAttention(width, config.n_head, config.attn_pdrop, scale=self.scale(number), causal=True),
                FeedForward(width, config.n_inner or 4 * width, config.activation_function, config.resid_pdrop),
                width, eps, config.resid_pdrop)
            for number in range(config.n_layer))
        self.norm = nn.LayerNorm(width, eps=eps)
        self.post_init()

    def scale(self, number: int) -> float:
        """By what the scores of a layer are multiplied."""
        scale = (self.config.n_embd // self.config.n_head)**-0.5 if self.config.scale_attn_weights else 1.0
        return scale / (number + 1) if self.config.scale_attn_by_inverse_layer_idx else scale

    @torch.no_grad()
    def init_weights(self, module: nn.Module) -> None:
        super().init_weights(module)
        if isinstance(module, nn.Linear) and any(
                isinstance(owner, MultiHeadAttention) and module is owner.out
                or isinstance(owner, FeedForward) and module is owner.down for owner in self.modules()):
            module.weight.div_((2 * len(self.layers))**0.5)     # 2 additions a layer: the sum keeps its size

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
        if position_ids is None:
            position_ids = torch.arange(past, past + x.shape[1], device=x.device)
        check_ids("position_ids", position_ids, self.positions.num_embeddings)
        x = x + self.positions(position_ids)
        if token_type_ids is not None:
            x = x + self.tokens(token_type_ids)     # a token type is a word of the vocabulary here
        x = self.dropout(x)
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


class GPT2LMHeadModel(PreTrainedModel, LanguageModel):
    """A score for every word of the vocabulary: which one comes next?"""

    config_class = GPT2Config

    def __init__(self, config: GPT2Config):
        super().__init__(config)
        self.transformer = GPT2Model(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
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


class GPT2ForSequenceClassification(PreTrainedModel):
    """One label for a text, read from its last token, the only one that has seen everything."""

    config_class = GPT2Config

    def __init__(self, config: GPT2Config):
        super().__init__(config)
        self.transformer = GPT2Model(config)
        self.score = nn.Linear(config.n_embd, config.num_labels, bias=False)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> SequenceClassifierOutput:
        """labels (B,) class numbers; (B, L) floats for several labels a text; see course.heads.classification_loss."""
        body = self.transformer(input_ids, attention_mask=attention_mask, return_dict=True, **inputs)
        logits = self.score(last_token(body.last_hidden_state, input_ids, self.config.pad_token_id))  # (B, L)
        loss = classification_loss(logits, labels, self.config)
        return SequenceClassifierOutput(loss, logits, body.hidden_states, body.attentions)


class GPT2ForTokenClassification(PreTrainedModel):
    """One label for every token, which has seen what came before it."""

    config_class = GPT2Config

    def __init__(self, config: GPT2Config):
        super().__init__(config)
        self.transformer = GPT2Model(config)
        self.dropout = nn.Dropout(0.1 if config.classifier_dropout is None else config.classifier_dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> TokenClassifierOutput:
        """labels (B, T) class numbers, -100 for tokens that do not count."""
        body = self.transformer(input_ids, attention_mask=attention_mask, return_dict=True, **inputs)
        logits = self.classifier(self.dropout(body.last_hidden_state))  # (B, T, L)
        return TokenClassifierOutput(cross_entropy(logits, labels), logits, body.hidden_states, body.attentions)


class GPT2ForQuestionAnswering(PreTrainedModel):
    """Where in the second text the answer to the first begins and ends."""

    config_class = GPT2Config

    def __init__(self, config: GPT2Config):
        super().__init__(config)
        self.transformer = GPT2Model(config)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                start_positions: Tensor | None = None, end_positions: Tensor | None = None,
                **inputs: Any) -> QuestionAnsweringModelOutput:
        """start_positions, end_positions (B,): first and last token of the answer."""
        body = self.transformer(input_ids, attention_mask=attention_mask, return_dict=True, **inputs)
        start, end = self.qa_outputs(body.last_hidden_state).unbind(-1)  # (B, T) each
        loss = span_loss(start, end, start_positions, end_positions)
        return QuestionAnsweringModelOutput(loss, start, end, body.hidden_states, body.attentions)


def from_checkpoint(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The files hold the matrices of a layer turned, (in, out), and those of q, k and v as one, (in, 3 * out)."""
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        if name.endswith(TURNED):
            value = value.T                         # a view: no copy, and a single token is multiplied faster this way
        if ".c_attn." in name:
            found |= {name.replace("c_attn", part): piece for part, piece in zip("qkv", value.chunk(3), strict=True)}
        else:
            found[name] = value
    return found


def to_checkpoint(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of from_checkpoint."""
    found = {}
    for name, value in weights.items():
        if ".attn.q." in name:
            value = torch.cat([weights[name.replace(".attn.q.", f".attn.{part}.")] for part in "qkv"])
            name = name.replace(".attn.q.", ".attn.c_attn.")
        if name.endswith(TURNED):
            value = value.T.contiguous()
        if ".attn.k." not in name and ".attn.v." not in name:
            found[name] = value
    return found


TURNED = (".c_attn.weight", ".c_proj.weight", ".c_fc.weight")
HF_NAMES = {
    "transformer.wte.*": "transformer.tokens.*",
    "transformer.wpe.*": "transformer.positions.*",
    "transformer.h.#.ln_1.*": "transformer.layers.#.attention_norm.*",
    "transformer.h.#.attn.q.*": "transformer.layers.#.attention.q.*",       # in the file: c_attn
    "transformer.h.#.attn.k.*": "transformer.layers.#.attention.k.*",
    "transformer.h.#.attn.v.*": "transformer.layers.#.attention.v.*",
    "transformer.h.#.attn.c_proj.*": "transformer.layers.#.attention.out.*",
    "transformer.h.#.attn.bias": None,                                      # the causal mask
    "transformer.h.#.attn.masked_bias": None,
    "transformer.h.#.ln_2.*": "transformer.layers.#.norm.*",
    "transformer.h.#.mlp.c_fc.*": "transformer.layers.#.feed_forward.up.*",
    "transformer.h.#.mlp.c_proj.*": "transformer.layers.#.feed_forward.down.*",
    "transformer.ln_f.*": "transformer.norm.*",
    "lm_head.weight": "lm_head.weight",
    "score.weight": "score.weight",
    "classifier.*": "classifier.*",
    "qa_outputs.*": "qa_outputs.*",
}
