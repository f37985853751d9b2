"""Checkpoints in every form they have in the wild, strictness, heads, tied weights, saving."""

import json
import logging
import shutil

import numpy as np
import pytest
import tiny
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

import course
from course import AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, BertForSequenceClassification, BertModel
from course.checkpoint import resolve_dtype, split_shards

load = AutoModelForSequenceClassification.from_pretrained
WEIGHTS = "model.safetensors"


def weights_of(folder):
    return load_file(folder / WEIGHTS)


def replace_weights(folder, weights):
    save_file({name: value.clone().contiguous() for name, value in weights.items()}, folder / WEIGHTS)


def as_bin(folder, **options):
    torch.save(weights_of(folder), folder / "pytorch_model.bin", **options)
    (folder / WEIGHTS).unlink()


def as_shards(folder, ending):
    weights = weights_of(folder)
    names = sorted(weights)
    files = {f"part-{i}{ending}": {name: weights[name] for name in names[i::3]} for i in range(3)}
    for file, part in files.items():
        (save_file if ending == ".safetensors" else torch.save)(part, folder / file)
    index = {"metadata": {}, "weight_map": {name: file for file, part in files.items() for name in part}}
    (folder / ("model.safetensors" if ending == ".safetensors" else "pytorch_model.bin")).with_suffix(f"{ending}.index.json").write_text(
        json.dumps(index))
    (folder / WEIGHTS).unlink()


def rename(old, new):
    def change(folder):
        replace_weights(folder, {name.replace(old, new): value for name, value in weights_of(folder).items()})
    return change


def tensorflow_norms(folder):
    replace_weights(folder, {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
                             for name, value in weights_of(folder).items()})


FORMS = {
    "safetensors": lambda folder: None,
    "safetensors in shards": lambda folder: as_shards(folder, ".safetensors"),
    "bin": as_bin,
    "bin of an old torch": lambda folder: as_bin(folder, _use_new_zipfile_serialization=False),
    "bin in shards": lambda folder: as_shards(folder, ".bin"),
    "gamma and beta": tensorflow_norms,
    "position ids": lambda folder: replace_weights(folder, weights_of(folder) | {
        "bert.embeddings.position_ids": torch.arange(64)[None]}),
    "float64": lambda folder: replace_weights(folder, {name: value.double() for name, value in weights_of(folder).items()}),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_checkpoints(folder, batch, form):
    wanted = load(folder)
    FORMS[form](folder)
    found = load(folder)
    assert tiny.same_weights(found, wanted)
    assert found.dtype == torch.float32 and not found.training
    assert found.name_or_path == str(folder)
    torch.testing.assert_close(found(**batch).logits, wanted(**batch).logits)


def test_halves_become_float32(folder, batch):
    exact = load(folder)
    replace_weights(folder, {name: value.half() for name, value in weights_of(folder).items()})
    found = load(folder)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found(**batch).logits, exact(**batch).logits, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("settings", [{"architectures": None}, {"model_type": None}, {"transformers_version": "2.3.0", "_num_labels": 2}],
                         ids=str)
def test_older_configs(tmp_path, settings):
    model = tiny.save(tmp_path / "bert-older")
    path = tmp_path / "bert-older/config.json"
    content = json.loads(path.read_text()) | settings
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))
    assert tiny.same_weights(load(tmp_path / "bert-older"), model)


@pytest.mark.parametrize("kind", tiny.SIZES)
def test_a_body_alone_and_a_body_below_a_head(tmp_path, kind, caplog):
    body = tiny.save(tmp_path / "body", "", kind)
    with safe_open(tmp_path / "body" / WEIGHTS, "pt") as file:
        assert not any(name.startswith(kind) for name in file.keys()), "a body saves its weights without a prefix"
    assert tiny.same_weights(AutoModel.from_pretrained(tmp_path / "body"), body)
    classifier = load(tmp_path / "body")
    assert tiny.same_weights(classifier.base_model, body)
    assert "classifier" in caplog.text and "random weights" in caplog.text
    classifier.save_pretrained(tmp_path / "classifier")
    caplog.clear()
    again = AutoModel.from_pretrained(tmp_path / "classifier")
    assert tiny.same_weights(again, body)
    assert caplog.text == "", "a head that is not wanted needs no word"
    assert again.base_model is again and classifier.base_model is getattr(classifier, kind)


def test_a_masked_language_model_gives_a_body_to_a_classifier(tmp_path, caplog):
    teacher = tiny.save(tmp_path, "ForMaskedLM")
    classifier = load(tmp_path)
    assert all(torch.equal(value, classifier.bert.state_dict()[name]) for name, value in teacher.bert.state_dict().items())
    assert "classifier" in caplog.text and "pooler" in caplog.text and "random weights" in caplog.text
    assert 0 < classifier.bert.pooler.weight.std() < 0.05 and classifier.bert.pooler.bias.abs().max() == 0


# -- strictness ----------------------------------------------------------------------------------------------------------


LAYER = "bert.encoder.layer.0.output.dense.weight"


@pytest.mark.parametrize(("change", "message"), [
    (lambda w: {n: v for n, v in w.items() if n != LAYER},
     "lacks 'bert.layers.0.feed_forward.down.weight'.*'bert.encoder.layer.0.output.dense.weight' in the file"),
    (lambda w: w | {LAYER: torch.ones(3, 3)}, r"has the shape \(3, 3\) in .* and \(24, 40\) in BertForSequenceClassification"),
    (lambda w: {n: v for n, v in w.items() if n != "classifier.bias"}, "lacks 'classifier.bias'"),
    (lambda w: w | {LAYER: w[LAYER].to(torch.int8)}, "is stored as torch.int8"),
    (lambda w: {n: v for n, v in w.items() if "word_embeddings" not in n}, "lacks 'bert.tokens.weight'"),
    (lambda w: {}, "lacks 'bert.tokens.weight'"),
])
def test_weights_that_do_not_fit(folder, change, message):
    replace_weights(folder, change(weights_of(folder)))
    with pytest.raises(ValueError, match=message):
        load(folder)


@pytest.mark.parametrize("extra", [{"loss_fct.weight": torch.ones(2)}, {"bert.foo.weight": torch.ones(1), "crf.transitions": torch.ones(3, 3)},
                                   {"class_weights": torch.arange(3)}, {f"more.{i}": torch.ones(1) for i in range(30)}], ids=str)
def test_entries_that_no_model_has_a_place_for_are_named_in_one_warning(folder, extra, caplog):
    wanted = load(folder)
    replace_weights(folder, weights_of(folder) | extra)
    assert tiny.same_weights(load(folder), wanted)
    assert len(caplog.records) == 1 and all(f"'{name}'" in caplog.text for name in sorted(extra)[:20])
    assert ("and 10 more" in caplog.text) == (len(extra) == 30)
    with pytest.raises(ValueError, match="lacks 'bert.pooler"):
        replace_weights(folder, {n: v for n, v in weights_of(folder).items() if "pooler.dense.bias" not in n})
        load(folder)


def test_a_config_with_another_number_of_layers(folder, caplog):
    assert len(load(folder, num_hidden_layers=1).bert.layers) == 1
    assert "bert.encoder.layer.1.output.dense.weight" in caplog.text and len(caplog.records) == 1
    with pytest.raises(ValueError, match="lacks 'bert.layers.2"):
        load(folder, num_hidden_layers=3)


def test_the_body_is_never_started_anew(folder):
    with pytest.raises(ValueError, match=r"bert.tokens.weight has the shape"):
        load(folder, vocab_size=7, ignore_mismatched_sizes=True)


# -- heads ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", tiny.SIZES)
def test_a_new_number_of_labels_gives_a_new_head_and_says_so(tmp_path, kind, caplog):
    old = tiny.save(tmp_path, kind=kind)
    torch.manual_seed(3)
    new = load(tmp_path, num_labels=10)
    assert new.classifier.weight.shape == (10, 24) and new.config.num_labels == 10
    assert tiny.same_weights(new.base_model, old.base_model)
    assert ": classifier" in caplog.text and "random weights" in caplog.text and "train the model" in caplog.text
    assert new.classifier.weight.std().item() == pytest.approx(0.02, rel=0.3) and new.classifier.bias.abs().max() == 0
    torch.manual_seed(3)
    assert tiny.same_weights(load(tmp_path, num_labels=10), new), "with the same seed the new head is the same"
    if kind == "distilbert":
        assert torch.equal(new.pre_classifier.weight, old.pre_classifier.weight), "what fits stays"


def test_a_head_that_fits_is_kept_silently(tmp_path, caplog):
    old = tiny.save(tmp_path, id2label={0: "AGAINST", 1: "FOR"})
    for options in ({}, {"num_labels": 2}):
        new = load(tmp_path, **options)
        assert tiny.same_weights(new, old) and new.config.id2label == {0: "AGAINST", 1: "FOR"}
    assert caplog.text == ""


def test_another_size_of_the_head_by_its_names_only(tmp_path):
    tiny.save(tmp_path)
    names = {0: "a", 1: "b", 2: "c"}
    with pytest.raises(ValueError, match=r"classifier.bias has the shape \(2,\).*num_labels"):
        load(tmp_path, id2label=names)
    assert load(tmp_path, id2label=names, num_labels=3).config.label2id == {"a": 0, "b": 1, "c": 2}


# -- tied weights, vocabulary --------------------------------------------------------------------------------------------


def tied(model):
    return model.get_output_embeddings().weight is model.get_input_embeddings().weight


@pytest.mark.parametrize("kind", tiny.SIZES)
def test_tied_weights_stay_tied(tmp_path, kind):
    model = tiny.save(tmp_path / "a", "ForMaskedLM", kind)
    assert tied(model)
    count = model.num_parameters()
    again = AutoModelForMaskedLM.from_pretrained(tmp_path / "a", dtype=torch.bfloat16)
    assert tied(again) and again.num_parameters() == count
    again.resize_token_embeddings(200)
    assert tied(again) and again.get_output_embeddings().bias.shape == (200,)
    again.save_pretrained(tmp_path / "b")
    third = AutoModelForMaskedLM.from_pretrained(tmp_path / "b", dtype=torch.bfloat16)
    assert tied(third) and tiny.same_weights(third, again) and third.config.vocab_size == 200
    with safe_open(tmp_path / "b" / WEIGHTS, "pt") as file:
        assert sum(1 for name in file.keys() if file.get_slice(name).get_shape() == [200, 24]) == 1, "stored once"
    assert tied(third.float().train())


def test_untied_weights_stay_apart(tmp_path):
    model = tiny.save(tmp_path, "ForMaskedLM", tie_word_embeddings=False)
    again = AutoModelForMaskedLM.from_pretrained(tmp_path)
    assert not tied(again) and tiny.same_weights(again, model)
    again.resize_token_embeddings(150)
    assert not tied(again) and again.get_output_embeddings().weight.shape == (150, 24)


def test_more_and_fewer_tokens(batch):
    model = tiny.model("ForMaskedLM")
    before, rows = model(**batch).logits, model.bert.tokens.weight.detach().clone()
    size = len(tiny.VOCAB)
    assert model.resize_token_embeddings(None) is model.bert.tokens
    model.resize_token_embeddings(size + 5)
    assert torch.equal(model.bert.tokens.weight[:size], rows) and model.config.vocab_size == size + 5
    assert model.bert.tokens.weight[size:].std().item() == pytest.approx(0.02, rel=0.4)
    torch.testing.assert_close(model(**batch).logits[..., :size], before)
    model(torch.tensor([[size + 4]]))
    model.resize_token_embeddings(size)
    torch.testing.assert_close(model(**batch).logits, before)
    model.resize_token_embeddings(20)
    with pytest.raises(IndexError, match="knows the ids 0 to 19.*resize_token_embeddings"):
        model(**batch)
    with pytest.raises(ValueError, match="new_size=0"):
        model.resize_token_embeddings(0)


# -- saving --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", tiny.SIZES)
@pytest.mark.parametrize("task", ["", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"])
def test_save_and_load(tmp_path, kind, task):
    model = tiny.save(tmp_path, task, kind)
    again = getattr(course, f"AutoModel{task}").from_pretrained(tmp_path)
    assert type(again) is type(model) and tiny.same_weights(again, model) and again.config == model.config
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [type(model).__name__]
    with safe_open(tmp_path / WEIGHTS, "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_a_bias_in_another_shard_than_the_words_it_is_for(tmp_path):
    """Files of BART without final_logits_bias mean zeros; a shard without it does not."""
    model = tiny.writer("bart")
    with torch.no_grad():
        model.lm_head.bias.copy_(torch.arange(50.0))
    model.save_pretrained(tmp_path)
    weights = weights_of(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    bias, words = ({name: weights[name] for name in weights if (name == "final_logits_bias") == first} for first in (True, False))
    for first, second in ((bias, words), (words, bias)):
        save_file(first, tmp_path / "1.safetensors")
        save_file(second, tmp_path / "2.safetensors")
        (tmp_path / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}))
        assert torch.equal(course.BartForConditionalGeneration.from_pretrained(tmp_path).lm_head.bias, torch.arange(50.0))


def test_save_over_the_folder_that_was_loaded(folder):
    model = load(folder)
    with torch.no_grad():
        model.classifier.weight.add_(1)
    model.save_pretrained(folder)
    assert tiny.same_weights(load(folder), model)
    model.save_pretrained(folder, max_shard_size="9KB")
    sharded = load(folder)
    assert tiny.same_weights(sharded, model)
    sharded.save_pretrained(folder, max_shard_size="5KB")
    assert tiny.same_weights(load(folder), model)
    load(folder).save_pretrained(folder)
    assert tiny.same_weights(load(folder), model)
    assert not list(folder.glob("model-*")) and not list(folder.glob("*.part")) and not (folder / f"{WEIGHTS}.index.json").exists()


@pytest.mark.parametrize(("size", "bytes_"), [("9KB", 9000), (9000, 9000), ("0.009 mb", 9000), ("20kb", 20000)])
def test_max_shard_size(tmp_path, size, bytes_):
    model = tiny.model("ForMaskedLM")
    model.save_pretrained(tmp_path, max_shard_size=size)
    index = json.loads((tmp_path / f"{WEIGHTS}.index.json").read_text())
    files = sorted(tmp_path.glob("model-*-of-*.safetensors"))
    assert sorted(set(index["weight_map"].values())) == [file.name for file in files] and len(files) > 1
    for file in files:
        parts = load_file(file)
        assert sum(value.nbytes for value in parts.values()) <= bytes_ or len(parts) == 1
        assert all(index["weight_map"][name] == file.name for name in parts)
    assert index["metadata"]["total_size"] == sum(v.nbytes for f in files for v in load_file(f).values())
    assert tiny.same_weights(AutoModelForMaskedLM.from_pretrained(tmp_path), model)


def test_sizes_that_are_none(tmp_path):
    for size in ("huge", 0, None):
        with pytest.raises(ValueError, match=f"max_shard_size must be a number of bytes or a text like '500MB', got {size!r}"):
            tiny.model().save_pretrained(tmp_path, max_shard_size=size)
    assert list(tmp_path.iterdir()) == []
    assert [list(part) for part in split_shards({"a": torch.ones(2), "b": torch.ones(2), "c": torch.ones(1)}, 12)] == [["a"], ["b", "c"]]


@pytest.mark.parametrize("size", ["5GB", "9KB"])
def test_an_interrupted_save_leaves_the_old_files_whole(folder, monkeypatch, size):
    load(folder).save_pretrained(folder, max_shard_size=size)
    old, files = load(folder), {path.name: path.read_bytes() for path in folder.iterdir()}
    written = []

    def fails_late(tensors, path, metadata=None):
        written.append(path)
        save_file(tensors, path, metadata=metadata)
        if size == "5GB" or len(written) == 3:
            raise OSError("no space left on device")

    monkeypatch.setattr("course.checkpoint.save_file", fails_late)
    with pytest.raises(OSError, match="no space left"):
        tiny.model().save_pretrained(folder, max_shard_size=size)
    assert written and {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert tiny.same_weights(load(folder), old)


def test_settings_that_cannot_be_written_leave_the_old_weights(folder, monkeypatch):
    files = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("course.hub.write_text", full)
    with pytest.raises(OSError, match="no space left"):
        tiny.model().save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    def full(*_, **__):
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr("course.checkpoint.save_file", full)
    with pytest.raises(OSError, match="the weights cannot be written to .*No space left.*Is the disk full"):
        tiny.model().save_pretrained(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_layers_that_share_a_weight_are_saved_whole(tmp_path):
    model = tiny.model()
    model.bert.layers[1] = model.bert.layers[0]
    model.save_pretrained(tmp_path)
    assert tiny.same_weights(load(tmp_path), model)


def test_a_part_of_ones_own_inside_a_body_cannot_be_saved_as_a_checkpoint(tmp_path):
    model = tiny.model()
    model.bert.layers[0].attention.q = torch.nn.Sequential(model.bert.layers[0].attention.q, torch.nn.Tanh())
    with pytest.raises(ValueError, match=r"has 'bert.layers.0.attention.q.0.weight', a part of your own.*torch.save"):
        model.save_pretrained(tmp_path)


def test_classes_of_a_notebook(tmp_path, batch, caplog):
    """A cell that derives a class: HF_NAMES are those of the file where the architecture is written."""
    space = {"__name__": "__main__", "course": course, "torch": torch}
    exec("""
class Mine(course.BertForSequenceClassification):
    pass

class Deeper(Mine):
    def __init__(self, config):
        super().__init__(config)
        self.classifier = torch.nn.Sequential(torch.nn.Linear(24, 8), torch.nn.Tanh(), torch.nn.Linear(8, config.num_labels))
        self.post_init()

class TwoHeads(course.PreTrainedModel):
    config_class = course.BertConfig

    def __init__(self, config):
        super().__init__(config)
        self.bert = course.BertModel(config)
        self.tone = torch.nn.Linear(24, 3)
        self.topic = torch.nn.Linear(24, 5)
        self.post_init()

    def forward(self, **inputs):
        pooled = self.bert(return_dict=True, **inputs).pooler_output
        return self.tone(pooled), self.topic(pooled)
""", space)
    wanted = tiny.save(tmp_path / "plain")
    model = space["Mine"].from_pretrained(tmp_path / "plain")
    assert tiny.same_weights(model, wanted) and caplog.text == ""
    for name in ("Mine", "Deeper", "TwoHeads"):
        model = space[name].from_pretrained(tmp_path / "plain")
        model.save_pretrained(tmp_path / name)
        caplog.clear()
        again = space[name].from_pretrained(tmp_path / name)
        assert tiny.same_weights(again, model) and caplog.text == ""
        torch.testing.assert_close(again(**batch)[0], model(**batch)[0])
    body = AutoModel.from_pretrained(tmp_path / "TwoHeads")
    assert tiny.same_weights(body, model.bert) and "'tone.bias'" in caplog.text and "'topic.weight'" in caplog.text


# -- keywords, configs, sizes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [
    {"attn_implementation": "eager"}, {"attn_implementation": "sdpa", "low_cpu_mem_usage": True}, {"use_safetensors": True},
    {"from_tf": False, "mirror": "tuna", "variant": None, "resume_download": True}, {"torch_dtype": torch.float32, "weights_only": True},
    {"device_map": "auto"}, {"device_map": {"": "cpu"}}, {"subfolder": "", "quantization_config": None, "load_in_8bit": False}], ids=str)
def test_keywords_that_change_no_answer(folder, batch, options):
    wanted = load(folder)(**batch).logits
    torch.testing.assert_close(load(folder, **options)(**batch).logits, wanted)
    torch.testing.assert_close(BertForSequenceClassification.from_pretrained(folder, **options)(**batch).logits, wanted)


@pytest.mark.parametrize("option", [{"from_flax": True}, {"variant": "fp16"}, {"load_in_4bit": True}], ids=str)
def test_keywords_with_an_effect_that_is_not_written_here(folder, option):
    with pytest.raises(ValueError, match=f"{next(iter(option))}=.*course does not have"):
        load(folder, **option)


def test_torchscript_gives_tuples(folder, batch):
    model = load(folder, torchscript=True)
    assert isinstance(model(**batch), tuple) and model(**batch, return_dict=True).logits is not None


def test_neutral_keywords_of_saving(tmp_path):
    tiny.model().save_pretrained(tmp_path, push_to_hub=False, is_main_process=True, state_dict=None, variant=None, token=None)
    assert load(tmp_path)


def test_a_config_that_is_passed_is_copied(folder):
    config = course.AutoConfig.from_pretrained(folder)
    before = config.to_dict()
    for model in (load(folder, config=config), BertModel.from_pretrained(folder, config), AutoModel.from_config(config)):
        model.resize_token_embeddings(200)
        assert model.config.vocab_size == 200 and config.to_dict() == before
    assert load(folder, config=config).config.vocab_size == len(tiny.VOCAB)


def test_a_config_by_its_name_or_file(folder, tmp_path, batch):
    wanted = load(folder)
    settings = wanted.config.to_dict()
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings/config.json").write_text(json.dumps(settings | {"output_attentions": True}))
    for where in (str(tmp_path / "settings"), tmp_path / "settings", tmp_path / "settings/config.json"):
        for loader in (load, BertForSequenceClassification.from_pretrained):
            model = loader(folder, config=where)
            assert tiny.same_weights(model, wanted) and model(**batch).attentions is not None
    assert load(folder, config=tmp_path / "settings", num_labels=5).config.num_labels == 5


@pytest.mark.parametrize("size", [np.int64(200), torch.tensor(200), np.int32(200)], ids=repr)
def test_sizes_of_numpy_and_torch(tmp_path, size):
    model = tiny.model("ForMaskedLM")
    model.resize_token_embeddings(size)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["vocab_size"] == 200
    assert AutoModelForMaskedLM.from_pretrained(tmp_path).config.vocab_size == 200
    with pytest.raises(TypeError, match="a whole number, like len"):
        model.resize_token_embeddings(3.5)


def test_a_vocabulary_padded_for_speed():
    model = tiny.model("ForMaskedLM")
    assert model.resize_token_embeddings(len(tiny.VOCAB) + 1, pad_to_multiple_of=64).num_embeddings == 128
    assert model.config.vocab_size == 128 and model(torch.tensor([[127]])).logits.shape == (1, 1, 128)
    model.resize_token_embeddings(pad_to_multiple_of=100)
    assert model.config.vocab_size == 200


def test_frozen_embeddings_stay_frozen():
    model = tiny.model("ForMaskedLM", tie_word_embeddings=False)
    model.bert.requires_grad_(False)
    model.resize_token_embeddings(200)
    assert not model.get_input_embeddings().weight.requires_grad and model.get_output_embeddings().weight.requires_grad
    summariser = course.BartForConditionalGeneration(course.BartConfig(
        vocab_size=50, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=20))
    summariser.resize_token_embeddings(60)
    assert not summariser.lm_head.bias.requires_grad and summariser.lm_head.weight.requires_grad


def test_a_vocabulary_too_small_for_padding():
    model = tiny.model(pad_token_id=60)
    with pytest.raises(ValueError, match="no room for padding, the token pad_token_id=60: set model.config.pad_token_id"):
        model.resize_token_embeddings(50)
    assert model.config.vocab_size == len(tiny.VOCAB)
    model.config.pad_token_id = None                  # the cure
    model.resize_token_embeddings(50)
    assert model(torch.tensor([[49]])).logits.shape == (1, 2)


@pytest.mark.parametrize("name", ["", None, 5], ids=repr)
def test_a_folder_to_save_in_must_be_named(name):
    with pytest.raises(TypeError, match="save_pretrained needs the name of a folder, got"):
        tiny.model().save_pretrained(name)


def test_saving_says_what_it_cannot_do(tmp_path):
    model = tiny.model()
    (tmp_path / "file").write_text("x")
    for thing in (model, model.config, tiny.tokenizer()):
        with pytest.raises(NotADirectoryError, match="is a file; save_pretrained needs the name of a folder"):
            thing.save_pretrained(tmp_path / "file")
    with pytest.raises(ValueError, match="a pickle can run code"):
        model.save_pretrained(tmp_path / "new", safe_serialization=False)
    with pytest.raises(TypeError, match="no option 'push_to_hub'"):
        model.save_pretrained(tmp_path / "new", push_to_hub=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_home_is_understood_when_saving_and_loading(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    model = tiny.save("~/models/mine")
    assert (tmp_path / "models/mine/vocab.txt").is_file()
    assert tiny.same_weights(load("~/models/mine"), model)


# -- adapters ------------------------------------------------------------------------------------------------------------


TARGETS = ["bert.encoder.layer.0.attention.self.query", "bert.encoder.layer.1.output.dense"]


def write_adapter(path, base, rank=2, alpha=5, **changes):
    """An adapter folder as PEFT writes it; returns its tensors."""
    path.mkdir()
    tensors = {}
    for target in TARGETS:
        out, into = weights_of(base)[f"{target}.weight"].shape
        tensors[f"base_model.model.{target}.lora_A.weight"] = torch.randn(rank, into)
        tensors[f"base_model.model.{target}.lora_B.weight"] = torch.randn(out, rank)
    tensors["base_model.model.classifier.weight"] = torch.randn(3, 24)
    tensors["base_model.model.classifier.bias"] = torch.randn(3)
    save_file(tensors, path / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "task_type": "SEQ_CLS", "r": rank, "lora_alpha": alpha, "lora_dropout": 0.1, "bias": "none",
                "target_modules": ["query", "output.dense"], "modules_to_save": ["classifier"], "inference_mode": True,
                "base_model_name_or_path": str(base)}
    (path / "adapter_config.json").write_text(json.dumps(settings | changes))
    config = json.loads((base / "config.json").read_text()) | {"id2label": {str(i): f"L{i}" for i in range(3)}}
    config.pop("label2id")
    (path / "config.json").write_text(json.dumps(config))
    return tensors


def test_an_adapter_is_added_to_its_base(tmp_path, batch):
    tiny.save(tmp_path / "base", "")                  # a body alone: its names have no prefix
    bare = weights_of(tmp_path / "base")
    replace_weights(tmp_path / "base", {f"bert.{name}": value for name, value in bare.items()})
    tensors = write_adapter(tmp_path / "adapter", tmp_path / "base")
    merged = weights_of(tmp_path / "base") | {"classifier.weight": tensors["base_model.model.classifier.weight"],
                                              "classifier.bias": tensors["base_model.model.classifier.bias"]}
    for target in TARGETS:
        down, up = (tensors[f"base_model.model.{target}.lora_{part}.weight"] for part in "AB")
        merged[f"{target}.weight"] = merged[f"{target}.weight"] + 5 / 2 * up @ down
    shutil.copytree(tmp_path / "adapter", tmp_path / "merged")
    (tmp_path / "merged/adapter_model.safetensors").unlink()
    replace_weights(tmp_path / "merged", merged)

    model, wanted = load(tmp_path / "adapter"), load(tmp_path / "merged")
    assert type(model) is BertForSequenceClassification and model.config.id2label[2] == "L2"
    torch.testing.assert_close(model(**batch).logits, wanted(**batch).logits)
    replace_weights(tmp_path / "base", bare)
    torch.testing.assert_close(load(tmp_path / "adapter")(**batch).logits, wanted(**batch).logits)
    model.save_pretrained(tmp_path / "adapter")       # now a whole model: the adapter is no longer read
    assert tiny.same_weights(load(tmp_path / "adapter"), model)
    assert not (tmp_path / "adapter/adapter_config.json").exists()


@pytest.mark.parametrize(("changes", "message"), [
    ({"peft_type": "IA3"}, "of the type 'IA3'; course reads LORA"), ({"r": 0}, "must name its base_model_name_or_path, r"),
    ({"lora_alpha": None}, "must name"), ({"base_model_name_or_path": None}, "must name"),
    ({"use_dora": True}, "asks for use_dora"), ({"use_rslora": True}, "asks for use_rslora"),
    ({"rank_pattern": {"query": 4}}, "asks for rank_pattern"), ({"fan_in_fan_out": True}, "asks for fan_in_fan_out"),
])
def test_adapters_of_other_kinds_are_refused(folder, tmp_path, changes, message):
    write_adapter(tmp_path / "adapter", folder, **changes)
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "adapter")


def test_adapters_that_do_not_fit(folder, tmp_path):
    tensors = write_adapter(tmp_path / "a", folder)
    path, settings = tmp_path / "a/adapter_model.safetensors", tmp_path / "a/adapter_config.json"
    first = f"base_model.model.{TARGETS[0]}.lora_"

    def check(changed, message):
        save_file(changed, path)
        with pytest.raises(ValueError, match=message):
            load(tmp_path / "a")

    check({name: value for name, value in tensors.items() if name != f"{first}B.weight"}, "without its counterpart")
    check({name: value for name, value in tensors.items() if name != f"{first}A.weight"}, "without its counterpart")
    check({name.replace("layer.0", "layer.9"): value for name, value in tensors.items()}, "changes 'bert.layers.9.*does not hold")
    check(tensors | {f"{first}A.weight": torch.ones(2, 99)}, r"by 24 x 99 numbers, in .* the shape \(24, 24\)")
    save_file(tensors, path)
    content = json.loads(settings.read_text())
    settings.write_text(json.dumps(content | {"base_model_name_or_path": str(tmp_path / "a")}))
    with pytest.raises(ValueError, match="is an adapter itself"):
        load(tmp_path / "a")
    settings.write_text(json.dumps(content | {"base_model_name_or_path": "someone/gone"}))
    with pytest.raises(FileNotFoundError, match="is an adapter over 'someone/gone', which cannot be loaded: .*HF_HUB_OFFLINE"):
        load(tmp_path / "a")
    settings.unlink()
    with pytest.raises(FileNotFoundError, match="has no adapter_config.json"):
        load(tmp_path / "a")


# -- the rest ------------------------------------------------------------------------------------------------------------


def test_number_formats(folder):
    for wanted in (torch.bfloat16, "bfloat16", "torch.bfloat16"):
        assert load(folder, dtype=wanted).dtype == torch.bfloat16
    assert load(folder, torch_dtype="float16").dtype == torch.float16
    assert load(folder, dtype="auto").dtype == resolve_dtype("auto") in (torch.float32, torch.bfloat16)
    assert next(iter(load(folder, dtype="bfloat16", num_labels=7).classifier.parameters())).dtype == torch.bfloat16
    for wrong in ("float23", "int4", torch.int16, torch.nn, 32):
        with pytest.raises(ValueError, match='dtype must be "auto", "float32"'):
            load(folder, dtype=wrong)


def test_auto_classes(folder):
    assert type(AutoModel.from_pretrained(folder)) is BertModel
    assert type(course.AutoModelWithLMHead.from_config(tiny.config())) is course.BertForMaskedLM
    with pytest.raises(TypeError, match=r"is made with AutoModel.from_pretrained\(name\)"):
        AutoModel()
    with pytest.raises(ValueError, match="trust_remote_code=True runs a stranger's code"):
        load(folder, trust_remote_code=True)


def test_the_same_seed_makes_the_same_model():
    torch.manual_seed(5)
    one = AutoModel.from_config(tiny.config())
    torch.manual_seed(5)
    other = AutoModel.from_config(tiny.config())
    assert tiny.same_weights(one, other)
    assert one.tokens.weight[0].abs().max() == 0, "the padding token starts as zeros"
    assert one.layers[0].attention.q.weight.std().item() == pytest.approx(0.02, rel=0.2)
    assert one.layers[1].norm.weight.eq(1).all() and one.pooler.bias.eq(0).all()


def test_models_count_their_weights(tmp_path):
    model = tiny.model("ForMaskedLM")
    assert model.num_parameters() == sum(value.numel() for value in {id(p): p for p in model.parameters()}.values())
    model.bert.requires_grad_(False)
    assert model.num_parameters(only_trainable=True) == 24 * 24 + 24 + 48 + len(tiny.VOCAB)
    assert model.device == torch.device("cpu") and model.dtype == torch.float32


def test_weights_are_loaded_without_copies_of_the_old(folder, caplog):
    """A loaded model is a plain module: every weight is real, of one format, and can be trained."""
    caplog.set_level(logging.DEBUG)
    model = load(folder)
    assert all(p.device.type == "cpu" and p.requires_grad and p.is_leaf for p in model.parameters())
    model.train()
    assert model.dropout.p == 0.1
