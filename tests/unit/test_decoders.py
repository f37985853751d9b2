"""Decoders and encoder-decoders without a reference: what follows from their definition."""

import pytest
import torch
from safetensors import safe_open

import course
from course import heads, nn
from course.models.auto import class_for

SMALL = {
    "gpt2": {"vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 24},
    "openai-gpt": {"vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 24},
    "ctrl": {"vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 24, "dff": 20},
    "llama": {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
              "num_key_value_heads": 2, "intermediate_size": 20, "max_position_embeddings": 24},
    "qwen2": {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
              "num_key_value_heads": 2, "intermediate_size": 20, "max_position_embeddings": 24},
    "bart": {"vocab_size": 50, "d_model": 16, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 4,
             "decoder_attention_heads": 4, "encoder_ffn_dim": 20, "decoder_ffn_dim": 20, "max_position_embeddings": 24},
    "t5": {"vocab_size": 50, "d_model": 16, "d_kv": 6, "d_ff": 20, "num_layers": 2, "num_heads": 4},
}
DECODERS = ("gpt2", "openai-gpt", "ctrl", "llama", "qwen2")
each = pytest.mark.parametrize("kind", SMALL)
each_decoder = pytest.mark.parametrize("kind", DECODERS)


def make(kind, **settings):
    """A random language model with weights that are not near zero, and what its encoder reads, if it has one."""
    model = course.AutoModelWithLMHead.from_config(course.AutoConfig.for_model(kind, **SMALL[kind] | settings)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    read = {"input_ids": torch.randint(50, (3, 7))} if kind in ("bart", "t5") else {}
    return model, read, "decoder_input_ids" if read else "input_ids"


@each
def test_nothing_sees_the_future(kind):
    model, read, ids_name = make(kind)
    ids = torch.randint(50, (3, 9))
    changed = ids.clone()
    changed[:, 5:] = (changed[:, 5:] + 7) % 50
    with torch.no_grad():
        for options in ({}, {"output_attentions": True}):
            before, after = (model(**read, **{ids_name: x}, **options).logits for x in (ids, changed))
            torch.testing.assert_close(before[:, :5], after[:, :5])
            assert (before[:, 5:] - after[:, 5:]).abs().max() > 1e-3


@each
def test_cropped_and_selected_caches(kind):
    model, read, ids_name = make(kind)
    ids = torch.randint(50, (3, 8))
    rows = torch.tensor([2, 0, 0])
    with torch.no_grad():
        wanted = model(**{k: v[rows] for k, v in read.items()}, **{ids_name: ids[rows]}).logits[:, 4:]
        cache = model(**read, **{ids_name: torch.cat([ids[:, :4], ids[:, :3]], 1)}, use_cache=True).past_key_values
        assert cache.length == cache.get_seq_length() == 7 and len(cache) == 2
        cache.crop(4)
        cache.select(rows)
        assert cache[1][0].shape[:3] == (3, 2 if kind in ("llama", "qwen2") else 4, 4)
        read = {k: v[rows] for k, v in read.items()}
        steps = [model(**read, **{ids_name: ids[rows, i:i + 1]}, past_key_values=cache, use_cache=True).logits
                 for i in range(4, 8)]
        torch.testing.assert_close(torch.cat(steps, 1), wanted, rtol=1e-5, atol=1e-5)


def test_a_cache_writes_in_place():
    cache = nn.KeyValueCache(1, room=6).layers[0]
    piece = torch.randn(2, 4, 2, 3)
    keys, _ = cache.append(piece, piece)
    for _ in range(2):
        again, values = cache.append(piece, piece)
        assert again.data_ptr() == keys.data_ptr()
    torch.testing.assert_close(values, torch.cat([piece] * 3, 2))
    grown, _ = cache.append(piece, piece)
    assert grown.data_ptr() != keys.data_ptr() and grown.shape == (2, 4, 8, 3)
    torch.testing.assert_close(grown[:, :, :6], again)


@each
def test_gradients_flow_through_a_cache(kind):
    model, read, ids_name = make(kind)
    ids = torch.randint(50, (3, 6))
    found = []
    for ends in ((6,), (2, 3, 6)):
        model.zero_grad()
        past, start, total = None, 0, 0.0
        for end in ends:
            out = model(**read, **{ids_name: ids[:, start:end]}, past_key_values=past, use_cache=True)
            past, start, total = out.past_key_values, end, total + out.logits.square().sum()
        total.backward()
        found.append({name: weight.grad.clone() for name, weight in model.named_parameters() if weight.requires_grad})
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-3, atol=1e-3, msg=lambda m: f"{name}: {m}")


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("masked", [False, True])
def test_both_ways_to_attend_agree(kv_heads, masked):
    attention = nn.MultiHeadAttention(16, 4, kv_heads=kv_heads, head_width=6, scale=0.7, bias=False, causal=True)
    x = torch.randn(2, 5, 16)
    mask = nn.additive_mask(torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]), x.dtype) if masked else None
    with torch.no_grad():
        fused, none = attention(x, mask)
        slow, weights = attention(x, mask, need_weights=True)
    assert none is None and weights.shape == (2, 4, 5, 5)
    torch.testing.assert_close(fused, slow, rtol=1e-5, atol=1e-5)
    rows = weights[1] if masked else weights
    assert rows.triu(1).abs().max() == 0
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 5))


@each_decoder
def test_padding_on_the_left_changes_nothing(kind):
    model, _, _ = make(kind)
    ids = torch.randint(50, (1, 5))
    padded = torch.cat([torch.full((1, 3), 9), ids], 1)
    mask = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1]])
    with torch.no_grad():
        plain = model(ids).logits
        shifted = model(padded, attention_mask=mask, position_ids=torch.tensor([[0, 0, 0, 0, 1, 2, 3, 4]])).logits
        without = model(padded, position_ids=torch.tensor([[0, 0, 0, 0, 1, 2, 3, 4]])).logits
    torch.testing.assert_close(shifted[:, 3:], plain, rtol=1e-5, atol=1e-5)
    assert (without[:, 3:] - plain).abs().max() > 1e-3


@each_decoder
def test_logits_of_the_last_positions_only(kind):
    model, _, _ = make(kind)
    ids = torch.randint(50, (2, 6))
    with torch.no_grad():
        torch.testing.assert_close(model(ids, logits_to_keep=1).logits, model(ids).logits[:, -1:])


@each
def test_saved_and_loaded(kind, tmp_path):
    for tied in (True, False):
        model, read, ids_name = make(kind, tie_word_embeddings=tied)
        inputs = read | {ids_name: torch.randint(50, (3, 4))}
        folder = tmp_path / str(tied)
        model.save_pretrained(folder)
        with torch.no_grad():
            wanted = model(**inputs).logits
            torch.testing.assert_close(type(model).from_pretrained(folder)(**inputs).logits, wanted)
            model.save_pretrained(folder / "shards", max_shard_size="2KB")
            torch.testing.assert_close(course.AutoModelWithLMHead.from_pretrained(folder / "shards")(**inputs).logits, wanted)
        with safe_open(folder / "model.safetensors", "pt") as file:
            assert ("lm_head.weight" in file.keys()) != tied


def test_gpt2_files_hold_turned_and_joined_matrices(tmp_path):
    model, _, _ = make("gpt2")
    model.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        joined = file.get_tensor("transformer.h.1.attn.c_attn.weight")
        assert not any(".attn.q." in name for name in file.keys())
    attention = model.transformer.layers[1].attention
    torch.testing.assert_close(joined, torch.cat([attention.q.weight, attention.k.weight, attention.v.weight]).T)


def test_the_loss_of_a_causal_model_is_shifted():
    logits, labels = torch.randn(2, 4, 9), torch.tensor([[3, 1, 4, 1], [5, -100, -100, 6]])
    wanted = torch.nn.functional.cross_entropy(
        torch.stack([logits[0, 0], logits[0, 1], logits[0, 2], logits[1, 2]]), torch.tensor([1, 4, 1, 6]))
    torch.testing.assert_close(heads.causal_lm_loss(logits, labels), wanted)
    with pytest.raises(ValueError, match="labels has the shape"):
        heads.causal_lm_loss(logits, labels[:, :3])


def test_labels_become_decoder_inputs():
    labels = torch.tensor([[7, 8, 2], [9, 2, -100]])
    assert heads.shift_right(labels, 0, 1).tolist() == [[0, 7, 8], [0, 9, 2]]
    assert heads.shift_right(torch.tensor([[9, -100, -100]]), 0, 1).tolist() == [[0, 9, 1]]
    with pytest.raises(ValueError, match="decoder_start_token_id"):
        heads.shift_right(labels, None, 1)


def test_the_last_token_of_padded_texts():
    x, ids = torch.arange(8.0).reshape(2, 4, 1), torch.tensor([[5, 6, 0, 0], [0, 0, 7, 8]])
    assert heads.last_token(x, ids, 0).tolist() == [[1.0], [7.0]]
    with pytest.raises(ValueError, match="pad_token_id = tokenizer.pad_token_id"):
        heads.last_token(x, ids, None)


def test_buckets_of_distances():
    far = torch.tensor([-200, -9, -3, 0, 3, 9, 200])
    assert nn.distance_buckets(far, 32, 128, both_sides=True).tolist() == [15, 8, 3, 0, 19, 24, 31]
    assert nn.distance_buckets(far, 32, 128, both_sides=False).tolist() == [31, 9, 3, 0, 0, 0, 0]


def test_rotary_products_depend_on_the_distance_alone():
    q, k = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)
    frequencies = nn.rotary_frequencies(8, 100.0)

    def product(at, other):
        turn = [nn.rotary(torch.tensor([[place]]), frequencies, torch.float32) for place in (at, other)]
        return (turn[0](q) * turn[1](k)).sum()

    torch.testing.assert_close(product(3, 1), product(13, 11), rtol=1e-4, atol=1e-5)
    assert not torch.isclose(product(3, 1), product(3, 2), rtol=1e-3)


def test_rms_norm_keeps_the_size():
    x = torch.randn(4, 32) * 1000
    torch.testing.assert_close(nn.RMSNorm(32, 0.0)(x).square().mean(-1), torch.ones(4))
    assert nn.RMSNorm(32, 1e-6).half()((x * 10).half()).isfinite().all()     # the squares are beyond float16


def test_auto_classes_choose_what_an_architecture_is_known_for():
    wanted = {"bert": "BertForMaskedLM", "gpt2": "GPT2LMHeadModel", "openai-gpt": "OpenAIGPTLMHeadModel",
              "ctrl": "CTRLLMHeadModel", "llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM",
              "bart": "BartForConditionalGeneration", "t5": "T5ForConditionalGeneration"}
    found = {kind: class_for(kind, *course.AutoModelWithLMHead.endings).__name__ for kind in wanted}
    assert found == wanted
    with pytest.raises(ValueError, match="T5 models have no task class ForCausalLM or LMHeadModel or .*; they have: ForCond"):
        class_for("t5", *course.AutoModelForCausalLM.endings)


def test_mistakes_are_explained():
    model, _, _ = make("gpt2")
    ids = torch.randint(50, (2, 5))
    past = model(ids, use_cache=True).past_key_values
    with pytest.raises(ValueError, match="cover the 5 tokens in past_key_values too"):
        model(ids[:, :1], past_key_values=past, attention_mask=torch.ones(2, 1))
    with pytest.raises(ValueError, match="holds 2 texts and the new tokens belong to 1"):
        model(ids[:1, :1], past_key_values=past)
    with pytest.raises(TypeError, match="what an earlier call of the model returned"):
        model(ids[:, :1], past_key_values=((past[0]), (past[1])))
    past = model(torch.randint(50, (2, 24)), use_cache=True).past_key_values
    with pytest.raises(ValueError, match="has 25 tokens and this model reads at most 24"):
        model(ids[:, :1], past_key_values=past)
    with pytest.raises(IndexError, match="position_ids holds 24"):
        model(ids, position_ids=torch.full((2, 5), 24))


def test_mistakes_with_encoder_decoders_are_explained():
    t5, bart = make("t5")[0], make("bart")[0]
    ids = torch.randint(3, 50, (2, 5))
    with pytest.raises(ValueError, match="needs decoder_input_ids"):
        t5(ids)
    with pytest.raises(ValueError, match="needs decoder_input_ids"):
        bart(encoder_outputs=bart.model.encode(ids))
    classifier = course.BartForSequenceClassification(bart.config)
    with pytest.raises(ValueError, match="must hold the token </s>"):
        classifier(ids)
    assert bart.config.num_labels == 3
    assert course.BartConfig(num_labels=2).num_labels == len(course.BartConfig(id2label={0: "no", 1: "yes"}).id2label) == 2


def test_settings_that_cannot_be():
    small = SMALL["llama"]
    with pytest.raises(ValueError, match="num_key_value_heads=3"):
        course.LlamaConfig(**small | {"num_key_value_heads": 3})
    with pytest.raises(ValueError, match="rope_scaling of the type 'yarn'"):
        course.LlamaConfig(**small | {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}})
    with pytest.raises(ValueError, match="use_sliding_window"):
        course.Qwen2Config(**SMALL["qwen2"] | {"use_sliding_window": True})
    assert course.LlamaConfig(**small | {"num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": 8}).head_width == 8
