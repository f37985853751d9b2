"""Reformer without a reference: what follows from its definition."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

import course
from course.models.reformer import AxialPositions, LocalAttention, LSHAttention, fresh_seed

SIZES = {"vocab_size": 50, "hidden_size": 12, "num_attention_heads": 2, "attention_head_size": 5, "feed_forward_size": 14,
         "attn_layers": ["local", "lsh", "lsh"], "max_position_embeddings": 32, "axial_pos_shape": [4, 8],
         "axial_pos_embds_dim": [4, 8], "local_attn_chunk_length": 4, "lsh_attn_chunk_length": 4, "num_buckets": 4,
         "num_hashes": 2, "hash_seed": 1}
DROPOUT = {"hidden_dropout_prob": 0.2, "lsh_attention_probs_dropout_prob": 0.3, "local_attention_probs_dropout_prob": 0.3}
QUIET = dict.fromkeys(DROPOUT, 0.0)
HEADS = {"ForMaskedLM": False, "ModelWithLMHead": True, "ForSequenceClassification": False, "ForQuestionAnswering": False}


def config(**settings):
    return course.ReformerConfig(**SIZES | settings)


def make(task="Model", **settings):
    """A random model in eval mode with weights that are not near zero."""
    model = getattr(course, f"Reformer{task}")(config(**settings)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return model


def ids(rows=2, length=16):
    return torch.randint(1, 50, (rows, length))


# -- reversible layers ---------------------------------------------------------------------------------------------------


def plain(model, x, mask=None):
    """The layers one after the other, as torch would differentiate them."""
    first = second = x
    for layer in model.layers:
        if layer.training:
            fresh_seed()
        first = first + layer.attend(second, mask, None, model.config.num_hashes, None)[0]
        if layer.training:
            fresh_seed()
        second = second + layer.feed(first)
    return torch.cat([first, second], -1)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("seed", [None, 1])
def test_recomputed_gradients_are_those_of_plain_autograd(training, seed):
    model = make(hash_seed=seed, **DROPOUT).train(training)
    model.layers[1].feed_forward.up.weight.requires_grad_(False)
    mask = torch.ones(2, 16, dtype=torch.bool)
    mask[1, 9:] = False
    x = torch.randn(2, 16, 12)
    model.positions.dropout = model.dropout.p = 0.0   # what is before and after the layers is not drawn in `plain`
    places = model.positions(torch.arange(16).expand(2, -1)).detach()
    goal = torch.randn(2, 16, 24)
    found = []
    for recomputed in (True, False):
        given = x.clone().requires_grad_()
        torch.manual_seed(3)
        y = model(inputs_embeds=given, attention_mask=mask)[0] if recomputed else model.norm(plain(model, given + places, mask))
        model.zero_grad()
        (y * goal).sum().backward()
        after = torch.rand(3)
        found.append((y.detach(), given.grad, {n: w.grad for n, w in model.layers.named_parameters() if w.requires_grad}, after))
    torch.testing.assert_close(found[0][:3], found[1][:3], rtol=1e-4, atol=1e-5)
    assert torch.equal(found[0][3], found[1][3]), "the backward pass leaves the random numbers as they were"
    assert len(found[0][2]) == sum(1 for _ in model.layers.parameters()) - 1
    assert model.layers[1].feed_forward.up.weight.grad is None


def test_the_memory_of_a_training_step_does_not_grow_with_the_layers():
    def kept(compute):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.nbytes) or x, lambda x: x):
            compute()
        return sum(sizes)

    text, reversible, ordinary = ids(), [], []
    for layers in (2, 8):
        model = make(attn_layers=["local", "lsh"] * (layers // 2)).train()
        x = model.tokens(text)
        reversible.append(kept(lambda model=model: model(text)))
        ordinary.append(kept(lambda model=model, x=x: plain(model, x)))
    assert reversible[0] == reversible[1] < ordinary[0]
    assert ordinary[1] > 3.5 * ordinary[0]


def test_gradients_of_inputs_without_those_of_weights():
    model = make()
    model.requires_grad_(False)
    x = torch.randn(1, 8, 12, requires_grad=True)
    model(inputs_embeds=x)[0].square().sum().backward()
    assert x.grad.abs().min() > 0
    assert all(weight.grad is None for weight in model.parameters())


def test_gradients_under_autocast():
    model, text = make("ForMaskedLM", attn_layers=["local"] * 3, **QUIET).train(), ids()    # rounding changes buckets
    found = []
    for low in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = model(text, labels=text).loss
        loss.backward()
        found.append(torch.cat([w.grad.flatten() for w in model.parameters()]))
    assert F.cosine_similarity(*found, dim=0) > 0.99 and not torch.equal(*found)


# -- attention -----------------------------------------------------------------------------------------------------------


def test_one_chunk_of_lsh_attention_is_full_attention_to_all_others():
    attention = LSHAttention(config(lsh_attn_chunk_length=9, attn_layers=["lsh"]))
    x = torch.randn(2, 9, 12)
    with torch.no_grad():
        ours, weights, buckets = attention(x, None, None, 2, None)
        q, v = attention.split(attention.qk(x)), attention.split(attention.v(x))
        k = q / q.square().mean(-1, keepdim=True).sqrt()
        wanted = F.scaled_dot_product_attention(q, k, v, ~torch.eye(9, dtype=torch.bool))
        torch.testing.assert_close(ours, attention.out(wanted.transpose(1, 2).flatten(2)), rtol=1e-4, atol=1e-5)
    assert buckets is None and weights.shape == (2, 2, 9, 9)
    assert weights.diagonal(dim1=2, dim2=3).abs().max() == 0
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 9))


@pytest.mark.parametrize("causal", [False, True])
def test_one_chunk_of_local_attention_is_full_attention(causal):
    attention = LocalAttention(config(local_attn_chunk_length=9, is_decoder=causal)).eval()
    x = torch.randn(2, 9, 12)
    with torch.no_grad():
        q, k, v = (attention.split(part(x)) for part in (attention.q, attention.k, attention.v))
        wanted = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        torch.testing.assert_close(attention(x, None, None, 1, None)[0], attention.out(wanted.transpose(1, 2).flatten(2)),
                                   rtol=1e-4, atol=1e-5)


def test_chunks_see_their_neighbours_and_nothing_else():
    attention = LocalAttention(config(is_decoder=True)).eval()
    x = torch.randn(1, 16, 12)
    changed = x.clone()
    changed[:, 3] += 1                                # position 3 stands in chunk 0, which chunks 0 and 1 see
    with torch.no_grad():
        before, after = (attention(y, None, None, 1, None)[0] for y in (x, changed))
    moved = (before - after).abs().amax(-1)[0] > 1e-6
    assert moved.tolist() == [False] * 3 + [True] * 5 + [False] * 8


def test_more_rounds_of_hashing_come_nearer_to_full_attention():
    chunked = LSHAttention(config(attn_layers=["lsh"], lsh_num_chunks_before=0, num_buckets=8, hash_seed=None))
    full = LSHAttention(config(attn_layers=["lsh"], lsh_attn_chunk_length=32))
    full.load_state_dict(chunked.state_dict())
    x = torch.randn(8, 32, 12) * 3
    with torch.no_grad():
        wanted = full(x, None, None, 1, None)[0]
        error = [(chunked(x, None, None, hashes, None)[0] - wanted).square().mean().item() for hashes in (1, 4, 16)]
    assert error[0] > 1.2 * error[1] > 1.2**2 * error[2]


def test_similar_vectors_share_a_bucket():
    attention = LSHAttention(config(num_buckets=[4, 8], attn_layers=["lsh"]))
    q = torch.randn(1, 2, 200, 5)
    mask = torch.ones(1, 200, dtype=torch.bool)
    planes = attention.planes(q, 3)
    buckets = attention.hash(q, planes, mask).unflatten(2, (3, 200))
    for number in range(3):
        assert 33 * number <= buckets[:, :, number].min() and buckets[:, :, number].max() < 33 * (number + 1) - 1
    again = attention.hash(q * 7, planes, mask).unflatten(2, (3, 200))
    near = attention.hash(q + 0.01 * torch.randn_like(q), planes, mask).unflatten(2, (3, 200))
    opposite = attention.hash(-q, planes, mask).unflatten(2, (3, 200))
    assert torch.equal(buckets, again) and (buckets == near).float().mean() > 0.95 and not (buckets == opposite).any()
    mask[:, 150:] = False
    assert (attention.hash(q, planes, mask).unflatten(2, (3, 200))[:, :, 1, 150:] == 33 + 32).all(), "padding has its own"


def test_hash_seeds():
    text = ids(1)
    seeded, free = make(), make(hash_seed=None)
    with torch.no_grad():
        torch.manual_seed(0)
        first = seeded(text)[0]
        drawn = torch.rand(2)
        torch.testing.assert_close(seeded(text)[0], first)
        assert not torch.allclose(free(text)[0], free(text)[0])
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(2)), "a hash seed does not touch the random numbers of others"


@pytest.mark.parametrize(("length", "number"), [(8, (4,)), (32, (16,)), (2**14, (2**6, 2**7)), (5, (2,))])
def test_the_number_of_buckets_grows_with_the_text(length, number):
    assert config(num_buckets=None, max_position_embeddings=2**14, axial_pos_embds=False).factors(length) == number


def test_attentions_and_head_mask():
    model = make()
    out = model(ids(2, 15), output_attentions=True, output_hidden_states=True)
    local, lsh, _ = out.attentions
    assert local.shape == (2, 2, 4, 4, 8) and lsh.shape == (2, 2, 8, 4, 8), "15 tokens are 4 chunks; twice with 2 hashes"
    torch.testing.assert_close(lsh.sum(-1), torch.ones(2, 2, 8, 4))
    assert len(out.hidden_states) == 4 and all(state.shape == (2, 15, 12) for state in out.hidden_states)
    off = model(ids(2, 15), head_mask=torch.tensor([0.0, 1.0]), output_attentions=True)
    assert all(weights[:, 0].abs().max() == 0 < weights[:, 1].abs().max() for weights in off.attentions)


# -- the model -----------------------------------------------------------------------------------------------------------


def test_feed_forward_in_chunks():
    whole = make()
    text = ids()
    for size in (1, 4, 16):
        chunked = course.ReformerModel(config(chunk_size_feed_forward=size)).eval()
        chunked.load_state_dict(whole.state_dict())
        torch.testing.assert_close(chunked(text)[0], whole(text)[0], rtol=1e-5, atol=1e-6)


def test_axial_positions():
    positions = AxialPositions(config(hidden_dropout_prob=0.5))
    with torch.no_grad():
        for table in (positions.rows, positions.columns):
            table.normal_()
    places = torch.tensor([[0, 9, 31]])
    wanted = torch.stack([torch.cat([positions.rows[p // 8, 0], positions.columns[0, p % 8]]) for p in places[0]])
    torch.testing.assert_close(positions.eval()(places)[0], wanted)
    dropped = positions.train()(torch.arange(32).expand(3, -1)).unflatten(1, (4, 8)).abs().amax(-1) == 0
    assert torch.equal(dropped.any(1), dropped.all(1)) and 0 < dropped.float().mean() < 1, "a column goes or stays as a whole"
    torch.testing.assert_close(positions.train()(places).abs().clamp(max=0), torch.zeros(1, 3, 12))


@pytest.mark.parametrize("length", [3, 5, 13])
def test_padding_to_whole_chunks_changes_nothing_that_is_seen(length):
    model = make(is_decoder=True, attn_layers=["local", "local"])
    text = ids(1, 16)
    with torch.no_grad():
        torch.testing.assert_close(model(text[:, :length])[0], model(text)[0][:, :length], rtol=1e-4, atol=1e-5)
        mask = (torch.arange(16) < length).long()[None]
        torch.testing.assert_close(model(text, attention_mask=mask)[0][:, :length], model(text[:, :length])[0], rtol=1e-4, atol=1e-5)


def test_numbers_of_rounds_at_call_time():
    model, text = make(), ids()
    assert not torch.allclose(model(text)[0], model(text, num_hashes=5)[0])
    torch.testing.assert_close(model(text, num_hashes=2)[0], model(text)[0])
    with pytest.raises(ValueError, match="num_hashes must be at least 1, got 0"):
        model(text, num_hashes=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    model, text = make("ModelWithLMHead", is_decoder=True), ids()
    mask = torch.ones_like(text)
    mask[1, 3:] = 0
    exact, rough = model(text, mask).logits, model.to(dtype)(text, mask).logits
    assert rough.dtype == dtype and rough.isfinite().all()
    assert (rough[0].float() - exact[0]).std() < 0.2 * exact[0].std()


@pytest.mark.parametrize("task", HEADS)
def test_every_task_learns_and_can_be_saved(task, tmp_path):
    model, text = make(task, is_decoder=HEADS[task], **QUIET), ids(3)
    labels = {"ForSequenceClassification": {"labels": torch.tensor([0, 1, 1])},
              "ForQuestionAnswering": {"start_positions": torch.tensor([1, 0, 2]), "end_positions": torch.tensor([3, 1, 2])}
              }.get(task, {"labels": text})
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    before = model(text, **labels).loss
    for _ in range(8):
        model.train()(text, **labels).loss.backward()
        assert [name for name, weight in model.named_parameters() if weight.grad is None] == []
        optimizer.step()
        optimizer.zero_grad()
    after = model.eval()(text, **labels)
    assert after.loss < 0.7 * before
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert again.config == model.config
    torch.testing.assert_close(again(text, **labels).loss, after.loss)
    weights = load_file(tmp_path / "model.safetensors")
    weights["reformer.encoder.layers.1.attention.self_attention.self_mask_value_float16"] = torch.tensor(-1000.0)
    save_file(weights, tmp_path / "model.safetensors")      # as in files of 2020
    torch.testing.assert_close(course.AutoModel.from_pretrained(tmp_path)(text)[0], again.reformer(text)[0])


def test_auto_classes(tmp_path):
    assert type(course.AutoModelForCausalLM.from_config(config(is_decoder=True))) is course.ReformerModelWithLMHead
    assert type(course.AutoModelWithLMHead.from_config(config(is_decoder=True))) is course.ReformerModelWithLMHead
    assert type(course.AutoModelForMaskedLM.from_config(config())) is course.ReformerForMaskedLM
    with pytest.raises(ValueError, match="they have: .*ForQuestionAnswering.*ModelWithLMHead"):
        course.AutoModelForTokenClassification.from_config(config())


@pytest.mark.parametrize(("settings", "message"), [
    ({"attn_layers": ["lsh", "global"]}, "one of 'lsh' and 'local' for every layer"), ({"attn_layers": []}, "attn_layers must"),
    ({"axial_pos_embds_dim": [4, 7]}, "must give hidden_size 12 together"), ({"axial_pos_shape": [2, 4, 4]}, "rows, columns"),
    ({"num_buckets": 5}, "num_buckets must be even"), ({"num_buckets": [4, 3]}, "several even numbers"),
    ({"num_hashes": 0}, "num_hashes at least 1"), ({"lsh_attn_chunk_length": 0}, "a chunk needs at least 1 position"),
    ({"tie_word_embeddings": True}, "impossible here"),
])
def test_settings_that_no_model_can_have(settings, message):
    with pytest.raises(ValueError, match=message):
        config(**settings)


def test_inputs_that_do_not_fit():
    assert config().max_tokens == 32 and config(max_position_embeddings=31).max_tokens == 28, "whole chunks only"
    assert config(max_position_embeddings=3).max_tokens == 3
    model = make()
    with pytest.raises(ValueError, match="the text has 33 tokens and this model reads at most 32"):
        model(ids(1, 33))
    with pytest.raises(ValueError, match=r"shape \(batch, length\) here, got \(2, 16, 16\)"):
        model(ids(), attention_mask=torch.ones(2, 16, 16))
    with pytest.raises(ValueError, match="is_decoder=True, or fill gaps with ReformerForMaskedLM"):
        make("ModelWithLMHead")
    with pytest.raises(ValueError, match="is_decoder=False, or predict what comes next"):
        make("ForMaskedLM", is_decoder=True)
