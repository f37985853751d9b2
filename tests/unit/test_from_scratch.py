"""What trains the models that begin with random weights: the optimizer, the first weights of a copier, the n-gram baseline."""
import numpy as np
import pytest
import torch

from course import T5Config, T5ForConditionalGeneration
from recipes.copying import copying_start
from recipes.from_scratch import Muon, endless, orthogonal
from recipes.kneser_ney import KneserNey


def t5(**options) -> T5ForConditionalGeneration:
    torch.manual_seed(0)
    return T5ForConditionalGeneration(T5Config(**{
        "vocab_size": 50, "d_model": 12, "d_kv": 4, "num_heads": 3, "d_ff": 16, "num_layers": 1, "dropout_rate": 0.0,
        "decoder_start_token_id": 0} | options))


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 8, 20), (2, 20, 8)])
def test_orthogonal_keeps_the_directions_and_evens_out_the_lengths(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, s, v = torch.linalg.svd(orthogonal(x, rounds=6), full_matrices=False)
    assert ((s > 0.5) & (s < 1.3)).all()
    sure, _, turned = torch.linalg.svd(x, full_matrices=False)
    assert torch.allclose(u @ v, sure @ turned, atol=1e-3)


def test_muon_learns_and_goes_on_from_a_checkpoint_as_if_nothing_had_happened():
    ids = torch.randint(1, 50, (4, 6), generator=torch.Generator().manual_seed(1))

    def steps(model, optimizer, n):
        for _ in range(n):
            loss = model(ids, labels=ids).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return loss.item()

    model = t5()
    optimizer = Muon(model, lr=0.02, adam=0.01)
    first = steps(model, optimizer, 1)
    steps(model, optimizer, 4)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    kept = {"state": {key: dict(value) for key, value in optimizer.state_dict()["state"].items()},
            "param_groups": optimizer.state_dict()["param_groups"]}
    kept["state"] = {key: {n: v.clone() if isinstance(v, torch.Tensor) else v for n, v in value.items()}
                     for key, value in kept["state"].items()}
    last = steps(model, optimizer, 15)
    assert last < 0.7 * first
    again = t5()
    again.load_state_dict(weights)
    other = Muon(again, lr=0.02, adam=0.01)
    other.load_state_dict(kept)
    assert steps(again, other, 15) == pytest.approx(last, abs=1e-4)


def test_every_weight_is_in_one_group_and_unscaled_queries_go_slower():
    model = t5()
    groups = Muon(model, lr=0.02, adam=0.01).param_groups
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    slow = next(group for group in groups if group["rate"] == 0.2)
    assert {id(weight) for weight in slow["params"]} == {
        id(weight) for name, weight in model.named_parameters() if name.endswith(".q.weight")}


def test_endless_goes_on_with_the_next_epoch_and_a_longer_run_begins_like_a_shorter_one():
    lengths = np.arange(1, 41)
    plan = endless(lengths, 100, 30, seed=3)
    assert len(plan) == 30 and all((lengths[pick].max() * len(pick)) <= 100 for pick in plan)
    assert all(np.array_equal(a, b) for a, b in zip(endless(lengths, 100, 12, seed=3), plan, strict=False))


def test_a_copier_copies_before_it_has_learned_anything():
    model = t5(vocab_size=500, d_model=96, d_kv=32, d_ff=64, num_layers=2).eval()
    text = torch.randint(3, 500, (4, 60), generator=torch.Generator().manual_seed(0))
    part = text[:, 20:40]

    def right():
        with torch.no_grad():
            logits = model(text, decoder_input_ids=part[:, :-1]).logits
        return (logits.argmax(-1) == part[:, 1:])[:, 1:].float().mean()
    assert right() < 0.2
    copying_start(model)
    assert right() > 0.9
    with pytest.raises(ValueError, match="share out"):
        copying_start(t5(d_model=16))


def test_kneser_ney_sums_to_one_and_knows_what_it_has_seen():
    tokens = np.random.default_rng(0).choice(30, p=np.arange(30, 0, -1) / 465, size=3000)
    tokens[100::50], tokens[101::50], tokens[102::50] = 31, 32, 33
    model = KneserNey(tokens, order=3)
    for context in ([31, 32], [5, 6], [40, 41]):
        chances = [np.exp(model.log_probs(np.array([*context, word]))[-1]) for word in range(4096)]
        assert sum(chances) == pytest.approx(1.0, abs=1e-6)
    assert np.exp(model.log_probs(np.array([31, 32, 33]))[-1]) > 0.9
    five, one = (KneserNey(tokens[:2500], order=order).log_probs(tokens[2500:]).mean() for order in (3, 1))
    assert five > one
    with pytest.raises(ValueError, match="fit into a number"):
        KneserNey(np.array([5000]), order=3)
