"""Weights of 8 bits and weights by columns: the same answers, or nearly so."""

from itertools import product

import pytest
import tiny
import torch
from torch import nn

import course
from course.checkpoint import resolve_dtype
from course.speed import ROWS, Int8Linear, adds_exactly, by_columns, fastest, packed, to_int8


@pytest.mark.parametrize("bias", [True, False])
def test_eight_bits_are_close(bias, monkeypatch):
    torch.manual_seed(0)
    linear = nn.Linear(96, 48, bias)
    packed = Int8Linear(linear)
    for exact, shape in product({adds_exactly(127), False}, ((1, 96), (2, 3, 96), (ROWS + 9, 96))):
        monkeypatch.setattr("course.speed.adds_exactly", lambda largest, exact=exact: exact)
        x = torch.randn(shape)
        with torch.no_grad():
            wanted, found = linear(x), packed(x)
        assert found.shape == wanted.shape and found.dtype == torch.float32
        assert (found - wanted).norm() / wanted.norm() < 0.015
    torch.testing.assert_close(packed.weight.float(), linear.weight.detach(), rtol=0.02, atol=2e-3)


def test_a_row_does_not_depend_on_its_neighbours():
    torch.manual_seed(0)
    packed, x = Int8Linear(nn.Linear(96, 48)), torch.randn(1, 96)
    with torch.no_grad():
        alone = packed(x)
        beside = packed(torch.cat([x, 1000 * torch.randn(5, 96)]))[:1]
        many = packed(torch.cat([x, 1000 * torch.randn(ROWS, 96)]))[:1]
    torch.testing.assert_close(beside, alone, rtol=0.01, atol=0.01)
    torch.testing.assert_close(many, alone, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("kind", ["llama", "t5", "gpt2"])
def test_a_model_in_eight_bits(tmp_path, kind):
    tiny.writer(kind).save_pretrained(tmp_path)
    model, packed = (course.AutoModelWithLMHead.from_pretrained(tmp_path, dtype=dtype) for dtype in (None, "int8"))
    assert all(part.in_features % 16 for part in packed.modules() if type(part) is nn.Linear)
    assert sum(isinstance(part, Int8Linear) for part in packed.modules()) > 5
    ids = torch.randint(6, 50, (2, 5))
    more = {"decoder_input_ids": ids} if kind == "t5" else {}
    with torch.no_grad():
        wanted, found = (m(input_ids=ids, **more).logits.float() for m in (model, packed))
    assert (found - wanted).norm() / wanted.norm() < 0.1
    assert packed.generate(ids, max_new_tokens=4, num_beams=2).shape[0] == 2
    with pytest.raises(ValueError, match="without dtype='int8'"):
        packed.save_pretrained(tmp_path / "again")


def test_by_columns_changes_no_number(tmp_path):
    model = tiny.writer("llama")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ids = torch.randint(6, 50, (5, 6))
    with torch.no_grad():
        wanted = model(ids).logits
        by_columns(model)
        torch.testing.assert_close(model(ids).logits, wanted)
    assert not model.model.layers[0].attention.q.weight.is_contiguous()
    assert model.lm_head.weight is model.model.tokens.weight or not model.config.tie_word_embeddings
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.save_pretrained(tmp_path)
    again = course.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert tiny.same_weights(model, again)
    model(ids, labels=ids).loss.backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_packed_weights_change_no_answer_and_leave_nothing(monkeypatch):
    model, ids = tiny.writer("gpt2"), torch.randint(6, 50, (5, 5))
    linear = model.transformer.layers[0].attention.q
    x = torch.randn(5, 2, linear.in_features)
    with packed(model, rows=5):
        assert "forward" not in vars(linear), "too small to gain"
    monkeypatch.setattr("course.speed.LARGE", 1)
    with torch.no_grad():
        wanted, alone = linear(x), [model.generate(row[None], max_new_tokens=4) for row in ids]
        with packed(model, rows=5):
            assert ("forward" in vars(linear)) == torch.backends.mkldnn.is_available()
            torch.testing.assert_close(linear(x), wanted)
            assert torch.equal(model.generate(ids, max_new_tokens=4), torch.cat(alone))
    assert "forward" not in vars(linear)
    with pytest.raises(RuntimeError, match="stop"), packed(model, rows=5):
        raise RuntimeError("stop")
    assert "forward" not in vars(linear), "also after an error"
    monkeypatch.setattr("course.speed.TWICE", 100)
    for rows in (1, 5, ROWS + 1):                     # too few, weights that are too large to be there twice, too many
        with packed(model, rows):
            assert "forward" not in vars(linear)


def test_number_formats():
    assert fastest() in (torch.float32, torch.bfloat16, torch.int8)
    assert resolve_dtype("int8") == torch.int8
    with pytest.raises(ValueError, match="for CPUs"):
        resolve_dtype("int8", "cuda")
    with pytest.raises(ValueError, match="int8"):
        resolve_dtype("int4")
    assert to_int8(tiny.writer("gpt2")).dtype == torch.bfloat16
