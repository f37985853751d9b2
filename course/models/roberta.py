"""RoBERTa: Liu et al. 2019, https://arxiv.org/abs/1907.11692

The same network as BERT. What is new is the training (longer, on more text, without the next-sentence task), and:
- byte-level BPE instead of WordPiece: no word is unknown
- positions are counted from pad_token_id + 1; padding itself has the position pad_token_id
- a single token type; the classifier brings its own layer for <s> instead of BERT's pooler
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from course.heads import ClassificationHead, MaskedLMHead, classification_loss, cross_entropy, span_loss
from course.modeling import PreTrainedModel
from course.models import bert
from course.models.bert import BertConfig, BertModel, classifier_dropout
from course.outputs import (
    MaskedLMOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)


@dataclass(init=False, repr=False, eq=False)
class RobertaConfig(BertConfig):
    """The defaults are roberta-base."""

    model_type: ClassVar[str] = "roberta"
    prefix: ClassVar[str] = "roberta"

    vocab_size: int = 50265
    max_position_embeddings: int = 514              # 512 tokens, and the positions that counting leaves out
    type_vocab_size: int = 1
    layer_norm_eps: float = 1e-5
    pad_token_id: int = 1

    @property
    def max_tokens(self) -> int:
        return self.max_position_embeddings - self.pad_token_id - 1


class RobertaModel(BertModel):
    """Token ids -> one vector per token, and one per text."""

    config_class = RobertaConfig

    def __init__(self, config: RobertaConfig, add_pooling_layer: bool = True):
        super().__init__(config, add_pooling_layer)
        self.positions.padding_idx = config.pad_token_id      # like the padding token, its position is not learned

    def count_positions(self, input_ids: Tensor | None, x: Tensor) -> Tensor:
        pad = self.config.pad_token_id
        if input_ids is None:
            return torch.arange(pad + 1, pad + 1 + x.shape[1], device=x.device)
        real = (input_ids != pad).long()
        return real.cumsum(1) * real + pad  # (B, T)


class RobertaForMaskedLM(PreTrainedModel):
    """A score for every piece of the vocabulary at each position."""

    config_class = RobertaConfig

    def __init__(self, config: RobertaConfig):
        super().__init__(config)
        self.roberta = RobertaModel(config, add_pooling_layer=False)
        self.head = MaskedLMHead(config.hidden_size, config.vocab_size, "gelu", config.layer_norm_eps)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.head.decoder

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> MaskedLMOutput:
        """labels (B, T): the hidden pieces, -100 where nothing is to be guessed."""
        body = self.roberta(input_ids, attention_mask, return_dict=True, **inputs)
        logits = self.head(body.last_hidden_state)  # (B, T, V)
        return MaskedLMOutput(cross_entropy(logits, labels), logits, body.hidden_states, body.attentions)


class RobertaForSequenceClassification(PreTrainedModel):
    """One label for a text or a pair of texts, read from <s>."""

    config_class = RobertaConfig

    def __init__(self, config: RobertaConfig):
        super().__init__(config)
        self.roberta = RobertaModel(config, add_pooling_layer=False)
        self.classifier = ClassificationHead(config.hidden_size, config.num_labels, classifier_dropout(config))
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> SequenceClassifierOutput:
        """labels (B,) class numbers; (B, L) floats for several labels a text; see course.heads.classification_loss."""
        body = self.roberta(input_ids, attention_mask, return_dict=True, **inputs)
        logits = self.classifier(body.last_hidden_state[:, 0])  # (B, L)
        loss = classification_loss(logits, labels, self.config)
        return SequenceClassifierOutput(loss, logits, body.hidden_states, body.attentions)


class RobertaForTokenClassification(PreTrainedModel):
    """One label for every token."""

    config_class = RobertaConfig

    def __init__(self, config: RobertaConfig):
        super().__init__(config)
        self.roberta = RobertaModel(config, add_pooling_layer=False)
        self.dropout = nn.Dropout(classifier_dropout(config))
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> TokenClassifierOutput:
        """labels (B, T) class numbers, -100 for tokens that do not count."""
        body = self.roberta(input_ids, attention_mask, return_dict=True, **inputs)
        logits = self.classifier(self.dropout(body.last_hidden_state))  # (B, T, L)
        return TokenClassifierOutput(cross_entropy(logits, labels), logits, body.hidden_states, body.attentions)


class RobertaForQuestionAnswering(PreTrainedModel):
    """Where in the second text the answer to the first begins and ends."""

    config_class = RobertaConfig

    def __init__(self, config: RobertaConfig):
        super().__init__(config)
        self.roberta = RobertaModel(config, add_pooling_layer=False)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                start_positions: Tensor | None = None, end_positions: Tensor | None = None,
                **inputs: Any) -> QuestionAnsweringModelOutput:
        """start_positions, end_positions (B,): first and last token of the answer."""
        body = self.roberta(input_ids, attention_mask, return_dict=True, **inputs)
        start, end = self.qa_outputs(body.last_hidden_state).unbind(-1)  # (B, T) each
        loss = span_loss(start, end, start_positions, end_positions)
        return QuestionAnsweringModelOutput(loss, start, end, body.hidden_states, body.attentions)


HF_NAMES = {name.replace("bert.", "roberta.", 1): ours and ours.replace("bert.", "roberta.", 1)
            for name, ours in bert.HF_NAMES.items() if name.startswith("bert.")} | {
    "lm_head.dense.*": "head.dense.*",
    "lm_head.layer_norm.*": "head.norm.*",
    "lm_head.decoder.weight": "head.decoder.weight",
    "lm_head.bias": "head.decoder.bias",
    "lm_head.decoder.bias": "head.decoder.bias",                            # the same numbers, stored twice
    "classifier.dense.*": "classifier.dense.*",
    "classifier.out_proj.*": "classifier.out.*",
    "classifier.*": "classifier.*",                                         # of a token classifier
    "qa_outputs.*": "qa_outputs.*",
}
