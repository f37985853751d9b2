"""What a decoder remembers, and what every language model is fed next."""

import json

import pytest
import torch
from tiny import WRITERS, writer

import course
from course import nn
from course.generation import EncoderDecoder, LanguageModel

each = pytest.mark.parametrize("kind", WRITERS)


def filled(rows=2, length=5, room=0):
    cache = nn.KeyValueCache(2, room)
    for layer in cache.layers:
        layer.append(*torch.randn(2, rows, 3, length, 4))
    return cache


def test_rows_of_an_empty_cache():
    cache = nn.KeyValueCache(2)
    cache.select(torch.tensor([0, 0]))
    cache.expand(3)
    assert cache.length == 0 and len(cache) == 2


def test_only_what_is_used_is_copied():
    cache = filled(room=64)
    before = cache[1]
    for layer in cache.layers:
        layer.keys[:, :, 5:] = torch.nan
    cache.select(torch.tensor([1, 1, 0]))
    assert cache[1][0].shape == (3, 3, 5, 4) and cache.layers[1].keys.shape[2] == 64
    torch.testing.assert_close(cache[1][0], before[0][[1, 1, 0]])
    keys, _ = cache.layers[1].append(*torch.randn(2, 3, 3, 1, 4))
    assert keys.data_ptr() == cache.layers[1].keys.data_ptr()


def test_a_beginning_is_shared():
    cache = filled(rows=1)
    first = cache[0][0].clone()
    copy = cache.prefix(3, torch.tensor([0, 0]))
    copy.layers[0].append(*torch.zeros(2, 2, 3, 1, 4))
    assert copy.length == 4 and cache.length == 5 and copy.layers[1].length == 3
    torch.testing.assert_close(cache[0][0], first)
    torch.testing.assert_close(copy.layers[0].keys[:, :, :3], first[:, :, :3].expand(2, -1, -1, -1))
    cache.expand(2)
    torch.testing.assert_close(cache[0][0], first.expand(2, -1, -1, -1))


def test_reserved_room_is_filled_without_copies():
    cache = filled()
    cache.reserve(12)
    places = {cache.layers[0].append(*torch.randn(2, 2, 3, 1, 4))[0].data_ptr() for _ in range(7)}
    assert len(places) == 1 and cache.layers[0].keys.shape[2] == 12


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_a_cache_leaves_inference_mode(kind):
    model = writer(kind)
    name = "decoder_input_ids" if kind == "t5" else "input_ids"
    read = {"input_ids": torch.randint(3, 50, (1, 4))} if kind == "t5" else {}
    ids = torch.randint(3, 50, (1, 6))
    with torch.inference_mode():
        cache = model(**read, **{name: ids[:, :3]}, use_cache=True).past_key_values
        cache.reserve(9)
        cache = model(**read, **{name: ids[:, 3:4]}, past_key_values=cache, use_cache=True).past_key_values
    with torch.no_grad():
        model(**read, **{name: ids[:, 4:5]}, past_key_values=cache, use_cache=True)
    model(**read, **{name: ids[:, 5:]}, past_key_values=cache, use_cache=True).logits.sum().backward()


@each
def test_the_next_inputs_give_the_numbers_of_the_whole_text(kind):
    """Step by step with what is remembered, and with rows exchanged on the way. (With attn_type "bi" states of XLNet also know
    what came later, and those that are remembered do not.)"""
    model = writer(kind, **({"attn_type": "uni"} if kind == "xlnet" else {}))
    assert isinstance(model, LanguageModel)
    ids, rows = torch.randint(6, 50, (3, 9)), torch.tensor([2, 0, 0])
    read = {"input_ids": torch.randint(6, 50, (3, 7))} if isinstance(model, EncoderDecoder) else {}
    memory = None
    with torch.no_grad():
        for length in range(4, 10):
            if length == 6:
                memory, ids, read = nn.select_rows(memory, rows), ids[rows], {k: v[rows] for k, v in read.items()}
            out = model(**read, **model.next_inputs(ids[:, :length], None, memory), logits_to_keep=1)
            memory = out.mems if "mems" in out else getattr(out, "past_key_values", None)
            fresh = model(**read, **model.next_inputs(ids[:, :length], None), logits_to_keep=1)
            assert out.logits.shape == (3, 1, 50)
            torch.testing.assert_close(out.logits, fresh.logits, rtol=1e-4, atol=1e-4)


@each
def test_logits_of_the_last_positions(kind):
    model, ids = writer(kind), torch.randint(6, 50, (2, 6))
    read = {"decoder_input_ids": ids} if isinstance(model, EncoderDecoder) else {}
    with torch.no_grad():
        every = model(input_ids=ids, **read).logits
        for keep in (1, 4):
            torch.testing.assert_close(model(input_ids=ids, **read, logits_to_keep=keep).logits, every[:, -keep:])


def test_settings_for_writing_are_kept(tmp_path):
    model = writer("llama")
    model.save_pretrained(tmp_path / "a")
    file = tmp_path / "a" / "generation_config.json"
    assert not file.exists()
    file.write_text(json.dumps({"eos_token_id": [2, 7], "temperature": 0.6, "do_sample": True, "top_p": None, "odd": [1]}))
    again = course.AutoModelForCausalLM.from_pretrained(tmp_path / "a")
    assert again.generation_config.temperature == 0.6 and again.generation_config.eos_token_id == [2, 7]
    assert again.generation_config.top_p == 1.0 and again.generation_config.top_k == 50
    again.generation_config.max_new_tokens = 5
    again.save_pretrained(tmp_path / "b")
    saved = json.loads((tmp_path / "b" / "generation_config.json").read_text())
    assert saved == {"eos_token_id": [2, 7], "temperature": 0.6, "do_sample": True, "max_new_tokens": 5, "odd": [1]}
    course.AutoModel.from_pretrained(tmp_path / "b").save_pretrained(tmp_path / "b")
    assert not (tmp_path / "b" / "generation_config.json").exists()


def test_settings_for_writing_of_2020(tmp_path):
    writer("gpt2").save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text()) | {"num_beams": 4, "min_length": 3, "top_k": None}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    found = course.AutoModelForCausalLM.from_pretrained(tmp_path).generation_config
    assert (found.num_beams, found.min_length, found.top_k, found.eos_token_id) == (4, 3, 50, 2)
    (tmp_path / "generation_config.json").write_text("{}")
    assert course.AutoModelForCausalLM.from_pretrained(tmp_path).generation_config.num_beams == 1


def test_unknown_settings_are_refused():
    with pytest.raises(TypeError, match="Did you mean temperature"):
        course.GenerationConfig().with_settings({"temprature": 1.0})
