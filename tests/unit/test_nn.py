"""The blocks: attention on both of its paths, masks, dropout, chunks."""

import warnings

import pytest
import tiny
import torch
from torch import nn

from course import apply_chunking_to_forward
from course.nn import (
    ACTIVATIONS,
    Embedding,
    FeedForward,
    MultiHeadAttention,
    PostNormBlock,
    Rotary,
    additive_mask,
    hide,
    make_mask,
    rotary,
    rotary_frequencies,
)

B, T, D, H = 3, 7, 24, 4


def attention(**options):
    made = MultiHeadAttention(D, H, **options).eval()
    for weight in made.parameters():
        nn.init.normal_(weight, std=0.4)
    return made


def masks():
    lengths = torch.tensor([T, 3, 1])[:, None]
    right = (torch.arange(T) < lengths).long()
    return {"none": None, "full": torch.ones(B, T), "right": right, "left": right.flip(1),
            "per query": torch.ones(B, T, T).tril(), "an empty row": right.index_fill(0, torch.tensor([1]), 0)}


@pytest.mark.parametrize("kind", masks())
def test_fused_attention_agrees_with_explicit_weights(kind):
    made, x, mask = attention(), torch.randn(B, T, D), masks()[kind]
    added = None if mask is None else additive_mask(mask, x.dtype)
    fused, nothing = made(x, added)
    explicit, weights = made(x, added, need_weights=True)
    assert nothing is None and weights.shape == (B, H, T, T)
    torch.testing.assert_close(fused, explicit, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, H, T))
    for gradient, other in zip(torch.autograd.grad(fused.square().mean(), made.parameters()),
                               torch.autograd.grad(explicit.square().mean(), made.parameters()), strict=True):
        assert gradient.isfinite().all()
        if kind != "an empty row":                    # torch's fused gradient of such a row is finite but another one
            torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-4)


def test_attention_is_the_formula_of_the_paper():
    made, x = attention(), torch.randn(1, T, D)
    heads = []
    for head in range(H):
        rows = slice(head * D // H, (head + 1) * D // H)
        q, k, v = (x[0] @ part.weight[rows].T + part.bias[rows] for part in (made.q, made.k, made.v))
        heads.append(torch.softmax(q @ k.T / (D / H) ** 0.5, -1) @ v)
    wanted = torch.cat(heads, -1) @ made.out.weight.T + made.out.bias
    torch.testing.assert_close(made(x)[0][0], wanted, rtol=1e-5, atol=1e-5)


def test_ignored_positions_have_no_weight_and_no_influence():
    made, x, keep = attention(), torch.randn(B, T, D), masks()["right"]
    added = additive_mask(keep, x.dtype)
    out, weights = made(x, added, need_weights=True)
    assert weights.masked_select(keep[:, None, None, :] == 0).abs().max() == 0
    changed = x + 100 * (1 - keep)[..., None]
    again, _ = made(changed, added, need_weights=True)
    torch.testing.assert_close(again[keep.bool()], out[keep.bool()])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_in_which_everything_is_ignored_is_an_average(dtype):
    made, x = attention().to(dtype), torch.randn(B, T, D, dtype=dtype)
    added = additive_mask(masks()["an empty row"], dtype)
    for need in (False, True):
        out, weights = made(x, added, need_weights=need)
        assert out.isfinite().all()
    torch.testing.assert_close(weights[1], torch.full_like(weights[1], 1 / T))


def test_masks_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="attention_mask must have the shape"):
        additive_mask(torch.ones(4), torch.float32)
    added = additive_mask(torch.tensor([[True, False]]), torch.float32)
    assert added.shape == (1, 1, 1, 2) and added[0, 0, 0, 0] == 0 and added[0, 0, 0, 1] < -1e30


def test_dropout_falls_on_the_attention_weights():
    made, x = attention(dropout=0.5).train(), torch.randn(B, T, D)
    _, weights = made(x, need_weights=True)
    dropped = (weights == 0).float().mean()
    assert 0.35 < dropped < 0.65
    kept = made.eval()(x, need_weights=True)[1]
    torch.testing.assert_close(weights[weights != 0], 2 * kept[weights != 0])
    made.train()
    assert not torch.equal(made(x)[0], made(x)[0]), "the fused path drops as well"
    assert torch.equal(made.eval()(x)[0], made(x)[0])


def test_a_head_mask_switches_heads_off():
    made, x = attention(), torch.randn(B, T, D)
    mask = torch.tensor([1.0, 0.0, 1.0, 0.0])
    _, weights = made(x, head_mask=mask, need_weights=True)
    assert weights[:, 1].abs().max() == 0 and weights[:, 0].sum() > 0
    per_row = mask.repeat(B, 1)[..., None, None]
    torch.testing.assert_close(made(x, head_mask=per_row)[0], made(x, head_mask=mask)[0])
    nothing, _ = made(x, head_mask=torch.zeros(H))
    torch.testing.assert_close(nothing, made.out.bias.expand(B, T, D))


@pytest.mark.parametrize("kind", tiny.SIZES)
def test_head_mask_of_a_model(kind, batch):
    model = tiny.model("", kind)
    batch.pop("token_type_ids")
    heads = torch.tensor([0.0, 1.0, 1.0, 1.0])
    for mask in (heads, heads.expand(2, -1)):
        found = model(**batch, head_mask=mask, output_attentions=True)
        assert all(weights[:, 0].abs().max() == 0 and weights[:, 1].max() > 0 for weights in found.attentions)
    only_first = model(**batch, head_mask=torch.stack([heads, torch.ones(4)]), output_attentions=True)
    assert only_first.attentions[1][:, 0].max() > 0
    for wrong in (torch.ones(3), torch.ones(3, 4), torch.ones(2, 5)):
        with pytest.raises(ValueError, match=r"head_mask must have the shape \(4,\)"):
            model(**batch, head_mask=wrong)


@pytest.mark.parametrize("size", [0, 1, 3, 12])
def test_chunks_change_nothing(size):
    made = FeedForward(D, 40, "gelu", 0.0)
    x = torch.randn(2, 12, D)
    seen = []

    def forward(part):
        seen.append(part.shape[1])
        return made(part)

    torch.testing.assert_close(apply_chunking_to_forward(forward, size, 1, x), made(x))
    assert seen == ([12] if size == 0 else [size] * (12 // size))


def test_chunks_of_several_inputs_and_wrong_sizes():
    x, y = torch.randn(2, 6, 3), torch.randn(2, 6, 3)
    torch.testing.assert_close(apply_chunking_to_forward(torch.add, 2, -2, x, y), x + y)
    with pytest.raises(ValueError, match="6 cannot be cut into chunks of 4: pad the inputs"):
        apply_chunking_to_forward(torch.add, 4, 1, x, y)
    with pytest.raises(ValueError, match="same length along dimension 1"):
        apply_chunking_to_forward(torch.add, 2, 1, x, y[:, :4])


@pytest.mark.parametrize("kind", tiny.SIZES)
def test_a_model_in_chunks_is_the_same_model(kind, tmp_path, batch):
    whole = tiny.save(tmp_path, "ForMaskedLM", kind)
    batch.pop("token_type_ids")
    chunked = type(whole).from_pretrained(tmp_path, chunk_size_feed_forward=1)
    assert chunked.base_model.layers[0].chunk_size == 1
    torch.testing.assert_close(chunked(**batch).logits, whole(**batch).logits, rtol=1e-5, atol=1e-5)


def test_feed_forward_and_block_are_what_they_say():
    block = PostNormBlock(attention(), FeedForward(D, 40, "relu", 0.0), D, 1e-5).eval()
    x = torch.randn(B, T, D)
    middle = block.attention_norm(x + block.attention(x)[0])
    inner = block.feed_forward
    wanted = block.norm(middle + inner.down(torch.relu(inner.up(middle))))
    torch.testing.assert_close(block(x)[0], wanted)
    assert block(x)[1] is None and block(x, need_weights=True)[1].shape == (B, H, T, T)


@pytest.mark.parametrize(("name", "value"), [("gelu", 0.8413447), ("gelu_new", 0.8411920), ("relu", 1.0), ("silu", 0.7310586),
                                             ("tanh", 0.7615942)])
def test_activations(name, value):
    assert ACTIVATIONS[name](torch.tensor(1.0)).item() == pytest.approx(value, abs=1e-6)


# -- masks ---------------------------------------------------------------------------------------------------------------


def test_a_mask_is_made_once_a_pass_and_left_out_where_it_hides_nothing(monkeypatch):
    x, ones = torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.long)
    assert make_mask(None, x) is None and make_mask(ones, x) is None and make_mask(ones, x, causal=True) is None
    assert make_mask(None, x[:, :1], past=4, causal=True) is None, "one new token may look at everything"
    assert make_mask(None, x, past=2, causal=True).shape == (1, 1, 5, 7)
    padded = ones.index_fill(1, torch.tensor([0]), 0)
    complete = make_mask(padded, x, causal=True)
    assert complete.shape == (2, 1, 5, 5)
    assert (complete[0, 0] == 0).long().tolist() == [[0] * 5, *([0] + [1] * i + [0] * (4 - i) for i in range(1, 5))]
    made = MultiHeadAttention(8, 2, causal=True)
    torch.testing.assert_close(made(x, complete)[0], made(x, additive_mask(padded, x.dtype))[0])
    monkeypatch.setattr("course.nn.attention.causal_mask", None)
    made(x, complete)                                 # a complete mask is taken as it is


def test_masks_of_ones_stay_in_a_recorded_computation(batch):
    model, ids = tiny.model(return_dict=False), batch["input_ids"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")               # of torch, about traces in general
        traced = torch.jit.trace(model, (ids, torch.ones_like(ids)))
    torch.testing.assert_close(traced(ids, batch["attention_mask"]), model(ids, batch["attention_mask"]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_hiding_in_every_precision(dtype):
    assert hide(torch.tensor([[True, False]]), dtype).tolist() == [[torch.finfo(dtype).min, 0.0]]


def test_an_embedding_on_its_own_is_random():
    torch.manual_seed(0)
    weight = Embedding(1000, 100).weight
    assert weight.std().item() == pytest.approx(1, rel=0.05) and torch.isfinite(weight).all()
    assert Embedding(10, 4, padding_idx=3).weight[3].eq(0).all()


def test_rotary_positions_are_looked_up(monkeypatch):
    table, rule, x = Rotary(), (8, 10000.0, None), torch.randn(2, 4, 3, 8)
    for positions in (torch.tensor([[0, 1, 2]]), torch.tensor([[5, 6, 7], [900, 1, 2]]), torch.tensor([[-1, 0, 70_000]])):
        for dtype in (torch.float32, torch.float64):
            wanted = rotary(positions, rotary_frequencies(*rule), dtype)(x.to(dtype))
            assert torch.equal(table(positions, dtype, *rule)(x.to(dtype)), wanted)
    with torch.inference_mode():
        table(torch.tensor([[0, 1, 2]]), torch.float32, *rule)
    with_gradient = x.clone().requires_grad_()
    table(torch.tensor([[0, 1, 2]]), torch.float32, *rule)(with_gradient).sum().backward()
    assert with_gradient.grad is not None
    monkeypatch.setattr("course.nn.positions.cos_and_sin", None)
    table(torch.tensor([[2, 1, 0]]), torch.float32, *rule)      # nothing is computed anew
