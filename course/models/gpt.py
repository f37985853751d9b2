"""GPT: Radford et al. 2018, "Improving language understanding by generative pre-training",
https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf

The first of the family. What GPT-2 changed later:
- post-norm: each sublayer is added to its input and normalised afterwards, and no norm follows the last layer
- a vocabulary of 40,478 pieces in lower case
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
from course.models import gpt2
from course.nn import Embedding, FeedForward, KeyValueCache, MultiHeadAttention, PostNormBlock, make_mask
from course.outputs import BaseModelOutputWithPast, CausalLMOutputWithPast, SequenceClassifierOutput


@dataclass(init=False, repr=False, eq=False)
class OpenAIGPTConfig(ModelConfig):
    """The defaults are openai-gpt."""

    model_type: ClassVar[str] = "openai-gpt"
    prefix: ClassVar[str] = "transformer"
    aliases: ClassVar[dict[str, str]] = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer",
                                         "num_attention_heads": "n_head", "max_position_embeddings": "n_positions"}
    unused: ClassVar[tuple[str, ...]] = ("n_ctx", "summary_type", "summary_use_proj", "summary_activation",
                                          "summary_proj_to_labels", "summary_first_dropout", "predict_special_tokens")

    vocab_size: int = 40478
    n_positions: int = 512
    n_embd: int = 768                               # D
    n_layer: int = 12
    n_head: int = 12                                # H
    afn: str = "gelu"                               # means gelu_new here: it was the only one then
    resid_pdrop: float = 0.1                        # dropout after attention and feed-forward
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    pad_token_id: int | None = None


class OpenAIGPTModel(PreTrainedModel):
    """Token ids -> one vector per token, made of it and the tokens before it."""

    config_class = OpenAIGPTConfig

    def __init__(self, config: OpenAIGPTConfig):
        super().__init__(config)
        width = config.n_embd
        self.tokens = Embedding(config.vocab_size, width)
        self.positions = Embedding(config.n_positions, width)
        self.dropout = nn.Dropout(config.embd_pdrop)
        self.layers = nn.ModuleList(
            PostNormBlock(
                MultiHeadAttention(width, config.n_head, config.attn_pdrop, causal=True),
                FeedForward(width, 4 * width, "gelu_new" if config.afn == "gelu" else config.afn, config.resid_pdrop),
                width, config.layer_norm_epsilon, config.resid_pdrop)
            for _ in range(config.n_layer))
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                token_type_ids: Tensor | None = None, position_ids: Tensor | None = None,
                head_mask: Tensor | None = None, inputs_embeds: Tensor | None = None,
                output_attentions: bool | None = None, output_hidden_states: bool | None = None,
                past_key_values: KeyValueCache | None = None, use_cache: bool = False) -> BaseModelOutputWithPast:
        """input_ids (B, T), or inputs_embeds (B, T, D), of the tokens that are not in past_key_values yet; position_ids,
        token_type_ids (B, T); attention_mask (B, S) for all tokens; head_mask (H,) or (layers, H): 0 switches a head off."""
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
        states: tuple[Tensor, ...] = (x,) if want_states else ()
        attentions: tuple[Tensor, ...] = ()
        for number, layer in enumerate(self.layers):
            x, weights = layer(x, mask, head_masks[number], want_weights, cache and cache.layers[number])
            states += (x,) if want_states else ()
            attentions += (weights,) if want_weights else ()
        return BaseModelOutputWithPast(x, cache if use_cache else None, states or None, attentions or None)


class OpenAIGPTLMHeadModel(PreTrainedModel, LanguageModel):
    """A score for every word of the vocabulary: which one comes next?"""

    config_class = OpenAIGPTConfig

    def __init__(self, config: OpenAIGPTConfig):
        super().__init__(config)
        self.transformer = OpenAIGPTModel(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, logits_to_keep: int = 0, **inputs: Any) -> CausalLMOutputWithPast:
        """labels (B, T): the tokens themselves, -100 where nothing is to be guessed; the shift by one happens here.
        logits_to_keep: scores for so many last positions only, 0 = all."""
        body = self.transformer(input_ids, attention_mask, return_dict=True, **inputs)
        logits = self.lm_head(body.last_hidden_state[:, -logits_to_keep:])  # (B, T, V)
        loss = causal_lm_loss(logits, labels)
        return CausalLMOutputWithPast(loss, logits, body.past_key_values, body.hidden_states, body.attentions)


class OpenAIGPTForSequenceClassification(PreTrainedModel):
    """One label for a text, read from its last token, the only one that has seen everything."""

    config_class = OpenAIGPTConfig

    def __init__(self, config: OpenAIGPTConfig):
        super().__init__(config)
        self.transformer = OpenAIGPTModel(config)
        self.score = nn.Linear(config.n_embd, config.num_labels, bias=False)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> SequenceClassifierOutput:
        """labels (B,) class numbers; (B, L) floats for several labels a text; see course.heads.classification_loss."""
        body = self.transformer(input_ids, attention_mask=attention_mask, return_dict=True, **inputs)
        logits = self.score(last_token(body.last_hidden_state, input_ids, self.config.pad_token_id))  # (B, L)
        loss = classification_loss(logits, labels, self.config)
        return SequenceClassifierOutput(loss, logits, body.hidden_states, body.attentions)


from_checkpoint, to_checkpoint = gpt2.from_checkpoint, gpt2.to_checkpoint
HF_NAMES = {
    "transformer.tokens_embed.*": "transformer.tokens.*",
    "transformer.positions_embed.*": "transformer.positions.*",
    "transformer.position_ids": None,                                       # 0, 1, 2, …
    **{theirs: ours for theirs, ours in gpt2.HF_NAMES.items() if theirs.startswith("transformer.h.#.")},
    "lm_head.weight": "lm_head.weight",
    "score.weight": "score.weight",
}
