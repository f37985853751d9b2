"""BERT: Devlin et al. 2018, https://arxiv.org/abs/1810.04805

What is special:
- an encoder: every token sees the whole text, left and right
- learns by filling gaps: some tokens are replaced by [MASK] and guessed from their context
- learned positions and a "token type" that tells the first text of a pair from the second
- [CLS], the first token, stands for the whole text: the pooler turns it into one vector
- post-norm: each sublayer is added to its input and normalised afterwards
"""

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
    BertForPreTrainingOutput,
    MaskedLMOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)


@dataclass(init=False, repr=False, eq=False)
class BertConfig(ModelConfig):
    """The defaults are bert-base-uncased."""

    model_type: ClassVar[str] = "bert"
    prefix: ClassVar[str] = "bert"
    variants: ClassVar[dict[str, Any]] = {"position_embedding_type": "absolute", "is_decoder": False}

    vocab_size: int = 30522
    hidden_size: int = 768                          # D
    num_hidden_layers: int = 12
    num_attention_heads: int = 12                   # H
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    classifier_dropout: float | None = None         # None: hidden_dropout_prob
    chunk_size_feed_forward: int = 0                # positions per step of the feed-forward network, 0 = all


class BertModel(PreTrainedModel):
    """Token ids -> one vector per token, and one per text."""

    config_class = BertConfig

    def __init__(self, config: BertConfig, add_pooling_layer: bool = True):
        super().__init__(config)
        width = config.hidden_size
        self.tokens = Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.positions = Embedding(config.max_position_embeddings, width)
        self.types = Embedding(config.type_vocab_size, width)
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.layers = nn.ModuleList(
            PostNormBlock(
                MultiHeadAttention(width, config.num_attention_heads, config.attention_probs_dropout_prob),
                FeedForward(width, config.intermediate_size, config.hidden_act, config.hidden_dropout_prob),
                width, config.layer_norm_eps, config.hidden_dropout_prob, config.chunk_size_feed_forward)
            for _ in range(config.num_hidden_layers))
        self.pooler = nn.Linear(width, width) if add_pooling_layer else None
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                token_type_ids: Tensor | None = None, position_ids: Tensor | None = None,
                head_mask: Tensor | None = None, inputs_embeds: Tensor | None = None,
                output_attentions: bool | None = None, output_hidden_states: bool | None = None) -> BaseModelOutput:
        """input_ids (B, T), or inputs_embeds (B, T, D); attention_mask, token_type_ids, position_ids (B, T);
        head_mask (H,) or (layers, H): 0 switches a head off."""
        check_inputs(self.config, input_ids, inputs_embeds, attention_mask)
        x = self.embed(input_ids, token_type_ids, position_ids, inputs_embeds)  # (B, T, D)
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
        pooled = None if self.pooler is None else torch.tanh(self.pooler(x[:, 0]))  # (B, D)
        return BaseModelOutput(x, pooled, states or None, attentions or None)

    def embed(self, input_ids: Tensor | None, token_type_ids: Tensor | None, position_ids: Tensor | None,
              inputs_embeds: Tensor | None) -> Tensor:
        """What a token is + where it stands + which text it belongs to."""
        x = self.tokens(input_ids) if inputs_embeds is None else inputs_embeds
        if position_ids is None:
            position_ids = self.count_positions(input_ids, x)
        if token_type_ids is None:
            token_type_ids = torch.zeros(x.shape[:2], dtype=torch.long, device=x.device)
        check_ids("position_ids", position_ids, self.positions.num_embeddings)
        check_ids("token_type_ids", token_type_ids, self.types.num_embeddings)
        return self.dropout(self.norm(x + self.types(token_type_ids) + self.positions(position_ids)))

    def count_positions(self, input_ids: Tensor | None, x: Tensor) -> Tensor:
        """0, 1, 2, … (T,), or one row for each text (B, T)."""
        return torch.arange(x.shape[1], device=x.device)


class BertForMaskedLM(PreTrainedModel):
    """A score for every word of the vocabulary at each position; trained where the text says [MASK]."""

    config_class = BertConfig

    def __init__(self, config: BertConfig):
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.head = MaskedLMHead(config.hidden_size, config.vocab_size, config.hidden_act, config.layer_norm_eps)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.head.decoder

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> MaskedLMOutput:
        """labels (B, T): the hidden words, -100 where nothing is to be guessed."""
        body = self.bert(input_ids, attention_mask, return_dict=True, **inputs)
        logits = self.head(body.last_hidden_state)  # (B, T, V)
        return MaskedLMOutput(cross_entropy(logits, labels), logits, body.hidden_states, body.attentions)


class BertForPreTraining(PreTrainedModel):
    """Both tasks of the first training (section 3.1): hidden words, and whether the second text followed the first."""

    config_class = BertConfig

    def __init__(self, config: BertConfig):
        super().__init__(config)
        self.bert = BertModel(config)
        self.head = MaskedLMHead(config.hidden_size, config.vocab_size, config.hidden_act, config.layer_norm_eps)
        self.next_sentence = nn.Linear(config.hidden_size, 2)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.head.decoder

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, next_sentence_label: Tensor | None = None,
                **inputs: Any) -> BertForPreTrainingOutput:
        """labels (B, T): the hidden words, -100 where nothing is to be guessed; next_sentence_label (B,): 0 = it followed,
        1 = it is another text. The loss, of both together, needs both."""
        body = self.bert(input_ids, attention_mask, return_dict=True, **inputs)
        words, follows = self.head(body.last_hidden_state), self.next_sentence(body.pooler_output)  # (B, T, V), (B, 2)
        loss = None if labels is None or next_sentence_label is None else \
            cross_entropy(words, labels) + cross_entropy(follows, next_sentence_label.reshape(-1))
        return BertForPreTrainingOutput(loss, words, follows, body.hidden_states, body.attentions)


class BertForNextSentencePrediction(PreTrainedModel):
    """Did the second text follow the first?"""

    config_class = BertConfig

    def __init__(self, config: BertConfig):
        super().__init__(config)
        self.bert = BertModel(config)
        self.next_sentence = nn.Linear(config.hidden_size, 2)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> SequenceClassifierOutput:
        """labels (B,): 0 = it followed, 1 = it is another text. Logits (B, 2)."""
        labels = inputs.pop("next_sentence_label", labels)    # the older name
        body = self.bert(input_ids, attention_mask, return_dict=True, **inputs)
        logits = self.next_sentence(body.pooler_output)  # (B, 2)
        loss = cross_entropy(logits, None if labels is None else labels.reshape(-1))
        return SequenceClassifierOutput(loss, logits, body.hidden_states, body.attentions)


class BertForSequenceClassification(PreTrainedModel):
    """One label for a text or a pair of texts."""

    config_class = BertConfig

    def __init__(self, config: BertConfig):
        super().__init__(config)
        self.bert = BertModel(config)
        self.dropout = nn.Dropout(classifier_dropout(config))
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> SequenceClassifierOutput:
        """labels (B,) class numbers; (B, L) floats for several labels a text; see course.heads.classification_loss."""
        body = self.bert(input_ids, attention_mask, return_dict=True, **inputs)
        logits = self.classifier(self.dropout(body.pooler_output))  # (B, L)
        loss = classification_loss(logits, labels, self.config)
        return SequenceClassifierOutput(loss, logits, body.hidden_states, body.attentions)


class BertForTokenClassification(PreTrainedModel):
    """One label for every token."""

    config_class = BertConfig

    def __init__(self, config: BertConfig):
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.dropout = nn.Dropout(classifier_dropout(config))
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> TokenClassifierOutput:
        """labels (B, T) class numbers, -100 for tokens that do not count."""
        body = self.bert(input_ids, attention_mask, return_dict=True, **inputs)
        logits = self.classifier(self.dropout(body.last_hidden_state))  # (B, T, L)
        return TokenClassifierOutput(cross_entropy(logits, labels), logits, body.hidden_states, body.attentions)


class BertForQuestionAnswering(PreTrainedModel):
    """Where in the second text the answer to the first begins and ends."""

    config_class = BertConfig

    def __init__(self, config: BertConfig):
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                start_positions: Tensor | None = None, end_positions: Tensor | None = None,
                **inputs: Any) -> QuestionAnsweringModelOutput:
        """start_positions, end_positions (B,): first and last token of the answer."""
        body = self.bert(input_ids, attention_mask, return_dict=True, **inputs)
        start, end = self.qa_outputs(body.last_hidden_state).unbind(-1)  # (B, T) each
        loss = span_loss(start, end, start_positions, end_positions)
        return QuestionAnsweringModelOutput(loss, start, end, body.hidden_states, body.attentions)


def classifier_dropout(config: BertConfig) -> float:
    return config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout


HF_NAMES = {
    "bert.embeddings.word_embeddings.*": "bert.tokens.*",
    "bert.embeddings.position_embeddings.*": "bert.positions.*",
    "bert.embeddings.token_type_embeddings.*": "bert.types.*",
    "bert.embeddings.LayerNorm.*": "bert.norm.*",
    "bert.embeddings.position_ids": None,                                   # 0, 1, 2, …
    "bert.encoder.layer.#.attention.self.query.*": "bert.layers.#.attention.q.*",
    "bert.encoder.layer.#.attention.self.key.*": "bert.layers.#.attention.k.*",
    "bert.encoder.layer.#.attention.self.value.*": "bert.layers.#.attention.v.*",
    "bert.encoder.layer.#.attention.output.dense.*": "bert.layers.#.attention.out.*",
    "bert.encoder.layer.#.attention.output.LayerNorm.*": "bert.layers.#.attention_norm.*",
    "bert.encoder.layer.#.intermediate.dense.*": "bert.layers.#.feed_forward.up.*",
    "bert.encoder.layer.#.output.dense.*": "bert.layers.#.feed_forward.down.*",
    "bert.encoder.layer.#.output.LayerNorm.*": "bert.layers.#.norm.*",
    "bert.pooler.dense.*": "bert.pooler.*",
    "cls.predictions.transform.dense.*": "head.dense.*",
    "cls.predictions.transform.LayerNorm.*": "head.norm.*",
    "cls.predictions.decoder.weight": "head.decoder.weight",
    "cls.predictions.bias": "head.decoder.bias",
    "cls.predictions.decoder.bias": "head.decoder.bias",                    # the same numbers, stored twice
    "cls.seq_relationship.*": "next_sentence.*",
    "classifier.*": "classifier.*",
    "qa_outputs.*": "qa_outputs.*",
}
