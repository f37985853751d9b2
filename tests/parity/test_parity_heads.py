"""The task classes of the decoders and encoder-decoders, beyond the language models: logits, losses, gradients, files."""

import json

import pytest
import torch
from pairs import batch, labels_for
from safetensors import safe_open
from test_parity_decoders import CONFIGS, same, shake

import course
from course.checkpoint import convert, our_name

transformers = pytest.importorskip("transformers", reason="transformers is not installed here")

SEQUENCE, TOKEN, ANSWER = "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"
CLASSES = {"gpt2": (SEQUENCE, TOKEN, ANSWER), "openai-gpt": (SEQUENCE,), "ctrl": (SEQUENCE,), "llama": (SEQUENCE, TOKEN, ANSWER),
           "qwen2": (SEQUENCE, TOKEN, ANSWER), "bart": (SEQUENCE, ANSWER), "t5": (SEQUENCE, TOKEN, ANSWER)}
CASES = pytest.mark.parametrize(("kind", "task"), [(kind, task) for kind, tasks in CLASSES.items() for task in tasks])


def inputs_for(pair, kind, mask):
    """A batch, for an encoder-decoder with </s> at the end of each text and nowhere else."""
    inputs = batch(pair.ours.config, mask=mask)
    if kind in ("bart", "t5"):
        ids, end = inputs["input_ids"], pair.ours.config.eos_token_id
        ids[ids == end] = 5
        ids[torch.arange(3), inputs["attention_mask"].cumsum(1).argmax(1)] = end
    return inputs


@CASES
def test_outputs_and_gradients_are_the_same(make, kind, task):
    for number, settings in enumerate(CONFIGS[kind]):
        pair = make(kind, settings, task)
        # scores of padding in front of a text, of which answers have one each, are nobody's business
        for mask in (None, "right") if task == ANSWER else (None, "right", "left"):
            inputs = inputs_for(pair, kind, mask)
            with torch.no_grad():
                same(*pair.both(**inputs), inputs, where=f"config {number}, mask {mask}")
                same(*pair.both(**inputs, output_hidden_states=True, output_attentions=True), inputs, where="everything")
        inputs = inputs_for(pair, kind, "right")
        labels = labels_for(task, pair.ours.config, inputs["input_ids"])
        if task == TOKEN:                             # of padding nothing is learned
            labels["labels"][inputs["attention_mask"] == 0] = -100
        ours, theirs = pair.both(**inputs, **labels)
        same(ours, theirs, inputs, where="labels")
        ours.loss.backward()
        theirs.loss.backward()
        gradients = {n: w.grad for n, w in pair.theirs.named_parameters() if w.grad is not None}
        gradients = convert("from_checkpoint", gradients, pair.ours)
        wanted, checked = {our_name(name, pair.ours): value for name, value in gradients.items()}, 0
        for name, weight in pair.ours.named_parameters():
            assert (weight.grad is None) == (name not in wanted), name
            if weight.grad is not None:
                torch.testing.assert_close(weight.grad, wanted[name], rtol=1e-4, atol=1e-4, msg=lambda m: f"{name}: {m}")
                checked += 1
        assert checked > 10


@CASES
def test_training_with_dropout_draws_the_same_numbers(make, kind, task):
    pair = make(kind, CONFIGS[kind][1], task)
    inputs = inputs_for(pair, kind, "right")
    inputs |= labels_for(task, pair.ours.config, inputs["input_ids"])
    outputs = []
    for model in (pair.ours, pair.theirs):
        torch.manual_seed(7)
        outputs.append(model.train()(**inputs, output_attentions=True))
    torch.testing.assert_close(outputs[0].loss, outputs[1].loss, rtol=1e-4, atol=1e-4)


@CASES
def test_what_we_save_loads_in_transformers(make, kind, task, tmp_path):
    pair = make(kind, CONFIGS[kind][1], task)
    shake(pair.ours)
    pair.ours.save_pretrained(tmp_path / "ours")
    theirs, report = getattr(transformers, f"AutoModel{task}").from_pretrained(
        tmp_path / "ours", output_loading_info=True, attn_implementation="eager")
    assert {key: list(value) for key, value in report.items() if value} == {}
    inputs = inputs_for(pair, kind, "right")
    with torch.no_grad():
        same(pair.ours(**inputs), theirs.eval()(**inputs), inputs)
        body = course.AutoModel.from_pretrained(pair.folder) if task != TOKEN or kind != "t5" else \
            course.T5EncoderModel.from_pretrained(pair.folder)
        assert torch.equal(*(part.state_dict()["tokens.weight"] for part in (
            body, getattr(course, f"AutoModel{task}").from_pretrained(pair.folder).base_model)))
    assert json.loads((tmp_path / "ours/config.json").read_text())["architectures"] == [type(theirs).__name__]
    with safe_open(tmp_path / "ours/model.safetensors", "pt") as ours, \
            safe_open(pair.folder / "model.safetensors", "pt") as other:
        assert sorted(ours.keys()) == sorted(other.keys())


def test_the_encoder_of_t5_alone(make, tmp_path):
    for settings in CONFIGS["t5"]:
        pair = make("t5", settings, "ForSeq2SeqLM")
        ours = course.T5EncoderModel.from_pretrained(pair.folder)
        theirs = transformers.T5EncoderModel.from_pretrained(pair.folder).eval()
        inputs = inputs_for(pair, "t5", "right")
        with torch.no_grad():
            same(ours(**inputs), theirs(**inputs), inputs)
            ours.save_pretrained(tmp_path)
            same(ours(**inputs), transformers.T5EncoderModel.from_pretrained(tmp_path).eval()(**inputs), inputs)
