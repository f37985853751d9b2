"""Models with a memory of earlier segments, Transformer-XL and XLNet, against transformers on tiny random checkpoints.

Training draws the same dropout for a single text only: transformers stores these two length first.
"""

import pytest
import torch
from pairs import labels_for, shake

import course
from course.checkpoint import convert, our_name

transformers = pytest.importorskip("transformers", reason="transformers is not installed here")
for needed in ("TransfoXLModel", "XLNetModel"):
    if not hasattr(transformers, needed):
        pytest.skip(f"this version of transformers has no {needed} any more", allow_module_level=True)

# model_type -> configs with odd sizes and the options that change the computation; names as in config.json
CONFIGS = {
    "transfo-xl": [
        {"vocab_size": 53, "cutoffs": [10, 20], "d_model": 20, "d_embed": 20, "div_val": 2, "n_head": 4, "d_head": 7,
         "d_inner": 37, "n_layer": 3, "mem_len": 6, "clamp_len": 4, "pad_token_id": 3, "num_labels": 5},
        {"vocab_size": 97, "cutoffs": [30], "d_model": 18, "d_embed": 12, "div_val": 1, "n_head": 1, "d_head": 8,
         "d_inner": 16, "n_layer": 2, "mem_len": 20, "clamp_len": -1, "same_length": False, "pre_lnorm": True,
         "untie_r": False, "proj_share_all_but_first": False, "dropout": 0.3, "dropatt": 0.25, "pad_token_id": 0},
        {"vocab_size": 64, "cutoffs": [], "d_model": 12, "d_embed": 12, "div_val": 1, "n_head": 3, "d_head": 4,
         "d_inner": 50, "n_layer": 1, "mem_len": 0, "clamp_len": 2, "same_length": False, "pad_token_id": 1,
         "tie_word_embeddings": False},
        {"vocab_size": 71, "cutoffs": [12, 40, 41], "d_model": 16, "d_embed": 18, "div_val": 1, "n_head": 2, "d_head": 8,
         "d_inner": 20, "n_layer": 2, "mem_len": 5, "clamp_len": 60, "tie_projs": [True, False, True, True],
         "layer_norm_epsilon": 1e-3, "pad_token_id": 3},
        {"vocab_size": 60, "cutoffs": [12, 40], "d_model": 16, "d_embed": 16, "div_val": 4, "n_head": 2, "d_head": 3,
         "d_inner": 20, "n_layer": 2, "mem_len": 9, "pre_lnorm": True, "untie_r": False, "tie_word_embeddings": False,
         "pad_token_id": 3},
    ],
    "xlnet": [
        {"vocab_size": 53, "d_model": 20, "n_layer": 3, "n_head": 4, "d_inner": 37, "num_labels": 5},
        {"vocab_size": 97, "d_model": 18, "n_layer": 2, "n_head": 3, "d_inner": 16, "ff_activation": "relu",
         "attn_type": "uni", "same_length": True, "clamp_len": 3, "mem_len": 4, "dropout": 0.3, "layer_norm_eps": 1e-5,
         "summary_type": "mean", "summary_activation": None, "summary_last_dropout": 0.2, "pad_token_id": 3},
        {"vocab_size": 64, "d_model": 12, "n_layer": 2, "n_head": 1, "d_inner": 50, "ff_activation": "gelu_new",
         "bi_data": True, "clamp_len": 4, "mem_len": None, "reuse_len": 3, "dropout": 0.0, "summary_type": "first",
         "summary_use_proj": False, "tie_word_embeddings": False},
    ],
}
TASKS = {"transfo-xl": ("Model", "ForCausalLM", "ForSequenceClassification"),
         "xlnet": ("Model", "ForCausalLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")}
EVERYTHING = {"output_hidden_states": True, "output_attentions": True}


def cases(*kinds):
    return pytest.mark.parametrize(("kind", "settings"), [
        pytest.param(kind, settings, id=f"{kind}-{number}")
        for kind in kinds or CONFIGS for number, settings in enumerate(CONFIGS[kind])])


def tasks(kind, settings):
    """The heads that transformers can run: its classifier needs embeddings as wide as the hidden states."""
    return [task for task in TASKS[kind]
            if kind == "xlnet" or task != "ForSequenceClassification" or settings["d_embed"] == settings["d_model"]]


class Pair:
    """One random checkpoint, loaded by both libraries."""

    def __init__(self, folder, kind, settings, task):
        self.folder, self.kind, self.task, self.auto = folder, kind, task, "AutoModel" + task.removeprefix("Model")
        if task == "ForQuestionAnswering":            # transformers gives this head num_labels rows and needs two
            settings = settings | {"num_labels": 2}
        theirs = getattr(transformers, self.auto).from_config(transformers.AutoConfig.for_model(kind, **settings))
        shake(theirs)
        # biases that layers share it can only save in the older format
        theirs.save_pretrained(folder, safe_serialization=settings.get("untie_r", True))
        self.theirs = theirs.eval()
        self.ours = getattr(course, self.auto).from_pretrained(folder)

    def both(self, **inputs):
        if "labels" in inputs:                        # Transformer-XL of transformers may write into them
            return self.ours(**inputs), self.theirs(**inputs | {"labels": inputs["labels"].clone()})
        return self.ours(**inputs), self.theirs(**inputs)

    def batch(self, rows=2, length=7):
        """A full text and a padded one, on the side where the tokenizer of the model pads."""
        config = self.ours.config
        if getattr(config, "attn_type", 0) == "uni":
            rows = 1                                  # its causal mask cannot meet a mask of several texts in transformers
        ids = torch.randint(4, config.vocab_size, (rows, length))
        place, lengths = torch.arange(length), torch.tensor([length, length // 2])[:rows, None]
        if self.kind == "transfo-xl":
            return {"input_ids": ids.where(place < lengths, config.pad_token_id)}
        keep = place >= length - lengths
        return {"input_ids": ids.where(keep, config.pad_token_id), "attention_mask": keep.long(),
                "token_type_ids": torch.randint(3, ids.shape)}

    def labels(self, ids):
        return labels_for("ForMaskedLM" if self.task == "ForCausalLM" else self.task, self.ours.config, ids)


@pytest.fixture
def make(tmp_path, monkeypatch):
    """make(kind, settings, task) -> Pair."""
    plain = torch.Tensor.type_as                      # Transformer-XL of 4.57 calls it in a way that torch never had
    monkeypatch.setattr(torch.Tensor, "type_as",
                        lambda self, other=None, dtype=None: plain(self, other) if dtype is None else self.to(dtype))
    count = iter(range(1000))
    return lambda *args: Pair(tmp_path / str(next(count)), *args)


def flat(value):
    return [x for part in value for x in flat(part)] if isinstance(value, (list, tuple)) else [value]


def same(ours, theirs, where=""):
    """Both outputs have the same fields, and these the same numbers."""
    wanted = {{"prediction_scores": "logits"}.get(name, name): value for name, value in theirs.items()}
    wanted = {name: value for name, value in wanted.items() if not isinstance(value, tuple) or value}
    assert set(ours.keys()) == set(wanted), where
    for name in ours.keys():
        mine, other = flat(ours[name]), flat(wanted[name])
        if name == "losses":                          # transformers leaves them in the order of their classes
            mine, other = [mine[0].flatten().sort().values], [other[0].flatten().sort().values]
        assert len(mine) == len(other), f"{where} {name}"
        for number, (a, b) in enumerate(zip(mine, other, strict=True)):
            largest = max(1.0, b.abs().max().item())
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * largest, msg=lambda m: f"{where} {name}[{number}]: {m}")


def two_streams(rows, length, count=3):
    """perm_mask and target_mapping: every text has an order of its own, and three words are guessed."""
    order = torch.stack([torch.randperm(length) for _ in range(rows)])
    targets = torch.nn.functional.one_hot(torch.stack([torch.randperm(length)[:count] for _ in range(rows)]), length)
    return {"perm_mask": (order[:, :, None] <= order[:, None]).float(), "target_mapping": targets.float()}


@cases()
def test_outputs_are_the_same(make, kind, settings):
    for task in tasks(kind, settings):
        pair = make(kind, settings, task)
        inputs = pair.batch()
        with torch.no_grad():
            for options in ({}, EVERYTHING):
                ours, theirs = pair.both(**inputs, **options)
                same(ours, theirs, where=f"{task}, padded")
                assert pair.ours(**inputs, return_dict=False)[0].shape == ours[0].shape
            same(*pair.both(input_ids=inputs["input_ids"]), where=f"{task}, ids alone")
            if task != "Model":
                labels = pair.labels(inputs["input_ids"])
                same(*pair.both(**inputs, **labels), where=f"{task}, labels")


@cases()
@pytest.mark.parametrize("everything", [False, True])
def test_memory_over_three_segments(make, kind, settings, everything):
    pair = make(kind, settings, "ForCausalLM")
    ours = theirs = None
    with torch.no_grad():
        for length in (7, 2, 5):
            inputs = pair.batch(length=length) | (EVERYTHING if everything else {})
            ours = pair.ours(**inputs, mems=ours and ours.mems)
            theirs = pair.theirs(**inputs, mems=theirs and theirs.mems)
            same(ours, theirs, where=f"segment of {length}")
        assert (ours.mems is None) == (settings.get("mem_len") == 0)


@cases("xlnet")
def test_two_streams(make, kind, settings):
    for task in ("Model", "ForCausalLM"):
        pair = make(kind, settings, task)
        mems = (None, None)
        with torch.no_grad():
            for options in ({}, EVERYTHING):
                inputs = pair.batch() | options
                rows, length = inputs["input_ids"].shape
                streams = two_streams(rows, length)
                labels = {"labels": torch.randint(settings["vocab_size"], (rows, 3))} if task == "ForCausalLM" else {}
                ours, theirs = (model(**inputs, **streams, **labels, mems=m)
                                for model, m in zip((pair.ours, pair.theirs), mems, strict=True))
                same(ours, theirs, where=task)
                mems = ours.mems, theirs.mems
            same(*pair.both(**inputs, perm_mask=streams["perm_mask"]), where=f"{task}, perm_mask alone")
            blurred = torch.rand(rows, 4, length)
            same(*pair.both(**inputs, target_mapping=blurred), where=f"{task}, any mapping")


@cases()
def test_all_kinds_of_input(make, kind, settings):
    pair = make(kind, settings, "Model")
    config, inputs = pair.ours.config, pair.batch()
    ids = inputs["input_ids"]
    with torch.no_grad():
        embeds = torch.randn(*ids.shape, config.d_model)
        same(*pair.both(inputs_embeds=embeds), where="inputs_embeds")
        head_mask = torch.rand(config.n_layer, config.n_head).round()
        same(*pair.both(**inputs, head_mask=head_mask, **EVERYTHING), where="head_mask")
        same(*pair.both(**inputs, head_mask=head_mask[0]), where="head_mask of one layer")
        if kind == "xlnet":
            same(*pair.both(input_ids=ids, input_mask=1.0 - inputs["attention_mask"].float()), where="input_mask")
            for use_mems in (True, False):
                ours, theirs = pair.both(input_ids=ids, use_mems=use_mems)
                same(ours, theirs, where="use_mems")
                assert ("mems" in ours) == use_mems


@cases()
def test_gradients_are_the_same(make, kind, settings):
    for task in tasks(kind, settings)[1:]:
        pair = make(kind, settings, task)
        inputs = pair.batch()
        labels = pair.labels(inputs["input_ids"])
        if kind == "xlnet" and task == "ForCausalLM":
            rows, length = inputs["input_ids"].shape
            inputs |= two_streams(rows, length)
            labels = {"labels": labels["labels"][:, :3].clamp(min=0)}
        first = [model(input_ids=inputs["input_ids"]).mems for model in (pair.ours, pair.theirs)]
        for model, mems in zip((pair.ours, pair.theirs), first, strict=True):
            model(**inputs, **{k: v.clone() for k, v in labels.items()}, mems=mems).loss.backward()
        gradients = {n: w.grad for n, w in pair.theirs.named_parameters() if w.grad is not None}
        gradients = convert("from_checkpoint", gradients, pair.ours)
        wanted, checked = {our_name(name, pair.ours): value for name, value in gradients.items()}, 0
        for name, weight in pair.ours.named_parameters():
            if name not in wanted:                    # a class of words that no label belongs to, the unused stream
                assert weight.grad is None or not weight.grad.any(), f"{task} {name}"
            else:
                largest = max(1.0, wanted[name].abs().max().item())
                torch.testing.assert_close(weight.grad, wanted[name], rtol=1e-4, atol=1e-4 * largest,
                                           msg=lambda m: f"{task} {name}: {m}")
                checked += 1
        assert checked > 10


@cases()
def test_training_with_dropout_draws_the_same_numbers(make, kind, settings):
    if settings.get("bi_data"):
        pytest.skip("with bi_data a batch has two texts at least")
    for task in tasks(kind, settings)[1:]:
        pair = make(kind, settings, task)
        inputs = {name: value[:1] for name, value in pair.batch().items()}
        inputs |= {name: value[:1] for name, value in pair.labels(inputs["input_ids"]).items()}
        if kind == "xlnet" and task == "ForCausalLM":
            inputs |= two_streams(1, 7) | {"labels": torch.randint(settings["vocab_size"], (1, 3))}
        for options in ({}, EVERYTHING):
            outputs = []
            for model in (pair.ours, pair.theirs):
                torch.manual_seed(7)
                outputs.append(model.train()(**inputs, **options))
            same(*outputs, where=f"{task}, train mode")
        assert not torch.allclose(outputs[0].loss, pair.ours.eval()(**inputs).loss)


@cases()
def test_what_we_save_loads_in_transformers(make, kind, settings, tmp_path):
    for task in tasks(kind, settings):
        pair, folder = make(kind, settings, task), tmp_path / f"ours{task}"
        shake(pair.ours)
        pair.ours.save_pretrained(folder)
        theirs, report = getattr(transformers, pair.auto).from_pretrained(folder, output_loading_info=True)
        assert {key: list(value) for key, value in report.items() if value} == {}
        inputs = pair.batch()
        with torch.no_grad():
            same(pair.ours(**inputs), theirs.eval()(**inputs), where=task)
            again = getattr(course, pair.auto).from_pretrained(folder)
            same(again(**inputs), theirs(**inputs), where=f"{task}, loaded again")
        assert pair.ours.config.architectures == [type(theirs).__name__] == [type(pair.theirs).__name__]


@cases()
def test_bodies_load_from_checkpoints_with_a_head(make, kind, settings, tmp_path):
    pair = make(kind, settings, "ForCausalLM")
    body = course.AutoModel.from_pretrained(pair.folder)
    inputs = pair.batch()
    with torch.no_grad():
        torch.testing.assert_close(body(**inputs).last_hidden_state, pair.ours.base_model(**inputs).last_hidden_state)
        body.save_pretrained(tmp_path / "body")
        same(body(**inputs), transformers.AutoModel.from_pretrained(tmp_path / "body").eval()(**inputs))


def test_default_configs_are_the_same():
    for kind in CONFIGS:
        ours, theirs = course.AutoConfig.for_model(kind).to_dict(), transformers.AutoConfig.for_model(kind).to_dict()
        if kind == "transfo-xl":
            assert [False] + [ours.pop("proj_share_all_but_first")] * 3 == theirs["tie_projs"]
        assert {k: (v, theirs.get(k)) for k, v in ours.items() if theirs.get(k) != v} == {}, kind
