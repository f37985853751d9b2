"""Models elsewhere: what is written answers as torch does, and what goes wrong leaves nothing behind."""

import importlib.metadata
import json
import os
import shutil
import time

import numpy as np
import pytest
import tiny
import torch

import course
from course import cli, export, runtimes

TEXTS = ["the council vote was not bad.", "good", "is the new school good or is it bad?", "people was unhappy", "not the new school",
         "bad people", "un", "the people is happy, not bad", "council, council", "new! good?"] * 3


@pytest.fixture
def onnx():
    pytest.importorskip("onnx", reason='no onnx: pip install "course[onnx]"')
    return pytest.importorskip("onnxruntime", reason='no onnxruntime: pip install "course[onnx]"')


def run(folder, inputs):
    import onnxruntime
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    return session.run(None, {i.name: inputs[i.name].numpy() for i in session.get_inputs()})


# -- without any extra --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "kind", "said"), [
    ({"to": "fax"}, ValueError, "no target 'fax'; there are onnx"),
    ({"to": "coreml", "int8": True}, ValueError, "int8 exists for onnx and tflite; leave --int8 out for coreml"),
])
def test_what_cannot_be_is_said(folder, tmp_path, options, kind, said):
    with pytest.raises(kind, match=said):
        export.export(str(folder), folder=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("have", "said"), [(None, 'needs {}, which is not installed. Try: pip install "course\\[{}\\]"'),
                                            ("0.2.0", "needs {} .* or newer; here is 0.2.0. Try: pip install --upgrade {}")])
@pytest.mark.parametrize(("to", "package", "extra"), [("onnx", "onnx", "onnx"), ("executorch", "executorch", "executorch"),
                                                      ("coreml", "coremltools", "coreml"), ("tflite", "keras", "tf-cpu")])
def test_a_missing_or_old_library_is_named_with_its_cure(folder, tmp_path, monkeypatch, have, said, to, package, extra):
    def version(name):
        if have is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return have

    monkeypatch.setattr(runtimes.importlib.metadata, "version", version)
    with pytest.raises(ImportError, match=said.format(package, package if have else extra)):
        export.export(str(folder), to, folder=tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.fixture
def pretend(monkeypatch):
    """As if the libraries were there: what is refused before they are used."""
    monkeypatch.setattr(export, "need", lambda to: None)


def test_other_architectures_are_refused(tmp_path, pretend):
    tiny.writer("bart", vocab_size=len(tiny.VOCAB)).save_pretrained(tmp_path / "bart")
    with pytest.raises(ValueError, match="onnx takes bert, distilbert, roberta, gpt2; this is a bart model"):
        export.export(str(tmp_path / "bart"), folder=tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["bart"]


def test_a_target_says_which_models_it_takes(tmp_path, pretend):
    tiny.model("", "roberta", **tiny.SIZES["bert"]).save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match="tflite takes bert, distilbert; this is a roberta model, which can go to onnx, executorch, coreml"):
        export.export(str(tmp_path / "model"), "tflite", folder=tmp_path / "out")


def test_what_a_killed_process_left_is_removed_next_time(tmp_path):
    for name, age in ((".part-out-old", 7200), (".part-out-young", 60), (".part-other-old", 7200), ("mine", 7200)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    with export.writing(tmp_path / "out") as made:
        (made / "file").touch()
    assert {path.name for path in tmp_path.iterdir()} == {"out", ".part-out-young", ".part-other-old", "mine"}


def test_a_folder_that_is_there_stays_as_it_is(folder, tmp_path, pretend):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is there already: delete it"):
        export.export(str(folder), folder=tmp_path / "out")
    assert (tmp_path / "out/mine.txt").read_text() == "mine" and len(list(tmp_path.iterdir())) == 2


def test_no_room_is_said_before_anything_is_written(folder, tmp_path, pretend, monkeypatch):
    monkeypatch.setattr(export.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(OSError, match="has 0 MB left"):
        export.export(str(folder), folder=tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_texts_to_judge_on_are_needed(folder, tmp_path, pretend):
    with pytest.raises(ValueError, match="texts is empty: an export is judged on texts"):
        export.export(str(folder), folder=tmp_path / "out", texts=[])
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_the_command_says_what_went_wrong(folder, tmp_path, capsys):
    assert cli.main(["export", str(folder), "--to", "fax"]) == 1
    assert "course export: there is no target 'fax'" in capsys.readouterr().err


@pytest.mark.parametrize(("row", "rounded", "said"), [
    ({"model": "onnx, float32", "difference": 0.01, "labels": 1.0}, False, "differs from torch by 0.01"),
    ({"model": "onnx, float32", "difference": float("nan"), "labels": 1.0}, False, "differs from torch by nan"),
    ({"model": "onnx, int8", "difference": 0.5, "labels": 0.973}, True, "kept 97.3% of the labels.*--labels 0.97"),
])
def test_an_export_that_answers_otherwise_does_not_pass(row, rounded, said):
    with pytest.raises(ValueError, match=said):
        export.judge(row, rounded, 0.99, scale=3.0)


def test_the_page_wants_an_adapter_and_a_new_folder(folder, tmp_path, monkeypatch):
    from course import browser
    monkeypatch.setattr(browser, "need", lambda to: None)
    with pytest.raises(ValueError, match="is no adapter: the page shares one body"):
        browser.write_page(str(folder), tmp_path / "out")
    with pytest.raises(FileExistsError, match="is there already"):
        browser.write_page(folder=folder)
    monkeypatch.setattr(browser, "PAGE", tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="part of the repository"):
        browser.write_page(folder=tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_all_writes_what_is_installed_and_says_the_rest(folder, tmp_path, monkeypatch):
    def need(to):
        if to != "onnx":
            raise ImportError(f"--to {to} needs what is not here")

    def write(subject, place, int8):
        (place / "model.onnx").write_bytes(b"1" * (20 if int8 else 80))
        return place / "model.onnx", subject.answers

    monkeypatch.setattr(export, "need", need)
    monkeypatch.setitem(export.TARGETS, "onnx", runtimes.TARGETS["onnx"]._replace(write=write))
    rows = export.export(str(folder), "all", int8=True, folder=tmp_path / "out", texts=TEXTS)
    assert [row["model"] for row in rows] == ["torch, float32", "onnx, float32", "onnx, int8", "tflite", "executorch", "coreml"]
    said = export.table(rows)
    assert "| coreml | not written | not written |" in said and "tflite: not written: --to tflite needs what is not here" in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["onnx"]
    assert "onnx, int8" in (tmp_path / "out/onnx/README.md").read_text() and (tmp_path / "out/onnx/vocab.txt").is_file()
    monkeypatch.setattr(export, "need", lambda to: need(""))
    with pytest.raises(ImportError, match="nothing can be written here. onnx is not written: .*coreml is not written"):
        export.export(str(folder), "all", folder=tmp_path / "none")
    assert not (tmp_path / "none").exists()


# -- ONNX ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "task"), [
    ("bert", "ForSequenceClassification"), ("bert", "ForTokenClassification"), ("bert", "ForQuestionAnswering"), ("bert", "ForMaskedLM"),
    ("bert", ""), ("distilbert", "ForSequenceClassification"), ("roberta", "ForSequenceClassification"), ("roberta", "ForMaskedLM")])
def test_an_encoder_answers_alike_in_onnx(onnx, tmp_path, kind, task):
    model = tiny.model(task, kind, **({} if kind in tiny.SIZES else tiny.SIZES["bert"]))
    model.save_pretrained(tmp_path / "model")
    tiny.tokenizer(model_max_length=60).save_pretrained(tmp_path / "model")
    if kind != "bert":                                  # these know no types of tokens
        settings = tmp_path / "model/tokenizer_config.json"
        settings.write_text(json.dumps(json.loads(settings.read_text()) | {"tokenizer_class": "DistilBertTokenizer"}))
    rows = export.export(str(tmp_path / "model"), folder=tmp_path / "out", texts=TEXTS)
    assert [row["model"] for row in rows] == ["torch, float32", "onnx, float32"]
    assert rows[1]["difference"] < 1e-4 and (rows[1]["labels"] == 1 if task else np.isnan(rows[1]["labels"]))
    tokenizer = course.AutoTokenizer.from_pretrained(tmp_path / "out")
    for texts in (TEXTS[:3], TEXTS[:1], ["the " * 40] * 7):       # sizes that no example had
        inputs = tokenizer(texts, padding=True, return_tensors="pt")
        for found, wanted in zip(run(tmp_path / "out", inputs), model(**inputs).values(), strict=True):
            assert found.shape == wanted.shape and np.abs(found - wanted.detach().numpy()).max() < 1e-4
    assert {"README.md", "config.json", "model.onnx", "vocab.txt", "tokenizer_config.json"} <= {p.name for p in (tmp_path / "out").iterdir()}
    assert {p.name for p in tmp_path.iterdir()} == {"model", "out"}


def test_a_decoder_goes_on_with_its_cache_in_onnx(onnx, tmp_path):
    model = tiny.writer("gpt2", vocab_size=len(tiny.VOCAB))
    model.save_pretrained(tmp_path / "model")
    tiny.tokenizer(model_max_length=30).save_pretrained(tmp_path / "model")
    export.export(str(tmp_path / "model"), folder=tmp_path / "out", texts=[text + " the council vote" for text in TEXTS])
    ids = torch.tensor([[7, 9, 11], [5, 60, 61]])
    wanted = model.generate(ids, do_sample=False, max_new_tokens=6, eos_token_id=None)
    heads, width = model.config.n_head, model.config.n_embd // model.config.n_head
    memory, new, written = [torch.zeros(2, heads, 0, width)] * (2 * model.config.n_layer), ids, ids
    for _ in range(6):
        names = [f"past_key_values.{n}.{part}" for n in range(model.config.n_layer) for part in ("key", "value")]
        logits, *present = run(tmp_path / "out", {
            "input_ids": new, "attention_mask": torch.ones_like(written), **dict(zip(names, memory, strict=True)),
            "position_ids": torch.arange(written.shape[1] - new.shape[1], written.shape[1]).repeat(2, 1)})
        memory, new = [torch.from_numpy(x) for x in present], torch.from_numpy(logits[:, -1:].argmax(-1))
        written = torch.cat([written, new], 1)
    assert written.tolist() == wanted.tolist()


def test_int8_is_a_quarter_and_keeps_the_labels(onnx, tmp_path, capsys):
    tiny.save(tmp_path / "model", hidden_size=96, intermediate_size=400)
    assert cli.main(["export", str(tmp_path / "model"), "--int8", "-o", str(tmp_path / "out"), "--labels", "0.9"]) == 0
    printed = capsys.readouterr().out
    assert printed in (tmp_path / "out/README.md").read_text() and "| onnx, int8 |" in printed
    model = course.AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    assert (tmp_path / "out/model.onnx").stat().st_size < 0.35 * 4 * model.num_parameters()
    inputs = tiny.tokenizer()(TEXTS, padding=True, return_tensors="pt")
    (logits,) = run(tmp_path / "out", inputs)
    alone = np.concatenate([run(tmp_path / "out", tiny.tokenizer()([text], return_tensors="pt"))[0] for text in TEXTS[:10]])
    assert np.abs(logits[:10] - alone).max() < 1e-4     # the neighbours of a text change nothing
    assert 0 < np.abs(logits - model(**inputs).logits.detach().numpy()).max() < 0.2


def test_rounding_is_to_the_nearest_of_255_steps(onnx, tmp_path):
    import onnx as library
    layer = torch.nn.Linear(6, 3)
    runtimes.record(layer, {"x": torch.ones(2, 6)}, tmp_path / "model.onnx", ["x"], ["y"], {"x": {0: "batch"}})
    runtimes.round_weights(tmp_path / "model.onnx")
    stored = {t.name: library.numpy_helper.to_array(t) for t in library.load(tmp_path / "model.onnx").graph.initializer}
    factors, weight = layer.weight.abs().amax(1, keepdim=True) / 127, layer.weight.detach()
    assert stored["weight.int8"].tolist() == (weight / factors).round().int().tolist()
    assert np.allclose(stored["weight.factors"], factors.detach()) and "weight" not in stored
    (y,) = run(tmp_path, {"x": torch.eye(6)})
    assert np.abs(y.T - layer.bias.detach().numpy()[:, None] - weight.numpy()).max() <= factors.max().item() / 2 + 1e-6


def test_what_onnx_cannot_express_is_named_and_leaves_nothing(onnx, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(export.Encoder, "forward", lambda self, *inputs: (torch.special.bessel_j0(inputs[0].float()),))
    with pytest.raises(ValueError, match="ONNX .opset 17. cannot express this model: .*bessel_j0"):
        export.export(str(folder), folder=tmp_path / "out", texts=TEXTS)
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_runtime_that_answers_otherwise_leaves_nothing(onnx, folder, tmp_path, monkeypatch):
    true = runtimes.run_onnx
    monkeypatch.setattr(runtimes, "run_onnx", lambda path: lambda inputs: [x + 0.01 for x in true(path)(inputs)])
    with pytest.raises(ValueError, match="differs from torch by 0.01"):
        export.export(str(folder), folder=tmp_path / "out", texts=TEXTS)
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_runtime_that_cannot_read_the_file_says_which_it_is(onnx, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ValueError, match=rf"onnxruntime {onnx.__version__} cannot read model.onnx"):
        runtimes.run_onnx(tmp_path / "model.onnx")
