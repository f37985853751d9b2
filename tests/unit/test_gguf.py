"""GGUF files, written by the library gguf, read back as config, weights and tokenizer."""

import re
import sys
from contextlib import suppress

import numpy as np
import pytest
import torch

import course
from course.checkpoint import their_names
from course.gguf import NAMES, File
from course.nn import rotary_frequencies
from course.tokenizers.byte_bpe import BYTES

gguf = pytest.importorskip("gguf", reason="the library gguf is not installed: pip install gguf")

MERGES = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("Ġ", "hello"), ("1", "2")]
TOKENS = ["<|begin|>", "<|end|>", "<tool>", *BYTES.values(), *map("".join, MERGES)]
SIZES = {"vocab_size": len(TOKENS), "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 128, "rope_theta": 5000.0, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}


SEED = 1


def model(kind="llama", **settings):
    made = course.AutoModelForCausalLM.from_config(course.AutoConfig.for_model(kind, **(SIZES | settings))).eval()
    draw = torch.Generator().manual_seed(SEED)          # whatever making a model draws
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=draw) + (weight.dim() == 1))
    return made


def write(path, made, kind="llama", quantize=gguf.GGMLQuantizationType.F32, rope_freqs=None, **more):
    """As llama.cpp's converter does; more: other settings, None leaves one out."""
    config, writer = made.config, gguf.GGUFWriter(path, kind)
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    settings = {f"{kind}.block_count": config.num_hidden_layers, f"{kind}.context_length": config.max_position_embeddings,
                f"{kind}.embedding_length": config.hidden_size, f"{kind}.feed_forward_length": config.intermediate_size,
                f"{kind}.attention.head_count": heads, f"{kind}.attention.head_count_kv": kv_heads,
                f"{kind}.rope.freq_base": config.rope_theta, f"{kind}.attention.layer_norm_rms_epsilon": config.rms_norm_eps,
                "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm", "tokenizer.ggml.tokens": TOKENS,
                "tokenizer.ggml.token_type": [3, 3, 4] + [1] * (len(TOKENS) - 3), "tokenizer.ggml.merges": [" ".join(pair) for pair in MERGES],
                "tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eos_token_id": 1, "tokenizer.ggml.padding_token_id": 1,
                "tokenizer.ggml.add_bos_token": False, "tokenizer.chat_template": "{{ messages[0]['content'] }}"}
    add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string, list: writer.add_array}
    for name, value in (settings | more).items():
        if value is not None:
            add[type(value)](name, value)
    names = {theirs: ours for ours, theirs in NAMES.items()}
    for ours, name in their_names(made).items():
        if made.config.tie_word_embeddings and name == "lm_head.weight":
            continue
        layer, part, last = re.fullmatch(r"(?:model\.layers\.(\d+)\.)?(.+)\.(\w+)", name).groups()
        weight = made.state_dict()[ours].numpy()
        if kind == "llama" and part in ("self_attn.q_proj", "self_attn.k_proj"):      # pairs of a head side by side
            weight = np.concatenate([head[[i + half * len(head) // 2 for i in range(len(head) // 2) for half in (0, 1)]]
                                     for head in np.split(weight, heads if "q_proj" in part else kv_heads)])
        format = quantize if weight.ndim == 2 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(f"blk.{layer}." * (layer is not None) + f"{names[part]}.{last}", gguf.quantize(weight, format), raw_dtype=format)
    if rope_freqs is not None:
        writer.add_tensor("rope_freqs.weight", rope_freqs)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def logits(made):
    with torch.inference_mode():
        return made(torch.arange(3, 23)[None]).logits


@pytest.mark.parametrize(("kind", "settings"), [("llama", {"tie_word_embeddings": True}), ("llama", {"attention_bias": True, "head_dim": 16}),
                                                ("qwen2", {"tie_word_embeddings": True}), ("qwen2", {})])
def test_the_same_model_comes_back(tmp_path, kind, settings):
    made = model(kind, **settings)
    more = {"llama.attention.key_length": 16} if "head_dim" in settings else {}
    if settings.get("attention_bias"):
        with torch.no_grad():
            for layer in made.model.layers:           # llama.cpp has no place for this one
                layer.attention.out.bias.zero_()
    write(tmp_path / "x.gguf", made, kind, **more)
    config = course.AutoConfig.from_pretrained(tmp_path, gguf_file="x.gguf")
    assert config.model_type == kind
    for name, value in (SIZES | settings).items():
        assert getattr(config, name) == value, name
    for loader in (course.AutoModelForCausalLM, getattr(course, f"{type(made).__name__}")):
        found = loader.from_pretrained(tmp_path, gguf_file="x.gguf")
        assert type(found) is type(made) and not found.training and found.name_or_path == str(tmp_path)
        torch.testing.assert_close(logits(found), logits(made), rtol=0, atol=1e-6)
    body = course.AutoModel.from_pretrained(tmp_path, gguf_file="x.gguf", dtype="bfloat16")
    assert body.dtype == torch.bfloat16 and type(body) is getattr(course, type(made).__name__.replace("ForCausalLM", "Model"))
    found.save_pretrained(tmp_path)                   # and from then on it is an ordinary checkpoint
    torch.testing.assert_close(logits(course.AutoModelForCausalLM.from_pretrained(tmp_path)), logits(made), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("format", "most"), [("F16", 0.005), ("BF16", 0.05), ("Q8_0", 0.1)])
def test_weights_of_few_bits_come_close(tmp_path, format, most):
    made = model()
    write(tmp_path / "x.gguf", made, quantize=gguf.GGMLQuantizationType[format])
    found = course.LlamaForCausalLM.from_pretrained(tmp_path, gguf_file="x.gguf")
    difference = (logits(found) - logits(made)).abs().max() / logits(made).abs().max()
    assert 0 < difference < most


def test_scaled_positions(tmp_path):
    rule = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    made = model(rope_theta=500000.0, rope_scaling=rule)
    slower = (rotary_frequencies(16, 500000.0) / rotary_frequencies(16, 500000.0, rule)).numpy()
    assert slower.min() == 1 and slower.max() == 8
    write(tmp_path / "x.gguf", made, rope_freqs=slower)
    found = course.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="x.gguf")
    assert found.config.rope_scaling == rule
    torch.testing.assert_close(logits(found), logits(made), rtol=0, atol=1e-6)
    write(tmp_path / "odd.gguf", made, rope_freqs=slower[::-1].copy())
    with pytest.raises(ValueError, match="rope_freqs"):
        course.AutoConfig.from_pretrained(tmp_path, gguf_file="odd.gguf")
    write(tmp_path / "linear.gguf", made, **{"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 2.0})
    assert course.AutoConfig.from_pretrained(tmp_path, gguf_file="linear.gguf").rope_scaling == {"rope_type": "linear", "factor": 2.0}


@pytest.mark.parametrize("fast", [True, False], ids=["rust", "python"])
def test_the_tokenizer_comes_too(tmp_path, fast):
    write(tmp_path / "x.gguf", model())
    tokenizer = course.AutoTokenizer.from_pretrained(tmp_path, gguf_file="x.gguf", use_fast=fast)
    assert tokenizer("hello hello 12<|end|><tool>ü").tokens() == ["hello", "Ġhello", "Ġ", "1", "2", "<|end|>", "<tool>", "Ã", "¼"]
    assert tokenizer.chat_template == "{{ messages[0]['content'] }}" and tokenizer.model_max_length == 128
    assert (tokenizer.bos_token, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token) == ("<|begin|>", 1, 1, None)
    assert "<tool>" not in tokenizer.all_special_tokens and tokenizer.decode(tokenizer("hello ü 12").input_ids) == "hello ü 12"
    write(tmp_path / "x.gguf", model(), **{"tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.add_bos_token": None})
    tokenizer = course.AutoTokenizer.from_pretrained(tmp_path, gguf_file="x.gguf", use_fast=fast, model_max_length=9)
    assert tokenizer("hello 12").tokens() == ["<|begin|>", "hello", "Ġ", "12"] and tokenizer.model_max_length == 9


@pytest.mark.parametrize("fast", [True, False], ids=["rust", "python"])
def test_a_sentencepiece_tokenizer(tmp_path, fast):
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "lo", "▁lo", "▁low", *"▁low"]
    kinds = [2, 3, 3] + [6] * 256 + [1] * 7
    scores = [0.0] * 259 + [-float(number) for number in range(7)]
    settings = {f"tokenizer.ggml.{name}": value for name, value in (
        ("model", "llama"), ("pre", None), ("tokens", tokens), ("token_type", kinds), ("scores", scores), ("merges", None), ("bos_token_id", 1),
        ("eos_token_id", 2), ("unknown_token_id", 0), ("padding_token_id", None), ("add_bos_token", None))}
    write(tmp_path / "x.gguf", model(), **settings)
    tokenizer = course.AutoTokenizer.from_pretrained(tmp_path, gguf_file="x.gguf", use_fast=fast)
    assert tokenizer("low ü").tokens() == ["<s>", "▁low", "▁", "<0xC3>", "<0xBC>"]
    write(tmp_path / "x.gguf", model(), **settings, **{"tokenizer.ggml.add_space_prefix": False})
    tokenizer = course.AutoTokenizer.from_pretrained(tmp_path, gguf_file="x.gguf", use_fast=fast, add_bos_token=False)
    assert tokenizer("low low").tokens() == ["lo", "w", "▁low"] and tokenizer.decode(tokenizer(" low").input_ids) == " low"


def test_damaged_files(tmp_path):
    write(tmp_path / "x.gguf", model())
    whole = (tmp_path / "x.gguf").read_bytes()
    start = File(tmp_path / "x.gguf").start
    load = {"header": course.AutoConfig, "weights": course.AutoModelForCausalLM}
    for length, kind in ((10, "header"), (200, "header"), (start - 200, "header"), (len(whole) - 5000, "weights")):
        (tmp_path / "cut.gguf").write_bytes(whole[:length])
        with pytest.raises(OSError, match=r"cut.gguf is damaged or cut off.*force_download"):
            load[kind].from_pretrained(tmp_path, gguf_file="cut.gguf")
    noise = np.random.default_rng(0)
    for _ in range(40):                               # never a bare error of struct or numpy, never endless
        broken = bytearray(whole)
        for place in noise.integers(4, 400, 5):
            broken[place] = noise.integers(256)
        (tmp_path / "cut.gguf").write_bytes(broken)
        with suppress(OSError, ValueError):
            course.AutoConfig.from_pretrained(tmp_path, gguf_file="cut.gguf")
    for alignment in (0, "32"):
        write(tmp_path / "odd.gguf", model(), **{"general.alignment": alignment})
        with pytest.raises(OSError, match=f"odd.gguf is damaged.*general.alignment is {alignment!r}"):
            course.AutoConfig.from_pretrained(tmp_path, gguf_file="odd.gguf")
    for content in (b"", b"PK\x03\x04 something else"):
        (tmp_path / "no.gguf").write_bytes(content)
        with pytest.raises(ValueError, match="no GGUF file"):
            course.AutoModel.from_pretrained(tmp_path, gguf_file="no.gguf")
    with pytest.raises(FileNotFoundError, match="has no y.gguf"):
        course.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="y.gguf")


@pytest.mark.parametrize(("settings", "message"), [
    ({"general.architecture": "mamba"}, "architecture 'mamba'; of GGUF files course reads llama and qwen2"),
    ({"llama.expert_count": 8}, "mixture of experts"), ({"split.count": 2}, "one of 2 parts"), ({"llama.block_count": None}, "lacks a number llama.block_count"),
    ({"llama.rope.dimension_count": 8}, "turns 8 of 16"), ({"llama.rope.scaling.type": "yarn"}, "yarn")])
def test_models_that_course_does_not_have(tmp_path, settings, message):
    architecture = settings.pop("general.architecture", "llama")
    made = model()
    write(tmp_path / "x.gguf", made, **settings)
    if architecture != "llama":
        (tmp_path / "x.gguf").write_bytes((tmp_path / "x.gguf").read_bytes().replace(b"\5" + bytes(7) + b"llama", b"\5" + bytes(7) + b"mamba"))
    with pytest.raises(ValueError, match=message):
        course.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="x.gguf")


@pytest.mark.parametrize(("settings", "message"), [({"tokenizer.ggml.pre": "default"}, "'default'.*original model"), ({"tokenizer.ggml.model": "bert"}, "'bert'"),
                                                   ({"tokenizer.ggml.tokens": None}, "no vocabulary")])
def test_tokenizers_that_course_does_not_have(tmp_path, settings, message):
    write(tmp_path / "x.gguf", model(), **settings)
    with pytest.raises(ValueError, match=message):
        course.AutoTokenizer.from_pretrained(tmp_path, gguf_file="x.gguf")


def test_without_the_library_the_cure_is_named(tmp_path, monkeypatch):
    write(tmp_path / "x.gguf", model())
    monkeypatch.setitem(sys.modules, "gguf", None)
    course.AutoTokenizer.from_pretrained(tmp_path, gguf_file="x.gguf")
    with pytest.raises(ImportError, match="pip install gguf"):
        course.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="x.gguf")
