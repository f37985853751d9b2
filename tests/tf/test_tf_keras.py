"""The Keras models: the same numbers as the torch models, and all that Keras does with a model. The whole file runs once more
with torch under Keras (the last test)."""

import os
import subprocess
import sys

import numpy as np
import pandas
import pytest
import torch

import course
from course.keras_parts import keras
from course.models.auto import class_for

BACKEND = keras.backend.backend()
ops = keras.ops
TASKS = ("Model", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMaskedLM")
SETTINGS = {
    "bert": {"vocab_size": 60, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40,
             "max_position_embeddings": 32, "num_labels": 3, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "distilbert": {"vocab_size": 60, "dim": 24, "n_layers": 2, "n_heads": 4, "hidden_dim": 40, "max_position_embeddings": 32,
                   "num_labels": 3, "dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0, "qa_dropout": 0.0}}
RNG = np.random.default_rng(0)
IDS = RNG.integers(1, 60, (3, 9))
MASK = np.array([[1] * 9, [1] * 6 + [0] * 3, [1] * 9])
TYPES = np.array([[0] * 5 + [1] * 4] * 3)
LABELS = {"Model": {}, "ForSequenceClassification": {"labels": np.array([0, 2, 1])},
          "ForTokenClassification": {"labels": np.where(MASK == 1, IDS % 3, -100)},
          "ForMaskedLM": {"labels": np.where(IDS % 4 == 0, IDS, -100)},
          "ForQuestionAnswering": {"start_positions": np.array([1, 2, 99]), "end_positions": np.array([3, 4, 9])}}


def pair(kind, task, **settings):
    """A torch model, and the Keras model with its weights."""
    torch.manual_seed(0)
    model = class_for(kind, task)(course.AutoConfig.for_model(kind, **(SETTINGS[kind] | settings))).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model, getattr(course, f"TF{type(model).__name__}").from_torch(model)


def batch(kind):
    return {"input_ids": IDS, "attention_mask": MASK} | ({"token_type_ids": TYPES} if kind == "bert" else {})


def tensors(arrays):
    return {name: torch.tensor(value) for name, value in arrays.items()}


def far(one, other):
    """The largest difference between outputs of torch and of Keras."""
    if isinstance(one, tuple):
        assert len(one) == len(other)
        return max(map(far, one, other))
    return float(abs(one.detach().numpy() - ops.convert_to_numpy(other)).max())


both = pytest.mark.parametrize("kind", ["bert", "distilbert"])


@both
@pytest.mark.parametrize("task", TASKS)
def test_numbers(kind, task):
    model, ours = pair(kind, task)
    for labels in ({}, LABELS[task]):
        wanted = model(**tensors(batch(kind) | labels), output_hidden_states=True, output_attentions=True)
        got = ours(batch(kind), **labels, output_hidden_states=True, output_attentions=True)
        assert got.keys() == wanted.keys() and max(far(wanted[name], got[name]) for name in got.keys()) < 1e-5


@both
@pytest.mark.parametrize("task", TASKS[1:])
def test_gradients(kind, task):
    """A step of gradient descent with the rate 1 changes each weight by its gradient."""
    model, ours = pair(kind, task)
    ours.compile(keras.optimizers.SGD(1.0), run_eagerly=True)         # else most of the time goes into tracing
    loss = ours.train_on_batch(batch(kind) | LABELS[task])
    wanted = model(**tensors(batch(kind) | LABELS[task])).loss
    wanted.backward()
    assert abs(float(np.ravel(loss)[0]) - wanted.item()) < 1e-5
    with torch.no_grad():
        for weight in model.parameters():
            weight.sub_(weight.grad if weight.grad is not None else 0)
    after = ours.to_torch().state_dict()
    assert max(float((value - after[name]).abs().max()) for name, value in model.state_dict().items()) < 1e-5


def test_other_inputs():
    model, ours = pair("bert", "Model")
    embeds, places, heads = RNG.standard_normal((3, 9, 24)).astype(np.float32), np.arange(9)[::-1].copy()[None], np.array([1, 0, 1, 1])
    wide = np.tril(np.ones((3, 9, 9), np.int64))
    for given in ({"inputs_embeds": embeds}, {"input_ids": IDS, "position_ids": places}, {"input_ids": IDS, "attention_mask": wide},
                  {"input_ids": IDS, "head_mask": heads.astype(np.float32)}, {"input_ids": IDS},
                  {"input_ids": IDS, "head_mask": np.stack([heads, 1 - heads]).astype(np.float32)}):
        assert far(model(**tensors(given)).last_hidden_state, ours(**given).last_hidden_state) < 1e-5


@pytest.mark.parametrize("settings", [{"num_labels": 1}, {"problem_type": "multi_label_classification"}])
def test_losses_of_numbers_and_of_several_labels(settings):
    model, ours = pair("distilbert", "ForSequenceClassification", **settings)
    labels = RNG.random((3, 1 if "num_labels" in settings else 3)).round().astype(np.float32)
    assert far(model(**tensors(batch("distilbert") | {"labels": labels})).loss, ours(batch("distilbert"), labels=labels).loss) < 1e-5


def test_ways_to_call():
    model, ours = pair("bert", "ForSequenceClassification")
    wanted = ours(batch("bert"))[0]
    for got in (ours(IDS, MASK, TYPES), ours([IDS, MASK, TYPES]), ours(IDS.tolist(), attention_mask=MASK, token_type_ids=TYPES),
                ours(input_ids=torch.tensor(IDS), attention_mask=MASK, token_type_ids=TYPES), ours(batch("bert"), return_dict=False)):
        assert float(abs(ops.convert_to_numpy(got[0] - wanted)).max()) < 1e-6
    loss, logits = ours(batch("bert"), labels=np.array([0, 1, 2]))
    assert logits.shape == (3, 3) and loss.shape == () and ours(batch("bert")).keys() == ["logits"]
    dropped = pair("bert", "ForSequenceClassification", hidden_dropout_prob=0.5)[1]
    assert float(abs(ops.convert_to_numpy(dropped(batch("bert"), training=True)[0] - dropped(batch("bert"))[0])).max()) > 1e-3


@pytest.mark.parametrize("given, error, said", [
    ({"ids": IDS}, TypeError, "has no input 'ids'; it has: input_ids, attention_mask"),
    ({}, ValueError, "give the model either input_ids or inputs_embeds"),
    ({"input_ids": IDS[0]}, ValueError, r"must have the shape \(batch, length\), got \(9,\): put one text into a batch"),
    ({"input_ids": IDS + 55}, IndexError, "knows the ids 0 to 59"),
    ({"input_ids": np.ones((1, 40), int)}, ValueError, "40 tokens and this model reads 1 to 32"),
    ({"input_ids": IDS, "labels": np.array([0, 1, 3])}, ValueError, "labels holds 3, but this model has 3 classes")])
def test_wrong_inputs(given, error, said):
    with pytest.raises(error, match=said):
        pair("bert", "ForSequenceClassification")[1](given)


def examples(n=24):
    ids = np.random.default_rng(3).integers(3, 60, (n, 8))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}, (ids[:, 1] > 30).astype(np.int64)


def ready(**compiled):
    model = pair("distilbert", "ForSequenceClassification", num_labels=2)[1]
    model.compile(keras.optimizers.Adam(3e-3), **compiled)
    return model


def test_fit_evaluate_predict(tmp_path):
    x, y = examples()
    model = ready(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    seen = []
    callbacks = [keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs)),
                 keras.callbacks.EarlyStopping(patience=50, restore_best_weights=True),
                 keras.callbacks.ModelCheckpoint(tmp_path / "best.weights.h5", save_weights_only=True)]
    history = model.fit(x, y, validation_split=0.25, epochs=12, batch_size=6, verbose=0, callbacks=callbacks).history
    assert history["loss"][-1] < history["loss"][0] and {"accuracy", "val_loss", "val_accuracy"} <= set(history) and len(seen) == 12
    assert (tmp_path / "best.weights.h5").exists()
    loss, accuracy = model.evaluate(x, y, verbose=0)
    logits = model.predict(x, verbose=0).logits
    assert isinstance(logits, np.ndarray) and logits.shape == (24, 2) and accuracy == pytest.approx((logits.argmax(-1) == y).mean())
    torch_loss = model.to_torch()(**tensors(x), labels=torch.tensor(y)).loss.item()
    assert loss == pytest.approx(torch_loss, abs=1e-4)


def test_the_models_own_loss_and_labels_among_the_inputs():
    x, y = examples()
    model = ready(metrics=["accuracy"])
    history = model.fit(x | {"labels": y}, epochs=3, batch_size=8, verbose=0, validation_split=0.25).history
    assert history["loss"][-1] < history["loss"][0] and "val_accuracy" in history
    among, beside = model.evaluate(x | {"labels": y}, verbose=0), model.evaluate(x, y, verbose=0)
    assert among == pytest.approx(beside) and model.predict(x | {"labels": y}, verbose=0).keys() == ["logits"]
    frame = pandas.DataFrame({"label": y})
    model.fit({name: value.tolist() for name, value in x.items()}, frame["label"], verbose=0)
    encoded = course.BatchEncoding(dict(x))
    assert "val_loss" in model.fit(encoded, frame["label"], validation_data=(encoded, frame["label"]), verbose=0).history
    assert model.predict(encoded, verbose=0)[0].shape == (24, 2)
    with pytest.raises(ValueError, match="there are no labels to learn from: give labels among the inputs"):
        model.fit(x, verbose=0)


def test_fit_spans():
    model = pair("bert", "ForQuestionAnswering")[1]
    model.compile(keras.optimizers.Adam(3e-3), run_eagerly=True)
    x, y = batch("bert"), LABELS["ForQuestionAnswering"]
    first = model.evaluate(x, y, verbose=0)
    assert model.fit(x, y, epochs=5, verbose=0).history["loss"][-1] < first
    assert model.predict(x, verbose=0).end_logits.shape == (3, 9)


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", keras.losses.SparseCategoricalCrossentropy()], ids=str)
def test_a_loss_of_probabilities_is_refused(loss):
    with pytest.raises(ValueError, match="this model gives logits.*from_logits=True"):
        ready(loss=loss)


def test_saved_and_loaded_both_ways(tmp_path):
    model, ours = pair("bert", "ForSequenceClassification")
    ours.save_pretrained(tmp_path / "tf")
    assert sorted(os.listdir(tmp_path / "tf")) == ["config.json", "tf_model.h5"]
    again = course.AutoModelForSequenceClassification.from_pretrained(tmp_path / "tf", from_tf=True)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    model.save_pretrained(tmp_path / "pt")
    for other in (course.TFAutoModelForSequenceClassification.from_pretrained(tmp_path / "pt", from_pt=True),
                  course.TFAutoModelForSequenceClassification.from_pretrained(tmp_path / "tf"),
                  course.TFBertForSequenceClassification.from_config(ours.get_config())):
        assert type(other) is course.TFBertForSequenceClassification and other.config.num_labels == 3
    assert far(model(**tensors(batch("bert"))).logits, course.TFAutoModelForSequenceClassification.from_pretrained(
        tmp_path / "tf")(batch("bert")).logits) < 1e-5
    ours.save_pretrained(tmp_path / "pt")             # both kinds in one folder
    model.classifier.bias.data += 1
    model.save_pretrained(tmp_path / "pt")
    load = course.TFBertForSequenceClassification.from_pretrained
    bias = model.classifier.bias.detach().numpy()
    assert np.allclose(ops.convert_to_numpy(load(tmp_path / "pt", from_pt=True).classifier.bias), bias)
    assert np.allclose(ops.convert_to_numpy(load(tmp_path / "pt").classifier.bias), bias - 1, atol=1e-6)
    assert course.TFAutoModel.from_pretrained(tmp_path / "tf").base_model.pooler is not None
    assert load(tmp_path / "tf", num_labels=5).config.num_labels == 5
    with pytest.raises(ValueError, match="lacks"):
        course.DistilBertModel(course.DistilBertConfig(**SETTINGS["distilbert"])).save_pretrained(tmp_path / "other", to_tf=True)
        os.replace(tmp_path / "other/tf_model.h5", tmp_path / "tf/tf_model.h5")
        load(tmp_path / "tf")


def test_keras_files(tmp_path):
    """model.save and load_model, with the optimizer; weights alone; an h5 of Keras is no checkpoint, and no disaster."""
    x, y = examples()
    model = ready(metrics=["accuracy"])
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again) is type(model) and again.config.to_dict() == model.config.to_dict()
    assert far(torch.tensor(model.predict(x, verbose=0)[0]), again.predict(x, verbose=0)[0]) == 0
    assert again.evaluate(x, y, verbose=0) == pytest.approx(model.evaluate(x, y, verbose=0))
    assert int(again.optimizer.iterations) == int(model.optimizer.iterations) == 1
    again.fit(x, y, verbose=0)
    model.save_weights(tmp_path / "part.weights.h5")
    other = pair("distilbert", "ForSequenceClassification", num_labels=2)[1]
    other.load_weights(tmp_path / "part.weights.h5")
    assert far(torch.tensor(model.predict(x, verbose=0)[0]), other.predict(x, verbose=0)[0]) == 0
    model.to_torch().config.save_pretrained(tmp_path)
    os.replace(tmp_path / "part.weights.h5", tmp_path / "tf_model.h5")
    with pytest.raises(ValueError, match="lacks 'distilbert"):
        course.TFDistilBertForSequenceClassification.from_pretrained(tmp_path)


def test_other_architectures():
    with pytest.raises(ValueError, match="course has BERT and DistilBERT, this is a 'gpt2' model: AutoModelWithLMHead.from_pretrained"):
        course.TFAutoModelWithLMHead.from_config(course.GPT2Config())
    with pytest.raises(TypeError, match="TFBertModel needs a BertConfig, got GPT2Config"):
        course.TFBertModel(course.GPT2Config())


@pytest.mark.parametrize("before, said", [
    ("import keras, os; os.environ['KERAS_BACKEND'] = 'tensorflow'", "was imported before with torch, the TF classes need Keras 3 with "
     "KERAS_BACKEND=tensorflow"),
    ("import os; os.environ['KERAS_BACKEND'] = 'jax'", "KERAS_BACKEND=jax: the TF classes compute with tensorflow or torch"),
    ("import sys; sys.modules['keras'] = type('K', (), {'__version__': '2.15', '__spec__': 1, 'layers': 0, 'ops': 0, "
     "'backend': type('B', (), {'backend': lambda: 'theano'})})", "Keras 2.15 was imported before with theano")])
def test_a_wrong_keras(before, said):
    done = subprocess.run([sys.executable, "-c", f"{before}\nfrom course import TFBertModel"], capture_output=True, text=True,
                          env=os.environ | {"KERAS_BACKEND": "torch"})
    assert done.returncode and said in done.stderr.splitlines()[-1]


def test_a_keras_that_runs_already_is_taken(tmp_path):
    """It may have its backend from a file, ~/.keras/keras.json, and the variable may be gone."""
    code = "import keras, os; del os.environ['KERAS_BACKEND']; from course.keras_parts import keras; print(keras.backend.backend())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"KERAS_BACKEND": "torch"})
    assert done.stdout == "torch\n", done.stderr


@pytest.mark.skipif(BACKEND == "torch", reason="this is the run with torch")
def test_all_of_it_with_torch_under_keras():
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__], capture_output=True, text=True,
                          env=os.environ | {"KERAS_BACKEND": "torch"})
    assert done.returncode == 0, done.stdout[-3000:]
