"""The parts of the Keras models in keras.py, and their losses, as course.nn and course.heads have them for torch."""

import importlib.util
import os
import sys
from typing import Any

if importlib.util.find_spec("keras") is None:
    raise ImportError("the TF classes need Keras 3 and what it computes with: pip install keras tensorflow-cpu (with torch "
                      "alone: pip install keras, and KERAS_BACKEND=torch). The classes without TF in their names need neither")
if "KERAS_BACKEND" not in os.environ and "keras" not in sys.modules:
    os.environ["KERAS_BACKEND"] = "tensorflow" if importlib.util.find_spec("tensorflow") else "torch"
wanted = os.environ.get("KERAS_BACKEND") or sys.modules["keras"].backend.backend()
if wanted not in ("tensorflow", "torch"):
    raise ImportError(f"KERAS_BACKEND={wanted}: the TF classes compute with tensorflow or torch. Set one of them before Keras "
                      "is imported, and start Python (the kernel) anew")
if importlib.util.find_spec(wanted) is None:
    raise ImportError(f"KERAS_BACKEND={wanted}, which is not installed: pip install {wanted}, or KERAS_BACKEND=torch")

import keras  # noqa: E402 - only now: it reads KERAS_BACKEND when it is imported
import numpy as np  # noqa: E402
from keras import layers, ops  # noqa: E402

from course.config import ModelConfig  # noqa: E402
from course.models.distilbert import EPS  # noqa: E402

if not keras.__version__.startswith("3") or keras.backend.backend() != wanted:
    raise ImportError(f"Keras {keras.__version__} was imported before with {keras.backend.backend()}, the TF classes need "
                      f"Keras 3 with KERAS_BACKEND={wanted}: set that first, and start Python (the kernel) anew")
Tensor = Any                                        # of TensorFlow or torch
BENDS = {"gelu": lambda x: ops.gelu(x, approximate=False), "gelu_new": ops.gelu, "gelu_pytorch_tanh": ops.gelu,
         "relu": ops.relu, "silu": ops.silu, "swish": ops.silu, "tanh": ops.tanh}


# -- parts ---------------------------------------------------------------------------------------------------------------


def made(layer: layers.Layer, *width: int) -> layers.Layer:
    """A layer with its weights, before it sees an input. width: of its input."""
    layer.build((None, *width))
    return layer


def dense(width: int, out: int, config: ModelConfig) -> layers.Layer:
    return made(layers.Dense(out, kernel_initializer=keras.initializers.RandomNormal(stddev=config.initializer_range)), width)


def table(rows: int, config: ModelConfig) -> layers.Layer:
    start = keras.initializers.RandomNormal(stddev=config.initializer_range)
    return made(layers.Embedding(rows, config.hidden_size, embeddings_initializer=start))


def norm(config: ModelConfig) -> layers.Layer:
    return made(layers.LayerNormalization(epsilon=getattr(config, "layer_norm_eps", EPS)), config.hidden_size)


class Part(layers.Layer):
    """A layer that is complete as soon as it is made."""

    def __init__(self, **parts: Any):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.built = True


class Attention(Part):
    def __init__(self, config: ModelConfig, dropout: float):
        super().__init__(dropout=layers.Dropout(dropout), **{
            name: dense(config.hidden_size, config.hidden_size, config) for name in ("q", "k", "v", "out")})
        self.heads, self.head_width = config.num_attention_heads, config.hidden_size // config.num_attention_heads

    def call(self, x: Tensor, hidden: Tensor | None = None, head_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, T, D), hidden (B, 1, 1 or T, T): very negative = do not look -> (B, T, D), weights (B, H, T, T)."""
        rows, length = ops.shape(x)[0], ops.shape(x)[1]
        q, k, v = (ops.transpose(ops.reshape(part(x), (rows, length, self.heads, self.head_width)), (0, 2, 1, 3))
                   for part in (self.q, self.k, self.v))                                  # (B, H, T, d)
        scores = ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) * self.head_width**-0.5    # (B, H, T, T)
        weights = self.dropout(ops.softmax(scores if hidden is None else scores + hidden, -1))
        if head_mask is not None:
            weights = weights * ops.reshape(head_mask, (1, self.heads, 1, 1))
        mixed = ops.reshape(ops.transpose(ops.matmul(weights, v), (0, 2, 1, 3)), (rows, length, self.heads * self.head_width))
        return self.out(mixed), weights


class Block(Part):
    def __init__(self, config: ModelConfig, dropout: float, attention_dropout: float):
        width, inner = config.hidden_size, config.intermediate_size
        super().__init__(attention=Attention(config, attention_dropout), attention_norm=norm(config), norm=norm(config),
                         feed_forward=Part(up=dense(width, inner, config), down=dense(inner, width, config)),
                         dropout=layers.Dropout(dropout), is_bert=config.model_type == "bert", bend=BENDS[config.hidden_act])

    def call(self, x: Tensor, hidden: Tensor | None = None, head_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        attended, weights = self.attention(x, hidden, head_mask)
        x = self.attention_norm(x + (self.dropout(attended) if self.is_bert else attended))      # DistilBERT has none there
        return self.norm(x + self.dropout(self.feed_forward.down(self.bend(self.feed_forward.up(x))))), weights


class Body(Part):
    def __init__(self, config: ModelConfig, pooler: bool):
        is_bert = config.model_type == "bert"
        dropouts = (config.hidden_dropout_prob, config.attention_probs_dropout_prob) if is_bert else \
            (config.dropout, config.attention_dropout)
        super().__init__(
            tokens=table(config.vocab_size, config), positions=table(config.max_position_embeddings, config), norm=norm(config),
            types=table(config.type_vocab_size, config) if is_bert else None, dropout=layers.Dropout(dropouts[0]),
            blocks=[Block(config, *dropouts) for _ in range(config.num_hidden_layers)],
            pooler=dense(config.hidden_size, config.hidden_size, config) if is_bert and pooler else None)
        self.positions.trainable = not getattr(config, "sinusoidal_pos_embds", False)

    def call(self, inputs: dict[str, Tensor], want_states: bool = False, want_weights: bool = False) -> dict[str, Any]:
        ids, embeds, attention_mask, head_mask = (inputs.get(name) for name in (
            "input_ids", "inputs_embeds", "attention_mask", "head_mask"))
        x = self.tokens(ids) if embeds is None else embeds                                # (B, T, D)
        places = inputs.get("position_ids")
        x = x + self.positions(ops.arange(ops.shape(x)[1]) if places is None else places)
        if self.types is not None:
            kinds = inputs.get("token_type_ids")
            x = x + self.types(ops.zeros(ops.shape(x)[:2], "int32") if kinds is None else kinds)
        x = self.dropout(self.norm(x))
        hidden = None
        if attention_mask is not None:
            most = 65504.0 if self.compute_dtype == "float16" else 3.3e38
            hidden = (1.0 - ops.cast(ops.expand_dims(attention_mask, 1), self.compute_dtype)) * -most
            hidden = ops.expand_dims(hidden, 1) if len(attention_mask.shape) == 2 else hidden      # (B, 1, 1 or T, T)
        states, attentions = [x], []
        for number, block in enumerate(self.blocks):
            x, weights = block(x, hidden, head_mask if head_mask is None or len(head_mask.shape) == 1 else head_mask[number])
            states.append(x)
            attentions.append(weights)
        found: dict[str, Any] = {"last_hidden_state": x}
        if self.pooler is not None:
            found["pooler_output"] = ops.tanh(self.pooler(x[:, 0]))                       # (B, D)
        return found | ({"hidden_states": tuple(states)} if want_states else {}) | (
            {"attentions": tuple(attentions)} if want_weights else {})


# -- losses --------------------------------------------------------------------------------------------------------------


def cross_entropy(logits: Tensor, labels: Tensor, ignored: int = -100) -> Tensor:
    """logits (..., L), labels (...); the mean of those that are not `ignored`."""
    if len(labels.shape) == len(logits.shape):        # Keras makes (B, 1) of (B,)
        labels = ops.squeeze(labels, -1)
    classes = logits.shape[-1]
    if hasattr(labels, "numpy") and classes is not None:
        wrong = [label for label in np.asarray(ops.convert_to_numpy(labels)).reshape(-1).tolist()
                 if label != ignored and not 0 <= label < classes]
        if wrong:
            raise ValueError(f"labels holds {wrong[0]}, but this model has {classes} classes: 0 to {classes - 1}, and "
                             f"{ignored} for positions that do not count. Is num_labels right?")
    counts = ops.cast(labels != ignored, logits.dtype)
    losses = ops.sparse_categorical_crossentropy(ops.where(labels == ignored, 0, labels), logits, from_logits=True)
    return ops.sum(losses * counts) / ops.sum(counts)


def classification_loss(logits: Tensor, labels: Tensor, config: ModelConfig) -> Tensor:
    problem = config.problem_type or (
        "regression" if config.num_labels == 1 else
        "multi_label_classification" if "float" in str(labels.dtype) else "single_label_classification")
    if problem == "single_label_classification":
        return cross_entropy(logits, labels)
    labels = ops.reshape(ops.cast(labels, logits.dtype), ops.shape(logits))
    if problem == "regression":
        return ops.mean(ops.square(logits - labels))
    return ops.mean(ops.relu(logits) - logits * labels + ops.log1p(ops.exp(-ops.abs(logits))))


def places_within(places: Tensor, logits: Tensor) -> Tensor:
    """Places of tokens (B,); those past the end do not count."""
    places = ops.reshape(places, (-1,))
    return ops.where(places >= ops.shape(logits)[1], -100, ops.maximum(places, 0))
