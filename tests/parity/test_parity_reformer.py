"""Reformer against transformers on tiny random checkpoints: short texts (ordinary attention), long ones (chunks) and those
in between, which both libraries pad to whole chunks."""

import itertools
import json
import math

import pytest
import torch
from pairs import SHARED, batch, labels_for, shake
from safetensors import safe_open

import course
from course.checkpoint import their_names

transformers = pytest.importorskip("transformers", reason="transformers is not installed here")

SIZES = {"vocab_size": 53, "hidden_size": 20, "num_attention_heads": 3, "attention_head_size": 6, "feed_forward_size": 31,
         "max_position_embeddings": 48, "hash_seed": 5, "num_labels": 4}
CONFIGS = {
    "lsh": SIZES | {"attn_layers": ["lsh", "lsh"], "axial_pos_embds": False, "lsh_attn_chunk_length": 4, "num_buckets": 4,
                    "num_hashes": 2, "lsh_num_chunks_after": 1, "hidden_act": "gelu", "lsh_attention_probs_dropout_prob": 0.2},
    "local": SIZES | {"attn_layers": ["local", "local"], "axial_pos_embds": False, "local_attn_chunk_length": 4,
                      "local_num_chunks_after": 1, "hidden_act": "gelu", "chunk_size_feed_forward": 2,
                      "local_attention_probs_dropout_prob": 0.25, "hidden_dropout_prob": 0.1, "pad_token_id": 3},
    "both": SIZES | {"attn_layers": ["local", "lsh", "lsh"], "axial_pos_shape": [4, 12], "axial_pos_embds_dim": [8, 12],
                     "local_attn_chunk_length": 4, "lsh_attn_chunk_length": 6, "num_buckets": [2, 4], "num_hashes": 3,
                     "classifier_dropout": 0.4, "chunk_size_lm_head": 1, "layer_norm_eps": 1e-5},
    "decoder": SIZES | {"attn_layers": ["lsh", "local"], "axial_pos_shape": [8, 6], "axial_pos_embds_dim": [15, 5],
                        "local_attn_chunk_length": 6, "lsh_attn_chunk_length": 4, "num_hashes": 2, "is_decoder": True,
                        "lsh_num_chunks_before": 2, "local_attention_probs_dropout_prob": 0.0},
    "buckets from the length": SIZES | {"attn_layers": ["lsh"], "axial_pos_embds": False, "lsh_attn_chunk_length": 2,
                                        "lsh_num_chunks_before": 0, "is_decoder": True},
}
HEADS = ("ForSequenceClassification", "ForQuestionAnswering")
EVERYTHING = {"output_hidden_states": True, "output_attentions": True}
each = pytest.mark.parametrize("name", CONFIGS)


def tasks(name):
    return ("Model", "ForCausalLM" if CONFIGS[name].get("is_decoder") else "ForMaskedLM", *HEADS)


def lengths(config):
    """Not longer than any chunk; whole chunks; in between."""
    whole = math.lcm(*config.chunks)
    return min(config.chunks), 3 * whole, whole + 1


def both(pair, **inputs):
    """Their decoders keep buckets and states for a next token, which ours do not."""
    outputs = pair.theirs(**inputs)
    return pair.ours(**inputs), {k: v for k, v in outputs.items() if k != "past_buckets_states"}


def same(ours, theirs, inputs, tolerance=2e-5, where=""):
    """The same fields with the same numbers. Their hidden states reach into the padding to whole chunks, ours do not."""
    assert list(ours.keys()) == list(theirs.keys()), where
    length = inputs["input_ids"].shape[1]
    for name in ours.keys():
        mine, other = ours[name], theirs[name]
        if name == "hidden_states":
            other = [state[:, :length] for state in other]
        pairs = zip(mine, other, strict=True) if isinstance(mine, tuple) else [(mine, other)]
        for number, (a, b) in enumerate(pairs):
            largest = b.abs().max().clamp(min=1).item()
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * largest,
                                       msg=lambda m: f"{where} {name}[{number}]: {m}")


@each
def test_outputs_are_the_same(make, name):
    for task in tasks(name):
        pair = make("reformer", CONFIGS[name], task)
        config = pair.ours.config
        for length, mask in itertools.product(lengths(config), (None, "right", "left")):
            inputs = batch(config, length=length, mask=mask)
            where = f"{task}, length {length}, mask {mask}"
            if config.num_buckets is None:            # theirs keep what they found for the first text
                pair = make("reformer", CONFIGS[name], task)
            with torch.no_grad():
                same(*both(pair, **inputs), inputs, where=where)
                same(*both(pair, **inputs, **EVERYTHING), inputs, where=f"{where}, everything")
                bare = {"input_ids": inputs["input_ids"]}
                same(*both(pair, **bare), inputs, where=f"{where}, no mask")
                if task != "Model":
                    labels = labels_for(task.replace("Causal", "Masked"), config, inputs["input_ids"])
                    same(*both(pair, **inputs, **labels), inputs, where=f"{where}, labels")


@each
def test_all_kinds_of_input(make, name):
    pair = make("reformer", CONFIGS[name], "Model")
    config = pair.ours.config
    inputs = batch(config, length=lengths(config)[1])
    embeds = torch.randn(*inputs["input_ids"].shape, config.hidden_size)
    with torch.no_grad():
        for length in (embeds.shape[1], embeds.shape[1] - 1):
            cut = {"inputs_embeds": embeds[:, :length], "attention_mask": inputs["attention_mask"][:, :length]}
            same(*both(pair, **cut), {"input_ids": cut["attention_mask"]}, where="inputs_embeds")
        positions = torch.randperm(config.max_tokens)[:embeds.shape[1]].expand(3, -1)
        same(*both(pair, **inputs, position_ids=positions), inputs, where="position_ids")
        if "lsh" in config.attn_layers:
            more = both(pair, **inputs, num_hashes=4, **EVERYTHING)
            same(*more, inputs, where="num_hashes")
            assert (more[0][0] - pair.ours(**inputs)[0]).abs().max() > 1e-3
        head_mask = (torch.rand(len(config.attn_layers), 3) < 0.5).float()
        head_mask[0, 0] = 0
        for given in (head_mask, head_mask[0]):
            same(*both(pair, **inputs, head_mask=given, **EVERYTHING), inputs, where="head_mask")


@each
def test_gradients_are_the_same(make, name):
    """Theirs are computed in training only, so everywhere without dropout."""
    quiet = dict.fromkeys(("hidden_dropout_prob", "local_attention_probs_dropout_prob",
                           "lsh_attention_probs_dropout_prob", "classifier_dropout"), 0.0)
    for task, mask in itertools.product(tasks(name)[1:], (None, "right")):
        pair = make("reformer", CONFIGS[name] | quiet, task)
        config = pair.ours.config
        inputs = batch(config, length=48, mask=mask)
        inputs |= labels_for(task.replace("Causal", "Masked"), config, inputs["input_ids"])
        for model in (pair.theirs, pair.ours):
            loss = model.train()(**inputs).loss
            loss.backward()
        evaluated = pair.ours.eval()(**inputs).loss   # and ours in eval mode as well
        checked = 0
        for given, mine, other in zip(pair.ours.parameters(), torch.autograd.grad(evaluated, list(pair.ours.parameters())),
                                      (g for _, _, g in pair.gradients()), strict=True):
            for gradient in (given.grad, mine):
                torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-4, msg=lambda m: f"{task}: {m}")
            checked += 1
        assert checked > 10


@each
def test_training_with_dropout_draws_the_same_numbers(make, name, monkeypatch):
    """Theirs draw the seed of every layer from the operating system: here it is drawn as ours is. With a hash_seed theirs
    repeat the same dropout in every layer and step, so the buckets are drawn as well. Their gradients are compared where
    no buckets are: their backward pass does not draw them again, and goes on with another dropout than the forward pass."""
    monkeypatch.setattr(torch, "seed", lambda: int(torch.randint(2**62, ())))
    for task, mask in itertools.product(tasks(name)[1:], (None, "right")):
        pair = make("reformer", CONFIGS[name] | {"hash_seed": None}, task)
        config = pair.ours.config
        inputs = batch(config, length=48, mask=mask)
        inputs |= labels_for(task.replace("Causal", "Masked"), config, inputs["input_ids"])
        outputs = []
        for model in (pair.ours, pair.theirs):
            torch.manual_seed(7)
            outputs.append(model.train()(**inputs, **EVERYTHING))
        same(outputs[0], {k: v for k, v in outputs[1].items() if k != "past_buckets_states"}, inputs, where=f"{task} {mask}")
        if name == "local":
            for output in outputs:
                output.loss.backward()
            for weight, mine, other in pair.gradients():
                torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4, msg=lambda m: f"{weight}: {m}")
        torch.manual_seed(7)
        assert not torch.allclose(outputs[0].hidden_states[-1], pair.ours.eval()(**inputs, **EVERYTHING).hidden_states[-1])


@each
def test_what_we_save_loads_in_transformers(make, name, tmp_path):
    for task in tasks(name):
        pair, folder = make("reformer", CONFIGS[name], task), tmp_path / f"ours{task}"
        shake(pair.ours)
        pair.ours.save_pretrained(folder)
        auto = getattr(transformers, "AutoModel" + task.removeprefix("Model"))
        theirs, report = auto.from_pretrained(folder, output_loading_info=True)
        assert {key: list(value) for key, value in report.items() if value} == {}
        inputs = batch(pair.ours.config, length=24)
        with torch.no_grad():
            wanted = {k: v for k, v in theirs.eval()(**inputs).items() if k != "past_buckets_states"}
            same(pair.ours(**inputs), wanted, inputs)
        named = json.loads((folder / "config.json").read_text())["architectures"]
        assert named == [type(theirs).__name__] == [type(pair.theirs).__name__]
        with safe_open(folder / "model.safetensors", "pt") as ours, \
                safe_open(pair.folder / "model.safetensors", "pt") as other:
            assert sorted(ours.keys()) == sorted(other.keys())


@each
def test_bodies_load_from_checkpoints_with_a_head_and_back(make, name, tmp_path):
    pair = make("reformer", CONFIGS[name], tasks(name)[1])
    body = course.AutoModel.from_pretrained(pair.folder)
    inputs = batch(pair.ours.config, length=24)
    with torch.no_grad():
        body.save_pretrained(tmp_path / "body")
        theirs = transformers.AutoModel.from_pretrained(tmp_path / "body")
        same(body(**inputs), {"last_hidden_state": theirs(**inputs)[0]}, inputs)
        assert torch.equal(body(**inputs)[0], pair.ours.reformer(**inputs)[0])


def test_resized_vocabulary(make):
    pair = make("reformer", CONFIGS["decoder"], "ForCausalLM")
    for size in (59, 47):
        pair.ours.resize_token_embeddings(size)
        pair.theirs.resize_token_embeddings(size, mean_resizing=False)
    inputs = batch(pair.ours.config, length=24)
    with torch.no_grad():
        same(*both(pair, **inputs), inputs)


def test_default_configs_are_the_same():
    ours, theirs = (json.loads(json.dumps(library.AutoConfig.for_model("reformer").to_dict())) for library in (course, transformers))
    assert {k: (v, theirs.get(k)) for k, v in ours.items() if theirs.get(k) != v} == {}


def test_fresh_weights_are_spread_alike():
    wide = CONFIGS["both"] | {"vocab_size": 5000, "hidden_size": 60, "axial_pos_embds_dim": [24, 36], "axial_norm_std": 0.5}
    ours = course.AutoModelForMaskedLM.from_config(course.AutoConfig.for_model("reformer", **wide))
    theirs = transformers.AutoModelForMaskedLM.from_config(transformers.AutoConfig.for_model("reformer", **wide)).state_dict()
    for name, weight in ours.named_parameters():
        other = theirs[their_names(ours)[name]]
        assert weight.std(correction=0).item() == pytest.approx(other.std(correction=0).item(), rel=0.35, abs=1e-8), name
        assert weight.mean().item() == pytest.approx(other.mean().item(), abs=6 * other.std(correction=0).item() / weight.numel()**0.5 + 1e-6)


@pytest.mark.skipif(not (SHARED / "conformance/hub/google").is_dir(), reason="the tiny checkpoints of the conformance suite are not here")
def test_a_checkpoint_in_the_format_of_the_hub():
    folder = SHARED / "conformance/hub/google/reformer-crime-and-punishment"
    ours, theirs = (library.AutoModelForCausalLM.from_pretrained(folder) for library in (course, transformers))
    ids = torch.randint(ours.config.vocab_size, (2, 100))
    with torch.no_grad():
        same(ours(ids, labels=ids), {"loss": theirs(ids, labels=ids).loss, "logits": theirs(ids).logits}, {"input_ids": ids})
