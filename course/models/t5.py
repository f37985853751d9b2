"""T5: Raffel et al. 2019, https://arxiv.org/abs/1910.10683; version 1.1 and Flan-T5 are the same network with a gate.

What is new versus BART:
- every task is text to text: the input says what is to be done ("summarize: …")
- no positions are added to the words: each head learns a bias for every distance, which is added to the scores; the first
  layer holds it and all layers of the encoder (or the decoder) share it
- pre-norm with RMSNorm, no biases, and scores that are not divided by the root of a head's width
- tied predictions are scaled by the root of the width; from version 1.1 on they are not tied, and the feed-forward
  network has a gate (feed_forward_proj="gated-gelu" instead of "relu")
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
from course.nn import (
    Embedding,
    FeedForward,
    GatedFeedForward,
    KeyValueCache,
    Layer,
    LayerCache,
    MultiHeadAttention,
    RMSNorm,
    causal_mask,
    distance_buckets,
    make_mask,
)
from course.outputs import (
    BaseModelOutput,
    Seq2SeqLMOutput,
    Seq2SeqModelOutput,
    Seq2SeqQuestionAnsweringModelOutput,
    Seq2SeqSequenceClassifierOutput,
    TokenClassifierOutput,
)


@dataclass(init=False, repr=False, eq=False)
class T5Config(ModelConfig):
    """The defaults are t5-small."""

    model_type: ClassVar[str] = "t5"
    prefix: ClassVar[str] = "transformer"
    aliases: ClassVar[dict[str, str]] = {"hidden_size": "d_model", "num_attention_heads": "num_heads",
                                         "num_hidden_layers": "num_layers", "intermediate_size": "d_ff",
                                         "head_dim": "d_kv"}

    vocab_size: int = 32128
    d_model: int = 512                              # D
    d_kv: int = 64                                  # d, on its own: heads * d_kv need not be d_model
    d_ff: int = 2048
    num_layers: int = 6
    num_decoder_layers: int | None = None           # None: num_layers
    num_heads: int = 8                              # H
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    dropout_rate: float = 0.1
    classifier_dropout: float = 0.0
    layer_norm_epsilon: float = 1e-6
    initializer_factor: float = 1.0
    feed_forward_proj: str = "relu"                 # the activation; "gated-…" adds a gate
    is_encoder_decoder: bool = True
    use_cache: bool = True
    pad_token_id: int = 0
    eos_token_id: int = 1
    decoder_start_token_id: int | None = None       # 0 in the checkpoints

    @property
    def activation(self) -> str:
        name = self.feed_forward_proj.removeprefix("gated-")
        return "gelu_new" if self.feed_forward_proj == "gated-gelu" else name


class T5Layer(Layer):
    """A pre-norm layer, in the decoder with cross-attention between attention and feed-forward."""

    def __init__(self, config: T5Config, decoder: bool):
        super().__init__()
        width, eps, dropout = config.d_model, config.layer_norm_epsilon, config.dropout_rate
        feed_forward = GatedFeedForward if config.feed_forward_proj.startswith("gated-") else FeedForward
        self.attention = self.make_attention(config)
        self.attention_norm = RMSNorm(width, eps)
        self.cross_attention = self.make_attention(config) if decoder else None
        self.cross_norm = RMSNorm(width, eps) if decoder else None
        self.feed_forward = feed_forward(width, config.d_ff, config.activation, dropout, dropout, bias=False)
        self.norm = RMSNorm(width, eps)
        self.dropout = nn.Dropout(dropout)

    @staticmethod
    def make_attention(config: T5Config) -> MultiHeadAttention:
        return MultiHeadAttention(config.d_model, config.num_heads, config.dropout_rate, head_width=config.d_kv,
                                  scale=1.0, bias=False, out_bias=False)

    def forward(self, x: Tensor, mask: Tensor, memory: Tensor | None, memory_mask: Tensor | None,
                head_mask: Tensor | None, cross_head_mask: Tensor | None, need_weights: bool,
                cache: LayerCache | None) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """x (B, T, D), mask (1 or B, H, T, T), memory (B, S, D) -> x, weights (B, H, T, T), cross-weights (B, H, T, S)."""
        attended, weights = self.attention(self.attention_norm(x), mask, head_mask, need_weights, cache=cache)
        x = x + self.dropout(attended)
        cross = None
        if self.cross_attention is not None:
            attended, cross = self.cross_attention(self.cross_norm(x), memory_mask, cross_head_mask, need_weights,
                                                   memory=memory, cache=cache)
            x = x + self.dropout(attended)
        return x + self.feed_forward(self.norm(x)), weights, cross


class T5Stack(nn.Module):
    """The encoder, or the decoder."""

    def __init__(self, config: T5Config, layers: int, decoder: bool):
        super().__init__()
        self.decoder = decoder
        self.buckets, self.furthest = config.relative_attention_num_buckets, config.relative_attention_max_distance
        self.distances = Embedding(self.buckets, config.num_heads)
        self.layers = nn.ModuleList(T5Layer(config, decoder) for _ in range(layers))
        self.norm = RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, x: Tensor, mask: Tensor | None, head_masks: Tensor | list[None], want_weights: bool,
                want_states: bool, memory: Tensor | None = None, memory_mask: Tensor | None = None,
                cross_head_masks: Tensor | list[None] | None = None,
                cache: KeyValueCache | None = None) -> Seq2SeqModelOutput:
        """x (B, T, D) embeddings, mask (B, 1, 1, T), memory (B, S, D) and memory_mask (B, 1, 1, S) for the decoder."""
        x = self.dropout(x)
        mask = self.bias(x, mask, 0 if cache is None else cache.length)
        states: tuple[Tensor, ...] = ()
        attentions: tuple[Tensor, ...] = ()
        crosses: tuple[Tensor, ...] = ()
        for number, layer in enumerate(self.layers):
            states += (x,) if want_states else ()
            x, weights, cross = layer(x, mask, memory, memory_mask, head_masks[number],
                                      cross_head_masks[number] if cross_head_masks is not None else None,
                                      want_weights, cache and cache.layers[number])
            attentions += (weights,) if want_weights else ()
            crosses += (cross,) if want_weights and self.decoder else ()
        x = self.dropout(self.norm(x))
        states += (x,) if want_states else ()       # the last state is the normalised one
        return Seq2SeqModelOutput(x, cache, states or None, attentions or None, crosses or None)

    def bias(self, x: Tensor, mask: Tensor | None, past: int) -> Tensor:
        """What is added to the scores of every layer: the bias of the distances, and the mask. (1 or B, H, T, S)."""
        target, source = x.shape[1], past + x.shape[1]
        places = torch.arange(source, device=x.device)
        distance = places - places[past:, None]                                           # (T, S)
        buckets = distance_buckets(distance, self.buckets, self.furthest, both_sides=not self.decoder)
        bias = self.distances(buckets).permute(2, 0, 1)[None]                             # (1, H, T, S)
        if mask is not None:
            bias = bias + mask
        return causal_mask(bias, x, target, source) if self.decoder else bias


class T5Model(PreTrainedModel):
    """Token ids of a text and of what has been written so far -> one vector per token written."""

    config_class = T5Config

    def __init__(self, config: T5Config):
        super().__init__(config)
        self.tokens = Embedding(config.vocab_size, config.d_model)
        self.encoder = T5Stack(config, config.num_layers, decoder=False)
        self.decoder = T5Stack(config, config.num_decoder_layers or config.num_layers, decoder=True)
        self.post_init()

    def init_weights(self, module: nn.Module) -> None:
        init_weights(self, module)

    def encode(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
               head_mask: Tensor | None = None, inputs_embeds: Tensor | None = None, output_attentions: bool = False,
               output_hidden_states: bool = False) -> BaseModelOutput:
        """The encoder alone: its result can be given to the model as encoder_outputs, as often as one likes."""
        check_inputs(self.config, input_ids, inputs_embeds, attention_mask)
        x = self.tokens(input_ids) if inputs_embeds is None else inputs_embeds  # (B, S, D)
        mask = make_mask(attention_mask, x)  # (B, 1, 1, S) or None
        found = self.encoder(x, mask, per_layer(head_mask, len(self.encoder.layers), self.config.num_heads), output_attentions,
                             output_hidden_states)
        return BaseModelOutput(found.last_hidden_state, None, found.decoder_hidden_states, found.decoder_attentions)

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                decoder_input_ids: Tensor | None = None, decoder_attention_mask: Tensor | None = None,
                head_mask: Tensor | None = None, decoder_head_mask: Tensor | None = None,
                cross_attn_head_mask: Tensor | None = None, encoder_outputs: BaseModelOutput | tuple | None = None,
                past_key_values: KeyValueCache | None = None, inputs_embeds: Tensor | None = None,
                decoder_inputs_embeds: Tensor | None = None, use_cache: bool | None = None,
                output_attentions: bool | None = None, output_hidden_states: bool | None = None) -> Seq2SeqModelOutput:
        """input_ids (B, S), or inputs_embeds (B, S, D), or encoder_outputs of an earlier call; decoder_input_ids (B, T)
        (or decoder_inputs_embeds) of the tokens that are not in past_key_values yet; attention_mask (B, S);
        decoder_attention_mask (B, T) for all tokens; head masks (H,) or (layers, H)."""
        want_weights = self.config.output_attentions if output_attentions is None else output_attentions
        want_states = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        use_cache = self.config.use_cache if use_cache is None else use_cache
        if encoder_outputs is None:
            encoder_outputs = self.encode(input_ids, attention_mask, head_mask, inputs_embeds, want_weights, want_states)
        elif not isinstance(encoder_outputs, BaseModelOutput):
            encoder_outputs = BaseModelOutput(encoder_outputs[0])
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            raise ValueError("the decoder needs decoder_input_ids: what has been written so far, at first "
                             f"[[{self.config.pad_token_id}]]; or give labels to a T5ForConditionalGeneration")
        layers = len(self.decoder.layers)
        cache = KeyValueCache.start(past_key_values, use_cache, layers)
        past = 0 if cache is None else cache.length
        check_inputs(self.config, decoder_input_ids, decoder_inputs_embeds, decoder_attention_mask, past)
        x = self.tokens(decoder_input_ids) if decoder_inputs_embeds is None else decoder_inputs_embeds  # (B, T, D)
        if past == 0:                                 # later the cache has what it needs of them
            check_encoded(self.config, encoder_outputs.last_hidden_state, x.shape[0], attention_mask)
        mask, memory_mask = make_mask(decoder_attention_mask, x), make_mask(attention_mask, x)
        outputs = self.decoder(x, mask, per_layer(decoder_head_mask, layers, self.config.num_heads), want_weights, want_states,
                               encoder_outputs.last_hidden_state, memory_mask,
                               per_layer(cross_attn_head_mask, layers, self.config.num_heads), cache)
        outputs.past_key_values = cache if use_cache else None
        outputs.encoder_last_hidden_state = encoder_outputs.last_hidden_state
        outputs.encoder_hidden_states, outputs.encoder_attentions = encoder_outputs.hidden_states, encoder_outputs.attentions
        return outputs


class T5ForConditionalGeneration(PreTrainedModel, EncoderDecoder):
    """A score for every piece of the vocabulary: which one does the decoder write next?"""

    config_class = T5Config

    def __init__(self, config: T5Config):
        super().__init__(config)
        self.transformer = T5Model(config)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.post_init()

    def init_weights(self, module: nn.Module) -> None:
        init_weights(self, module)

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                decoder_input_ids: Tensor | None = None, labels: Tensor | None = None, logits_to_keep: int = 0,
                **inputs: Any) -> Seq2SeqLMOutput:
        """labels (B, T): what the decoder should write, -100 where nothing is to be guessed; without decoder_input_ids
        it reads the labels shifted by one. logits_to_keep: scores for so many last positions only, 0 = all."""
        if labels is not None and decoder_input_ids is None and inputs.get("decoder_inputs_embeds") is None:
            start = self.config.decoder_start_token_id
            decoder_input_ids = shift_right(labels, self.config.pad_token_id if start is None else start,
                                            self.config.pad_token_id)
        body = self.transformer(input_ids, attention_mask, decoder_input_ids, return_dict=True, **inputs)
        x = body.last_hidden_state[:, -logits_to_keep:]
        if self.config.tie_word_embeddings:
            x = x * self.config.d_model**-0.5
        logits = self.lm_head(x)  # (B, T, V)
        return body.after(Seq2SeqLMOutput, cross_entropy(logits, labels), logits)


class T5EncoderModel(T5Model):
    """The encoder alone: token ids -> one vector per token."""

    def __init__(self, config: T5Config):
        super().__init__(config)
        self.decoder = None

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,  # type: ignore[override]
                head_mask: Tensor | None = None, inputs_embeds: Tensor | None = None,
                output_attentions: bool | None = None, output_hidden_states: bool | None = None) -> BaseModelOutput:
        """input_ids (B, T), or inputs_embeds (B, T, D); attention_mask (B, T); head_mask (H,) or (layers, H)."""
        return self.encode(input_ids, attention_mask, head_mask, inputs_embeds,
                           self.config.output_attentions if output_attentions is None else output_attentions,
                           self.config.output_hidden_states if output_hidden_states is None else output_hidden_states)


class T5ForTokenClassification(PreTrainedModel):
    """One label for every token, read from the encoder."""

    config_class = T5Config

    def __init__(self, config: T5Config):
        super().__init__(config)
        self.transformer = T5EncoderModel(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.d_model, config.num_labels)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> TokenClassifierOutput:
        """labels (B, T) class numbers, -100 for tokens that do not count."""
        body = self.transformer(input_ids, attention_mask, return_dict=True, **inputs)
        logits = self.classifier(self.dropout(body.last_hidden_state))  # (B, T, L)
        return TokenClassifierOutput(cross_entropy(logits, labels), logits, body.hidden_states, body.attentions)


class T5ForSequenceClassification(PreTrainedModel):
    """One label for a text or a pair of texts: encoder and decoder read the same, the decoder's last </s> decides."""

    config_class = T5Config

    def __init__(self, config: T5Config):
        super().__init__(config)
        self.transformer = T5Model(config)
        self.classifier = ClassificationHead(config.d_model, config.num_labels, config.classifier_dropout)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, **inputs: Any) -> Seq2SeqSequenceClassifierOutput:
        """labels (B,) class numbers; (B, L) floats for several labels a text; see course.heads.classification_loss."""
        body = read_twice(self, input_ids, attention_mask, labels is None, inputs)
        logits = self.classifier(end_token(body.last_hidden_state, input_ids, self.config.eos_token_id))  # (B, L)
        return body.after(Seq2SeqSequenceClassifierOutput, classification_loss(logits, labels, self.config), logits)


class T5ForQuestionAnswering(PreTrainedModel):
    """Where in the second text the answer to the first begins and ends: encoder and decoder read the same."""

    config_class = T5Config

    def __init__(self, config: T5Config):
        super().__init__(config)
        self.transformer = T5Model(config)
        self.qa_outputs = nn.Linear(config.d_model, 2)
        self.post_init()

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                start_positions: Tensor | None = None, end_positions: Tensor | None = None,
                **inputs: Any) -> Seq2SeqQuestionAnsweringModelOutput:
        """start_positions, end_positions (B,): first and last token of the answer."""
        body = read_twice(self, input_ids, attention_mask, start_positions is None, inputs)
        start, end = self.qa_outputs(body.last_hidden_state).unbind(-1)  # (B, T) each
        loss = span_loss(start, end, start_positions, end_positions)
        return body.after(Seq2SeqQuestionAnsweringModelOutput, loss, start, end)


def read_twice(model: PreTrainedModel, input_ids: Tensor | None, attention_mask: Tensor | None, use_cache: bool,
               inputs: dict[str, Any]) -> Seq2SeqModelOutput:
    """The body's output; without other decoder inputs the decoder reads what the encoder reads, shifted by one."""
    given = inputs.keys() & {"decoder_input_ids", "decoder_inputs_embeds"}
    if not given and input_ids is not None:
        start, pad = model.config.decoder_start_token_id, model.config.pad_token_id
        inputs["decoder_input_ids"] = shift_right(input_ids, pad if start is None else start, pad)
    if not use_cache:
        inputs["use_cache"] = False
    return model.base_model(input_ids, attention_mask, return_dict=True, **inputs)


@torch.no_grad()
def init_weights(model: PreTrainedModel, module: nn.Module) -> None:
    """Spreads that take the place of the scaling which T5's attention leaves out (the paper's code, Mesh TensorFlow)."""
    config = model.config
    if isinstance(module, nn.Embedding):
        words = module.embedding_dim == config.d_model
        module.weight.normal_(0.0, config.initializer_factor * (1.0 if words else config.d_model**-0.5))
    elif isinstance(module, nn.Linear):
        spread = 1.0 if module is model.get_output_embeddings() else module.in_features**-0.5
        if any(isinstance(owner, MultiHeadAttention) and module is owner.q for owner in model.modules()):
            spread *= config.d_kv**-0.5
        module.weight.normal_(0.0, config.initializer_factor * spread)
    elif isinstance(module, RMSNorm):
        module.weight.fill_(config.initializer_factor)


def from_checkpoint(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """In the files of classifiers the names of the body begin with transformer."""
    return {name.removeprefix("transformer."): value for name, value in weights.items()}


def to_checkpoint(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse; and wi is called wi_1 in a network with a gate, which is wi_0."""
    gated = any(".wi_0." in name for name in weights)
    body = "transformer." if any(name.startswith("classif") for name in weights) else ""
    return {("" if name.startswith("classif") else body) + (name.replace(".wi.", ".wi_1.") if gated else name): value
            for name, value in weights.items()}


HF_NAMES = {
    "shared.*": "transformer.tokens.*",
    "encoder.embed_tokens.*": "transformer.tokens.*",                       # the same numbers, stored three times
    "decoder.embed_tokens.*": "transformer.tokens.*",
    **{f"{part}.{theirs}": f"transformer.{part}.{ours}" for part in ("encoder", "decoder") for theirs, ours in {
        "block.0.layer.0.SelfAttention.relative_attention_bias.weight": "distances.weight",
        "block.#.layer.0.SelfAttention.q.*": "layers.#.attention.q.*",
        "block.#.layer.0.SelfAttention.k.*": "layers.#.attention.k.*",
        "block.#.layer.0.SelfAttention.v.*": "layers.#.attention.v.*",
        "block.#.layer.0.SelfAttention.o.*": "layers.#.attention.out.*",
        "block.#.layer.0.layer_norm.*": "layers.#.attention_norm.*",
        "final_layer_norm.*": "norm.*",
    }.items()},
    **{f"decoder.block.#.layer.1.{theirs}": f"transformer.decoder.layers.#.{ours}" for theirs, ours in {
        "EncDecAttention.q.*": "cross_attention.q.*",
        "EncDecAttention.k.*": "cross_attention.k.*",
        "EncDecAttention.v.*": "cross_attention.v.*",
        "EncDecAttention.o.*": "cross_attention.out.*",
        "layer_norm.*": "cross_norm.*",
    }.items()},
    "decoder.block.#.layer.1.EncDecAttention.relative_attention_bias.*": None,      # of early files, never used
    **{f"{part}.block.#.layer.{number}.{theirs}": f"transformer.{part}.layers.#.{ours}"
       for part, number in (("encoder", 1), ("decoder", 2)) for theirs, ours in {
        "DenseReluDense.wi.*": "feed_forward.up.*",
        "DenseReluDense.wi_0.*": "feed_forward.gate.*",
        "DenseReluDense.wi_1.*": "feed_forward.up.*",                       # the name of wi where there is a gate
        "DenseReluDense.wo.*": "feed_forward.down.*",
        "layer_norm.*": "norm.*",
    }.items()},
    "lm_head.weight": "lm_head.weight",
    "classification_head.dense.*": "classifier.dense.*",
    "classification_head.out_proj.*": "classifier.out.*",
    "classifier.*": "classifier.*",                                         # of a token classifier
    "qa_outputs.*": "qa_outputs.*",
}
