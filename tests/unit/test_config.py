"""Settings: other names for one thing, labels, mistakes, files of all years."""

import json

import numpy as np
import pytest
import tiny
from tiny import config

import course
from course import AutoConfig, BertConfig, BertModel, DistilBertConfig


def write(folder, **settings):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def test_both_names_of_a_setting_work():
    made = DistilBertConfig(hidden_size=96, num_attention_heads=8)
    assert (made.dim, made.n_heads) == (96, 8)
    made.num_hidden_layers = 2
    assert made.n_layers == 2 and made.hidden_size == made.dim
    assert "hidden_size" not in made.to_dict() and made.to_dict()["dim"] == 96


def test_number_of_labels_and_their_names_go_together():
    assert BertConfig().id2label == {0: "LABEL_0", 1: "LABEL_1"}
    made = BertConfig(num_labels=3)
    assert made.num_labels == 3 and made.label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    made = BertConfig(id2label={0: "AGAINST", 1: "FOR"})
    assert made.num_labels == 2 and made.label2id == {"AGAINST": 0, "FOR": 1}
    made.num_labels = 2
    assert made.id2label == {0: "AGAINST", 1: "FOR"}, "setting the same number keeps the names"
    made.num_labels = 4
    assert list(made.id2label) == [0, 1, 2, 3]
    assert BertConfig(label2id={"no": 0, "yes": 1}).id2label == {0: "no", 1: "yes"}


def test_overriding_labels_of_a_file(tmp_path):
    write(tmp_path, model_type="bert", id2label={"0": "NEG", "1": "POS"}, label2id={"NEG": 0, "POS": 1})
    load = BertConfig.from_pretrained
    assert load(tmp_path).id2label == {0: "NEG", 1: "POS"}
    assert load(tmp_path, num_labels=2).id2label == {0: "NEG", 1: "POS"}
    assert load(tmp_path, num_labels=10).label2id["LABEL_9"] == 9
    swapped = load(tmp_path, id2label={0: "POS", 1: "NEG"})
    assert swapped.label2id == {"POS": 0, "NEG": 1}, "the file's other direction is out of date then"
    assert load(tmp_path, label2id={"a": 0, "b": 1, "c": 2}).id2label == {0: "a", 1: "b", 2: "c"}
    with pytest.raises(ValueError, match="contradict"):
        load(tmp_path, num_labels=4, id2label={0: "a", 1: "b"})


def test_unknown_settings_are_refused_with_a_suggestion(tmp_path):
    with pytest.raises(TypeError, match=r"BertConfig has no setting 'num_label'. Did you mean num_labels"):
        BertConfig(num_label=3)
    with pytest.raises(TypeError, match="hidden_size"):
        BertConfig(hiden_size=3)
    with pytest.raises(TypeError, match="It has: .*hidden_size"):
        BertConfig(xyz=1)
    write(tmp_path, model_type="bert")
    with pytest.raises(TypeError, match="Did you mean output_attentions"):
        AutoConfig.from_pretrained(tmp_path, output_attention=True)
    made, unused = BertConfig.from_pretrained(tmp_path, return_unused_kwargs=True, num_labels=3, colour="blue")
    assert made.num_labels == 3 and unused == {"colour": "blue"}


def test_what_a_file_says_beyond_the_known_settings_is_kept(tmp_path):
    write(tmp_path / "a", model_type="bert", task_specific_params={"x": 1}, gradient_checkpointing=False, check=1, to_dict=None)
    made = AutoConfig.from_pretrained(tmp_path / "a")
    assert made.task_specific_params == {"x": 1}
    made.save_pretrained(tmp_path / "b")
    assert json.loads((tmp_path / "b/config.json").read_text())["task_specific_params"] == {"x": 1}
    assert AutoConfig.from_pretrained(tmp_path / "b") == made


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize(("name", "value", "known"), [("position_embedding_type", "relative_key", "absolute"),
                                                      ("is_decoder", True, False)])
def test_a_variant_that_is_not_written_here_is_refused(kind, name, value, known, tmp_path):
    write(tmp_path, model_type=kind, **{name: value})
    with pytest.raises(ValueError, match=f"{name}={value!r} is a variant that is not written here.* pass {name}={known!r}"):
        AutoConfig.from_pretrained(tmp_path)
    assert getattr(AutoConfig.from_pretrained(tmp_path, **{name: known}), name) == known


def test_files_of_2019_and_2020(tmp_path):
    old = {"attention_probs_dropout_prob": 0.1, "finetuning_task": None, "hidden_act": "gelu", "hidden_size": 24, "_num_labels": 5,
           "num_attention_heads": 4, "num_hidden_layers": 1, "output_past": True, "pruned_heads": {}, "torchscript": False,
           "use_bfloat16": False, "vocab_size": 50, "is_decoder": False}
    made = AutoConfig.from_pretrained(write(tmp_path / "bert-base-like", **old))
    assert type(made) is BertConfig and made.num_labels == 5
    assert type(AutoConfig.from_pretrained(write(tmp_path / "my-distilbert", dim=24, n_heads=2))) is DistilBertConfig
    with pytest.raises(ValueError, match='Add "model_type": one of .*bert, '):
        AutoConfig.from_pretrained(write(tmp_path / "mystery", hidden_size=24))
    assert BertConfig.from_pretrained(tmp_path / "mystery").hidden_size == 24


@pytest.mark.parametrize("kind", tiny.SIZES)
def test_saved_and_loaded_configs_are_equal(kind, tmp_path):
    made = config(kind, id2label={0: "nö", 1: "да", 2: "好"}, problem_type="multi_label_classification", pad_token_id=None,
                  output_attentions=True)
    made.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert again == made and type(again) is type(made)
    assert again.pad_token_id is None and again.id2label[2] == "好"
    assert again != config(kind)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_overrides_win_and_the_config_can_be_passed(tmp_path):
    tiny.save(tmp_path)
    made = AutoConfig.from_pretrained(tmp_path, hidden_dropout_prob=0.5, output_hidden_states=True)
    assert made.hidden_dropout_prob == 0.5
    model = BertModel.from_pretrained(tmp_path, config=made)
    assert model.config == made and model.config is not made
    assert model.dropout.p == 0.5


def test_the_class_of_another_architecture_says_so(tmp_path):
    tiny.save(tmp_path, kind="distilbert")
    for load in (BertConfig.from_pretrained, BertModel.from_pretrained):
        with pytest.raises(ValueError, match="is a 'distilbert' checkpoint, BertConfig describes 'bert' models. Use AutoConfig"):
            load(tmp_path)
    with pytest.raises(TypeError, match="BertModel needs a BertConfig, got DistilBertConfig"):
        BertModel(DistilBertConfig())
    with pytest.raises(ValueError, match="no architecture 'gpt9'"):
        AutoConfig.for_model("gpt9")


@pytest.mark.parametrize(("settings", "message"), [
    ({"hidden_size": 10**9}, "hidden_size must be a whole number from 1 to 100,000, got 1000000000"),
    ({"num_hidden_layers": 10**6}, "num_hidden_layers must be"), ({"vocab_size": 0}, "vocab_size must be"),
    ({"hidden_size": "768"}, "hidden_size must be a whole number, got '768'"), ({"hidden_size": 24.0}, "a whole number, got 24.0"),
    ({"hidden_size": True}, "a whole number, got True"), ({"num_attention_heads": 7}, "cannot be divided among 7 heads"),
    ({"hidden_size": 10**5, "num_attention_heads": 10, "num_hidden_layers": 1000}, r"describes a model of about \de\+1\d weights"),
    ({"hidden_size": 10**5, "num_attention_heads": 10, "max_position_embeddings": 10**7}, "TB in float32"),
    ({"type_vocab_size": 10**12}, "type_vocab_size must be"), ({"type_vocab_size": -1}, "type_vocab_size must be"),
    ({"hidden_dropout_prob": 7}, "hidden_dropout_prob is the share of numbers"), ({"layer_norm_eps": None}, "a number, got None"),
    ({"layer_norm_eps": "x"}, "a number, got 'x'"), ({"pad_token_id": 999}, "pad_token_id 999 is no entry"),
    ({"problem_type": "sentiment"}, "problem_type must be 'regression'"), ({"num_labels": 0}, "num_labels must be"),
    ({"num_labels": "3"}, "num_labels must be a whole number"), ({"id2label": ["a", "b"]}, "id2label must name the labels"),
    ({"id2label": {0: "a", 5: "b"}}, "without gaps"), ({"tie_word_embeddings": "no"}, "must be true or false"),
    ({"hidden_act": ["gelu"]}, "hidden_act must be a text"), ({"layer_norm_eps": float("nan")}, "layer_norm_eps must be a number, got nan"),
    ({"id2label": {0: ["a"], 1: "b"}}, "id2label must name the labels"), ({"num_labels": 10**9}, "from 1 to 1,000,000"),
])
def test_values_that_no_model_can_have(settings, message, tmp_path):
    known = {"vocab_size": 90, "hidden_size": 24, "num_attention_heads": 4}
    with pytest.raises(ValueError, match=message):
        BertConfig(**(known | settings))
    with pytest.raises(ValueError, match=message):
        AutoConfig.from_pretrained(write(tmp_path, model_type="bert", **(known | settings)))


def test_a_number_of_labels_that_numpy_counted():
    config = BertConfig(num_labels=np.array([0, 2, 1]).max() + 1)
    assert config.num_labels == 3 and json.loads(config.to_json_string())["label2id"] == {f"LABEL_{i}": i for i in range(3)}


def test_an_unknown_activation_is_named():
    with pytest.raises(ValueError, match="there is no activation 'gleu'; there are: gelu"):
        BertModel(config(hidden_act="gleu"))


def test_configs_print_as_json():
    assert '"hidden_size": 24' in repr(config()) and repr(config()).startswith("BertConfig {")
    with pytest.raises(AttributeError, match="BertConfig has no setting 'hiden_size'"):
        config().hiden_size  # noqa: B018
    assert course.AutoConfig.for_model("bert") == BertConfig()


def test_a_model_may_have_several_end_tokens():
    assert course.LlamaConfig(eos_token_id=[1, 2]).eos_token_id == [1, 2]
    with pytest.raises(ValueError, match="eos_token_id must be a whole number"):
        course.LlamaConfig(eos_token_id=[1, "2"])


# -- what tutorials write ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "settings"), [
    ("bert", {"is_decoder": False, "use_cache": True, "position_embedding_type": "absolute", "add_cross_attention": False}),
    ("distilbert", {"gradient_checkpointing": False, "torchscript": False, "pruned_heads": {}, "tie_encoder_decoder": False}),
    ("gpt2", {"n_ctx": 1024, "summary_type": "cls_index", "summary_use_proj": True, "bos_token_id": 3, "eos_token_id": 3}),
    ("openai-gpt", {"n_ctx": 512, "summary_first_dropout": 0.1, "predict_special_tokens": True}), ("ctrl", {"n_ctx": 256}),
    ("bart", {"num_beams": 4, "max_length": 142, "no_repeat_ngram_size": 3, "early_stopping": True, "task_specific_params": None}),
    ("t5", {"bos_token_id": None, "temperature": 1.0, "top_k": 50, "top_p": 1.0, "num_return_sequences": 1}),
    ("llama", {"pretraining_tp": 1, "tokenizer_class": "LlamaTokenizer"}), ("qwen2", {"sliding_window": 4096, "max_window_layers": 28}),
    ("transfo-xl", {"adaptive": True, "attn_type": 0, "sample_softmax": -1, "proj_init_std": 0.01, "init": "normal"}),
    ("xlnet", {"untie_r": True, "start_n_top": 5, "end_n_top": 5}), ("xlm", {"mask_index": 5, "summary_use_proj": True, "end_n_top": 5}),
    ("reformer", {"num_hidden_layers": 6, "use_cache": True}),
    ("reformer", {"attn_layers": ["local", "local"], "lsh_attn_chunk_length": None, "num_hidden_layers": 2})])
def test_settings_in_the_value_that_changes_nothing(kind, settings, tmp_path):
    made = AutoConfig.for_model(kind, **settings)
    assert all(getattr(made, name) == value for name, value in settings.items() if name != "attn_layers")
    made.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path) == made


@pytest.mark.parametrize(("kind", "settings"), [
    ("bert", {"is_decoder": True}), ("gpt2", {"add_cross_attention": True}), ("distilbert", {"pruned_heads": {0: [1]}}),
    ("transfo-xl", {"attn_type": 2}), ("xlm", {"summary_use_proj": False}), ("bart", {"tie_encoder_decoder": True})])
def test_settings_that_would_change_the_numbers(kind, settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))}=.* is a variant that is not written here"):
        AutoConfig.for_model(kind, **settings)


def test_a_reformer_cannot_have_two_numbers_of_layers():
    with pytest.raises(ValueError, match="num_hidden_layers=3 and the 2 layers in attn_layers"):
        AutoConfig.for_model("reformer", num_hidden_layers=3, attn_layers=["local", "lsh"])
    with pytest.raises(ValueError, match="a chunk needs at least 1 position, got lsh_attn_chunk_length=None"):
        AutoConfig.for_model("reformer", lsh_attn_chunk_length=None)


def test_every_config_answers_the_common_questions():
    for kind in course.config.MODELS:
        made = AutoConfig.for_model(kind)
        assert made.is_encoder_decoder == (kind in ("bart", "t5")) and made.use_return_dict
        assert made.pad_token_id is None or made.pad_token_id >= 0
        assert made.eos_token_id is made.eos_token_id and made.decoder_start_token_id is made.decoder_start_token_id
    assert not BertConfig(torchscript=True).use_return_dict


def test_numbers_of_numpy_and_torch(tmp_path):
    import torch

    made = BertConfig(vocab_size=np.int64(50), hidden_size=torch.tensor(24), num_attention_heads=np.int32(4), num_labels=np.int64(3),
                      hidden_dropout_prob=np.float32(0.5), output_attentions=np.bool_(True),
                      id2label=dict(enumerate(np.array(["a", "b", "c"]))))
    made.pad_token_id = torch.tensor(1)
    made.num_labels = torch.tensor(3)
    again = BertConfig(id2label={np.int64(i): name for i, name in enumerate(np.array(["a", "b"]))}, label2id=None)
    for each in (made, again):
        each.save_pretrained(tmp_path)
        assert AutoConfig.from_pretrained(tmp_path) == each
    assert type(made.vocab_size) is int and made.id2label == {0: "a", 1: "b", 2: "c"} and made.hidden_dropout_prob == 0.5
    assert AutoConfig.for_model("transfo-xl", cutoffs=np.array([2, 4]), vocab_size=9).cutoffs == [2, 4]


def test_json_files_of_any_name(tmp_path):
    made = config(output_attentions=True)
    made.to_json_file(tmp_path / "mine.json")
    assert BertConfig.from_json_file(tmp_path / "mine.json") == made
    for load in (BertConfig.from_pretrained, AutoConfig.from_pretrained):
        assert load(tmp_path / "mine.json") == load(str(tmp_path / "mine.json")) == made
    assert made.to_diff_dict() == {"model_type": "bert", "vocab_size": len(tiny.VOCAB), "hidden_size": 24, "num_hidden_layers": 2,
                                   "num_attention_heads": 4, "intermediate_size": 40, "max_position_embeddings": 64,
                                   "output_attentions": True}
    made.update({"hidden_dropout_prob": 0.3, "num_labels": 4})
    assert made.hidden_dropout_prob == 0.3 and made.num_labels == 4
    with pytest.raises(TypeError, match="Did you mean num_labels"):
        made.update({"num_label": 3})
    with pytest.raises(ValueError, match="cannot be divided among 7"):
        made.update({"num_attention_heads": 7})
    assert course.PretrainedConfig is course.ModelConfig


# -- rotary positions ------------------------------------------------------------------------------------------------------


RULE = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


@pytest.mark.parametrize(("found", "theta", "scaling"), [
    ({"rope_theta": 500000.0, "rope_type": "default"}, 500000.0, None), ({"rope_theta": 5e5}, 5e5, None), ({"rope_theta": 5e5} | RULE, 5e5, RULE),
    ({"rope_type": "linear", "factor": 2.0}, 10000.0, {"rope_type": "linear", "factor": 2.0}), (None, 10000.0, None)])
def test_rotary_settings_as_transformers_5_writes_them(found, theta, scaling, tmp_path):
    write(tmp_path, model_type="llama", rope_parameters=found)
    for made in (AutoConfig.from_pretrained(tmp_path), AutoConfig.for_model("qwen2", rope_parameters=found)):
        assert (made.rope_theta, made.rope_scaling) == (theta, scaling)
    made.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path) == made


@pytest.mark.parametrize(("settings", "message"), [
    ({"rope_scaling": {"type": "linear"}}, "'linear' needs a number above 0 for each of factor; its factor is None"),
    ({"rope_scaling": {"type": "linear", "factor": "2"}}, "its factor is '2'"), ({"rope_scaling": {"type": "linear", "factor": 0}}, "factor is 0"),
    ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "its original_max_position_embeddings is None"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "'yarn' is unknown here"), ({"rope_parameters": {"rope_type": "linear"}}, "factor is None"),
    ({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}, "every kind of layer has its own")])
def test_rotary_settings_that_cannot_be_read(settings, message):
    with pytest.raises(ValueError, match=message):
        AutoConfig.for_model("llama", **settings)


def test_a_number_is_no_open_file(tmp_path):
    """os.path.isfile takes a number for an open file of that number."""
    (tmp_path / "open.txt").write_text("{}")
    with open(tmp_path / "open.txt") as file, pytest.raises(TypeError, match=f"a folder is needed, got {file.fileno()}"):
        course.AutoConfig.from_pretrained(file.fileno())
