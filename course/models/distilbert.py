"""DistilBERT: Sanh et al. 2019, https://arxiv.org/abs/1910.01108

What is new versus BERT:
- half the layers, trained to imitate BERT's outputs ("distillation")
- no token types and no pooler; a classifier brings its own layer for [CLS] instead
- no dropout after attention
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from course.config import ModelConfig
from course.heads import MaskedLMHead, classification_loss, cross_entropy, span_loss
from course.inputs import check_ids, check_inputs, per_layer
from course.modeling import PreTrainedModel
from course.nn import Embedding, FeedForward, MultiHeadAttention, PostNormBlock, make_mask
from course.outputs import (
    BaseModelOutput,
    MaskedLMOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

EPS = 1e-12


@dataclass(init=False, repr=False, eq=False)
class DistilBertConfig(ModelConfig):
    """The defaults are distilbert-base-uncased."""

    model_type: ClassVar[str] = "distilbert"
    prefix: ClassVar[str] = "distilbert"
    aliases: ClassVar[dict[str, str]] = {"hidden_size": "dim", "num_hidden_layers": "n_layers",
                                         "num_attention_heads": "n_heads", "intermediate_size": "hidden_dim",
                                         "hidden_act": "activation"}

    vocab_size: int = 30522
    dim: int = 768                                  # D
    n_layers: int = 6
    n_heads: int = 12                               # H
    hidden_dim: int = 4 * 768
    activation: str = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.1
    max_position_embeddings: int = 512
    sinusoidal_pos_embds: bool = False              # positions are fixed sine waves, not learned
    initializer_range: float = 0.02
    seq_classif_dropout: float = 0.2
    qa_dropout: float = 0.1
    pad_token_id: int | None = 0
    chunk_size_feed_forward: int = 0                # positions per step of the feed-forward network, 0 = all


class DistilBertModel(PreTrainedModel):
    """Token ids -> one vector per token."""

    config_class = DistilBertConfig

    def __init__(self, config: DistilBertConfig):
        super().__init__(config)
        self.tokens = Embedding(config.vocab_size, config.dim, padding_idx=config.pad_token_id)
        self.positions = Embedding(config.max_position_embeddings, config.dim)
        self.positions.weight.requires_grad_(not config.sinusoidal_pos_embds)
        self.norm = nn.LayerNorm(config.dim, eps=EPS)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(
            PostNormBlock(
                MultiHeadAttention(config.dim, config.n_heads, config.attention_dropout),
                FeedForward(config.dim, config.hidden_dim, config.activation, config.dropout),
                config.dim, EPS, chunk_size=config.chunk_size_feed_forward)
            for _ in range(config.n_layers))
        self.post_init()

    @torch.no_grad()
    def init_weights(self, module: nn.Module) -> None:
        super().init_weights(module)
        if module is self.positions and self.config.sinusoidal_pos_embds:
            length, width = module.weight.shape
            angle = torch.arange(length)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
            module.weight[:, 0::2], module.weight[:, 1::2] = angle.sin(), angle.cos()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                head_mask: Tensor | None = None, inputs_embeds: Tensor | None = None,
                output_attentions: bool | None = None, output_hidden_states: bool | None = None,
                position_ids: Tensor | None = None) -> BaseModelOutput:
        """input_ids (B, T), or inputs_embeds (B, T, D); attention_mask, position_ids (B, T);
        head_mask (H,) or (layers, H): 0 switches a head off."""
        check_inputs(self.config, input_ids, inputs_embeds, attention_mask)
        x = self.tokens(input_ids) if inputs_embeds is None else inputs_embeds  # (B, T, D)
        if position_ids is None:
            position_ids = torch.arange(x.shape[1], device=x.device)
        check_ids("position_ids", position_ids, self.positions.num_embeddings)
        x = self.dropout(self.norm(x + self.positions(position_ids)))
        mask = make_mask(attention_mask, x)  # (B, 1, 1 or T, T) or None
        want_weights = self.config.output_attentions if output_attentions is None else output_attentions
        want_states = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        head_masks = per_layer(head_mask, len(self.layers), self.config.num_attention_heads)
        states: tuple[Tensor, ...] = (x,) if want_states else ()
        attentions: tuple[Tensor, ...] = ()
        for number, layer in enumerate(self.layers):
            x, weights = layer(x, mask, head_masks[number], want_weights)
            states += (x,) if want_states else ()
            attentions += (weights,) if want_weights else ()
        return BaseModelOutput(x, None, states or None, attentions or None)


class DistilBertForMaskedLM(PreTrainedModel):
    """A score for every word of the vocabulary at each position."""

    config_class = DistilBertConfig

    def __init__(self, config: DistilBertConfig):
        super().__init__(config)
        self.distilbert = DistilBertModel(config)
        self.head = MaskedLMHead(config.dim, config.vocab_size, config.activation, EPS)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.head.decoder

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> MaskedLMOutput:
        """labels (B, T): the hidden words, -100 where nothing is to be guessed."""
        body = self.distilbert(input_ids, attention_mask, return_dict=True, **inputs)
        logits = self.head(body.last_hidden_state)  # (B, T, V)
        return MaskedLMOutput(cross_entropy(logits, labels), logits, body.hidden_states, body.attentions)


class DistilBertForSequenceClassification(PreTrainedModel):
    """One label for a text."""

    config_class = DistilBertConfig

    def __init__(self, config: DistilBertConfig):
        super().__init__(config)
        self.distilbert = DistilBertModel(config)
        self.pre_classifier = nn.Linear(config.dim, config.dim)
        self.dropout = nn.Dropout(config.seq_classif_dropout)
        self.classifier = nn.Linear(config.dim, config.num_labels)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> SequenceClassifierOutput:
        """labels (B,) class numbers; (B, L) floats for several labels a text; see course.heads.classification_loss."""
        body = self.distilbert(input_ids, attention_mask, return_dict=True, **inputs)
        pooled = torch.relu(self.pre_classifier(body.last_hidden_state[:, 0]))  # (B, D)
        logits = self.classifier(self.dropout(pooled))  # (B, L)
        loss = classification_loss(logits, labels, self.config)
        return SequenceClassifierOutput(loss, logits, body.hidden_states, body.attentions)


class DistilBertForTokenClassification(PreTrainedModel):
    """One label for every token."""

    config_class = DistilBertConfig

    def __init__(self, config: DistilBertConfig):
        super().__init__(config)
        self.distilbert = DistilBertModel(config)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.dim, config.num_labels)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> TokenClassifierOutput:
        """labels (B, T) class numbers, -100 for tokens that do not count."""
        body = self.distilbert(input_ids, attention_mask, return_dict=True, **inputs)
        logits = self.classifier(self.dropout(body.last_hidden_state))  # (B, T, L)
        return TokenClassifierOutput(cross_entropy(logits, labels), logits, body.hidden_states, body.attentions)


class DistilBertForQuestionAnswering(PreTrainedModel):
    """Where in the second text the answer to the first begins and ends."""

    config_class = DistilBertConfig

    def __init__(self, config: DistilBertConfig):
        super().__init__(config)
        self.distilbert = DistilBertModel(config)
        self.dropout = nn.Dropout(config.qa_dropout)
        self.qa_outputs = nn.Linear(config.dim, 2)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                start_positions: Tensor | None = None, end_positions: Tensor | None = None,
                **inputs: Any) -> QuestionAnsweringModelOutput:
        """start_positions, end_positions (B,): first and last token of the answer."""
        body = self.distilbert(input_ids, attention_mask, return_dict=True, **inputs)
        start, end = self.qa_outputs(self.dropout(body.last_hidden_state)).unbind(-1)  # (B, T) each
        loss = span_loss(start, end, start_positions, end_positions)
        return QuestionAnsweringModelOutput(loss, start, end, body.hidden_states, body.attentions)


HF_NAMES = {
    "distilbert.embeddings.word_embeddings.*": "distilbert.tokens.*",
    "distilbert.embeddings.position_embeddings.*": "distilbert.positions.*",
    "distilbert.embeddings.LayerNorm.*": "distilbert.norm.*",
    "distilbert.embeddings.position_ids": None,                             # 0, 1, 2, …
    "distilbert.transformer.layer.#.attention.q_lin.*": "distilbert.layers.#.attention.q.*",
    "distilbert.transformer.layer.#.attention.k_lin.*": "distilbert.layers.#.attention.k.*",
    "distilbert.transformer.layer.#.attention.v_lin.*": "distilbert.layers.#.attention.v.*",
    "distilbert.transformer.layer.#.attention.out_lin.*": "distilbert.layers.#.attention.out.*",
    "distilbert.transformer.layer.#.sa_layer_norm.*": "distilbert.layers.#.attention_norm.*",
    "distilbert.transformer.layer.#.ffn.lin1.*": "distilbert.layers.#.feed_forward.up.*",
    "distilbert.transformer.layer.#.ffn.lin2.*": "distilbert.layers.#.feed_forward.down.*",
    "distilbert.transformer.layer.#.output_layer_norm.*": "distilbert.layers.#.norm.*",
    "vocab_transform.*": "head.dense.*",
    "vocab_layer_norm.*": "head.norm.*",
    "vocab_projector.*": "head.decoder.*",
    "pre_classifier.*": "pre_classifier.*",
    "classifier.*": "classifier.*",
    "qa_outputs.*": "qa_outputs.*",
}
