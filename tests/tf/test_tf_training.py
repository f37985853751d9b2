"""Features of GLUE, tf.data, TFTrainer, and a tokenizer that gives tensors of TensorFlow."""

import numpy as np
import pandas
import pytest
import tensorflow as tf

import course

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "the", "council", "school", "is", "was"]
ROWS = [{"sentence": f"the {noun} {verb} {mood}", "label": int(mood == "good")}
        for noun in ("council", "school") for verb in ("is", "was") for mood in ("good", "bad")] * 2


@pytest.fixture
def tokenizer():
    return course.DistilBertTokenizerFast(vocab={word: number for number, word in enumerate(WORDS)}, model_max_length=16)


def model():
    tf.random.set_seed(0)
    return course.TFDistilBertForSequenceClassification(course.DistilBertConfig(
        vocab_size=len(WORDS), dim=16, n_layers=1, n_heads=2, hidden_dim=32, max_position_embeddings=16))


def tfds(rows):
    """As tensorflow_datasets gives them."""
    return tf.data.Dataset.from_tensor_slices({name: tf.constant([row[name] for row in rows]) for name in rows[0]})


def test_tensors_of_tensorflow(tokenizer):
    batch = tokenizer(["the council", "good"], padding=True, return_tensors="tf")
    assert all(tf.is_tensor(value) and value.dtype == tf.int32 for value in batch.values())
    assert model()(batch).logits.shape == (2, 2)
    with pytest.raises(ValueError, match="padding=True"):
        tokenizer(["the council", "good"], return_tensors="tf")


@pytest.mark.parametrize("form", [tfds, list, pandas.DataFrame], ids=["tfds", "list", "pandas"])
def test_features(tokenizer, form):
    data = course.glue_convert_examples_to_features(form(ROWS), tokenizer, max_length=8, task="sst-2")
    features, label = next(iter(data))
    assert features["input_ids"].numpy().tolist() == [2, 7, 8, 10, 5, 3, 0, 0] and int(label) == 1 and label.dtype == tf.int64
    assert set(features) == {"input_ids", "attention_mask"} and int(data.cardinality()) == 16


def test_features_of_other_tasks(tokenizer):
    convert = course.glue_convert_examples_to_features
    pairs = [{"premise": "good", "hypothesis": "bad", "label": label} for label in ("neutral", "contradiction")]
    assert [int(label) for _, label in convert(pairs, tokenizer, 8, "mnli")] == [2, 0]
    score = [{"sentence1": "good", "sentence2": "bad", "label": 2.5}]
    assert next(iter(convert(score, tokenizer, 8, "sts-b")))[1].dtype == tf.float32
    plain = [{"text": "good", "label": "yes"}, {"text": "bad", "label": "no"}]
    assert [int(label) for _, label in convert(plain, tokenizer, 8, label_list=["yes", "no"])] == [0, 1]
    assert set(next(iter(convert([{"text": "good"}], tokenizer, 8)))) == {"input_ids", "attention_mask"}
    for rows, task, said in ((ROWS, "mrpc", "no column 'sentence1', which mrpc needs; they have: sentence, label"),
                             (ROWS, "squad", "no task 'squad'; there are: cola"), ([], "mrpc", "no examples"),
                             ([{"text": "good", "label": "maybe"}], None, "")):
        if said:
            with pytest.raises(ValueError, match=said):
                convert(rows, tokenizer, 8, task)
    with pytest.raises(ValueError, match="'maybe' is none of the labels yes, no"):
        convert([{"text": "good", "label": "maybe"}], tokenizer, 8, label_list=["yes", "no"])


COLUMNS = {"cola": "sentence", "sst-2": "sentence", "sst2": "sentence", "glue/sst2": "sentence", "mrpc": "sentence1 sentence2",
           "glue/mrpc": "sentence1 sentence2", "sts-b": "sentence1 sentence2", "stsb": "sentence1 sentence2", "rte": "sentence1 sentence2",
           "wnli": "sentence1 sentence2", "qqp": "question1 question2", "qnli": "question sentence", "mnli": "premise hypothesis",
           "mnli-mm": "premise hypothesis", "mnli_mismatched": "premise hypothesis"}


@pytest.mark.parametrize("task", COLUMNS)
def test_every_task_of_glue(tokenizer, task, tmp_path):
    """As tensorflow_datasets gives them: bytes, an idx, the label of the test set is -1; and from a file of our load_dataset."""
    columns = COLUMNS[task].split()
    number = 2.5 if task.startswith("sts") else -1
    rows = [{name: ("the council is good", "bad")[i] for i, name in enumerate(columns)} | {"idx": n, "label": label}
            for n, label in enumerate((0, 1, number))]
    pandas.DataFrame(rows).to_csv(tmp_path / "rows.csv", index=False)
    for data in (tfds(rows), course.load_dataset(str(tmp_path / "rows.csv"))):
        found = list(course.glue_convert_examples_to_features(data, tokenizer, max_length=10, task=task))
        wanted = [2, 7, 8, 10, 5, 3] + ([6, 3, 0, 0] if len(columns) == 2 else [0] * 4)
        assert found[0][0]["input_ids"].numpy().tolist() == wanted and [float(label) for _, label in found] == [0, 1, number]


def test_texts_and_labels_that_are_missing(tokenizer):
    convert = course.glue_convert_examples_to_features
    frame = pandas.DataFrame({"text": ["good", None], "label": [1, None]})
    with pytest.raises(ValueError, match="example 1 has no text in text: leave it out"):
        convert(frame, tokenizer, 8)
    with pytest.raises(ValueError, match="example 1 has no label, others have"):
        convert(frame.assign(text="bad"), tokenizer, 8)
    assert set(next(iter(convert(frame.assign(text="bad", label=None), tokenizer, 8)))) == {"input_ids", "attention_mask"}


@pytest.mark.filterwarnings("error:.*shuffle")
def test_fit_on_tf_data(tokenizer):
    import keras
    data = course.glue_convert_examples_to_features(tfds(ROWS), tokenizer, max_length=8, task="sst-2")
    ours = model()
    ours.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    history = ours.fit(data.shuffle(16, seed=0).batch(4).repeat(), epochs=6, steps_per_epoch=4, verbose=0,
                       validation_data=data.batch(8)).history
    assert history["loss"][-1] < history["loss"][0] and len(history["val_accuracy"]) == 6


def test_trainer(tokenizer, tmp_path):
    data = course.glue_convert_examples_to_features(ROWS, tokenizer, max_length=8, task="sst-2")
    args = course.TFTrainingArguments(str(tmp_path), num_train_epochs=8, per_device_train_batch_size=4, learning_rate=0.01,
                                      warmup_steps=3, weight_decay=0.01, disable_tqdm=True, report_to="none")
    trainer = course.TFTrainer(model(), args, data, data, lambda p: {"accuracy": float((p.predictions.argmax(-1) == p.label_ids).mean())})
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_loss"] < before["eval_loss"] and set(after) == {"eval_loss", "eval_accuracy"}
    trainer.save_model()
    torch_model = course.AutoModelForSequenceClassification.from_pretrained(tmp_path, from_tf=True)
    batch = tokenizer(["the school was bad"], return_tensors="pt")
    assert np.allclose(torch_model(**batch).logits.detach().numpy(), trainer.model({name: value.numpy() for name, value in batch.items()}).logits, atol=1e-5)
    with pytest.raises(ValueError, match="does not know how many examples.*max_steps"):
        course.TFTrainer(model(), args, data.repeat()).train()
    with pytest.raises(ValueError, match="needs an eval_dataset"):
        course.TFTrainer(model(), args, data).evaluate()


def test_warm_up():
    from course.training.tf import WarmUp
    rates = [float(WarmUp(1.0, 2, 6)(step)) for step in range(7)]
    assert rates == pytest.approx([0, 0.5, 1, 0.75, 0.5, 0.25, 0])
    assert float(WarmUp(1.0, 0, 4)(0)) == 1
