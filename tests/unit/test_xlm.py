"""XLM without a reference: what follows from its definition."""

import pytest
import torch

import course

SMALL = {"vocab_size": 40, "emb_dim": 16, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 12, "n_langs": 3}


def make(task="WithLMHeadModel", **settings):
    model = getattr(course, f"XLM{task}")(course.XLMConfig(**SMALL | settings)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return model


@pytest.fixture
def ids():
    return torch.randint(4, 40, (2, 8))


def test_the_language_counts(ids):
    model = make()
    with torch.no_grad():
        one, other = (model(ids, langs=torch.full_like(ids, number)).logits for number in (0, 2))
        assert (one - other).abs().max() > 1e-2
        mono = make(n_langs=1)
        assert mono.transformer.languages is None
        torch.testing.assert_close(mono(ids, langs=torch.ones_like(ids)).logits, mono(ids).logits)


def test_padding_is_silent(ids):
    model = make("Model")
    padded = torch.cat([ids, torch.full((2, 3), 2)], 1)
    with torch.no_grad():
        wanted = model(ids, output_hidden_states=True)
        for options in ({}, {"lengths": torch.tensor([8, 8])}, {"attention_mask": (torch.arange(11) < 8).expand(2, -1).long()}):
            found = model(padded, output_hidden_states=True, **options)
            for state, other in zip(found.hidden_states, wanted.hidden_states, strict=True):
                torch.testing.assert_close(state[:, :8], other, rtol=1e-5, atol=1e-5)
                assert state[:, 8:].abs().max() == 0


@pytest.mark.parametrize("causal", [False, True])
def test_who_sees_what(ids, causal):
    model = make("Model", causal=causal)
    changed = ids.clone()
    changed[:, 5] = (changed[:, 5] + 3) % 36 + 4
    with torch.no_grad():
        for options in ({}, {"output_attentions": True}):
            before, after = (model(x, **options).last_hidden_state for x in (ids, changed))
            assert torch.allclose(before[:, :5], after[:, :5], atol=1e-6) == causal
            assert (before[:, 5:] - after[:, 5:]).abs().max() > 1e-3
        fused, slow = model(ids), model(ids, output_attentions=True)
    torch.testing.assert_close(fused.last_hidden_state, slow.last_hidden_state, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(slow.attentions[1].sum(-1), torch.ones(2, 4, 8))


@pytest.mark.parametrize("task", ["WithLMHeadModel", "ForSequenceClassification", "ForTokenClassification",
                                  "ForQuestionAnsweringSimple"])
def test_saved_and_loaded_as_any_task(ids, task, tmp_path):
    model = make(task, sinusoidal_embeddings=task == "WithLMHeadModel", summary_type="mean", num_labels=5)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    langs = torch.ones_like(ids)
    with torch.no_grad():
        torch.testing.assert_close(again(ids, langs=langs).to_tuple(), model(ids, langs=langs).to_tuple())
        body = course.AutoModel.from_pretrained(tmp_path)
        torch.testing.assert_close(body(ids, langs=langs)[0], model.transformer(ids, langs=langs)[0])
    assert type(body) is course.XLMModel


def test_auto_classes():
    config = course.AutoConfig.for_model("xlm", **SMALL, num_labels=2)
    wanted = {"AutoModelWithLMHead": "WithLMHeadModel", "AutoModelForMaskedLM": "WithLMHeadModel",
              "AutoModelForCausalLM": "WithLMHeadModel", "AutoModelForQuestionAnswering": "ForQuestionAnsweringSimple",
              "AutoModelForSequenceClassification": "ForSequenceClassification",
              "AutoModelForTokenClassification": "ForTokenClassification"}
    assert {auto: type(getattr(course, auto).from_config(config)).__name__ for auto in wanted} == \
        {auto: f"XLM{ending}" for auto, ending in wanted.items()}


def test_other_names_of_settings():
    config = course.XLMConfig(hidden_size=32, n_words=99, num_hidden_layers=3, num_attention_heads=8)
    assert (config.emb_dim, config.vocab_size, config.n_layers, config.n_heads, config.intermediate_size) == (32, 99, 3, 8, 128)


def test_mistakes_are_explained(ids):
    model = make()
    with pytest.raises(ValueError, match="langs must have a number for each token.*torch.full_like"):
        model(ids, langs=torch.tensor([1, 1]))
    with pytest.raises(IndexError, match="langs holds 3"):
        model(ids, langs=torch.full_like(ids, 3))
    with pytest.raises(ValueError, match="lengths must have one number for each of 2 texts"):
        model(ids, lengths=torch.tensor([3]))
    with pytest.raises(ValueError, match="attention_mask of the shape .batch, length."):
        model(ids, attention_mask=torch.ones(2, 8, 8))
    with pytest.raises(ValueError, match="13 tokens and this model reads at most 12"):
        model(torch.ones(1, 13, dtype=torch.long))


@pytest.mark.parametrize(("settings", "message"), [
    ({"asm": True}, "never published"), ({"is_encoder": False}, "never published"),
    ({"summary_type": "attn"}, "summary_type must be one of first, last"), ({"pad_index": 40}, "pad_index 40 is no entry"),
    ({"emb_dim": 18}, "cannot be divided among 4 heads")])
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        course.XLMConfig(**SMALL | settings)
