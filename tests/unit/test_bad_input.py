"""Files that are damaged, hostile or absurd, and calls that cannot work: one clear error each, raised by this package
and not by something deep inside another one, nothing run, nothing half written."""

import json
import os
import pickle
import shutil
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

import course
from course import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, BertTokenizer, BertTokenizerFast, pipeline

HOME = Path(course.__file__).parent
load = AutoModelForSequenceClassification.from_pretrained


@contextmanager
def refusal(error, *parts):
    """The block raises this error, from within this package, and its text holds the parts."""
    with pytest.raises(error) as caught:
        yield
    place = traceback.extract_tb(caught.tb)[-1].filename
    assert Path(place).is_relative_to(HOME), f"raised in {place}: {caught.value}"
    assert type(caught.value) is error or issubclass(type(caught.value), OSError)
    for part in parts:
        assert part in str(caught.value), str(caught.value)
    assert caught.value.__cause__ is None and (caught.value.__suppress_context__ or caught.value.__context__ is None), \
        "no second traceback above the error"


# -- weights that are damaged or hostile -------------------------------------------------------------------------------------


def damaged(data):
    return {"empty": b"", "cut in half": data[:len(data) // 2], "cut in its head": data[:20], "three bytes": data[:3],
            "one byte less": data[:-1], "another kind": b"<!doctype html><html></html>" * 50,
            "a pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n",
            "an absurd head": b"\xff" * 8 + data[8:], "a broken head": data[:20] + b"\0" + data[21:], "zeros": bytes(len(data))}


POINTER = ("is only a pointer of Git LFS", "git lfs pull")         # what to do about it is another thing


@pytest.mark.parametrize("kind", damaged(b"x" * 100))
def test_damaged_safetensors(folder, kind):
    path = folder / "model.safetensors"
    path.write_bytes(damaged(path.read_bytes())[kind])
    with refusal(OSError, str(path), *(POINTER if kind == "a pointer" else ("is damaged or cut off", "force_download=True"))):
        load(folder)


@pytest.mark.parametrize("kind", ["empty", "cut in half", "another kind", "a pointer", "zeros"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old format"])
def test_damaged_bin(folder, kind, zipped):
    path = folder / "pytorch_model.bin"
    torch.save(load_file(folder / "model.safetensors"), path, _use_new_zipfile_serialization=zipped)
    (folder / "model.safetensors").unlink()
    path.write_bytes(damaged(path.read_bytes())[kind])
    with refusal(OSError, str(path), *(POINTER if kind == "a pointer" else ["is damaged or no file of weights"])):
        load(folder)


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return (open, (self.target, "w")) if sys.platform == "win32" else (os.system, (f"touch {self.target}",))


def bombs(target):
    bomb = Bomb(target)
    return {"in a zip": lambda path: torch.save({"weight": bomb}, path),
            "beside weights": lambda path: torch.save({"classifier.weight": torch.ones(2, 24), "x": bomb}, path),
            "in the old format": lambda path: torch.save({"weight": bomb}, path, _use_new_zipfile_serialization=False),
            **{f"plain, protocol {p}": lambda path, p=p: path.write_bytes(pickle.dumps(bomb, protocol=p)) for p in range(6)}}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", bombs(""))
@pytest.mark.parametrize("name", ["pytorch_model.bin", "part-1.bin"])
def test_a_pickle_never_runs(folder, tmp_path, kind, name):
    target = tmp_path / "it-ran"
    bombs(target)[kind](folder / name)
    if name != "pytorch_model.bin":
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"classifier.weight": name}}))
    (folder / "model.safetensors").unlink()
    with pytest.raises((ValueError, OSError), match=f"{name} (asks to run code while it is opened|is damaged or no file of weights)") as caught:
        load(folder)
    if "protocol" not in kind or kind[-1] in "012":
        assert "asks to run code" in str(caught.value) and "safetensors" in str(caught.value)
    assert not target.exists()


def test_a_pickled_model_is_refused(folder):
    torch.save(load(folder), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with refusal(ValueError, "asks to run code while it is opened", "not opened"):
        load(folder)


@pytest.mark.parametrize("content", [{"state_dict": {}}, {"classifier.weight": 5}, {5: torch.ones(1)}, [1, 2], "text",
                                     {"classifier.weight": torch.ones(2, 24, device="meta")}, {"classifier.weight": torch.eye(2).to_sparse()}],
                         ids=str)
def test_bin_files_with_something_else_inside(folder, content):
    torch.save(content, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with refusal(OSError, "is damaged or no file of weights"):
        load(folder)


@pytest.mark.parametrize("shard", ["model-2.safetensors", "../secret.safetensors", "/etc/passwd", "config.json", "part.bin", "", 5, None,
                                   "..\\secret.safetensors"], ids=str)
def test_an_index_that_names_what_it_should_not(folder, tmp_path, shard):
    shutil.move(folder / "model.safetensors", tmp_path / "secret.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"classifier.weight": shard}}))
    with pytest.raises((ValueError, FileNotFoundError), match="is damaged: its weight_map|the checkpoint is incomplete.*model-2.safetensors"):
        load(folder)


@pytest.mark.parametrize("content", ["[1]", '{"weight_map": ["a"]}', "{}", '{"weight_map": {}}', "{", '{"weight_map": 5}'])
def test_an_index_that_is_damaged(folder, content):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(content)
    with refusal(ValueError, "model.safetensors.index.json"):
        load(folder)


def test_a_folder_without_weights(folder):
    (folder / "model.safetensors").unlink()
    with refusal(FileNotFoundError, f"the folder {folder} has no model.safetensors", "it holds: config.json"):
        load(folder)


# -- settings that are damaged or absurd ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [
    {"hidden_size": 10**9}, {"vocab_size": 10**12}, {"num_hidden_layers": 10**7}, {"type_vocab_size": 10**12}, {"max_position_embeddings": 10**12},
    {"hidden_size": 10**5, "num_hidden_layers": 1000}, {"num_hidden_layers": -1}, {"hidden_size": float("nan")}, {"hidden_size": float("inf")},
    {"hidden_size": None}, {"id2label": {str(i): "x" for i in range(3)} | {"9": "y"}}, {"id2label": "abc"}, {"hidden_act": "nonsense"},
    {"layer_norm_eps": "small"}, {"pad_token_id": 10**6}, {"model_type": 5}, {"model_type": ["bert"]}, {"model_type": "gpt9"},
    {"hidden_dropout_prob": -1}, {"problem_type": "other"}], ids=lambda changes: str(changes)[:60])
def test_absurd_configs(folder, changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with refusal(ValueError):
        load(folder)


def test_a_config_cannot_replace_what_the_class_can_do(folder):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"check": 1, "__class__": "x", "to_dict": None, "num_labels": 2, "known": []}))
    assert load(folder).config.to_dict()["model_type"] == "bert"


def test_weights_of_another_architecture(folder, tmp_path):
    tiny.save(tmp_path / "other", kind="distilbert")
    shutil.copy(tmp_path / "other/model.safetensors", folder)
    with refusal(ValueError, "holds 'distilbert.embeddings.LayerNorm.bias', which BertForSequenceClassification has no place for",
                 "Is the checkpoint complete, and is it a 'bert' model?"):
        load(folder)


# -- tokenizer files -------------------------------------------------------------------------------------------------------------


VOCAB = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n"


@pytest.mark.parametrize(("file", "content", "parts"), [
    ("vocab.txt", VOCAB + "a\n", ["line 8: 'a' stands in line 6 already"]), ("vocab.txt", "", ["is empty"]),
    ("vocab.txt", VOCAB.replace("[CLS]\n", ""), ["the vocabulary lacks cls_token '[CLS]'", "Other spellings can be given"]),
    ("vocab.txt", VOCAB.replace("[UNK]\n", "").replace("[SEP]\n", ""), ["lacks unk_token '[UNK]', sep_token '[SEP]'"]),
    ("vocab.txt", b"\xff\xfe\x80", ["is not a text file in UTF-8"]), ("vocab.txt", VOCAB + "\n\n\n", ["'' stands in line 8 already"]),
    ("tokenizer_config.json", "[1]", ["tokenizer_config.json should hold a JSON object"]),
    ("tokenizer_config.json", "{", ["tokenizer_config.json is damaged or not JSON"]),
    ("tokenizer_config.json", '{"model_max_length": "long"}', ["model_max_length must be a whole number of at least 1, got 'long'"]),
    ("tokenizer_config.json", '{"padding_side": "middle"}', ["padding_side must be 'left' or 'right', got 'middle'"]),
    ("tokenizer_config.json", '{"added_tokens_decoder": {"x": {"content": "a"}}}', ["the added tokens of", "are damaged"]),
    ("tokenizer_config.json", '{"added_tokens_decoder": [1]}', ["are damaged"]),
    ("tokenizer_config.json", '{"added_tokens_decoder": {"9": {}}}', ["are damaged"]),
    ("tokenizer_config.json", '{"cls_token": 5}', ["the vocabulary lacks cls_token 5"]),
    ("special_tokens_map.json", "[1]", ["special_tokens_map.json should hold"]), ("added_tokens.json", "[1]", ["added_tokens.json should hold"]),
    ("added_tokens.json", '{"<x>": "many"}', ["are damaged"]),
], ids=lambda value: str(value)[:40])
def test_tokenizer_files_that_are_damaged(folder, file, content, parts):
    for other in folder.glob("*token*.json"):
        other.unlink()
    (folder / "vocab.txt").write_text(VOCAB)
    (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    for kind in (BertTokenizer, BertTokenizerFast):
        with refusal(ValueError, *parts):
            kind.from_pretrained(folder)


@pytest.mark.parametrize(("content", "part"), [("[1]", "should hold"), ("{}", "has no vocabulary"), ("{", "is damaged or not JSON"),
                                               ('{"model": {"type": "BPE", "vocab": {}, "merges": []}}', "holds a BPE tokenizer"), ('{"model": [1]}', "has no vocabulary"),
                                               ('{"model": {"type": "WordPiece", "vocab": [1]}}', "has no vocabulary"),
                                               ('{"model": {"type": "WordPiece", "vocab": {"a": "b"}}}', "has no vocabulary")])
def test_tokenizer_json_that_is_damaged(tmp_path, content, part):
    (tmp_path / "tokenizer.json").write_text(content)
    with refusal(ValueError, "tokenizer.json", part):
        BertTokenizer.from_pretrained(tmp_path)


def test_a_vocabulary_without_mask_or_padding_works_for_what_needs_neither(tmp_path):
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\na\nb\n")
    for kind in (BertTokenizer, BertTokenizerFast):
        tokenizer = kind.from_pretrained(tmp_path)
        assert tokenizer("a b").tokens() == ["[CLS]", "a", "b", "[SEP]"]


def test_a_vocabulary_with_gaps_is_not_saved_as_one_without(tmp_path):
    vocab = {piece: number for number, piece in enumerate(VOCAB.split())} | {"c": 99}
    with refusal(ValueError, "numbers without gaps"):
        BertTokenizer(vocab=vocab).save_pretrained(tmp_path)
    assert not (tmp_path / "vocab.txt").exists()


@pytest.mark.parametrize("make", [lambda: BertTokenizer(), lambda: BertTokenizer(vocab_file="/no/such/vocab.txt"),
                                  lambda: BertTokenizer.from_pretrained("/no/such/folder"), lambda: AutoTokenizer.from_pretrained(None),
                                  lambda: AutoModel.from_pretrained(5), lambda: course.BertModel("bert-base-uncased"),
                                  lambda: course.BertModel(None), lambda: course.AutoConfig.from_pretrained("")])
def test_calls_that_name_nothing(make):
    with pytest.raises((TypeError, OSError)) as caught:
        make()
    assert Path(traceback.extract_tb(caught.tb)[-1].filename).is_relative_to(HOME)


# -- inputs of a model -----------------------------------------------------------------------------------------------------------


IDS = torch.tensor([[2, 7, 8, 3]])


@pytest.mark.parametrize(("inputs", "error", "part"), [
    ({}, ValueError, "give the model either input_ids or inputs_embeds"), ({"input_ids": "good"}, TypeError, "got str: call the tokenizer"),
    ({"input_ids": [[2, 3]]}, TypeError, "got list: call the tokenizer with return_tensors='pt'"),
    ({"input_ids": IDS[0]}, ValueError, "put one text into a batch with ids[None]"), ({"input_ids": IDS.float()}, TypeError, "input_ids.long()"),
    ({"input_ids": IDS + 500}, IndexError, "Do tokenizer and model belong together?"), ({"input_ids": IDS - 5}, IndexError, "input_ids holds -3"),
    ({"input_ids": torch.ones(1, 65, dtype=torch.long)}, ValueError, "the text has 65 tokens and this model reads at most 64"),
    ({"input_ids": IDS[:, :0]}, ValueError, "the text has no tokens at all"),
    ({"input_ids": IDS, "attention_mask": torch.ones(1, 9)}, ValueError, "attention_mask has the shape (1, 9)"),
    ({"input_ids": IDS, "attention_mask": [[1, 1, 1, 1]]}, TypeError, "attention_mask must be a tensor, got list"),
    ({"input_ids": IDS, "token_type_ids": IDS}, IndexError, "token_type_ids holds 8"),
    ({"input_ids": IDS, "position_ids": IDS + 60}, IndexError, "position_ids holds 68"),
    ({"input_ids": IDS, "inputs_embeds": torch.ones(1, 4, 24)}, ValueError, "not both"),
    ({"inputs_embeds": torch.ones(1, 4, 7)}, ValueError, "inputs_embeds must have the shape (batch, length, 24)"),
], ids=lambda value: str(value)[:30].replace("\n", " "))
def test_inputs_that_do_not_fit_a_model(inputs, error, part):
    with refusal(error, part):
        tiny.model()(**inputs)


def test_an_empty_batch_is_an_empty_answer():
    assert tiny.model()(IDS[:0]).logits.shape == (0, 2)


# -- what a user may type into a pipeline ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["text-classification", "feature-extraction", "fill-mask"])
def test_odd_texts_in_every_pipeline(tmp_path, task, caplog):
    tiny.save(tmp_path, {"text-classification": "ForSequenceClassification", "feature-extraction": "", "fill-mask": "ForMaskedLM"}[task])
    pipe = pipeline(task, model=str(tmp_path))
    gap = "[MASK] " if task == "fill-mask" else ""
    odd = ["", " \n\t", "\ud83d half an emoji \udc4d", "x" * 100_000, "good " * 20_000, "\0\x7f\u202e", "\U0010ffff", "مرحبا 中文 👩\u200d👧"]
    answers = pipe([gap + text for text in odd])
    assert len(answers) == len(odd) and all(answers)
    said = "of 8 texts had more than 64 tokens: they were read in parts"
    assert (said in caplog.text) == (task != "fill-mask"), "a gap is filled from one part: nothing was put together"
    assert pipe([]) == []
    for wrong in (None, 5, 5.5, b"good", ["good", None], [b"good"], {"a": 1}, object(), float("nan")):
        with refusal(TypeError, "needs a text, a list of texts, a column of a table or a generator of texts"):
            pipe(wrong)


def test_the_folder_of_a_failed_load_is_left_as_it_was(folder):
    (folder / "model.safetensors").write_bytes(b"broken")
    before = sorted((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*"))
    with pytest.raises(OSError):
        load(folder)
    with pytest.raises(TypeError):
        load(folder, num_lables=3)
    assert sorted((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")) == before


def test_wild_safetensors_headers(folder):
    """A valid header over the wrong number of bytes, and one that lists a tensor twice its size."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    save_file(weights, path, metadata={"format": "pt"})
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    header["classifier.weight"]["shape"] = [10**9, 10**9]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size:])
    with refusal(OSError, "is damaged or cut off"):
        load(folder)
