"""Outputs are read by attribute, by key, and as a tuple of what is there."""

import pytest
import tiny
import torch

from course.outputs import MaskedLMOutput, SequenceClassifierOutput


def test_attribute_key_and_place_are_the_same_value():
    logits = torch.ones(2, 3)
    out = SequenceClassifierOutput(logits=logits)
    assert out.logits is logits and out["logits"] is logits and out[0] is logits and out[-1] is logits
    assert out.loss is None
    assert out.keys() == ["logits"] and out.to_tuple() == (logits,) and len(out) == 1
    assert "logits" in out and "loss" not in out
    assert dict(out.items()) == {"logits": logits} and dict(**out) == {"logits": logits}


def test_absent_values_do_not_count():
    loss, logits, states = torch.tensor(1.0), torch.ones(1), (torch.zeros(1),)
    out = MaskedLMOutput(loss, logits, states)
    first, second, third = out
    assert (first, second, third) == (loss, logits, states)
    assert out[:2] == (loss, logits) and out[1:] == (logits, states)
    assert MaskedLMOutput(None, logits, None, states)[1] is states


def test_asking_for_what_is_not_there_says_how_to_get_it():
    out = SequenceClassifierOutput(logits=torch.ones(1))
    with pytest.raises(KeyError, match="output_attentions=True"):
        out["attentions"]
    with pytest.raises(KeyError, match="it has logits"):
        out["nonsense"]
    with pytest.raises(IndexError):
        out[1]


def test_a_model_gives_a_tuple_when_asked(batch):
    model = tiny.model()
    labels = torch.tensor([0, 1, 1])
    loss, logits = model(**batch, labels=labels)
    assert loss.shape == () and logits.shape == (3, 2)
    plain = model(**batch, labels=labels, return_dict=False)
    assert type(plain) is tuple and len(plain) == 2
    torch.testing.assert_close(plain[1], logits)
    model.config.return_dict = False                  # the head still reads the body's output by name
    assert type(model(**batch)) is tuple
    assert model(**batch, return_dict=True).logits.shape == (3, 2)


@pytest.mark.parametrize("kind", tiny.SIZES)
def test_states_and_attentions_are_counted_right(kind, batch):
    model = tiny.model("", kind)
    batch.pop("token_type_ids")
    out = model(**batch, output_hidden_states=True, output_attentions=True)
    rows, length = batch["input_ids"].shape
    assert len(out.hidden_states) == 3 and len(out.attentions) == 2
    assert {tuple(state.shape) for state in out.hidden_states} == {(rows, length, 24)}
    assert {tuple(weights.shape) for weights in out.attentions} == {(rows, 4, length, length)}
    torch.testing.assert_close(out.hidden_states[-1], out.last_hidden_state)
    model.config.output_attentions = True             # a setting of the config is the default of the call
    assert model(**batch).attentions is not None
    assert model(**batch, output_attentions=False).attentions is None
