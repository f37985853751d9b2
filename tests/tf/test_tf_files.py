"""Files: TF classes of transformers write and course reads, and the other way round; Google's format against TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf
import torch
import transformers

from course import tf_checkpoints
from course.models.auto import class_for

BERT = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
        "max_position_embeddings": 24}
GPT = {"vocab_size": 40, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 24, "pad_token_id": 0}
SETTINGS = {
    "bert": BERT, "roberta": BERT | {"max_position_embeddings": 26, "type_vocab_size": 1}, "gpt2": GPT, "openai-gpt": GPT,
    "ctrl": GPT | {"dff": 32}, "distilbert": {"vocab_size": 40, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32,
                                              "max_position_embeddings": 24},
    "xlm": {"vocab_size": 40, "emb_dim": 16, "n_layers": 2, "n_heads": 2, "max_position_embeddings": 24},
    "xlnet": {"vocab_size": 40, "d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 32},
    "bart": {"vocab_size": 40, "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
             "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 24,
             "pad_token_id": 1, "eos_token_id": 2, "bos_token_id": 0},
    "t5": {"vocab_size": 40, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0},
    "transfo-xl": {"vocab_size": 40, "cutoffs": [10, 20], "d_model": 16, "d_embed": 16, "n_head": 2, "d_head": 8, "d_inner": 32,
                   "n_layer": 2, "div_val": 2, "mem_len": 8, "clamp_len": 12, "pad_token_id": 0, "tie_projs": [False] * 3,
                   "tie_word_embeddings": False}}                     # transformers' TF class ties nothing
MODELS = [("bert", task) for task in ("Model", "ForPreTraining", "ForNextSentencePrediction", "ForSequenceClassification",
                                      "ForTokenClassification", "ForQuestionAnswering", "ForMaskedLM")]
MODELS += [("distilbert", task) for task in ("Model", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering",
                                             "ForMaskedLM")]
MODELS += [("roberta", "ForMaskedLM"), ("roberta", "ForSequenceClassification"), ("gpt2", "LMHeadModel"),
           ("gpt2", "ForSequenceClassification"), ("openai-gpt", "LMHeadModel"), ("ctrl", "LMHeadModel"), ("xlm", "WithLMHeadModel"),
           ("xlm", "ForQuestionAnsweringSimple"), ("xlnet", "LMHeadModel"), ("xlnet", "ForSequenceClassification"),
           ("bart", "ForConditionalGeneration"), ("t5", "ForConditionalGeneration"), ("transfo-xl", "LMHeadModel")]
IDS = np.random.default_rng(1).integers(3, 40, (2, 9))
MASK = np.array([[1] * 9, [1] * 6 + [0] * 3])


def theirs(kind, task):
    """A TF class of transformers with random weights, also where they begin as zeros and ones."""
    config = transformers.AutoConfig.for_model(kind, **SETTINGS[kind])
    model = getattr(transformers, "TF" + class_for(kind, "Config").__name__.removesuffix("Config") + task)(config)
    model(model.dummy_inputs)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(weight + 0.05 * rng.standard_normal(weight.shape).astype(np.float32))
    return model


def inputs(kind, task):
    found = {"input_ids": IDS} | ({} if kind == "transfo-xl" else {"attention_mask": MASK})
    return found | ({"decoder_input_ids": IDS[:, :5]} if kind in ("bart", "t5") else {})


def difference(model, reference, kind, task):
    """The largest one between the outputs of a torch model of course and a TF model of transformers."""
    given = inputs(kind, task)
    with torch.no_grad():
        ours = model(**{name: torch.tensor(value) for name, value in given.items()})
    outputs = reference(**{name: tf.constant(value) for name, value in given.items()}, training=False)
    outputs = {{"prediction_scores": "logits"}.get(name, name): value for name, value in outputs.items() if hasattr(value, "numpy")}
    assert outputs
    return max(float(abs(ours[name].numpy() - value.numpy()).max()) for name, value in outputs.items())


@pytest.mark.parametrize("kind, task", MODELS)
def test_what_tf_classes_save_is_read(kind, task, tmp_path):
    reference = theirs(kind, task)
    for number, safe in enumerate((False, True)):     # tf_model.h5, model.safetensors
        reference.save_pretrained(tmp_path / str(number), safe_serialization=safe)
        found = difference(class_for(kind, task).from_pretrained(tmp_path / str(number), from_tf=not safe), reference, kind, task)
        print(f"{kind} {task}: {found:.1e}")
        assert found < 2e-5


@pytest.mark.parametrize("safe", [False, True])
@pytest.mark.parametrize("kind", ["bert", "bart", "t5"])
def test_shards_of_tf_classes_are_read(kind, safe, tmp_path):
    reference = theirs(kind, "Model")
    reference.save_pretrained(tmp_path, safe_serialization=safe, max_shard_size="8KB")
    assert len(list(tmp_path.glob("model-*.safetensors" if safe else "tf_model-*.h5"))) > 2
    assert difference(class_for(kind, "Model").from_pretrained(tmp_path), reference, kind, "Model") < 2e-5


@pytest.mark.parametrize("kind, task", MODELS[:12])
def test_tf_classes_read_what_course_saves(kind, task, tmp_path):
    torch.manual_seed(0)
    model = class_for(kind, task)(class_for(kind, "Config")(**SETTINGS[kind])).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    model.save_pretrained(tmp_path, to_tf=True)
    name = f"TF{type(model).__name__}"
    reference, told = getattr(transformers, name).from_pretrained(tmp_path, output_loading_info=True)
    missing = [name for name in told["missing_keys"] if not name.startswith("dropout")]         # layers without weights
    assert not missing and not told["mismatched_keys"] and not told["unexpected_keys"], told
    assert difference(model, reference, kind, task) < 1e-5


def test_a_checkpoint_of_google_bit_for_bit(tmp_path):
    """Written by TensorFlow, read by TensorFlow and by course: the same bits."""
    rng = np.random.default_rng(0)
    names = ["bert/embeddings/word_embeddings", "bert/embeddings/LayerNorm/gamma", "bert/pooler/dense/bias",
             *(f"bert/encoder/layer_{i}/{part}/kernel" for i in range(12) for part in (
                 "attention/self/query", "attention/self/key", "attention/output/dense", "intermediate/dense", "output/dense")),
             "cls/predictions/output_bias", "cls/seq_relationship/output_weights", "bert/pooler/dense/bias/adam_v"]
    values = {name: tf.Variable(rng.standard_normal((3 + i, 5)).astype(np.float32)) for i, name in enumerate(names)}
    values["global_step"] = tf.Variable(7, dtype=tf.int64)
    tf.compat.v1.train.Saver(values).save(None, str(tmp_path / "bert_model.ckpt"))
    reader, read = tf.train.load_checkpoint(str(tmp_path / "bert_model.ckpt")), 0
    found = dict(tf_checkpoints.read_ckpt(tmp_path / "bert_model.ckpt.index"))
    for name in names[:-1]:
        ours, value = tf_checkpoints.from_ckpt(name, reader.get_tensor(name))
        assert found[ours].numpy().tobytes() == value.numpy().tobytes()
        read += 1
    assert read == len(found) == len(names) - 1
