"""dtype="int8" for tasks that read: close to float32, the same alone and in company, for every architecture; and what it refuses."""

import pytest
import test_every_model
import tiny
import torch

import course
from course import pipeline
from course.speed import Int8Reading, adds_exactly, to_int8_reading


def test_a_linear_layer_by_hand(monkeypatch):
    monkeypatch.setattr("course.speed.adds_exactly", lambda largest: False)      # whole numbers up to 63, right everywhere
    linear = torch.nn.Linear(2, 1)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[0.63, -0.314]]))      # in steps of 0.01: 63 and -31 (from -31.4)
        linear.bias.fill_(0.5)
    x = torch.tensor([[2.54, 0.051]])                            # in steps of 0.02: 127 and 3 (from 2.55)
    wanted = 0.01 * 0.02 * (63 * 127 - 31 * 3) + 0.5
    assert Int8Reading(linear)(x).item() == pytest.approx(wanted, abs=1e-6)


def test_large_numbers_add_up_on_every_processor(monkeypatch):
    linear = torch.nn.Linear(512, 32, bias=False)
    torch.nn.init.constant_(linear.weight, 0.3)
    x = torch.full((4, 512), 0.7)                                # the largest whole numbers everywhere: the largest sums
    assert adds_exactly(63)
    for exact in {adds_exactly(127), False}:
        monkeypatch.setattr("course.speed.adds_exactly", lambda largest, exact=exact: exact)
        layer = Int8Reading(linear)
        assert layer.numbers.max() == (127 if exact else 63)
        torch.testing.assert_close(layer(x), linear(x))


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_is_close_and_every_token_by_itself(bias):
    torch.manual_seed(0)
    linear = torch.nn.Linear(48, 40, bias=bias)
    x = torch.randn(3, 5, 48) * torch.tensor([0.01, 1, 100])[:, None, None]      # small tokens beside large ones
    made, wanted = Int8Reading(linear)(x), linear(x)
    for mine, theirs in zip(made, wanted, strict=True):
        assert torch.cosine_similarity(mine, theirs, dim=-1).min() > 0.999
    assert torch.equal(made[0], Int8Reading(linear)(x[:1])[0]), "what else is in the batch changes no bit"
    assert not Int8Reading(linear)(torch.zeros(1, 48)).isnan().any()


@test_every_model.each
def test_every_architecture_answers_in_int8(kind):
    model = test_every_model.make(kind)
    batch = test_every_model.inputs(kind)
    with torch.inference_mode():
        wanted = model(**batch)["logits"]
        to_int8_reading(model.base_model)
        found = model(**batch)["logits"]
    assert any(isinstance(module, Int8Reading) for module in model.modules())
    assert torch.cosine_similarity(found.flatten(), wanted.flatten(), dim=0) > 0.97 and not torch.equal(found, wanted)


def test_a_pipeline_in_int8(tmp_path, capsys):
    tiny.save(tmp_path)
    exact, small = pipeline("text-classification", model=str(tmp_path)), pipeline("text-classification", model=str(tmp_path), dtype="int8")
    texts = ["the council vote", "good", "bad people", "not good", ""]
    for a, b in zip(exact(texts), small(texts), strict=True):
        assert a["score"] == pytest.approx(b["score"], abs=0.05)
    assert [small(text)[0]["score"] for text in texts] == pytest.approx([one["score"] for one in small(texts)], abs=1e-6)
    assert type(small.model.classifier) is torch.nn.Linear, "the head stays in float32"
    small.explain("good")
    assert "model = pipe.model" in capsys.readouterr().out, "no name loads these numbers"
    with pytest.raises(ValueError, match="a model in 8 bits is for computing"):
        small.save_pretrained(tmp_path / "saved")
    with pytest.raises(ValueError, match="belong to a model given by name"):
        pipeline("text-classification", model=exact.model, tokenizer=exact.tokenizer, dtype="int8")


def test_labels_in_int8_agree_with_those_in_float32():
    """On 150 of the survey answers that ship with the package; the recipe for the README measures 872 film reviews."""
    texts = course.load_dataset("local_life")["answer"].dropna().tolist()[:150]
    exact, small = (pipeline("sentiment-analysis", model="pocket/sentiment", dtype=dtype)(texts) for dtype in (None, "int8"))
    assert sum(a["label"] == b["label"] for a, b in zip(exact, small, strict=True)) >= (148 if adds_exactly(127) else 145)
