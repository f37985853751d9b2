"""BART: Lewis et al. 2019, https://arxiv.org/abs/1910.13461

What is new versus BERT and GPT:
- both at once: an encoder reads the text, a decoder writes, and looks at the encoder's states while it does
  (cross-attention, between its own attention and its feed-forward network)
- learns by repairing damaged text; fine-tuned checkpoints summarise, or say whether a statement follows from a text
- learned positions whose numbers begin at 2, and a norm right after the embeddings
- an output bias per word that is stored but not trained (final_logits_bias)
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from course.config import ModelConfig
from course.generation import EncoderDecoder
from course.heads import ClassificationHead, classification_loss, cross_entropy, end_token, shift_right, span_loss
from course.inputs import check_encoded, check_inputs, per_layer
from course.modeling import PreTrainedModel
from course.nn import Embedding, FeedForward, KeyValueCache, Layer, LayerCache, MultiHeadAttention, PostNormBlock, make_mask
from course.outputs import (
    BaseModelOutput,
    Seq2SeqLMOutput,
    Seq2SeqModelOutput,
    Seq2SeqQuestionAnsweringModelOutput,
    Seq2SeqSequenceClassifierOutput,
)

EPS = 1e-5
OFFSET = 2                                          # the number of the first position


@dataclass(init=False, repr=False, eq=False)
class BartConfig(ModelConfig):
    """The defaults are facebook/bart-large."""

    model_type: ClassVar[str] = "bart"
    prefix: ClassVar[str] = "model"
    aliases: ClassVar[dict[str, str]] = {"hidden_size": "d_model", "num_attention_heads": "encoder_attention_heads",
                                         "num_hidden_layers": "encoder_layers", "intermediate_size": "encoder_ffn_dim",
                                         "initializer_range": "init_std", "hidden_act": "activation_function"}

    vocab_size: int = 50265
    max_position_embeddings: int = 1024
    d_model: int = 1024                             # D
    encoder_layers: int = 12
    encoder_attention_heads: int = 16               # H
    encoder_ffn_dim: int = 4096
    encoder_layerdrop: float = 0.0                  # the share of layers that a training step leaves out
    decoder_layers: int = 12
    decoder_attention_heads: int = 16
    decoder_ffn_dim: int = 4096
    decoder_layerdrop: float = 0.0
    activation_function: str = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    classifier_dropout: float = 0.0
    init_std: float = 0.02
    scale_embedding: bool = False                   # multiply the words' embeddings by the root of their width
    use_cache: bool = True
    is_encoder_decoder: bool = True
    pad_token_id: int = 1
    bos_token_id: int = 0
    eos_token_id: int = 2
    decoder_start_token_id: int = 2
    forced_eos_token_id: int | None = 2

    def _fill(self, settings: dict[str, Any]) -> None:
        if not settings.get("id2label") and not settings.get("label2id"):
            settings.setdefault("num_labels", 3)    # contradiction, neutral, entailment
        super()._fill(settings)


class BartEncoder(nn.Module):
    """Reads a text: BERT's layers."""

    def __init__(self, config: BartConfig):
        super().__init__()
        width = config.d_model
        self.positions = Embedding(config.max_position_embeddings + OFFSET, width)
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(config.dropout)
        self.layer_drop = config.encoder_layerdrop
        self.layers = nn.ModuleList(
            PostNormBlock(
                MultiHeadAttention(width, config.encoder_attention_heads, config.attention_dropout),
                FeedForward(width, config.encoder_ffn_dim, config.activation_function, config.dropout,
                            config.activation_dropout),
                width, EPS, config.dropout)
            for _ in range(config.encoder_layers))

    def forward(self, x: Tensor, mask: Tensor | None, head_masks: Tensor | list[None], want_weights: bool,
                want_states: bool) -> BaseModelOutput:
        """x (B, S, D) embeddings, mask (B, 1, 1, S) -> states (B, S, D)."""
        positions = torch.arange(OFFSET, OFFSET + x.shape[1], device=x.device)
        x = self.dropout(self.norm(x + self.positions(positions)))
        states: tuple[Tensor, ...] = (x,) if want_states else ()
        attentions: tuple[Tensor, ...] = ()
        for number, layer in enumerate(self.layers):
            weights = None
            if not self.training or torch.rand(()) >= self.layer_drop:
                x, weights = layer(x, mask, head_masks[number], want_weights)
            states += (x,) if want_states else ()
            attentions += (weights,) if want_weights else ()
        return BaseModelOutput(x, None, states or None, attentions or None)


class BartDecoderLayer(Layer):
    """A post-norm layer with cross-attention between attention and feed-forward."""

    def __init__(self, config: BartConfig):
        super().__init__()
        width, heads = config.d_model, config.decoder_attention_heads
        self.attention = MultiHeadAttention(width, heads, config.attention_dropout, causal=True)
        self.attention_norm = nn.LayerNorm(width, eps=EPS)
        self.cross_attention = MultiHeadAttention(width, heads, config.attention_dropout)
        self.cross_norm = nn.LayerNorm(width, eps=EPS)
        self.feed_forward = FeedForward(width, config.decoder_ffn_dim, config.activation_function, config.dropout,
                                        config.activation_dropout)
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None, memory: Tensor, memory_mask: Tensor | None,
                head_mask: Tensor | None, cross_head_mask: Tensor | None, need_weights: bool,
                cache: LayerCache | None) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """x (B, T, D), memory (B, S, D) -> x (B, T, D), weights (B, H, T, T), cross-attention weights (B, H, T, S)."""
        attended, weights = self.attention(x, mask, head_mask, need_weights, cache=cache)
        x = self.attention_norm(x + self.dropout(attended))
        attended, cross = self.cross_attention(x, memory_mask, cross_head_mask, need_weights, memory=memory, cache=cache)
        x = self.cross_norm(x + self.dropout(attended))
        return self.norm(x + self.feed_forward(x)), weights, cross


class BartDecoder(nn.Module):
    """Writes a text and looks at another one."""

    def __init__(self, config: BartConfig):
        super().__init__()
        self.positions = Embedding(config.max_position_embeddings + OFFSET, config.d_model)
        self.norm = nn.LayerNorm(config.d_model, eps=EPS)
        self.dropout = nn.Dropout(config.dropout)
        self.layer_drop = config.decoder_layerdrop
        self.layers = nn.ModuleList(BartDecoderLayer(config) for _ in range(config.decoder_layers))

    def forward(self, x: Tensor, mask: Tensor | None, encoder: BaseModelOutput, memory_mask: Tensor | None,
                head_masks: Tensor | list[None], cross_head_masks: Tensor | list[None], cache: KeyValueCache | None,
                want_weights: bool, want_states: bool) -> Seq2SeqModelOutput:
        """x (B, T, D) embeddings, mask (B, 1, 1, T), memory_mask (B, 1, 1, S) -> states (B, T, D)."""
        first = OFFSET + (0 if cache is None else cache.length)
        positions = torch.arange(first, first + x.shape[1], device=x.device)
        x = self.dropout(self.norm(x + self.positions(positions)))
        states: tuple[Tensor, ...] = (x,) if want_states else ()
        attentions: tuple[Tensor, ...] = ()
        crosses: tuple[Tensor, ...] = ()
        for number, layer in enumerate(self.layers):
            if not self.training or torch.rand(()) >= self.layer_drop:
                x, weights, cross = layer(x, mask, encoder.last_hidden_state, memory_mask, head_masks[number],
                                          cross_head_masks[number], want_weights, cache and cache.layers[number])
                attentions += (weights,) if want_weights else ()
                crosses += (cross,) if want_weights else ()
            states += (x,) if want_states else ()
        return Seq2SeqModelOutput(x, cache, states or None, attentions or None, crosses or None,
                                  encoder.last_hidden_state, encoder.hidden_states, encoder.attentions)


class BartModel(PreTrainedModel):
    """Token ids of a text and of what has been written so far -> one vector per token written."""

    config_class = BartConfig

    def __init__(self, config: BartConfig):
        super().__init__(config)
        self.tokens = Embedding(config.vocab_size, config.d_model, padding_idx=config.pad_token_id)
        self.encoder = BartEncoder(config)
        self.decoder = BartDecoder(config)
        self.post_init()

    def embed(self, ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, D)."""
        return self.tokens(ids) * (self.config.d_model**0.5 if self.config.scale_embedding else 1.0)

    def encode(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
               head_mask: Tensor | None = None, inputs_embeds: Tensor | None = None, output_attentions: bool = False,
               output_hidden_states: bool = False) -> BaseModelOutput:
        """The encoder alone: its result can be given to the model as encoder_outputs, as often as one likes."""
        check_inputs(self.config, input_ids, inputs_embeds, attention_mask)
        x = self.embed(input_ids) if inputs_embeds is None else inputs_embeds  # (B, S, D)
        mask = make_mask(attention_mask, x)  # (B, 1, 1, S) or None
        head_masks = per_layer(head_mask, self.config.encoder_layers, self.config.encoder_attention_heads)
        return self.encoder(x, mask, head_masks, output_attentions, output_hidden_states)

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                decoder_input_ids: Tensor | None = None, decoder_attention_mask: Tensor | None = None,
                head_mask: Tensor | None = None, decoder_head_mask: Tensor | None = None,
                cross_attn_head_mask: Tensor | None = None, encoder_outputs: BaseModelOutput | tuple | None = None,
                past_key_values: KeyValueCache | None = None, inputs_embeds: Tensor | None = None,
                decoder_inputs_embeds: Tensor | None = None, use_cache: bool | None = None,
                output_attentions: bool | None = None, output_hidden_states: bool | None = None) -> Seq2SeqModelOutput:
        """input_ids (B, S), or inputs_embeds (B, S, D), or encoder_outputs of an earlier call; decoder_input_ids (B, T)
        (or decoder_inputs_embeds) of the tokens that are not in past_key_values yet: without them input_ids, shifted;
        attention_mask (B, S); decoder_attention_mask (B, T) for all tokens; head masks (H,) or (layers, H)."""
        want_weights = self.config.output_attentions if output_attentions is None else output_attentions
        want_states = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        use_cache = self.config.use_cache if use_cache is None else use_cache
        if encoder_outputs is None:
            encoder_outputs = self.encode(input_ids, attention_mask, head_mask, inputs_embeds, want_weights, want_states)
        elif not isinstance(encoder_outputs, BaseModelOutput):
            encoder_outputs = BaseModelOutput(encoder_outputs[0])
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            if input_ids is None:
                raise ValueError("the decoder needs decoder_input_ids: what has been written so far, at first "
                                 f"[[{self.config.decoder_start_token_id}]]")
            decoder_input_ids = shift_right(input_ids, self.config.decoder_start_token_id, self.config.pad_token_id)
        cache = KeyValueCache.start(past_key_values, use_cache, self.config.decoder_layers)
        past = 0 if cache is None else cache.length
        check_inputs(self.config, decoder_input_ids, decoder_inputs_embeds, decoder_attention_mask, past)
        x = self.embed(decoder_input_ids) if decoder_inputs_embeds is None else decoder_inputs_embeds  # (B, T, D)
        if past == 0:                                 # later the cache has what it needs of them
            check_encoded(self.config, encoder_outputs.last_hidden_state, x.shape[0], attention_mask)
        mask, memory_mask = make_mask(decoder_attention_mask, x, past, causal=True), make_mask(attention_mask, x)
        head_masks, cross_head_masks = (
            per_layer(m, self.config.decoder_layers, self.config.decoder_attention_heads)
            for m in (decoder_head_mask, cross_attn_head_mask))
        outputs = self.decoder(x, mask, encoder_outputs, memory_mask, head_masks, cross_head_masks, cache,
                               want_weights, want_states)
        outputs.past_key_values = cache if use_cache else None
        return outputs


class BartForConditionalGeneration(PreTrainedModel, EncoderDecoder):
    """A score for every piece of the vocabulary: which one does the decoder write next?"""

    config_class = BartConfig

    def __init__(self, config: BartConfig):
        super().__init__(config)
        self.model = BartModel(config)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size)
        self.lm_head.bias.requires_grad_(False)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                decoder_input_ids: Tensor | None = None, labels: Tensor | None = None, logits_to_keep: int = 0,
                **inputs: Any) -> Seq2SeqLMOutput:
        """labels (B, T): what the decoder should write, -100 where nothing is to be guessed; without decoder_input_ids
        it reads the labels shifted by one. logits_to_keep: scores for so many last positions only, 0 = all."""
        if labels is not None:
            inputs["use_cache"] = False
            if decoder_input_ids is None and inputs.get("decoder_inputs_embeds") is None:
                decoder_input_ids = shift_right(labels, self.config.decoder_start_token_id, self.config.pad_token_id)
        body = self.model(input_ids, attention_mask, decoder_input_ids, return_dict=True, **inputs)
        logits = self.lm_head(body.last_hidden_state[:, -logits_to_keep:])  # (B, T, V)
        return body.after(Seq2SeqLMOutput, cross_entropy(logits, labels), logits)


class BartForSequenceClassification(PreTrainedModel):
    """One label for a text or a pair of texts: encoder and decoder read the same, the decoder's last </s> decides."""

    config_class = BartConfig

    def __init__(self, config: BartConfig):
        super().__init__(config)
        self.model = BartModel(config)
        self.classifier = ClassificationHead(config.d_model, config.num_labels, config.classifier_dropout)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> Seq2SeqSequenceClassifierOutput:
        """labels (B,) class numbers; (B, L) floats for several labels a text; see course.heads.classification_loss."""
        if labels is not None:
            inputs["use_cache"] = False
        body = self.model(input_ids, attention_mask, return_dict=True, **inputs)
        logits = self.classifier(end_token(body.last_hidden_state, input_ids, self.config.eos_token_id))  # (B, L)
        return body.after(Seq2SeqSequenceClassifierOutput, classification_loss(logits, labels, self.config), logits)


class BartForQuestionAnswering(PreTrainedModel):
    """Where in the second text the answer to the first begins and ends: encoder and decoder read the same."""

    config_class = BartConfig

    def __init__(self, config: BartConfig):
        super().__init__(config)
        self.model = BartModel(config)
        self.qa_outputs = nn.Linear(config.d_model, 2)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                start_positions: Tensor | None = None, end_positions: Tensor | None = None,
                **inputs: Any) -> Seq2SeqQuestionAnsweringModelOutput:
        """start_positions, end_positions (B,): first and last token of the answer."""
        if start_positions is not None and end_positions is not None:
            inputs["use_cache"] = False
        body = self.model(input_ids, attention_mask, return_dict=True, **inputs)
        start, end = self.qa_outputs(body.last_hidden_state).unbind(-1)  # (B, T) each
        loss = span_loss(start, end, start_positions, end_positions)
        return body.after(Seq2SeqQuestionAnsweringModelOutput, loss, start, end)


def from_checkpoint(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The files hold final_logits_bias as (1, V), or not at all when it is zero."""
    words = next((weights[name] for name in SHARED if name in weights), None)
    if "final_logits_bias" in weights:
        return weights | {"final_logits_bias": weights["final_logits_bias"][0]}
    return weights if words is None else weights | {"final_logits_bias": words.new_zeros(len(words))}


def to_checkpoint(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of from_checkpoint."""
    return {name: value[None] if name == "final_logits_bias" else value for name, value in weights.items()}


SHARED = ("model.shared.weight", "shared.weight", "model.decoder.embed_tokens.weight", "decoder.embed_tokens.weight")
HF_NAMES = {
    "model.shared.*": "model.tokens.*",
    "model.encoder.embed_tokens.*": "model.tokens.*",                       # the same numbers, stored three times
    "model.decoder.embed_tokens.*": "model.tokens.*",
    **{f"model.{part}.{theirs}": f"model.{part}.{ours}" for part in ("encoder", "decoder") for theirs, ours in {
        "embed_positions.*": "positions.*",
        "layernorm_embedding.*": "norm.*",
        "layers.#.self_attn.q_proj.*": "layers.#.attention.q.*",
        "layers.#.self_attn.k_proj.*": "layers.#.attention.k.*",
        "layers.#.self_attn.v_proj.*": "layers.#.attention.v.*",
        "layers.#.self_attn.out_proj.*": "layers.#.attention.out.*",
        "layers.#.self_attn_layer_norm.*": "layers.#.attention_norm.*",
        "layers.#.encoder_attn.q_proj.*": "layers.#.cross_attention.q.*",   # of the decoder
        "layers.#.encoder_attn.k_proj.*": "layers.#.cross_attention.k.*",
        "layers.#.encoder_attn.v_proj.*": "layers.#.cross_attention.v.*",
        "layers.#.encoder_attn.out_proj.*": "layers.#.cross_attention.out.*",
        "layers.#.encoder_attn_layer_norm.*": "layers.#.cross_norm.*",
        "layers.#.fc1.*": "layers.#.feed_forward.up.*",
        "layers.#.fc2.*": "layers.#.feed_forward.down.*",
        "layers.#.final_layer_norm.*": "layers.#.norm.*",
    }.items()},
    "lm_head.weight": "lm_head.weight",
    "final_logits_bias": "lm_head.bias",
    "classification_head.dense.*": "classifier.dense.*",
    "classification_head.out_proj.*": "classifier.out.*",
    "qa_outputs.*": "qa_outputs.*",
}
