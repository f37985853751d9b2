"""tf_model.h5 and bert_model.ckpt without TensorFlow. What TensorFlow itself writes and reads is tested in tests/tf."""

import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import save_file

import course
from course import tf_checkpoints

h5py = pytest.importorskip("h5py", reason="h5py is not installed")

PATHS = [  # where TF classes of transformers put a weight: layer/class/path -> the name on the Hub
    ("bert/tf_bert_model/bert/encoder/layer_._0/attention/self/query/kernel:0", "bert.encoder.layer.0.attention.self.query.weight"),
    ("mlm___cls/tf_bert_for_pre_training/mlm___cls/predictions/transform/LayerNorm/gamma:0", "cls.predictions.transform.LayerNorm.weight"),
    ("mlm___cls/tf_bert_for_pre_training/mlm___cls/predictions/bias:0", "cls.predictions.bias"),
    ("mlm___cls/tf_bert_for_pre_training/bert/embeddings/position_embeddings/embeddings:0", "bert.embeddings.position_embeddings.weight"),
    ("bert/tf_bert_model/bert/embeddings/word_embeddings/weight:0", "bert.embeddings.word_embeddings.weight"),
    ("transformer/tfgpt2_model/transformer/h_._1/attn/c_attn/weight:0", "transformer.h.1.attn.c_attn.weight"),
    ("model/model.shared/model.shared/embeddings:0", "model.shared.weight"),
    ("model/tf_bart_model/model/encoder/layers.0/fc1/kernel:0", "model.encoder.layers.0.fc1.weight"),
    ("final_logits_bias/final_logits_bias:0", "final_logits_bias"),
    ("shared/shared/shared/embeddings:0", "shared.weight"),
    ("encoder/tft5_model/encoder/block_._0/layer_._0/SelfAttention/q/kernel:0", "encoder.block.0.layer.0.SelfAttention.q.weight"),
    ("pred_layer_._proj/tfxlm_with_lm_head_model/pred_layer_._proj/bias:0", "pred_layer.proj.bias"),
    ("crit/tf_transfo_xllm_head_model/crit/out_layers_._0_._weight:0", "crit.out_layers.0.weight"),
    ("transformer/tf_transfo_xl_model/transformer/word_emb/emb_projs_._0:0", "transformer.word_emb.emb_projs.0")]


@pytest.mark.parametrize("path, name", PATHS)
def test_names_of_h5(path, name):
    value = torch.arange(6.0).reshape(2, 3)
    assert tf_checkpoints.from_h5(path, value, by_layer=True)[0] == name
    shard = path.split("/", 1)[1] if "model.shared" in path else path.split("/", 2)[-1]
    got, tensor = tf_checkpoints.from_h5(shard, value, by_layer=False)
    assert got == name
    turned = "kernel" in path or "emb_projs" in path
    assert tensor.shape == ((3, 2) if turned else (3,) if name.endswith(".bias") else (2, 3))


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
@pytest.mark.parametrize("task", ["", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMaskedLM"])
def test_what_is_saved_for_tensorflow_comes_back(tmp_path, kind, task, caplog):
    model = tiny.model(task, kind, num_labels=2)
    model.save_pretrained(tmp_path, to_tf=True)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "tf_model.h5"]
    again = type(model).from_pretrained(tmp_path, from_tf=True)
    assert tiny.same_weights(again, model) and not caplog.text
    assert tiny.same_weights(type(model).from_pretrained(tmp_path), model)
    assert "holds weights of TensorFlow only: they are read from tf_model.h5" in caplog.text


@pytest.mark.parametrize("path, name", [(path, name) for path, name in PATHS if "tf_bert" in path] + [
    ("distilbert/tf_distil_bert_model/distilbert/transformer/layer_._0/sa_layer_norm/gamma:0",
     "distilbert.transformer.layer.0.sa_layer_norm.weight"),
    ("vocab_projector/tf_distil_bert_for_masked_lm/vocab_projector/bias:0", "vocab_projector.bias")])
def test_paths_for_tf_classes(path, name):
    """The same as those that TF classes write, except for the name of the class, which nobody reads."""
    layer, own, _ = tf_checkpoints.to_h5(name, np.zeros((2, 3)))
    assert own == path.split("/", 2)[2].removesuffix(":0") and layer in (path.split("/")[0], "bert")


@pytest.fixture
def folder(tmp_path):
    tiny.model().save_pretrained(tmp_path, to_tf=True)
    return tmp_path


def load(folder, **options):
    return course.AutoModelForSequenceClassification.from_pretrained(folder, **options)


def test_from_tf_chooses_where_there_are_both(folder):
    of_torch, of_tf = tiny.model(), load(folder)
    of_torch.save_pretrained(folder)
    assert tiny.same_weights(load(folder), of_torch) and tiny.same_weights(load(folder, from_pt=True), of_torch)
    assert tiny.same_weights(load(folder, from_tf=True), of_tf)
    (folder / "tf_model.h5").unlink()
    with pytest.raises(FileNotFoundError, match="no weights of TensorFlow, neither tf_model.h5 nor bert_model.ckpt.index; without"):
        load(folder, from_tf=True)


def test_shards(folder):
    whole, names = load(folder), {}
    with h5py.File(folder / "tf_model.h5") as file:
        found = []
        file.visititems(lambda name, part: found.append((name, part[()])) if isinstance(part, h5py.Dataset) else None)
    (folder / "tf_model.h5").unlink()
    for number, part in enumerate((found[:20], found[20:])):
        with h5py.File(folder / f"tf_model-0000{number}.h5", "w") as file:
            for name, value in part:
                names[name.split("/", 1)[1]] = f"tf_model-0000{number}.h5"
                file[name.split("/", 2)[2]] = value
    (folder / "tf_model.h5.index.json").write_text(json.dumps({"weight_map": names}))
    assert tiny.same_weights(load(folder), whole)
    (folder / "tf_model-00001.h5").unlink()
    with pytest.raises(FileNotFoundError, match="incomplete, .* lists 2 files"):
        load(folder, from_tf=True)


@pytest.mark.parametrize("size", [0, 20, 700, 0.5, 0.97])
def test_an_h5_that_is_cut_off(folder, size):
    file = folder / "tf_model.h5"
    file.write_bytes(file.read_bytes()[:int(size * file.stat().st_size) if isinstance(size, float) else size])
    with pytest.raises(OSError, match="tf_model.h5 is damaged or cut off .*force_download=True"):
        load(folder)


def test_an_h5_with_broken_insides(folder):
    data = bytearray((folder / "tf_model.h5").read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(20):                               # whatever comes, it is no crash and no half-filled model
        broken = data.copy()
        for place in rng.integers(0, 6000, 40):
            broken[place] = rng.integers(256)
        (folder / "tf_model.h5").write_bytes(broken)
        try:
            load(folder)
        except (OSError, ValueError):
            pass


def test_an_h5_of_another_architecture_or_without_all_weights(folder):
    tiny.model("", "distilbert").save_pretrained(folder / "other", to_tf=True)
    os.replace(folder / "other/tf_model.h5", folder / "tf_model.h5")
    with pytest.raises(ValueError, match="lacks '.*', which BertForSequenceClassification needs .*; it holds 'distilbert.*is it a 'bert' model"):
        load(folder)
    tiny.model().save_pretrained(folder, to_tf=True)
    with h5py.File(folder / "tf_model.h5", "a") as file:
        del file["bert/tf_bert_for_task/bert/pooler/dense/kernel:0"]
    with pytest.raises(ValueError, match=r"lacks 'bert.pooler.weight'.*\('bert.pooler.dense.weight' in the file\)"):
        load(folder)


def test_safetensors_of_a_tf_class(folder):
    """As `save_pretrained(safe_serialization=True)` of a TF class writes: its names, its turned matrices, and a note of it."""
    whole, weights = load(folder), {}
    with h5py.File(folder / "tf_model.h5") as file:
        file.visititems(lambda name, part: weights.update({name.split("/", 2)[2]: torch.tensor(part[()])})
                        if isinstance(part, h5py.Dataset) else None)
    (folder / "tf_model.h5").unlink()
    save_file(weights, folder / "model.safetensors", metadata={"format": "tf"})
    assert tiny.same_weights(load(folder), whole)
    save_file(weights, folder / "model.safetensors", metadata={"format": "flax"})         # unknown: refused by its names
    with pytest.raises(ValueError, match="lacks 'bert.*it holds 'bert/"):
        load(folder)


def test_what_has_no_place_is_named(folder, caplog):
    with h5py.File(folder / "tf_model.h5", "a") as file:
        file["bert/tf_bert_for_task/bert/extra/kernel:0"] = np.zeros((2, 2), np.float32)
    load(folder, from_tf=True)
    assert "'bert.extra.weight'" in caplog.text


def test_other_architectures_cannot_be_saved_for_tensorflow(tmp_path):
    model = course.GPT2Model(course.GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=2, n_positions=9))
    with pytest.raises(ValueError, match="writes tf_model.h5 for bert and distilbert models, not for 'transformer'"):
        model.save_pretrained(tmp_path, to_tf=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_full_disk_keeps_the_old_file(folder, share):
    """The system refuses what is longer: files that end early, at the beginning, in the weights, in the last block."""
    resource, old = pytest.importorskip("resource"), (folder / "tf_model.h5").read_bytes()
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * len(old)), most[1]))
    try:
        with pytest.raises(OSError, match=r"cannot be written .*tf_model.h5 \(File too large\); nothing half is kept"):
            tiny.model().save_pretrained(folder, to_tf=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert (folder / "tf_model.h5").read_bytes() == old and len(os.listdir(folder)) == 2


def test_weights_are_not_replaced_where_their_config_cannot_be_written(folder, monkeypatch):
    old, model = (folder / "tf_model.h5").read_bytes(), tiny.model()
    with torch.no_grad():
        next(model.parameters()).add_(1.0)

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(type(model.config), "save_pretrained", full)
    with pytest.raises(OSError, match="no space"):
        model.save_pretrained(folder, to_tf=True)
    assert (folder / "tf_model.h5").read_bytes() == old and len(os.listdir(folder)) == 2


def test_without_h5py_the_cure_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match="pip install h5py .TensorFlow is not needed"):
        load(folder)


# -- TensorFlow 1 ----------------------------------------------------------------------------------------------------------


def varint(number):
    return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])


def table_block(entries):
    """Keys whole, without shared beginnings; then the place of the first entry, 1, and type and checksum."""
    body = b"".join(b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in entries)
    body += struct.pack("<II", 0, 1) + b"\0"
    return body + struct.pack("<I", tf_checkpoints.checksum(body))


def write_ckpt(prefix, weights):
    """A checkpoint as TensorFlow 1 writes it, with a block for every three weights."""
    entries, data = [(b"", b"\x08\x01\x1a\x02\x08\x01")], b""
    for name, value in sorted(weights.items()):
        shape = b"".join(b"\x12" + varint(len(size)) + size for size in (b"\x08" + varint(n) for n in value.shape))
        entries.append((name.encode(), b"\x08" + varint({"f": 1, "i": 9}[value.dtype.kind]) + b"\x12" + varint(len(shape)) + shape
                        + b"\x20" + varint(len(data)) + b"\x28" + varint(value.nbytes) + b"\x35\0\0\0\0"))
        data += value.tobytes()
    table, places = b"", []
    for i in range(0, len(entries), 3):
        found = table_block(entries[i:i + 3])
        places.append((entries[i][0], varint(len(table)) + varint(len(found) - 5)))
        table += found
    index = table_block(places)
    footer = b"\0\0" + varint(len(table)) + varint(len(index) - 5)
    prefix.with_name(f"{prefix.name}.index").write_bytes(table + index + footer.ljust(40, b"\0") + struct.pack("<Q", 0xdb4775248b80fb57))
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)


@pytest.fixture
def google(tmp_path):
    """A folder as Google published BERT, and the model in it."""
    model = tiny.model("ForPreTraining")
    weights = {"global_step": np.array(7), "bert/pooler/dense/kernel/adam_m": np.zeros((24, 24), np.float32)}
    for name, value in model.state_dict().items():
        theirs = course.checkpoint.their_names(model)[name]
        if theirs == "cls.predictions.decoder.weight":
            continue
        *parts, last = theirs.replace("layer.", "layer_").split(".")
        if "cls" in parts and "transform" not in parts:
            last = {"weight": "output_weights", "bias": "output_bias"}[last]
        elif "norm" in parts[-1].lower():
            last = {"weight": "gamma", "bias": "beta"}[last]
        elif last == "weight" and "embeddings" not in parts[-1]:
            last, value = "kernel", value.T
        weights["/".join(parts if "embeddings" in parts[-1] else (*parts, last))] = value.contiguous().numpy()
    write_ckpt(tmp_path / "bert_model.ckpt", weights)
    (tmp_path / "bert_config.json").write_text(json.dumps({k: v for k, v in model.config.to_dict().items() if k != "model_type"}))
    return tmp_path, model


def test_bert_as_google_published_it(google, caplog):
    folder, model = google
    assert tiny.same_weights(course.BertForPreTraining.from_pretrained(folder, from_tf=True), model) and not caplog.text
    assert tiny.same_weights(course.AutoModel.from_pretrained(folder), model.bert)
    assert "they are read from bert_model.ckpt.index" in caplog.text
    config = course.BertConfig.from_json_file(folder / "bert_config.json")
    for name in ("bert_model.ckpt", "bert_model.ckpt.index"):
        assert tiny.same_weights(course.BertModel.from_pretrained(str(folder / name), config=config, from_tf=True), model.bert)


def test_a_fine_tuned_classifier_of_google():
    assert [tf_checkpoints.from_ckpt(name, np.zeros(2))[0] for name in (
        "output_weights", "output_bias", "cls/squad/output_weights", "cls/squad/output_bias")] == [
        "classifier.weight", "classifier.bias", "qa_outputs.weight", "qa_outputs.bias"]


@pytest.mark.parametrize("file, damage, said", [
    ("bert_model.ckpt.index", lambda data: b"", "bert_model.ckpt.index is damaged or cut off"),
    ("bert_model.ckpt.index", lambda data: data[:-9], "bert_model.ckpt.index is damaged or cut off .the end of the table"),
    ("bert_model.ckpt.index", lambda data: data[9:], "bert_model.ckpt.index is damaged or cut off"),
    ("bert_model.ckpt.index", lambda data: data[:40] + b"?" + data[41:], "block at byte 0 has another checksum"),
    ("bert_model.ckpt.data-00000-of-00001", lambda data: data[:-9], "00000-of-00001 is damaged or cut off .* ends after it"),
    ("bert_model.ckpt.data-00000-of-00001", None, "00000-of-00001 is missing")])
def test_a_damaged_checkpoint_of_google(google, file, damage, said):
    path = google[0] / file
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(OSError, match=said):
        course.BertModel.from_pretrained(google[0])


def test_other_checkpoints_of_tensorflow(google):
    folder = google[0]
    write_ckpt(folder / "bert_model.ckpt", {"layer/kernel/.ATTRIBUTES/VARIABLE_VALUE": np.zeros(2, np.float32)})
    with pytest.raises(ValueError, match="not one of BERT as Google published it"):
        course.BertModel.from_pretrained(folder)
    write_ckpt(folder / "model.ckpt-7", {"bert/a/kernel": np.zeros((2, 2), np.float32)})
    with pytest.raises(ValueError, match="holds 2 checkpoints of TensorFlow: give one of them"):
        course.BertModel.from_pretrained(folder)


def test_checksum_is_that_of_leveldb():
    """RFC 3720, appendix B.4: CRC-32C of 32 zeros is 8a9136aa; LevelDB turns and shifts it."""
    crc = 0x8a9136aa
    assert tf_checkpoints.checksum(bytes(32)) == ((crc >> 15 | crc << 17) + 0xa282ead8) & 0xffffffff


def test_nobody_imports_tensorflow_who_did_not_ask():
    code = ("import sys, course; from course import AutoModel, AutoTokenizer, pipeline, Trainer, BertForSequenceClassification; "
            "pipeline('sentiment-analysis')('Good.'); "
            "print([n for n in ('tensorflow', 'keras', 'tf_keras', 'h5py', 'onnx') if n in sys.modules])")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_names_for_tensorflow_say_what_they_need():
    code = ("import sys; sys.modules['keras'] = sys.modules['tensorflow'] = None; import course; "
            "print('TFBertModel' in dir(course), 'TFBertModel' in course.__all__)\n"
            "for ask in ('course.TFAutoModel', 'course.TFTrainer', \"course.AutoTokenizer.from_pretrained('pocket/sentiment')('a', "
            "return_tensors='tf')\"):\n    try: eval(ask)\n    except ImportError as error: print(error)")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[0] == "True False" and all("pip install keras tensorflow-cpu" in line for line in said[1:3])
    assert "return_tensors='tf' needs TensorFlow, which is not installed: pip install tensorflow-cpu" in said[3]


def test_the_reader_is_exact(google):
    got = dict(tf_checkpoints.read_ckpt(google[0] / "bert_model.ckpt.index"))
    assert torch.equal(got["bert.pooler.dense.weight"], google[1].state_dict()["bert.pooler.weight"])
    assert not any("adam" in name or "step" in name for name in got)
