"""Exports for phones, where their libraries are installed: TFLite by way of the Keras models, ExecuTorch, Core ML."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import torch

import course
from course import cli, export, runtimes
from course.models.auto import class_for

TEXTS = ["The new timetable is a relief, even if the trains are full.", "No.", "They closed the library and nobody asked us.",
         "I like it here, but rents went up twice in a year.", "Buses!", "More trees, fewer cars, and a school that is not falling apart"] * 4
SIZES = {"bert": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48},
         "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48}}


def save(folder, kind="bert", task="ForSequenceClassification", **settings):
    """A small model with the vocabulary of a real one; the model."""
    tokenizer = course.BertTokenizer.from_pretrained("pocket/sentiment")
    torch.manual_seed(0)
    model = class_for(kind, task)(course.AutoConfig.for_model(kind, vocab_size=len(tokenizer), **(SIZES[kind] | settings))).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.15 * torch.randn_like(weight))
    model.save_pretrained(folder)
    (tokenizer if kind == "bert" else course.DistilBertTokenizer.from_pretrained("pocket/sentiment")).save_pretrained(folder)
    return model


def interpreter(path):
    import tensorflow
    with pytest.warns(UserWarning, match="deprecated"):
        return tensorflow.lite.Interpreter(str(path))


@pytest.mark.parametrize(("kind", "task", "int8"), [("bert", "ForSequenceClassification", True), ("distilbert", "ForQuestionAnswering", False)])
def test_a_model_answers_alike_in_tflite(tmp_path, kind, task, int8):
    model = save(tmp_path / "model", kind, task)
    rows = export.export(str(tmp_path / "model"), "tflite", int8, tmp_path / "out", TEXTS, labels=0.9)
    assert [row["model"] for row in rows] == ["torch, float32", "tflite, float32"] + ["tflite, int8"] * int8
    assert rows[1]["difference"] < 1e-4 and rows[1]["labels"] == 1
    assert (tmp_path / "out/model.tflite").stat().st_size < (0.4 if int8 else 1.2) * 4 * model.num_parameters()
    runner = interpreter(tmp_path / "out/model.tflite").get_signature_runner()
    tokenizer, apart = course.AutoTokenizer.from_pretrained(tmp_path / "out"), 0.0
    for texts in (TEXTS[:3], TEXTS[:1], ["trees " * 90] * 7):             # sizes that nothing was told of
        inputs = tokenizer(texts, padding=True, return_tensors="pt")
        found = runner(**{name: value.int().numpy() for name, value in inputs.items()})
        apart = max(apart, *(np.abs(found[name] - wanted.detach().numpy()).max() for name, wanted in model(**inputs).items()))
    assert 1e-3 < apart < 0.3 if int8 else apart < 1e-4
    assert export.table(rows) in (tmp_path / "out/README.md").read_text() and {path.name for path in tmp_path.iterdir()} == {"model", "out"}


def test_a_task_without_a_keras_class_is_named(tmp_path):
    save(tmp_path / "model", task="ForNextSentencePrediction")
    with pytest.raises(ValueError, match="no TFBertForNextSentencePrediction; there are TFBertForMaskedLM, TFBertForQuestion.*Token"):
        export.export(str(tmp_path / "model"), "tflite", folder=tmp_path / "out", texts=TEXTS)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_tflite_cannot_express_is_named_and_leaves_nothing(tmp_path, monkeypatch):
    import tensorflow

    from course import keras
    save(tmp_path / "model", num_hidden_layers=1)
    monkeypatch.setattr(keras.TFBertForSequenceClassification, "scores",
                        lambda self, body: {"logits": tensorflow.math.bessel_i0(body["pooler_output"])})
    with pytest.raises(ValueError, match="TFLite cannot express this model: .*BesselI0"):
        export.export(str(tmp_path / "model"), "tflite", folder=tmp_path / "out", texts=TEXTS)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_no_room_while_the_file_is_written_is_no_fault_of_the_model(tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device")

    save(tmp_path / "model", num_hidden_layers=1)
    monkeypatch.setattr(runtimes.Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        export.export(str(tmp_path / "model"), "tflite", folder=tmp_path / "out", texts=TEXTS)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_wrong_backend_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert cli.main(["export", "pocket/sentiment", "--to", "tflite", "-o", str(tmp_path / "out")]) == 1
    assert "--to tflite needs Keras with TensorFlow, and here is KERAS_BACKEND=torch. Set it to tensorflow" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_model_answers_alike_in_executorch(tmp_path):
    pytest.importorskip("executorch", reason='no executorch: pip install "course[executorch]"')
    save(tmp_path / "model", num_hidden_layers=1)
    rows = export.export(str(tmp_path / "model"), "executorch", folder=tmp_path / "out", texts=TEXTS)
    assert rows[1]["difference"] < 1e-4 and rows[1]["labels"] == 1 and (tmp_path / "out/model.pte").is_file()


def test_core_ml_is_written_and_says_where_it_runs(tmp_path):
    pytest.importorskip("coremltools", reason='no coremltools: pip install "course[coreml]"')
    save(tmp_path / "model")
    rows = export.export(str(tmp_path / "model"), "coreml", folder=tmp_path / "out", texts=TEXTS)
    assert rows[1]["MB"] > 1 and (tmp_path / "out/model.mlpackage").is_dir()
    if sys.platform == "darwin":
        assert rows[1]["difference"] < 1e-4 and rows[1]["labels"] == 1
    else:
        assert "coreml, float32: written, and not run: that needs a Mac" in (tmp_path / "out/README.md").read_text()


def test_nothing_of_this_is_imported_by_course():
    heavy = [name for name in ("tensorflow", "keras", "executorch", "coremltools", "onnx") if importlib.util.find_spec(name)]
    code = f"import sys, course, course.export; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
