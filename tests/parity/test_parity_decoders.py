"""Decoders and encoder-decoders against transformers on tiny random checkpoints.

Rows of padding are compared only where the text is: what a model computes for padding that stands before the text
is nobody's business, and the two libraries differ there.
"""

import json

import pytest
import torch
from pairs import batch, shake
from safetensors import safe_open

import course
from course.checkpoint import convert, our_name, their_names

transformers = pytest.importorskip("transformers", reason="transformers is not installed here")

# model_type -> configs with odd sizes and the options that change the computation; names as in config.json
CONFIGS = {
    "gpt2": [
        {"vocab_size": 53, "n_embd": 20, "n_layer": 3, "n_head": 4, "n_positions": 41, "pad_token_id": 3},
        {"vocab_size": 97, "n_embd": 21, "n_layer": 2, "n_head": 3, "n_positions": 33, "n_inner": 16, "resid_pdrop": 0.3,
         "activation_function": "relu", "attn_pdrop": 0.25, "embd_pdrop": 0.2, "layer_norm_epsilon": 1e-3, "num_labels": 5,
         "scale_attn_by_inverse_layer_idx": True, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
        {"vocab_size": 64, "n_embd": 12, "n_layer": 1, "n_head": 1, "n_positions": 30, "scale_attn_weights": False,
         "attn_pdrop": 0.0, "pad_token_id": 1, "tie_word_embeddings": False},
    ],
    "openai-gpt": [
        {"vocab_size": 53, "n_embd": 20, "n_layer": 3, "n_head": 4, "n_positions": 41, "pad_token_id": 3},
        {"vocab_size": 97, "n_embd": 21, "n_layer": 2, "n_head": 3, "n_positions": 33, "afn": "relu", "resid_pdrop": 0.3,
         "attn_pdrop": 0.25, "embd_pdrop": 0.2, "layer_norm_epsilon": 1e-3, "pad_token_id": 0},
        {"vocab_size": 64, "n_embd": 12, "n_layer": 1, "n_head": 1, "n_positions": 30, "afn": "silu", "attn_pdrop": 0.0,
         "pad_token_id": 1, "tie_word_embeddings": False},
    ],
    "ctrl": [
        {"vocab_size": 53, "n_embd": 20, "n_layer": 3, "n_head": 4, "n_positions": 41, "dff": 37, "pad_token_id": 3},
        {"vocab_size": 97, "n_embd": 24, "n_layer": 2, "n_head": 3, "n_positions": 33, "dff": 16, "resid_pdrop": 0.3,
         "embd_pdrop": 0.2, "layer_norm_epsilon": 1e-3, "pad_token_id": 0},
        {"vocab_size": 64, "n_embd": 12, "n_layer": 1, "n_head": 1, "n_positions": 30, "dff": 50, "pad_token_id": 1,
         "tie_word_embeddings": False},
    ],
    "llama": [
        {"vocab_size": 53, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
         "intermediate_size": 37, "max_position_embeddings": 41, "tie_word_embeddings": True, "pad_token_id": 3},
        {"vocab_size": 97, "hidden_size": 18, "num_hidden_layers": 2, "num_attention_heads": 3, "num_key_value_heads": 1,
         "head_dim": 8, "intermediate_size": 16, "max_position_embeddings": 33, "hidden_act": "gelu", "rms_norm_eps": 1e-3,
         "attention_bias": True, "mlp_bias": True, "attention_dropout": 0.25, "rope_theta": 500.0, "pad_token_id": 0,
         "num_labels": 5, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                           "high_freq_factor": 4.0, "original_max_position_embeddings": 16}},
        {"vocab_size": 64, "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 50,
         "max_position_embeddings": 30, "rope_scaling": {"rope_type": "linear", "factor": 2.0}, "pad_token_id": 1},
    ],
    "qwen2": [
        {"vocab_size": 53, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
         "intermediate_size": 37, "max_position_embeddings": 41, "tie_word_embeddings": True, "pad_token_id": 3},
        {"vocab_size": 97, "hidden_size": 18, "num_hidden_layers": 2, "num_attention_heads": 3, "num_key_value_heads": 3,
         "intermediate_size": 16, "max_position_embeddings": 33, "attention_dropout": 0.25, "rope_theta": 1000000.0,
         "pad_token_id": 0, "num_labels": 5},
        {"vocab_size": 64, "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 6, "num_key_value_heads": 1,
         "intermediate_size": 50, "max_position_embeddings": 30, "pad_token_id": 1},
    ],
    "bart": [
        {"vocab_size": 53, "d_model": 20, "encoder_layers": 3, "decoder_layers": 2, "encoder_attention_heads": 4,
         "decoder_attention_heads": 5, "encoder_ffn_dim": 37, "decoder_ffn_dim": 30, "max_position_embeddings": 41,
         "pad_token_id": 3},
        {"vocab_size": 97, "d_model": 21, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 3,
         "decoder_attention_heads": 3, "encoder_ffn_dim": 16, "decoder_ffn_dim": 18, "max_position_embeddings": 33,
         "activation_function": "relu", "dropout": 0.3, "attention_dropout": 0.25, "activation_dropout": 0.2,
         "classifier_dropout": 0.4, "scale_embedding": True, "num_labels": 5},
        {"vocab_size": 64, "d_model": 12, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 1,
         "decoder_attention_heads": 2, "encoder_ffn_dim": 50, "decoder_ffn_dim": 20, "max_position_embeddings": 30,
         "activation_function": "gelu_new", "encoder_layerdrop": 0.5, "decoder_start_token_id": 0},
    ],
    "t5": [
        {"vocab_size": 53, "d_model": 20, "d_kv": 7, "d_ff": 37, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 6,
         "decoder_start_token_id": 0},
        {"vocab_size": 97, "d_model": 21, "d_kv": 8, "d_ff": 16, "num_layers": 2, "num_heads": 3, "dropout_rate": 0.3,
         "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "layer_norm_epsilon": 1e-3,
         "relative_attention_num_buckets": 8, "relative_attention_max_distance": 6, "decoder_start_token_id": 0},
        {"vocab_size": 64, "d_model": 12, "d_kv": 12, "d_ff": 50, "num_layers": 1, "num_heads": 1, "dropout_rate": 0.0,
         "feed_forward_proj": "gated-silu", "decoder_start_token_id": 2},
    ],
}
KINDS = {kind: "ForSeq2SeqLM" if kind in ("bart", "t5") else "ForCausalLM" for kind in CONFIGS}
CLASSIFIERS = ("gpt2", "llama", "qwen2", "bart")
SCALES = {"scale_attn_weights", "scale_attn_by_inverse_layer_idx"}
EVERYTHING = {"output_hidden_states": True, "output_attentions": True}


def cases(*kinds):
    return pytest.mark.parametrize(("kind", "settings"), [
        pytest.param(kind, settings, id=f"{kind}-{number}")
        for kind in kinds or CONFIGS for number, settings in enumerate(CONFIGS[kind])])


def tasks(kind):
    return ("Model", KINDS[kind], *(["ForSequenceClassification"] if kind in CLASSIFIERS else []))


def inputs_for(pair, kind, mask=None, length=9):
    """A batch; for an encoder-decoder two, of different lengths."""
    inputs = batch(pair.ours.config, mask=mask, length=length)
    if KINDS[kind] == "ForSeq2SeqLM" and pair.task != "ForSequenceClassification":
        answer = batch(pair.ours.config, mask=mask and "right", length=6)
        inputs |= {"decoder_input_ids": answer["input_ids"], "decoder_attention_mask": answer["attention_mask"]}
    if pair.task == "ForSequenceClassification" and kind == "bart":
        ids = inputs["input_ids"]
        ids[ids == pair.ours.config.eos_token_id] = 5
        ids[torch.arange(3), inputs["attention_mask"].cumsum(1).argmax(1)] = pair.ours.config.eos_token_id
    return inputs


def labels_for(pair, inputs):
    config = pair.ours.config
    if pair.task == "ForSequenceClassification":
        return {"labels": torch.randint(config.num_labels, (3,))}
    ids = inputs.get("decoder_input_ids", inputs["input_ids"])
    return {"labels": torch.randint(config.vocab_size, ids.shape).where(torch.rand(ids.shape) < 0.6, -100)}


def same(ours, theirs, inputs=None, tolerance=1e-5, where=""):
    """Both outputs have the same fields, and these the same numbers wherever there is text."""
    inputs = inputs or {}
    cache = {"past_key_values"}
    assert set(ours.keys()) - cache == set(theirs.keys()) - cache, where
    assert [k for k in ours.keys() if k not in cache] == [k for k in theirs.keys() if k not in cache], where
    for name in set(ours.keys()) - cache:
        encoder = name.startswith("encoder") or "decoder_input_ids" not in inputs
        keep = inputs.get("attention_mask" if encoder else "decoder_attention_mask")
        mine, other = ours[name], theirs[name]
        pairs = zip(mine, other, strict=True) if isinstance(mine, tuple) else [(mine, other)]
        for number, (a, b) in enumerate(pairs):
            assert a.shape == b.shape, f"{where} {name}[{number}] {a.shape} {b.shape}"
            if keep is not None and a.dim() > 2:      # (B, T, D) or (B, H, T, S)
                rows = keep[:, -a.shape[-2]:].bool()
                a, b = (x.movedim(-2, 1)[rows] for x in (a, b))
            largest = b.abs().max().clamp(min=1).item()
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * largest,
                                       msg=lambda m: f"{where} {name}[{number}]: {m}")


@cases()
def test_outputs_are_the_same(make, kind, settings):
    for task in tasks(kind):
        pair = make(kind, settings, task)
        for mask in (None, "right", "left"):
            inputs = inputs_for(pair, kind, mask)
            with torch.no_grad():
                same(*pair.both(**inputs), inputs, where=f"{task}, mask {mask}")
                same(*pair.both(**inputs, **EVERYTHING), inputs, where=f"{task}, mask {mask}, everything")
        bare = {k: v for k, v in inputs.items() if "mask" not in k}
        with torch.no_grad():
            same(*pair.both(**bare), where=f"{task}, no mask")
            if task != "Model":
                inputs = inputs_for(pair, kind, "right")
                same(*pair.both(**inputs, **labels_for(pair, inputs)), inputs, where=f"{task}, labels")


@cases("gpt2", "openai-gpt", "ctrl", "llama", "qwen2")
def test_all_kinds_of_input_of_decoders(make, kind, settings):
    pair = make(kind, settings, "Model")
    config, inputs = pair.ours.config, batch(pair.ours.config)
    length, layers, heads = inputs["input_ids"].shape[1], config.num_hidden_layers, config.num_attention_heads
    with torch.no_grad():
        embeds = torch.randn(2, length, config.hidden_size)
        # CTRL of transformers multiplies the embeddings it is given in place
        same(pair.ours(inputs_embeds=embeds), pair.theirs(inputs_embeds=embeds.clone()), where="inputs_embeds")
        positions = torch.randperm(config.max_position_embeddings)[:length].expand(3, -1)
        same(*pair.both(**inputs, position_ids=positions), inputs, where="position_ids")
        head_mask = (torch.rand(layers, heads) < 0.5).float()
        head_mask[0, 0] = 0
        if kind not in ("llama", "qwen2"):            # there transformers has neither
            same(*pair.both(**inputs, head_mask=head_mask, **EVERYTHING), inputs, where="head_mask")
            same(*pair.both(**inputs, head_mask=head_mask[0], **EVERYTHING), inputs, where="head_mask of one layer")
            types = torch.randint(config.vocab_size, inputs["input_ids"].shape)
            same(*pair.both(**inputs, token_type_ids=types), inputs, where="token_type_ids")
        else:
            off = pair.ours(**inputs, head_mask=torch.zeros(layers, heads), **EVERYTHING)
            assert all(weights.abs().max() == 0 for weights in off.attentions)
            on = pair.ours(**inputs, head_mask=torch.ones(layers, heads))
            same(on, pair.ours(**inputs), inputs)


@cases("bart", "t5")
def test_all_kinds_of_input_of_encoder_decoders(make, kind, settings):
    pair = make(kind, settings, "ForSeq2SeqLM")
    config, inputs = pair.ours.config, inputs_for(pair, kind, "right")
    encoder, decoder = pair.ours.base_model.encoder.layers, pair.ours.base_model.decoder.layers
    with torch.no_grad():
        masks = {"head_mask": torch.rand(len(encoder), encoder[0].attention.heads).round(),
                 "decoder_head_mask": torch.rand(len(decoder), decoder[0].attention.heads).round(),
                 "cross_attn_head_mask": torch.rand(len(decoder), decoder[0].attention.heads).round()}
        same(*pair.both(**inputs, **masks, **EVERYTHING), inputs, where="head masks")
        embeds = {"inputs_embeds": torch.randn(3, 9, config.hidden_size),
                  "decoder_inputs_embeds": torch.randn(3, 6, config.hidden_size)}
        keep = {k: v for k, v in inputs.items() if "mask" in k}
        same(*pair.both(**embeds, **keep), {**inputs}, where="embeds")
        same(*pair.both(input_ids=inputs["input_ids"], labels=labels_for(pair, inputs)["labels"]),
             where="decoder_input_ids from labels")
        whole = pair.ours(**inputs, **EVERYTHING)
        rest = {k: v for k, v in inputs.items() if k != "input_ids"}
        again = pair.ours(encoder_outputs=(whole.encoder_last_hidden_state,), **rest)
        torch.testing.assert_close(again.logits, whole.logits)
        if kind == "bart":
            same(*pair.both(input_ids=inputs["input_ids"]), where="decoder_input_ids from input_ids")


@cases()
@pytest.mark.parametrize("everything", [False, True])
def test_cache(make, kind, settings, everything):
    """In pieces of any length, with padding on the left: the numbers of one pass over the whole text."""
    pair = make(kind, settings, KINDS[kind])
    inputs = inputs_for(pair, kind, "left", length=11)
    ids_name = "decoder_input_ids" if "decoder_input_ids" in inputs else "input_ids"
    mask_name = ids_name.replace("input_ids", "attention_mask")
    ids, mask = inputs.pop(ids_name), inputs.pop(mask_name)
    options = EVERYTHING if everything else {}
    with torch.no_grad():
        whole = pair.theirs(**inputs, **{ids_name: ids, mask_name: mask}, use_cache=False, **options)
        pieces, past, start = [], None, 0
        for end in (3, 4, 5, ids.shape[1]):
            given = {ids_name: ids[:, start:end], mask_name: mask[:, :end]}
            out = pair.ours(**inputs, **given, past_key_values=past, use_cache=True, **options)
            assert out.past_key_values.get_seq_length() == end
            past, start = out.past_key_values, end
            pieces.append(out.logits)
        rows = mask.bool()
        largest = whole.logits.abs().max().clamp(min=1).item()
        torch.testing.assert_close(torch.cat(pieces, 1)[rows], whole.logits[rows], rtol=1e-5, atol=1e-5 * largest)
        if everything:
            last = out["attentions" if "attentions" in out else "decoder_attentions"]
            assert last[-1].shape == (3, pair.ours.config.num_attention_heads if kind != "bart" else last[-1].shape[1],
                                      ids.shape[1] - 5, ids.shape[1])


@cases()
def test_gradients_are_the_same(make, kind, settings):
    for task in tasks(kind)[1:]:
        pair = make(kind, settings, task)
        inputs = inputs_for(pair, kind, "right")
        ours, theirs = pair.both(**inputs, **labels_for(pair, inputs))
        ours.loss.backward()
        theirs.loss.backward()
        gradients = {n: w.grad for n, w in pair.theirs.named_parameters() if w.grad is not None}
        gradients = convert("from_checkpoint", gradients, pair.ours)
        wanted, checked = {our_name(name, pair.ours): value for name, value in gradients.items()}, 0
        for name, weight in pair.ours.named_parameters():
            other = wanted.get(name) if weight.requires_grad else None
            assert (weight.grad is None) == (other is None), f"{task} {name}"
            if other is not None:
                torch.testing.assert_close(weight.grad, other, rtol=1e-4, atol=1e-4, msg=lambda m: f"{task} {name}: {m}")
                checked += 1
        assert checked > 10


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@cases()
def test_training_with_dropout_draws_the_same_numbers(make, kind, settings, attention):
    for task in tasks(kind)[1:]:
        if attention == "sdpa" and (kind in ("openai-gpt", "ctrl", "t5") or settings.keys() & SCALES):
            pytest.skip("transformers has no fused attention for this architecture, or ignores these settings there")
        pair = make(kind, settings, task, attention=attention)
        inputs = inputs_for(pair, kind, "right")
        inputs |= labels_for(pair, inputs)
        if attention == "eager" and not settings.get("encoder_layerdrop"):      # a dropped layer has no weights to compare
            inputs |= EVERYTHING
        outputs = []
        for model in (pair.ours, pair.theirs):
            torch.manual_seed(7)
            outputs.append(model.train()(**inputs, use_cache=False) if kind != "openai-gpt" else model.train()(**inputs))
        same(*outputs, inputs, where=f"{task}, train mode")
        if settings.get("dropout_rate", 1) and kind not in ("llama", "qwen2"):
            assert not torch.allclose(outputs[0].logits, pair.ours.eval()(**inputs).logits)


@cases()
def test_what_we_save_loads_in_transformers(make, kind, settings, tmp_path):
    for task in tasks(kind):
        pair, folder = make(kind, settings, task), tmp_path / f"ours{task}"
        shake(pair.ours)
        pair.ours.save_pretrained(folder)
        theirs, report = getattr(transformers, "AutoModel" + task.removeprefix("Model")).from_pretrained(
            folder, output_loading_info=True, attn_implementation="eager")
        assert {key: list(value) for key, value in report.items() if value} == {}
        inputs = inputs_for(pair, kind, "right")
        with torch.no_grad():
            same(pair.ours(**inputs), theirs.eval()(**inputs), inputs)
        named = json.loads((folder / "config.json").read_text())["architectures"]
        assert named == [type(theirs).__name__] == [type(pair.theirs).__name__]
        with safe_open(folder / "model.safetensors", "pt") as ours, \
                safe_open(pair.folder / "model.safetensors", "pt") as other:
            assert sorted(ours.keys()) == sorted(other.keys())


@cases()
def test_bodies_load_from_checkpoints_with_a_head_and_back(make, kind, settings, tmp_path):
    pair = make(kind, settings, KINDS[kind])
    body = course.AutoModel.from_pretrained(pair.folder)
    inputs = inputs_for(pair, kind, "right")
    with torch.no_grad():
        torch.testing.assert_close(body(**inputs).last_hidden_state, pair.ours.base_model(**inputs).last_hidden_state)
        body.save_pretrained(tmp_path / "body")
        theirs = transformers.AutoModel.from_pretrained(tmp_path / "body", attn_implementation="eager")
        same(body(**inputs), theirs(**inputs), inputs)
        if pair.ours.config.tie_word_embeddings:      # then the head is in the body
            again = getattr(course, "AutoModel" + KINDS[kind]).from_pretrained(tmp_path / "body")
            assert again(**inputs).logits.isfinite().all()


@cases()
def test_resized_vocabulary(make, kind, settings):
    pair = make(kind, settings, KINDS[kind])
    for size in (settings["vocab_size"] + 6, settings["vocab_size"] - 4):
        pair.ours.resize_token_embeddings(size)
        pair.theirs.resize_token_embeddings(size, mean_resizing=False)
    inputs = inputs_for(pair, kind, "right")
    with torch.no_grad():
        same(*pair.both(**inputs), inputs)
    tied = pair.ours.get_output_embeddings().weight is pair.ours.get_input_embeddings().weight
    assert tied == pair.ours.config.tie_word_embeddings


@cases()
def test_bfloat16_stays_near(make, kind, settings):
    pair = make(kind, settings, KINDS[kind])
    inputs = inputs_for(pair, kind, "right")
    auto = getattr(course, "AutoModel" + KINDS[kind])
    with torch.no_grad():
        exact, rough = pair.ours(**inputs).logits, auto.from_pretrained(pair.folder, dtype="bfloat16")(**inputs).logits
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).std() < 0.05 * exact.std()


def test_default_configs_are_the_same():
    for kind in CONFIGS:
        ours, theirs = course.AutoConfig.for_model(kind).to_dict(), transformers.AutoConfig.for_model(kind).to_dict()
        if kind == "qwen2":                           # Llama's settings, which Qwen2 does not have
            assert not ours.pop("attention_bias") and not ours.pop("mlp_bias")
        assert {k: (v, theirs.get(k)) for k, v in ours.items() if theirs.get(k) != v} == {}, kind


@pytest.mark.parametrize("kind", CONFIGS)
def test_fresh_weights_are_spread_alike(kind):
    wide = CONFIGS[kind][0] | {"vocab_size": 5000}
    auto = "AutoModel" + KINDS[kind]
    ours = getattr(course, auto).from_config(course.AutoConfig.for_model(kind, **wide))
    theirs = getattr(transformers, auto).from_config(transformers.AutoConfig.for_model(kind, **wide))
    wanted = convert("from_checkpoint", dict(theirs.state_dict()), ours)
    for name, weight in ours.named_parameters():
        other = wanted[their_names(ours)[name]]
        assert weight.std(correction=0).item() == pytest.approx(other.std(correction=0).item(), rel=0.35, abs=1e-8), name
        error = 6 * other.std(correction=0).item() / other.numel()**0.5 + 1e-6
        assert weight.mean().item() == pytest.approx(other.mean().item(), abs=error), name
