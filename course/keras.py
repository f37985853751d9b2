"""BERT and DistilBERT for Keras 3: the classes whose names begin with TF, as courses of TensorFlow use them.

    model = TFAutoModelForSequenceClassification.from_pretrained("distilbert-base-uncased", num_labels=3)
    model.compile("adam", metrics=["accuracy"])               # without a loss the model takes its own
    model.fit(tokenizer(texts, padding=True, return_tensors="np"), labels, epochs=2)
    model.save_pretrained(folder)                             # torch goes on: AutoModel….from_pretrained(folder, from_tf=True)

They compute with what Keras computes with, TensorFlow or torch (the environment variable KERAS_BACKEND, set before Keras is
imported). The parts have the names of the torch models, so weights go over by name, without a table.
"""

import os
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, ClassVar, Self

import torch

from course.config import ModelConfig, model_type_of, read_config
from course.hub import split_options
from course.keras_parts import (
    BENDS,
    Body,
    Part,
    Tensor,
    classification_loss,
    cross_entropy,
    dense,
    keras,
    layers,
    norm,
    np,
    ops,
    places_within,
)
from course.modeling import PreTrainedModel
from course.models import bert, distilbert
from course.outputs import (
    BaseModelOutput,
    MaskedLMOutput,
    ModelOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

ORDER = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "head_mask", "inputs_embeds")


class TFPreTrainedModel(keras.Model):
    """What all TF classes share. torch_class: the same model in torch, which reads and writes the files."""

    torch_class: ClassVar[type[PreTrainedModel]]
    output: ClassVar[type[ModelOutput]]
    label_names: ClassVar[tuple[str, ...]] = ("labels",)
    has_pooler = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        keras.saving.register_keras_serializable("course")(cls)       # for model.save("….keras")

    def __init__(self, config: ModelConfig, **kwargs: Any):
        if not isinstance(config, self.torch_class.config_class):
            raise TypeError(f"{type(self).__name__} needs a {self.torch_class.config_class.__name__}, got "
                            f"{type(config).__name__}. To load a checkpoint use {type(self).__name__}.from_pretrained(name)")
        super().__init__(**kwargs)
        self.config = config
        setattr(self, config.prefix, Body(config, self.has_pooler))
        self.add_head(config)
        self.built = True

    def add_head(self, config: ModelConfig) -> None:
        """The layers after the body."""

    def scores(self, body: dict[str, Any]) -> dict[str, Tensor]:
        """What the head makes of the body's outputs."""
        return {}

    def own_loss(self, scores: dict[str, Tensor], *labels: Tensor) -> Tensor:
        raise ValueError(f"{type(self).__name__} has no head, so labels mean nothing to it")

    @property
    def base_model(self) -> Body:
        return getattr(self, self.config.prefix)

    def __call__(self, input_ids: Any = None, *more: Any, training: bool | None = None, return_dict: bool = True,
                 **named: Any) -> Any:
        """A batch of the tokenizer, or its parts one by one in the order of ORDER, or by name; labels give a loss."""
        inputs = self.gather(input_ids, more, named)
        switches = {name: inputs.pop(name, None) for name in ("output_attentions", "output_hidden_states")}
        check(self.config, inputs)
        outputs = self.output(**super().__call__(inputs, training=training, **switches))
        return outputs if return_dict else outputs.to_tuple()

    def call(self, inputs: dict[str, Tensor], training: bool = False, output_attentions: bool | None = None,
             output_hidden_states: bool | None = None) -> dict[str, Any]:
        found = self.base_model(
            {name: value for name, value in inputs.items() if name not in self.label_names},
            want_states=self.config.output_hidden_states if output_hidden_states is None else output_hidden_states,
            want_weights=self.config.output_attentions if output_attentions is None else output_attentions)
        scores = self.scores(found)
        labels = [inputs[name] for name in self.label_names if name in inputs]
        if labels and len(labels) == len(self.label_names):
            scores = {"loss": self.own_loss(scores, *labels)} | scores
        return scores | {name: value for name, value in found.items()
                         if not scores or name in ("hidden_states", "attentions")}

    def gather(self, first: Any, more: tuple, named: dict[str, Any]) -> dict[str, Any]:
        """Inputs by name, as tensors. Raises TypeError for one that the model does not know."""
        order = (*ORDER, *self.label_names)
        if isinstance(first, Mapping):
            inputs = {**first, **dict(zip(order[1:], more, strict=False)), **named}
        elif isinstance(first, (list, tuple)) and all(hasattr(part, "shape") for part in first):
            inputs = {**dict(zip(order, (*first, *more), strict=False)), **named}
        else:
            inputs = {**dict(zip(order, (first, *more), strict=False)), **named}
        if len(more) >= len(order):
            raise TypeError(f"{type(self).__name__} was given {len(more) + 1} arguments: without names it takes "
                            f"{', '.join(order)}")
        switches = ("output_attentions", "output_hidden_states")
        for name in inputs:
            if name not in (*order, *switches):
                raise TypeError(f"{type(self).__name__} has no input {name!r}; it has: {', '.join((*order, *switches))}")
        return {name: value if name in switches else tensor(value) for name, value in inputs.items() if value is not None}

    # -- training with Keras -----------------------------------------------------------------------------------------------

    def compile(self, optimizer: Any = "adam", loss: Any = None, *args: Any, jit_compile: Any = False, **kwargs: Any) -> None:
        """As keras.Model.compile. Without a loss the model takes its own, for labels beside the inputs or among them.
        jit_compile: compiling makes a step faster and the first one some minutes slower, so it is not the default."""
        logits = loss.get_config().get("from_logits") if hasattr(loss, "get_config") else None
        if logits is False or (isinstance(loss, str) and "crossentropy" in loss.lower()):
            raise ValueError("this model gives logits, not probabilities: compile without loss=…, or with keras.losses."
                             "SparseCategoricalCrossentropy(from_logits=True)")
        super().compile(optimizer, loss, *args, jit_compile=jit_compile, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """For keras.models.load_model, which leaves it to classes with a compile of their own."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def labels_of(self, x: Any, y: Any) -> tuple:
        """The labels, one for each of label_names, from beside the inputs or from among them."""
        given = (x if isinstance(x, Mapping) else {}) if y is None else y
        if isinstance(given, Mapping):
            return tuple(given[name] for name in self.label_names if given.get(name) is not None)
        return tuple(given) if isinstance(given, (list, tuple)) else (given,)

    def targets(self, x: Any, y: Any, outputs: Any) -> tuple[Any, Any]:
        """(labels, logits) for a loss or a metric of Keras."""
        labels = self.labels_of(x, y)
        logits = tuple(value for name, value in outputs.items() if name.endswith("logits"))
        return (labels[0], logits[0]) if len(self.label_names) == 1 and labels else (labels or None, logits)

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
                     training: bool = True) -> Tensor:
        labels = self.labels_of(x, y)
        if len(labels) != len(self.label_names):
            raise ValueError(f"there are no labels to learn from: give {' and '.join(self.label_names)} among the inputs, or "
                             "as y")
        if self._compile_loss is not None:
            return super().compute_loss(x, *self.targets(x, y, y_pred), sample_weight, training)
        if sample_weight is not None:
            raise ValueError("the model's own loss has no weights of examples: compile with a loss of Keras")
        return self.own_loss(y_pred, *labels)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        return super().compute_metrics(x, *self.targets(x, y, y_pred), sample_weight)

    def predict_step(self, data: Any) -> dict[str, Any]:
        x = keras.utils.unpack_x_y_sample_weight(data)[0]
        if isinstance(x, Mapping):
            x = {name: value for name, value in x.items() if name not in self.label_names}
        return dict(self(x, training=False).items())

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        if isinstance(held_out := kwargs.get("validation_data"), tuple):
            kwargs["validation_data"] = tuple(map(arrays, held_out))
        if hasattr(x, "as_numpy_iterator"):           # tf.data shuffles itself; Keras would warn of its own default
            kwargs.setdefault("shuffle", False)
        return super().fit(arrays(x), arrays(y), *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        return super().evaluate(arrays(x), arrays(y), *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """All examples at once, as arrays of numpy, in the output that a call gives."""
        return self.output(**super().predict(arrays(x), *args, **kwargs))

    def get_config(self) -> dict[str, Any]:
        return {"config": self.config.to_dict()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(cls.torch_class.config_class.from_dict(config["config"]))

    # -- loading and saving ------------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, *, from_pt: bool = False, **kwargs: Any) -> Self:
        """The model of a checkpoint in any format that the torch class reads, with its keywords (num_labels=3 …). In a folder
        with both, tf_model.h5 goes before the files of torch, unless from_pt=True."""
        has_h5 = os.path.isdir(name) and any(part.startswith("tf_model.h5") for part in os.listdir(name))
        return cls.from_torch(cls.torch_class.from_pretrained(name, from_tf=has_h5 and not from_pt, **kwargs))

    @classmethod
    def from_torch(cls, source: PreTrainedModel) -> Self:
        """The same model with the same weights."""
        model = cls(deepcopy(source.config))
        if getattr(source.base_model, "pooler", None) is None:
            model.base_model.pooler = None
        for name, value in source.state_dict().items():
            if name not in source.tied_names():
                variable, turned = model.variable(name)
                variable.assign(tensor((value.T if turned else value).float().numpy()))
        return model

    def to_torch(self) -> PreTrainedModel:
        """The torch model with these weights, in eval mode."""
        model = self.torch_class(deepcopy(self.config))
        if self.has_pooler and self.base_model.pooler is None:
            model.base_model.pooler = None
        with torch.no_grad():
            for name, value in model.state_dict(keep_vars=True).items():
                if name not in model.tied_names():
                    variable, turned = self.variable(name)
                    array = ops.convert_to_numpy(variable)
                    value.copy_(torch.from_numpy(np.array(array.T if turned else array, dtype=np.float32)))
        return model.eval()

    def variable(self, name: str) -> tuple[Any, bool]:
        """The Keras variable of a weight of the torch model, and whether it is stored turned."""
        *path, last = name.split(".")
        part: Any = self.base_model if type(self).output is BaseModelOutput else self
        for step in path:
            part = part[int(step)] if step.isdigit() else getattr(part, "blocks" if step == "layers" else step)
        names = {"weight": ("kernel", "embeddings", "gamma"), "bias": ("beta", "bias")}[last]
        own = next(own for own in names if getattr(part, own, None) is not None)
        return getattr(part, own), own == "kernel"

    def save_pretrained(self, folder: str | os.PathLike, safe_serialization: bool = False, **kwargs: Any) -> None:
        """Writes config.json and tf_model.h5, which TF classes of transformers read, and torch classes with from_tf=True;
        safe_serialization=True: model.safetensors."""
        self.to_torch().save_pretrained(folder, to_tf=not safe_serialization, **kwargs)


def tensor(value: Any) -> Tensor:
    """Lists, arrays and tensors of the other library as tensors of the one that computes."""
    if isinstance(value, keras.KerasTensor) or ops.is_tensor(value):
        return value
    return ops.convert_to_tensor(np.asarray(value))


def arrays(data: Any) -> Any:
    """What a tokenizer and pandas give, in the form that Keras takes."""
    if isinstance(data, Mapping):
        return {name: arrays(value) for name, value in data.items()}
    if isinstance(data, list) and not any(hasattr(part, "shape") for part in data):
        return np.asarray(data)
    return data.to_numpy() if hasattr(data, "to_numpy") else data


def check(config: ModelConfig, inputs: dict[str, Any]) -> None:
    """Raises ValueError or IndexError for inputs that would fail inside Keras, where values are known."""
    ids, embeds = inputs.get("input_ids"), inputs.get("inputs_embeds")
    if (ids is None) == (embeds is None):
        raise ValueError("give the model either input_ids or inputs_embeds: model(tokenizer(texts, padding=True, "
                         "return_tensors='tf'))")
    shape = tuple((embeds if ids is None else ids).shape)
    if len(shape) != (2 if embeds is None else 3):
        raise ValueError(f"{'inputs_embeds' if ids is None else 'input_ids'} must have the shape (batch, length"
                         f"{', width' if ids is None else ''}), got {shape}"
                         + (": put one text into a batch, tokenizer([text], …)" if len(shape) == 1 else ""))
    if shape[1] is not None and not 1 <= shape[1] <= config.max_position_embeddings:
        raise ValueError(f"the text has {shape[1]} tokens and this model reads 1 to {config.max_position_embeddings}: cut it "
                         f"with tokenizer(text, truncation=True, max_length={config.max_position_embeddings})")
    if ids is not None and hasattr(ids, "numpy"):
        low, high = int(ops.min(ids)), int(ops.max(ids))
        if low < 0 or high >= config.vocab_size:
            raise IndexError(f"input_ids holds {low if low < 0 else high}, but this model knows the ids 0 to "
                             f"{config.vocab_size - 1}. Do tokenizer and model belong together?")


class TFBody(TFPreTrainedModel):
    output = BaseModelOutput
    label_names = ()
    has_pooler = True


class TFForSequenceClassification(TFPreTrainedModel):
    output = SequenceClassifierOutput
    has_pooler = True

    def add_head(self, config: ModelConfig) -> None:
        self.pre_classifier = None if config.model_type == "bert" else dense(config.hidden_size, config.hidden_size, config)
        self.dropout = layers.Dropout(
            bert.classifier_dropout(config) if isinstance(config, bert.BertConfig) else config.seq_classif_dropout)
        self.classifier = dense(config.hidden_size, config.num_labels, config)

    def scores(self, body: dict[str, Any]) -> dict[str, Tensor]:
        x = body.get("pooler_output") if self.pre_classifier is None else \
            ops.relu(self.pre_classifier(body["last_hidden_state"][:, 0]))
        return {"logits": self.classifier(self.dropout(x))}                               # (B, L)

    def own_loss(self, scores: dict[str, Tensor], *labels: Tensor) -> Tensor:
        return classification_loss(scores["logits"], labels[0], self.config)


class TFForTokenClassification(TFPreTrainedModel):
    output: ClassVar[type[ModelOutput]] = TokenClassifierOutput

    def add_head(self, config: ModelConfig) -> None:
        self.dropout = layers.Dropout(
            bert.classifier_dropout(config) if isinstance(config, bert.BertConfig) else config.dropout)
        self.classifier = dense(config.hidden_size, config.num_labels, config)

    def scores(self, body: dict[str, Any]) -> dict[str, Tensor]:
        return {"logits": self.classifier(self.dropout(body["last_hidden_state"]))}       # (B, T, L)

    def own_loss(self, scores: dict[str, Tensor], *labels: Tensor) -> Tensor:
        return cross_entropy(scores["logits"], labels[0])


class TFForQuestionAnswering(TFPreTrainedModel):
    output = QuestionAnsweringModelOutput
    label_names = ("start_positions", "end_positions")

    def add_head(self, config: ModelConfig) -> None:
        self.dropout = layers.Dropout(getattr(config, "qa_dropout", 0.0))                 # BERT has none there
        self.qa_outputs = dense(config.hidden_size, 2, config)

    def scores(self, body: dict[str, Any]) -> dict[str, Tensor]:
        both = self.qa_outputs(self.dropout(body["last_hidden_state"]))                   # (B, T, 2)
        return {"start_logits": both[..., 0], "end_logits": both[..., 1]}

    def own_loss(self, scores: dict[str, Tensor], *labels: Tensor) -> Tensor:
        return sum(cross_entropy(logits, places_within(place, logits)) for logits, place in zip(
            (scores["start_logits"], scores["end_logits"]), labels, strict=True)) / 2


class TFForMaskedLM(TFForTokenClassification):
    output = MaskedLMOutput

    def add_head(self, config: ModelConfig) -> None:
        if not config.tie_word_embeddings:
            raise ValueError(f"{type(self).__name__} writes with the table it reads with (tie_word_embeddings=True)")
        decoder = Part()
        decoder.bias = decoder.add_weight(shape=(config.vocab_size,), initializer="zeros", name="bias")
        self.head = Part(dense=dense(config.hidden_size, config.hidden_size, config), norm=norm(config), decoder=decoder)

    def scores(self, body: dict[str, Any]) -> dict[str, Tensor]:
        x = self.head.norm(BENDS[self.config.hidden_act](self.head.dense(body["last_hidden_state"])))
        words = ops.transpose(ops.convert_to_tensor(self.base_model.tokens.embeddings))   # (D, V)
        return {"logits": ops.matmul(x, words) + self.head.decoder.bias}                  # (B, T, V)


# TFBertModel, TFBertForSequenceClassification, …, TFDistilBertModel, …
TASKS = {"Model": TFBody, "ForSequenceClassification": TFForSequenceClassification, "ForMaskedLM": TFForMaskedLM,
         "ForTokenClassification": TFForTokenClassification, "ForQuestionAnswering": TFForQuestionAnswering}
STARTS = {"bert": "TFBert", "distilbert": "TFDistilBert"}
for file in (bert, distilbert):
    for task, base in TASKS.items():
        name = STARTS[file.__name__.rpartition(".")[2]] + task
        globals()[name] = type(name, (base,), {"torch_class": getattr(file, name[2:])})


# -- Auto classes --------------------------------------------------------------------------------------------------------


class TFAutoModel:
    """The body of a checkpoint of BERT or DistilBERT; subclasses choose a task class instead."""

    ending: ClassVar[str] = "Model"

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__} is made with {type(self).__name__}.from_pretrained(name) "
                        f"or {type(self).__name__}.from_config(config)")

    @classmethod
    def class_for(cls, model_type: str) -> type[TFPreTrainedModel]:
        if model_type not in STARTS:
            raise ValueError(f"for Keras course has BERT and DistilBERT, this is a {model_type!r} model: {cls.__name__[2:]}."
                             "from_pretrained(…), without TF, has all architectures, and reads tf_model.h5 too")
        return globals()[STARTS[model_type] + cls.ending]

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, **kwargs: Any) -> TFPreTrainedModel:
        """See TFPreTrainedModel.from_pretrained."""
        config = kwargs.get("config")
        found = config.model_type if isinstance(config, ModelConfig) else model_type_of(
            name, read_config(name, **split_options(kwargs)[0]))
        return cls.class_for(found).from_pretrained(name, **kwargs)

    @classmethod
    def from_config(cls, config: ModelConfig) -> TFPreTrainedModel:
        """A model with random weights. The config is copied."""
        return cls.class_for(config.model_type)(deepcopy(config))


for task in list(TASKS)[1:]:
    name = f"TFAutoModel{task}"
    globals()[name] = type(name, (TFAutoModel,), {"ending": task})


class TFAutoModelWithLMHead(TFAutoModel):
    """The older name of TFAutoModelForMaskedLM."""

    ending = "ForMaskedLM"
