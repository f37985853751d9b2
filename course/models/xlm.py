"""XLM: Lample & Conneau 2019, "Cross-lingual language model pretraining", https://arxiv.org/abs/1901.07291

What is new versus BERT:
- one model for many languages: every token carries, beside its position, the embedding of its language (`langs`)
- trained on texts in each language, and on sentences beside their translation, so that words of one help to guess the other
- the same network can also be causal (config.causal), trained to predict the next word
- no pooler; where there is padding, the states are set to zero after every layer
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from course.config import ModelConfig
from course.generation import LanguageModel
from course.heads import classification_loss, cross_entropy, span_loss
from course.inputs import check_ids, check_inputs, per_layer
from course.modeling import PreTrainedModel
from course.nn import ACTIVATIONS, Embedding, FeedForward, MultiHeadAttention, PostNormBlock, make_mask, sinusoids
from course.outputs import (
    BaseModelOutput,
    MaskedLMOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)


@dataclass(init=False, repr=False, eq=False)
class XLMConfig(ModelConfig):
    """The defaults are xlm-mlm-en-2048, but for use_lang_emb, which counts only where n_langs is more than 1."""

    model_type: ClassVar[str] = "xlm"
    prefix: ClassVar[str] = "transformer"
    aliases: ClassVar[dict[str, str]] = {"hidden_size": "emb_dim", "num_hidden_layers": "n_layers",
                                         "num_attention_heads": "n_heads", "n_words": "vocab_size",
                                         "initializer_range": "init_std"}
    unused: ClassVar[tuple[str, ...]] = ("bos_index", "eos_index", "unk_index", "mask_index", "start_n_top", "end_n_top")
    variants: ClassVar[dict[str, Any]] = {"summary_use_proj": True, "summary_proj_to_labels": True}

    vocab_size: int = 30145
    emb_dim: int = 2048                             # D
    n_layers: int = 12
    n_heads: int = 16                               # H
    dropout: float = 0.1
    attention_dropout: float = 0.1
    gelu_activation: bool = True                    # False: relu
    sinusoidal_embeddings: bool = False             # positions are fixed sine waves, not learned
    causal: bool = False                            # a token sees only what comes before it
    asm: bool = False                               # an adaptive softmax, which no published checkpoint has
    is_encoder: bool = True
    n_langs: int = 1
    use_lang_emb: bool = True
    max_position_embeddings: int = 512
    embed_init_std: float = 2048**-0.5
    init_std: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_index: int = 2                              # what counts as padding where no mask is given
    pad_token_id: int | None = 2
    bos_token_id: int = 0
    mask_token_id: int = 0                          # a model that writes guesses this token, put behind the text
    lang_id: int = 0                                # and writes in this language
    summary_type: str = "first"                     # whose state stands for a text: "first", "last" or the "mean" of all
    summary_activation: str | None = None
    summary_first_dropout: float = 0.1
    chunk_size_feed_forward: int = 0                # positions per step of the feed-forward network, 0 = all

    def check(self) -> None:
        super().check()
        if self.asm or not self.is_encoder:
            raise ValueError("XLMConfig: course has XLM as an encoder with an ordinary softmax; asm=True and is_encoder=False "
                             "belong to models that were never published")
        if self.summary_type not in SUMMARIES:
            raise ValueError(f"XLMConfig: summary_type must be one of {', '.join(SUMMARIES)}, got {self.summary_type!r}")
        if not 0 <= self.pad_index < self.vocab_size:
            raise ValueError(f"XLMConfig: pad_index {self.pad_index} is no entry of a vocabulary of {self.vocab_size}")

    @property
    def intermediate_size(self) -> int:
        return 4 * self.emb_dim


class XLMModel(PreTrainedModel):
    """Token ids, and the language of each -> one vector per token."""

    config_class = XLMConfig

    def __init__(self, config: XLMConfig):
        super().__init__(config)
        width, eps = config.emb_dim, config.layer_norm_eps
        self.tokens = Embedding(config.vocab_size, width, padding_idx=config.pad_index)
        self.positions = Embedding(config.max_position_embeddings, width)
        self.positions.weight.requires_grad_(not config.sinusoidal_embeddings)
        self.languages = Embedding(config.n_langs, width) if config.n_langs > 1 and config.use_lang_emb else None
        self.norm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(config.dropout)
        activation = "gelu" if config.gelu_activation else "relu"
        self.layers = nn.ModuleList(
            PostNormBlock(
                MultiHeadAttention(width, config.n_heads, config.attention_dropout, causal=config.causal),
                FeedForward(width, config.intermediate_size, activation, config.dropout),
                width, eps, config.dropout, config.chunk_size_feed_forward)
            for _ in range(config.n_layers))
        self.post_init()

    @torch.no_grad()
    def init_weights(self, module: nn.Module) -> None:
        super().init_weights(module)
        if isinstance(module, nn.Embedding):
            module.weight.mul_(self.config.embed_init_std / self.config.init_std)
        if module is self.positions and self.config.sinusoidal_embeddings:
            waves = sinusoids(torch.arange(module.num_embeddings), module.embedding_dim)     # (T, D): sines, then cosines
            module.weight.copy_(waves.unflatten(1, (2, -1)).mT.flatten(1))                   # here they alternate

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, langs: Tensor | None = None,
                token_type_ids: Tensor | None = None, position_ids: Tensor | None = None, lengths: Tensor | None = None,
                head_mask: Tensor | None = None, inputs_embeds: Tensor | None = None,
                output_attentions: bool | None = None, output_hidden_states: bool | None = None) -> BaseModelOutput:
        """input_ids (B, T), or inputs_embeds (B, T, D); attention_mask, position_ids (B, T); langs (B, T) the number of each
        token's language (tokenizer.lang2id), without effect in a model of one language; token_type_ids (B, T) are words of
        the vocabulary here; lengths (B,) instead of a mask; head_mask (H,) or (layers, H): 0 switches a head off."""
        check_inputs(self.config, input_ids, inputs_embeds, attention_mask)
        x = self.tokens(input_ids) if inputs_embeds is None else inputs_embeds  # (B, T, D)
        keep = self.text_places(x, input_ids, attention_mask, lengths)  # (B, T)
        if position_ids is None:
            position_ids = torch.arange(x.shape[1], device=x.device)
        check_ids("position_ids", position_ids, self.positions.num_embeddings)
        x = x + self.positions(position_ids)
        if langs is not None and self.languages is not None:
            check_ids("langs", langs, self.languages.num_embeddings)
            if langs.shape != x.shape[:2]:
                raise ValueError(f"langs must have a number for each token, the shape {tuple(x.shape[:2])}, got "
                                 f"{tuple(langs.shape)}: for one language torch.full_like(input_ids, number) makes it")
            x = x + self.languages(langs)
        if token_type_ids is not None:
            x = x + self.tokens(token_type_ids)
        x = self.dropout(self.norm(x)) * keep[..., None]
        mask = None if self.config.causal else make_mask(keep, x)  # (B, 1, 1, T); a causal model sees padding
        want_weights = self.config.output_attentions if output_attentions is None else output_attentions
        want_states = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        head_masks = per_layer(head_mask, len(self.layers), self.config.num_attention_heads)
        states: tuple[Tensor, ...] = (x,) if want_states else ()
        attentions: tuple[Tensor, ...] = ()
        for number, layer in enumerate(self.layers):
            x, weights = layer(x, mask, head_masks[number], want_weights)
            x = x * keep[..., None]
            states += (x,) if want_states else ()
            attentions += (weights,) if want_weights else ()
        return BaseModelOutput(x, None, states or None, attentions or None)

    def text_places(self, x: Tensor, input_ids: Tensor | None, attention_mask: Tensor | None, lengths: Tensor | None) -> Tensor:
        """(B, T): 1 where there is text. Without a mask the first places are text, so many as a row has ids that are not
        padding."""
        if attention_mask is not None:
            if attention_mask.dim() != 2:
                raise ValueError("XLM needs an attention_mask of the shape (batch, length), because it also sets the states of "
                                 f"padding to zero; got {tuple(attention_mask.shape)}")
            return attention_mask.to(x.dtype)
        if lengths is None:
            if input_ids is None:
                return x.new_ones(x.shape[:2])
            lengths = (input_ids != self.config.pad_index).sum(1)
        if lengths.shape != x.shape[:1]:
            raise ValueError(f"lengths must have one number for each of {len(x)} texts, got the shape {tuple(lengths.shape)}")
        return (torch.arange(x.shape[1], device=x.device) < lengths[:, None]).to(x.dtype)


class XLMWithLMHeadModel(PreTrainedModel, LanguageModel):
    """A score for every word of the vocabulary at each position: the hidden one, or in a causal model the next."""

    config_class = XLMConfig

    def __init__(self, config: XLMConfig):
        super().__init__(config)
        self.transformer = XLMModel(config)
        self.lm_head = nn.Linear(config.emb_dim, config.vocab_size)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    reads_padding = True

    def next_inputs(self, ids: Tensor, mask: Tensor | None, memory: Any = None) -> dict[str, Any]:
        """All of the text and a mask token behind it: that is the word to be guessed."""
        ids = torch.cat([ids, ids.new_full((len(ids), 1), self.config.mask_token_id)], 1)
        langs = None if self.config.lang_id is None else torch.full_like(ids, self.config.lang_id)
        return {"input_ids": ids, "langs": langs}

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, langs: Tensor | None = None,
                labels: Tensor | None = None, logits_to_keep: int = 0, **inputs: Any) -> MaskedLMOutput:
        """labels (B, T): the word to guess at each position, -100 where there is none; nothing is shifted, in a causal model
        neither. logits_to_keep: scores for so many last positions only, 0 = all."""
        body = self.transformer(input_ids, attention_mask, langs, return_dict=True, **inputs)
        logits = self.lm_head(body.last_hidden_state[:, -logits_to_keep:])  # (B, T, V)
        return MaskedLMOutput(cross_entropy(logits, labels), logits, body.hidden_states, body.attentions)


class XLMForSequenceClassification(PreTrainedModel):
    """One label for a text."""

    config_class = XLMConfig

    def __init__(self, config: XLMConfig):
        super().__init__(config)
        self.transformer = XLMModel(config)
        self.dropout = nn.Dropout(config.summary_first_dropout)
        self.summary = nn.Linear(config.emb_dim, config.num_labels)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, langs: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> SequenceClassifierOutput:
        """labels (B,) class numbers; (B, L) floats for several labels a text; see course.heads.classification_loss."""
        body = self.transformer(input_ids, attention_mask, langs, return_dict=True, **inputs)
        text = SUMMARIES[self.config.summary_type](body.last_hidden_state)  # (B, D)
        logits = self.summary(self.dropout(text))  # (B, L)
        if self.config.summary_activation:
            logits = ACTIVATIONS[self.config.summary_activation](logits)
        loss = classification_loss(logits, labels, self.config)
        return SequenceClassifierOutput(loss, logits, body.hidden_states, body.attentions)


class XLMForTokenClassification(PreTrainedModel):
    """One label for every token."""

    config_class = XLMConfig

    def __init__(self, config: XLMConfig):
        super().__init__(config)
        self.transformer = XLMModel(config)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.emb_dim, config.num_labels)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, langs: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> TokenClassifierOutput:
        """labels (B, T) class numbers, -100 for tokens that do not count."""
        body = self.transformer(input_ids, attention_mask, langs, return_dict=True, **inputs)
        logits = self.classifier(self.dropout(body.last_hidden_state))  # (B, T, L)
        return TokenClassifierOutput(cross_entropy(logits, labels), logits, body.hidden_states, body.attentions)


class XLMForQuestionAnsweringSimple(PreTrainedModel):
    """Where in the second text the answer to the first begins and ends."""

    config_class = XLMConfig

    def __init__(self, config: XLMConfig):
        super().__init__(config)
        self.transformer = XLMModel(config)
        self.qa_outputs = nn.Linear(config.emb_dim, 2)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, langs: Tensor | None = None,
                start_positions: Tensor | None = None, end_positions: Tensor | None = None,
                **inputs: Any) -> QuestionAnsweringModelOutput:
        """start_positions, end_positions (B,): first and last token of the answer."""
        body = self.transformer(input_ids, attention_mask, langs, return_dict=True, **inputs)
        start, end = self.qa_outputs(body.last_hidden_state).unbind(-1)  # (B, T) each
        loss = span_loss(start, end, start_positions, end_positions)
        return QuestionAnsweringModelOutput(loss, start, end, body.hidden_states, body.attentions)


SUMMARIES = {"first": lambda x: x[:, 0], "last": lambda x: x[:, -1], "cls_index": lambda x: x[:, -1],
             "mean": lambda x: x.mean(1)}
HF_NAMES = {
    "transformer.embeddings.*": "transformer.tokens.*",
    "transformer.position_embeddings.*": "transformer.positions.*",
    "transformer.position_ids": None,                                       # 0, 1, 2, …
    "transformer.lang_embeddings.*": "transformer.languages.*",
    "transformer.layer_norm_emb.*": "transformer.norm.*",
    "transformer.attentions.#.q_lin.*": "transformer.layers.#.attention.q.*",
    "transformer.attentions.#.k_lin.*": "transformer.layers.#.attention.k.*",
    "transformer.attentions.#.v_lin.*": "transformer.layers.#.attention.v.*",
    "transformer.attentions.#.out_lin.*": "transformer.layers.#.attention.out.*",
    "transformer.layer_norm1.#.*": "transformer.layers.#.attention_norm.*",
    "transformer.ffns.#.lin1.*": "transformer.layers.#.feed_forward.up.*",
    "transformer.ffns.#.lin2.*": "transformer.layers.#.feed_forward.down.*",
    "transformer.layer_norm2.#.*": "transformer.layers.#.norm.*",
    "pred_layer.proj.*": "lm_head.*",
    "sequence_summary.summary.*": "summary.*",
    "classifier.*": "classifier.*",
    "qa_outputs.*": "qa_outputs.*",
}
