"""Models that remember earlier segments: Transformer-XL and XLNet, and what only they have."""

import pytest
import torch
from safetensors import safe_open

import course

SMALL = {
    "transfo-xl": {"vocab_size": 50, "cutoffs": [10, 30], "d_model": 16, "d_embed": 16, "div_val": 2, "n_head": 4, "d_head": 3,
                   "d_inner": 20, "n_layer": 2, "mem_len": 6, "clamp_len": 20, "pad_token_id": 0},
    "xlnet": {"vocab_size": 50, "d_model": 16, "n_layer": 2, "n_head": 4, "d_inner": 20},
}
each = pytest.mark.parametrize("kind", SMALL)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def make(kind, task="WithLMHead", **settings):
    """A random model with weights that are not near zero."""
    config = course.AutoConfig.for_model(kind, **SMALL[kind] | settings)
    model = getattr(course, f"AutoModel{task}").from_config(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    return model


def in_segments(model, ids, lengths, mems=None):
    found = []
    for piece in ids.split(lengths, 1):
        out = model(piece, mems=mems)
        mems = out.mems
        found.append(out.logits)
    return torch.cat(found, 1), mems


def near(one, other):
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("settings", [{}, {"mem_len": 3}, {"pre_lnorm": True, "untie_r": False, "clamp_len": 4}])
def test_segments_give_the_numbers_of_one_long_text(settings):
    model, ids = make("transfo-xl", **settings), torch.randint(50, (2, 12))
    pieces, mems = in_segments(model, ids, [5, 1, 4, 2])
    near(pieces, model(ids).logits)
    assert [m.shape for m in mems] == [(model.config.mem_len, 2, 16)] * 2
    near(mems[1], model(ids).mems[1])
    forgetful = torch.cat([model(piece).logits for piece in ids.split([5, 7], 1)], 1)
    assert (forgetful[:, 5:] - pieces[:, 5:]).abs().max() > 1e-2


@torch.no_grad()
def test_a_memory_that_starts_empty():
    model, ids = make("transfo-xl", same_length=False, mem_len=12), torch.randint(50, (2, 12))
    nothing = [torch.zeros(0, 2, 16)] * 2
    pieces, mems = in_segments(model, ids, [5, 7], nothing)
    near(pieces, model(ids, mems=nothing).logits)
    assert mems[0].shape == (12, 2, 16)


@torch.no_grad()
@pytest.mark.parametrize("settings", [{"mem_len": None}, {"mem_len": 12, "clamp_len": 3}])
def test_xlnet_remembers_all_or_a_part(settings):
    model, ids = make("xlnet", attn_type="uni", **settings), torch.randint(50, (2, 12))
    pieces, mems = in_segments(model, ids, [5, 1, 6])
    near(pieces, model(ids).logits)
    assert mems[1].shape == (12, 2, 16)
    model = make("xlnet", mem_len=4, reuse_len=3)
    assert model(ids).mems[0].shape == (3, 2, 16)
    assert model(ids, mems=model(ids).mems).mems[0].shape == (4, 2, 16)
    assert model.train()(ids).mems is None and model(ids, use_mems=True).mems is not None


@torch.no_grad()
def test_a_guessed_word_is_never_seen():
    model, ids = make("xlnet"), torch.randint(50, (1, 7))
    order = torch.randperm(7)                         # order[i]: when position i is read
    perm_mask = (order[:, None] <= order)[None].float()
    mems = model(torch.randint(50, (1, 4))).mems      # what the first word in the order can look at
    query = {"perm_mask": perm_mask, "target_mapping": torch.eye(7)[None], "mems": mems}
    plain, content = model(ids, **query).logits, model(ids, perm_mask=perm_mask, mems=mems).logits
    for place in range(7):
        changed = ids.clone()
        changed[0, place] = (changed[0, place] + 9) % 50
        moved = (model(changed, **query).logits - plain)[0].abs().amax(-1) > 1e-5
        assert moved.tolist() == (order > order[place]).tolist()          # only words that come later in the order
        moved = (model(changed, perm_mask=perm_mask, mems=mems).logits - content)[0].abs().amax(-1) > 1e-5
        assert moved.tolist() == (order >= order[place]).tolist()         # the content stream also sees the word itself


@torch.no_grad()
@each
def test_both_ways_to_attend_agree(kind):
    model, ids = make(kind), torch.randint(50, (2, 8))
    extra = {"token_type_ids": torch.randint(2, (2, 8)), "target_mapping": torch.rand(2, 3, 8)} if kind == "xlnet" else {}
    mems = model(ids).mems
    fused, slow = model(ids, mems=mems, **extra), model(ids, mems=mems, **extra, output_attentions=True)
    near(fused.logits, slow.logits)
    weights = slow.attentions[0][1] if extra else slow.attentions[0]
    assert weights.shape == (2, 4, 8, 8 + len(mems[0]))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 8))
    off = model(ids, head_mask=torch.zeros(4), output_attentions=True)
    assert all(weights.abs().max() == 0 for weights in off.attentions)


@torch.no_grad()
def test_padding_changes_nothing():
    ids = torch.randint(1, 50, (1, 5))
    model = make("xlnet")
    padded, mask = torch.cat([torch.full((1, 3), 5), ids], 1), torch.tensor([[0] * 3 + [1] * 5])
    near(model(padded, attention_mask=mask).logits[:, 3:], model(ids).logits)
    near(model(padded, input_mask=1 - mask).logits[:, 3:], model(ids).logits)
    assert (model(padded).logits[:, 3:] - model(ids).logits).abs().max() > 1e-2
    model = make("transfo-xl", "ForSequenceClassification")
    near(model(torch.cat([ids, torch.zeros(1, 3, dtype=torch.long)], 1)).logits, model(ids).logits)


@torch.no_grad()
@pytest.mark.parametrize("settings", [{}, {"div_val": 1}, {"div_val": 1, "d_embed": 8}, {"cutoffs": []}])
def test_the_adaptive_softmax_is_a_distribution(settings):
    model, ids = make("transfo-xl", **settings), torch.randint(50, (3, 9))
    out = model(ids)
    assert out.prediction_scores is out.logits and out.logits.shape == (3, 9, 50)
    torch.testing.assert_close(out.logits.exp().sum(-1), torch.ones(3, 9))
    labels = ids.clone()
    labels[1, 3:] = -100
    taught = model(ids, labels=labels)
    wanted = -out.logits[:, :-1].gather(2, ids[:, 1:, None])[..., 0].where(labels[:, 1:] != -100, 0)
    torch.testing.assert_close(taught.losses, wanted)
    torch.testing.assert_close(taught.loss, wanted.sum() / (labels[:, 1:] != -100).sum())
    assert taught.keys() == ["loss", "mems", "losses"] and taught[0] is taught.loss


def test_rare_words_are_narrow():
    model = make("transfo-xl")
    assert [tuple(table.weight.shape) for table in model.transformer.tokens.tables] == [(10, 16), (20, 8), (20, 4)]
    assert all(layer.weight is table.weight
               for layer, table in zip(model.softmax.layers, model.transformer.tokens.tables, strict=True))
    shared = [one.weight is other.weight for one, other in zip(model.softmax.projections, model.transformer.tokens.projections,
                                                               strict=True)]
    assert shared == [False, True, True]
    apart = make("transfo-xl", tie_word_embeddings=False, proj_share_all_but_first=False)
    assert apart.tied_names() == set() and apart.num_parameters() > model.num_parameters()


@torch.no_grad()
@each
@pytest.mark.parametrize("settings", [{}, {"tie_word_embeddings": False}, {"untie_r": False}, {"div_val": 1}])
def test_saved_and_loaded(kind, settings, tmp_path):
    if kind == "xlnet" and settings.keys() - {"tie_word_embeddings"}:
        pytest.skip("a setting of Transformer-XL")
    model, ids = make(kind, **settings), torch.randint(50, (2, 6))
    model.save_pretrained(tmp_path / "one")
    model.save_pretrained(tmp_path / "many", max_shard_size="2KB")
    for folder in ("one", "many"):
        again = course.AutoModelWithLMHead.from_pretrained(tmp_path / folder)
        assert type(again) is type(model) and not again.training
        torch.testing.assert_close(again(ids).logits, model(ids).logits)
        body = course.AutoModel.from_pretrained(tmp_path / folder)
        torch.testing.assert_close(body(ids).last_hidden_state, model.base_model(ids).last_hidden_state)
    with safe_open(tmp_path / "one" / "model.safetensors", "pt") as file:
        if kind == "xlnet":
            q = file.get_tensor("transformer.layer.1.rel_attn.q")
            assert q.shape == (16, 4, 4)
            torch.testing.assert_close(q.flatten(1).T, model.transformer.layers[1].attention.q.weight)
        else:
            assert file.get_slice("transformer.layers.1.dec_attn.qkv_net.weight").get_shape() == [36, 16]
            assert ("transformer.r_w_bias" in file.keys()) != model.config.untie_r  # noqa: SIM118
            assert ("crit.out_layers.0.weight" in file.keys()) != model.config.tie_word_embeddings  # noqa: SIM118


@each
@pytest.mark.parametrize("task", ["ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"])
def test_heads_learn(kind, task):
    if kind == "transfo-xl" and task != "ForSequenceClassification":
        pytest.skip("Transformer-XL has no such head")
    model, ids = make(kind, task, num_labels=2), torch.randint(1, 50, (4, 6))
    labels = {"labels": torch.randint(2, (4,) if task == "ForSequenceClassification" else (4, 6))}
    if task == "ForQuestionAnswering":
        labels = {"start_positions": torch.tensor([0, 1, 2, 3]), "end_positions": torch.tensor([1, 5, 2, 4])}
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    losses = []
    for _ in range(12):
        loss = model(ids, **labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@torch.no_grad()
@pytest.mark.parametrize("settings", [{}, {"div_val": 1}])
def test_new_words_join_the_rarest(settings):
    ids = torch.randint(1, 50, (2, 6))
    for task in ("", "WithLMHead", "ForSequenceClassification"):
        model = make("transfo-xl", task, **settings)
        before = model(ids)[0]
        model.resize_token_embeddings(53)
        frequent = 30 if task == "WithLMHead" else None         # the others share their class with the new words
        near(model(ids)[0][..., :frequent], before[..., :frequent])
        assert model.config.vocab_size == 53 and model(ids + 3)[0].isfinite().all()
        with pytest.raises(ValueError, match="can only grow"):
            model.resize_token_embeddings(40)
    model = make("xlnet")
    model.resize_token_embeddings(53)
    assert model(torch.tensor([[52, 3]])).logits.shape == (1, 2, 53)


def test_mistakes_are_explained():
    txl, xlnet, ids = make("transfo-xl"), make("xlnet"), torch.randint(50, (2, 5))
    for model in (txl, xlnet):
        mems = model(ids).mems
        with pytest.raises(ValueError, match=r"mems must be what .* 2 tensors of the shape \(length, 1, 16\)"):
            model(ids[:1], mems=mems)
        with pytest.raises(ValueError, match="mems must be"):
            model(ids, mems=mems[:1])
        with pytest.raises(IndexError, match="input_ids holds 50, but this model knows the ids 0 to 49"):
            model(torch.full_like(ids, 50))
        with pytest.raises(ValueError, match="labels has the shape"):
            model(ids, labels=ids[:, :3])
        with pytest.raises((IndexError, ValueError), match="labels holds 77"):
            model(ids, labels=torch.full_like(ids, 77))
    with pytest.raises(ValueError, match="input_mask .* not both"):
        xlnet(ids, attention_mask=torch.ones(2, 5), input_mask=torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"attention_mask has the shape \(2, 4\)"):
        xlnet(ids, attention_mask=torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"input_mask has the shape \(2, 4\)"):
        xlnet(ids, input_mask=torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"attention_mask has the shape \(2, 5, 5\), these texts ask for \(2, 5\)"):
        xlnet(ids, attention_mask=torch.ones(2, 5, 5))
    with pytest.raises(ValueError, match=r"perm_mask has the shape \(2, 5\), these texts ask for \(2, 5, 5\)"):
        xlnet(ids, perm_mask=torch.ones(2, 5))
    with pytest.raises(ValueError, match=r"target_mapping .* \(2, 'any', 5\)"):
        xlnet(ids, target_mapping=torch.ones(2, 3, 4))
    with pytest.raises(ValueError, match="even number of texts; got 1"):
        make("xlnet", bi_data=True)(ids[:1])


def test_settings_that_cannot_be():
    for settings, message in (({"cutoffs": [30, 10]}, "must rise"), ({"cutoffs": [50]}, "below vocab_size 50"),
                              ({"div_val": 16, "d_embed": 32}, "divisible by div_val 16"), ({"mem_len": 0}, "same_length=False")):
        with pytest.raises(ValueError, match=message):
            course.TransfoXLConfig(**SMALL["transfo-xl"] | settings)
    for settings, message in (({"attn_type": "both"}, "attn_type must be one of bi, uni"), ({"summary_type": "attn"}, "summary_type")):
        with pytest.raises(ValueError, match=message):
            course.XLNetConfig(**SMALL["xlnet"] | settings)


@pytest.mark.parametrize("kind", ["xlnet", "transfo-xl"])
def test_float64(kind):
    settings = {"vocab_size": 99, "d_model": 32, "n_layer": 1, "n_head": 4, "d_inner": 37}
    settings |= {"d_embed": 32, "d_head": 8, "cutoffs": [20], "div_val": 1, "mem_len": 4} if kind == "transfo-xl" else {}
    model = course.AutoModel.from_config(course.AutoConfig.for_model(kind, **settings)).eval()
    ids = torch.tensor([[5, 6, 7]])
    masks = {"attention_mask": torch.tensor([[1, 1, 0]])} if kind == "xlnet" else {}
    exact = model.float()(ids, **masks).last_hidden_state
    found = model.double()(ids, **masks).last_hidden_state
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), exact)
