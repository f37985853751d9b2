"""BERT and DistilBERT (and every model that joins CONFIGS) against transformers on tiny random checkpoints."""

import json

import pytest
import torch
from pairs import CONFIGS, TASKS, batch, labels_for, same, shake
from safetensors import safe_open

import course
from course.checkpoint import their_names

transformers = pytest.importorskip("transformers", reason="transformers is not installed here")

CASES = [pytest.param(kind, settings, id=f"{kind}-{number}")
         for kind, many in CONFIGS.items() for number, settings in enumerate(many)]
EVERYTHING = {"output_hidden_states": True, "output_attentions": True}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("kind", "settings"), CASES)
def test_outputs_are_the_same(make, kind, settings, task):
    pair = make(kind, settings, task)
    config = pair.ours.config
    for mask in (None, "right", "left"):
        inputs = batch(config, mask=mask)
        with torch.no_grad():
            same(*pair.both(**inputs), where=f"mask {mask}")
            same(*pair.both(**inputs, **EVERYTHING), where=f"mask {mask}, everything")
    with torch.no_grad():
        same(*pair.both(input_ids=inputs["input_ids"]), where="no mask")
        if task != "Model":
            same(*pair.both(**inputs, **labels_for(task, config, inputs["input_ids"])), where="labels")


@pytest.mark.parametrize(("kind", "settings"), CASES)
def test_all_kinds_of_input(make, kind, settings):
    pair = make(kind, settings, "Model")
    config, inputs = pair.ours.config, batch(pair.ours.config)
    length, layers, heads = inputs["input_ids"].shape[1], config.num_hidden_layers, config.num_attention_heads
    with torch.no_grad():
        embeds = torch.randn(2, length, config.hidden_size)
        same(*pair.both(inputs_embeds=embeds), where="inputs_embeds")
        same(*pair.both(inputs_embeds=embeds, attention_mask=inputs["attention_mask"][:2]), where="inputs_embeds, mask")
        head_mask = (torch.rand(layers, heads) < 0.5).float()
        head_mask[0, 0] = 0
        same(*pair.both(**inputs, head_mask=head_mask, **EVERYTHING), where="head_mask of layers and heads")
        same(*pair.both(**inputs, head_mask=head_mask[0], **EVERYTHING), where="head_mask of heads")
        nothing = inputs | {"attention_mask": inputs["attention_mask"].index_fill(0, torch.tensor([1]), 0)}
        ours, theirs = pair.both(**nothing, **EVERYTHING)
        same(ours, theirs, where="a row in which everything is ignored")
        assert ours.last_hidden_state.isfinite().all()
        positions = torch.randperm(config.max_position_embeddings)[:length].expand(3, -1)
        if kind == "distilbert":                      # transformers' DistilBERT takes no positions: permute their weights
            table = dict(pair.theirs.named_parameters())["embeddings.position_embeddings.weight"]
            ours = pair.ours(**inputs, position_ids=positions)
            table[:length] = table[positions[0]].clone()
            same(ours, pair.theirs(**inputs), where="position_ids")
        else:
            same(*pair.both(**inputs, position_ids=positions), where="position_ids")
            types = torch.randint(config.type_vocab_size, inputs["input_ids"].shape)
            same(*pair.both(**inputs, token_type_ids=types), where="token_type_ids")


@pytest.mark.parametrize("task", TASKS[1:])
@pytest.mark.parametrize(("kind", "settings"), CASES)
def test_gradients_are_the_same(make, kind, settings, task):
    pair = make(kind, settings, task)
    inputs = batch(pair.ours.config)
    ours, theirs = pair.both(**inputs, **labels_for(task, pair.ours.config, inputs["input_ids"]))
    ours.loss.backward()
    theirs.loss.backward()
    checked = 0
    for name, mine, other in pair.gradients():
        assert (mine is None) == (other is None), name
        if mine is not None:
            torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4, msg=lambda m: f"{name}: {m}")
            checked += 1
    assert checked > 10


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("kind", "settings"), CASES)
def test_training_with_dropout_draws_the_same_numbers(make, kind, settings, task, attention):
    """Both libraries draw their dropout masks in the same order, so with one seed they train alike; a dropout in
    another place would differ. eager: against our step-by-step attention; sdpa: against torch's fused attention."""
    pair = make(kind, settings, task, attention=attention)
    inputs = batch(pair.ours.config)
    if task != "Model":
        inputs |= labels_for(task, pair.ours.config, inputs["input_ids"])
    if attention == "eager":
        inputs |= EVERYTHING
    outputs = []
    for model in (pair.ours, pair.theirs):
        torch.manual_seed(7)
        outputs.append(model.train()(**inputs))
    same(*outputs, where="train mode")
    with torch.no_grad():
        assert not torch.allclose(outputs[0][-1 if attention == "sdpa" else "hidden_states"][-1],
                                  pair.ours.eval()(**inputs)[-1 if attention == "sdpa" else "hidden_states"][-1])


@pytest.mark.parametrize(("kind", "settings"), CASES)
@pytest.mark.parametrize("problem", ["regression", "multi_label_classification", "single_label_classification", None])
def test_losses_of_classifiers(make, kind, settings, problem):
    for number in (1, 4):
        pair = make(kind, settings | {"num_labels": number, "problem_type": problem}, "ForSequenceClassification")
        inputs = batch(pair.ours.config)
        floats = torch.rand(3, number) if number > 1 else torch.rand(3)
        whole = torch.randint(number, (3,))
        wanted = {"regression": [floats], "multi_label_classification": [torch.rand(3, number)],
                  "single_label_classification": [whole, whole[:, None]],
                  None: [whole, torch.rand(3, number)] if number > 1 else [floats]}[problem]
        for labels in wanted:
            pair.theirs.config.problem_type = problem     # transformers writes its finding there, and keeps to it
            with torch.no_grad():
                same(*pair.both(**inputs, labels=labels), where=f"{problem} {number} {labels.shape}")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("kind", "settings"), CASES)
def test_what_we_save_loads_in_transformers(make, kind, settings, task, tmp_path):
    pair = make(kind, settings, task)
    shake(pair.ours)
    pair.ours.save_pretrained(tmp_path / "ours")
    auto = getattr(transformers, "AutoModel" + task.removeprefix("Model"))
    theirs, report = auto.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert {key: list(value) for key, value in report.items() if value} == {}
    inputs = batch(pair.ours.config)
    with torch.no_grad():
        same(pair.ours(**inputs), theirs.eval()(**inputs))
    named = json.loads((tmp_path / "ours/config.json").read_text())["architectures"]
    assert named == [type(theirs).__name__] == [type(pair.theirs).__name__]
    with safe_open(tmp_path / "ours/model.safetensors", "pt") as ours, \
            safe_open(pair.folder / "model.safetensors", "pt") as theirs:
        assert sorted(ours.keys()) == sorted(theirs.keys())


@pytest.mark.parametrize(("kind", "settings"), CASES)
def test_forms_in_which_transformers_saves(make, kind, settings, tmp_path):
    pair = make(kind, settings, "ForMaskedLM")
    inputs = batch(pair.ours.config)
    with torch.no_grad():
        wanted = pair.theirs(**inputs)
        pair.theirs.save_pretrained(tmp_path / "bin", safe_serialization=False)
        pair.theirs.save_pretrained(tmp_path / "shards", max_shard_size="8KB")
        pair.theirs.save_pretrained(tmp_path / "bin_shards", max_shard_size="8KB", safe_serialization=False)
        for name, file in (("bin", "pytorch_model.bin"), ("shards", "model.safetensors.index.json"),
                           ("bin_shards", "pytorch_model.bin.index.json")):
            assert (tmp_path / name / file).exists()
            same(course.AutoModelForMaskedLM.from_pretrained(tmp_path / name)(**inputs), wanted, where=name)
        pair.theirs.half().save_pretrained(tmp_path / "half")
        ours = course.AutoModelForMaskedLM.from_pretrained(tmp_path / "half")
        assert ours.dtype == torch.float32
        same(ours(**inputs), pair.theirs.float()(**inputs), where="half")


def test_checkpoints_with_other_heads(make, tmp_path):
    """bert-base-uncased on the Hub is a BertForPreTraining: two heads, of which a model here has one or none."""
    config = transformers.BertConfig(**CONFIGS["bert"][0])
    theirs = transformers.BertForPreTraining(config).eval()
    shake(theirs)
    theirs.save_pretrained(tmp_path)
    inputs = batch(config)
    with torch.no_grad():
        wanted = theirs(**inputs)
        torch.testing.assert_close(course.BertForMaskedLM.from_pretrained(tmp_path)(**inputs).logits,
                                   wanted.prediction_logits, rtol=1e-5, atol=1e-5)
        body = course.BertModel.from_pretrained(tmp_path)(**inputs)
        same(body, theirs.bert(**inputs))


@pytest.mark.parametrize(("kind", "settings"), CASES)
def test_untied_word_embeddings(make, kind, settings):
    pair = make(kind, settings | {"tie_word_embeddings": False}, "ForMaskedLM")
    assert pair.ours.get_output_embeddings().weight is not pair.ours.get_input_embeddings().weight
    with torch.no_grad():
        same(*pair.both(**batch(pair.ours.config)))


@pytest.mark.parametrize(("kind", "settings"), CASES)
def test_bfloat16_stays_near(make, kind, settings):
    pair = make(kind, settings, "ForSequenceClassification")
    inputs = batch(pair.ours.config)
    with torch.no_grad():
        exact = pair.ours(**inputs).logits
        rough = course.AutoModelForSequenceClassification.from_pretrained(pair.folder, dtype="bfloat16")
        assert rough.dtype == torch.bfloat16
        ours, theirs = rough(**inputs).logits.float(), pair.theirs.bfloat16()(**inputs).logits.float()
    scale = exact.abs().max()
    assert (ours - exact).abs().max() < 0.05 * scale
    assert (ours - theirs).abs().max() < 0.05 * scale


@pytest.mark.parametrize(("kind", "settings"), CASES)
def test_resized_vocabulary(make, kind, settings):
    for task in ("ForMaskedLM", "ForTokenClassification"):
        pair = make(kind, settings, task)
        for size in (settings["vocab_size"] + 6, settings["vocab_size"] - 4):
            pair.ours.resize_token_embeddings(size)
            pair.theirs.resize_token_embeddings(size, mean_resizing=False)
        inputs = batch(pair.ours.config)
        with torch.no_grad():
            same(*pair.both(**inputs), where=task)


def test_default_configs_are_the_same():
    for kind in CONFIGS:
        ours, theirs = course.AutoConfig.for_model(kind).to_dict(), transformers.AutoConfig.for_model(kind).to_dict()
        differing = {name for name, value in ours.items() if theirs.get(name) != value}
        # ours are those of roberta-base, as both documentations say; theirs are BERT's
        assert differing == ({"layer_norm_eps", "max_position_embeddings", "type_vocab_size"} if kind == "roberta" else set())


def test_fresh_weights_are_spread_alike():
    for kind, many in CONFIGS.items():
        wide = many[-1] | {"vocab_size": 5000}
        ours = course.AutoModelForSequenceClassification.from_config(course.AutoConfig.for_model(kind, **wide))
        theirs = dict(transformers.AutoModelForSequenceClassification.from_config(
            transformers.AutoConfig.for_model(kind, **wide)).named_parameters())
        for name, hub_name in their_names(ours).items():
            mine, other = dict(ours.named_parameters())[name], theirs[hub_name]
            assert mine.std(correction=0).item() == pytest.approx(other.std(correction=0).item(), rel=0.35, abs=1e-8), name
            assert mine.mean().item() == pytest.approx(other.mean().item(), abs=0.01), name


@pytest.mark.parametrize("task", ["ForPreTraining", "ForNextSentencePrediction"])
def test_the_tasks_of_the_first_training(tmp_path, task):
    import transformers

    theirs = getattr(transformers, f"Bert{task}")(transformers.BertConfig(**CONFIGS["bert"][1])).eval()
    shake(theirs)
    theirs.save_pretrained(tmp_path / "a")
    ours = getattr(course, f"Bert{task}").from_pretrained(tmp_path / "a")
    inputs = batch(ours.config)
    labels = {"next_sentence_label": torch.tensor([0, 1, 1])} | labels_for("ForMaskedLM", ours.config, inputs["input_ids"])
    labels = labels if task == "ForPreTraining" else {"labels": labels["next_sentence_label"]}
    same(ours(**inputs, **labels), theirs(**inputs, **labels))
    ours.save_pretrained(tmp_path / "b")
    same(ours(**inputs), getattr(transformers, f"Bert{task}").from_pretrained(tmp_path / "b").eval()(**inputs))
