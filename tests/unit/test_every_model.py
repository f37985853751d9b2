"""What every model does, whatever its architecture: it says what it costs, trains in less memory, can be compiled and
exported, and explains inputs that do not fit."""

import copy
import inspect
import re
import warnings

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import course
from course.checkpoint import their_names
from course.config import MODELS

GPT = {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 24}
BERT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 20, "max_position_embeddings": 26}
LLAMA = BERT | {"num_key_value_heads": 2, "max_position_embeddings": 24}
# a new architecture joins with a line here
SIZES = {
    "bert": BERT, "roberta": BERT, "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 20, "max_position_embeddings": 24},
    "xlm": {"emb_dim": 16, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 24},
    "openai-gpt": GPT, "gpt2": GPT, "ctrl": GPT | {"dff": 20}, "llama": LLAMA, "qwen2": LLAMA,
    "bart": {"d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
             "encoder_ffn_dim": 20, "decoder_ffn_dim": 20, "max_position_embeddings": 24},
    "t5": {"d_model": 16, "d_kv": 6, "d_ff": 20, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0,
           "eos_token_id": 2},
    "transfo-xl": {"d_model": 16, "d_embed": 16, "n_layer": 2, "n_head": 4, "d_head": 4, "d_inner": 20, "cutoffs": [20, 40], "div_val": 1,
                   "mem_len": 0, "same_length": False},
    "xlnet": {"d_model": 16, "n_layer": 2, "n_head": 4, "d_inner": 20},
    "reformer": {"hidden_size": 16, "num_attention_heads": 4, "attention_head_size": 4, "feed_forward_size": 20, "hash_seed": 0,
                 "attn_layers": ["local", "lsh"], "axial_pos_shape": [4, 6], "axial_pos_embds_dim": [6, 10], "max_position_embeddings": 24,
                 "lsh_attn_chunk_length": 4, "local_attn_chunk_length": 4, "num_buckets": 2, "is_decoder": True},
}
KINDS = [kind for kind in SIZES if kind in MODELS]
each = pytest.mark.parametrize("kind", KINDS)
LENGTH = 12


def test_every_architecture_is_in_the_table():
    assert set(MODELS) <= set(SIZES)


def make(kind, task="WithLMHead", **settings):
    """A random model in eval mode, with weights that are not near zero."""
    config = course.AutoConfig.for_model(kind, **SIZES[kind] | {"vocab_size": 50, "pad_token_id": 0} | settings)
    model = getattr(course, f"AutoModel{task}").from_config(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return model


def inputs(kind, task="WithLMHead", rows=2):
    ids = torch.randint(3, 50, (rows, LENGTH))
    ids[:, -1] = 2
    read_and_written = kind in ("bart", "t5") and task != "ForSequenceClassification"
    return {"input_ids": ids} | ({"decoder_input_ids": ids.flip(1)} if read_and_written else {})


# -- describe ------------------------------------------------------------------------------------------------------------------


def test_the_costs_of_a_small_bert_by_hand():
    table = make("bert", "ForMaskedLM").describe(length=10)
    attention, feed_forward = 2 * (4 * 16 * 16 + 4 * 16), 2 * (2 * 16 * 20 + 20 + 16)
    norms, head = 5 * 2 * 16, 16 * 16 + 16 + 2 * 16 + 50      # the head's largest matrix is that of the tokens
    wanted = {"tokens": 50 * 16, "positions": 26 * 16, "types": 2 * 16, "2 x norms": norms, "2 x attention": attention,
              "2 x feed_forward": feed_forward, "head": head}
    assert table["parameters"].to_dict() == wanted | {"total": sum(wanted.values())}
    assert table["FLOPs per token"].to_dict() == {
        "tokens": 0, "positions": 0, "types": 0, "2 x norms": 0, "2 x attention": 2 * (2 * 4 * 16 * 16 + 4 * 10 * 16),
        "2 x feed_forward": 2 * 2 * 2 * 16 * 20, "head": 2 * (16 * 16 + 16 * 50),
        "total": 2 * (2 * 4 * 16 * 16 + 4 * 10 * 16) + 8 * 16 * 20 + 2 * (16 * 16 + 16 * 50)}
    assert table.loc["total", "share"] == 1 and table["share"][:-1].sum() == pytest.approx(1)
    assert table.loc["tokens", "MB"] == 50 * 16 * 4 / 1e6


def test_the_costs_of_a_small_gpt2_by_hand():
    model = make("gpt2")
    table = model.describe()
    wanted = {"tokens": 50 * 16, "positions": 24 * 16, "2 x attention": 2 * (4 * 16 * 16 + 4 * 16),
              "2 x norms": 5 * 2 * 16, "2 x feed_forward": 2 * (2 * 16 * 64 + 64 + 16), "head": 0}     # tied: stored with the tokens
    assert table["parameters"].to_dict() == wanted | {"total": model.num_parameters()}
    assert table.loc["head", "FLOPs per token"] == 2 * 16 * 50
    assert table.loc["2 x attention", "FLOPs per token"] == 2 * (2 * 4 * 16 * 16 + 4 * 24 * 16), "24 tokens: all that it reads"
    assert make("gpt2", tie_word_embeddings=False).describe().loc["head", "parameters"] == 16 * 50
    assert model.bfloat16().describe().loc["total", "MB"] == 2 * model.num_parameters() / 1e6


@each
@pytest.mark.parametrize("task", ["", "WithLMHead", "ForSequenceClassification"])
def test_described_costs_are_those_of_a_forward_pass(kind, task):
    try:
        model = make(kind, task)
    except ValueError:
        return                                        # not every architecture classifies texts
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        model(**inputs(kind, task, rows=1), output_attentions=True)
    table = model.describe(LENGTH)
    assert table.loc["total", "parameters"] == model.num_parameters()
    assert table.loc["total", "FLOPs per token"] * LENGTH == pytest.approx(counted.get_total_flops(), rel=0.02)


def test_a_table_for_readers():
    table = make("bart").describe()
    assert {"tokens", "2 x encoder attention", "2 x decoder attention", "2 x decoder cross_attention", "head"} <= set(table.index)
    text = make("llama", vocab_size=70_000).describe(20).to_string()
    assert "LlamaForCausalLM, float32, 20 tokens" in text
    assert "1,120,000" in repr(make("llama", vocab_size=70_000).describe()) and "1,120,000" in table._constructor(
        {"parameters": [1_120_000]})._repr_html_()
    with pytest.raises(ValueError, match="length=25: this model reads 1 to 24 tokens"):
        make("gpt2").describe(25)


# -- gradient checkpointing ----------------------------------------------------------------------------------------------------


def step(model, kind, **more):
    """Loss and gradients of a training step, and how many bytes the graph kept for them."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    torch.manual_seed(1)
    model.zero_grad()
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(**more)[0].square().mean()
    size = sum(number for place, number in kept.items() if place not in weights)
    loss.backward()
    return loss, {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}, size


@each
def test_gradient_checkpointing_gives_the_same_gradients_in_less_memory(kind):
    model = make(kind).train()                        # with dropout: the second time draws the same numbers
    batch = inputs(kind, rows=8)
    plain_loss, plain, plain_size = step(model, kind, **batch)
    model.gradient_checkpointing_enable()
    loss, gradients, size = step(model, kind, **batch)
    assert torch.equal(loss, plain_loss) and gradients.keys() == plain.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, plain[name], msg=lambda m: f"{name}: {m}")
    assert size == plain_size if kind == "reformer" else size < 0.6 * plain_size      # reversible layers keep nothing anyway
    model.gradient_checkpointing_disable()
    assert step(model, kind, **batch)[2] == plain_size


def test_checkpointing_is_for_training_only():
    model = make("gpt2")
    model.gradient_checkpointing_enable()
    ids = inputs("gpt2")["input_ids"]
    wanted = model(ids).logits
    past = model(ids[:, :5]).past_key_values
    torch.testing.assert_close(model(ids[:, 5:], past_key_values=past).logits, wanted[:, 5:])
    model.train()
    for dropout in (module for module in model.modules() if isinstance(module, torch.nn.Dropout)):
        dropout.p = 0.0
    for layer in model.transformer.layers:
        layer.attention.dropout = 0.0
    assert model(ids).past_key_values is None, "no cache that keeps what checkpointing is to give up"
    past = model.eval()(ids[:, :5]).past_key_values
    model.train()
    logits = model(ids[:, 5:], past_key_values=past).logits
    torch.testing.assert_close(logits, wanted[:, 5:])
    logits.square().mean().backward()                 # the second time finds the cache as the first did
    assert past.length == 5
    twin = copy.deepcopy(model)
    twin.gradient_checkpointing_disable()
    assert model.is_gradient_checkpointing and not twin.is_gradient_checkpointing
    with torch.no_grad():
        twin.transformer.layers[0].norm.weight.mul_(3)
    torch.testing.assert_close(model(ids).logits, wanted)


# -- compiled and exported -----------------------------------------------------------------------------------------------------


def padded(kind, task, rows=2):
    batch = inputs(kind, task, rows)
    return batch | {"attention_mask": (torch.arange(LENGTH) < torch.tensor([[LENGTH], [7]])[[0, 1] * (rows // 2)]).long()}


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "gpt2", "llama", "t5"])
@torch.no_grad()
def test_compiled_as_a_whole(kind):
    """One graph, without a way back to Python, and the same numbers; T5 as an encoder."""
    model, batch = make(kind, ""), padded(kind, "ForSequenceClassification")
    run = model.encode if kind == "t5" else model
    compiled = torch.compile(run, backend="eager", fullgraph=True)
    wanted, found = run(**batch), compiled(**batch)
    assert found.keys() == wanted.keys() and torch.equal(found[0], wanted[0])
    torch._dynamo.reset()


def labels_of(task, ids):
    return {"ForQuestionAnswering": {"start_positions": torch.tensor([0, 1]), "end_positions": torch.tensor([2, 3])},
            "ForSequenceClassification": {"labels": torch.tensor([0, 1])},
            "ForTokenClassification": {"labels": ids % 2}}.get(task, {"labels": ids})


@pytest.mark.parametrize(("kind", "task"), [
    ("bert", "ForSequenceClassification"), ("gpt2", "WithLMHead"), ("bart", "ForSequenceClassification"),
    ("transfo-xl", "WithLMHead"), ("reformer", "WithLMHead")])
def test_compiled_as_a_whole_with_labels(kind, task):
    model = make(kind, task, **{"hash_seed": None} if kind == "reformer" else {})       # torch cannot compile a seed
    batch = inputs(kind, task)
    batch |= labels_of(task, batch["input_ids"])
    torch.manual_seed(0)
    found = torch.compile(model, backend="eager", fullgraph=True)(**batch)
    torch.manual_seed(0)
    torch.testing.assert_close(found.loss, model(**batch).loss)
    torch._dynamo.reset()


@each
@pytest.mark.parametrize("task", ["", "WithLMHead", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification",
                                  "ForQuestionAnswering"])
def test_arguments_without_a_name_have_the_order_of_the_body(kind, task):
    try:
        model = make(kind, task, **{"is_decoder": False} if (kind, task) == ("reformer", "ForMaskedLM") else {})
    except ValueError:
        return                                        # not every architecture has every head
    order = list(inspect.signature(model.base_model.forward).parameters)
    ids = inputs(kind)["input_ids"]
    given = {"input_ids": ids, "attention_mask": (ids != 0).long(), "token_type_ids": torch.full_like(ids, int(kind != "roberta")),
             "position_ids": torch.arange(LENGTH).flip(0)[None].expand_as(ids), "langs": torch.zeros_like(ids),
             "decoder_input_ids": ids.flip(1), "decoder_attention_mask": (ids != 0).long(), "head_mask": torch.tensor([1.0, 0.0, 1.0, 1.0])}
    values = [given.get(name) for name in order[:min(order.index(n) for n in ("use_cache", "use_mems", "output_attentions") if n in order)]]
    if kind == "t5" and task == "ForTokenClassification":
        values = values[:2]                           # only the encoder, which has nothing to write
    names = dict(zip(order, values, strict=False))
    torch.testing.assert_close(model(*values)[0], model(**names)[0])
    if task:
        labels = labels_of(task, ids)
        if task == "ForSequenceClassification" and kind in ("bart", "t5"):
            names["use_cache"] = False
        torch.testing.assert_close(model(*values, **labels)[0], model(**names, **labels)[0])
        with pytest.raises(TypeError, match=f"{type(model).__name__} was given input_ids twice"):
            model(*values, input_ids=ids)


def test_labels_come_last():
    model = make("bert", "ForTokenClassification")
    ids = inputs("bert")["input_ids"]
    assert torch.equal(model(ids, None, None, None, None, None, ids % 2).loss, model(ids, labels=ids % 2).loss)
    with pytest.raises(TypeError, match="was given 20 arguments: without their names it takes input_ids, attention_mask, token_type_ids"):
        model(*[None] * 20)


@pytest.mark.parametrize("kind", ["bert", "llama", "t5"])
@torch.no_grad()
def test_exported_for_batches_of_any_size(kind):
    """torch.export wants a tuple: return_dict=False, and no cache."""
    model, batch = make(kind, return_dict=False), padded(kind, "")
    if hasattr(model.config, "use_cache"):
        model.config.use_cache = False
    size = {0: torch.export.Dim("batch", max=64)}
    program = torch.export.export(model, (), batch, dynamic_shapes=dict.fromkeys(batch, size))
    other = padded(kind, "", rows=4)
    torch.testing.assert_close(program.module()(**other)[0], model(**other)[0])


# -- inputs that do not fit ----------------------------------------------------------------------------------------------------

IDS = torch.full((2, LENGTH), 5)
WRONG = {
    "ids above": ({"input_ids": IDS + 45}, IndexError, "input_ids holds 50, but this model knows the ids 0 to 49.*tokenizer and model"),
    "ids below": ({"input_ids": IDS - 9}, IndexError, "input_ids holds -4"),
    "a shorter mask": ({"attention_mask": torch.ones(2, 5)}, ValueError, r"shape \(2, 5\), the texts \(2, 12\).*same call"),
    "more masks": ({"attention_mask": torch.ones(3, LENGTH)}, ValueError, r"shape \(3, 12\), the texts \(2, 12\)"),
    "a flat mask": ({"attention_mask": torch.ones(LENGTH)}, ValueError, r"attention_mask.*shape \(12,\)"),
    "a mask of pairs": ({"attention_mask": torch.ones(2, 7, LENGTH)}, ValueError, r"attention_mask.*shape \(2, 7, 12\)"),
    "few heads": ({"head_mask": torch.ones(3)}, ValueError, r"head_mask must have the shape \(4,\) or .* = \(2, 4\), got \(3,\)"),
    "many layers": ({"head_mask": torch.ones(3, 4)}, ValueError, r"got \(3, 4\)"),
    "heads as a list": ({"head_mask": [1, 0, 1, 1]}, TypeError, "head_mask must be a tensor, got list"),
    "positions above": ({"position_ids": IDS + 90}, IndexError, "position_ids holds 9"),
    "few positions": ({"position_ids": IDS[:, :5]}, ValueError, r"position_ids has the shape \(2, 5\), the texts \(2, 12\)"),
    "types above": ({"token_type_ids": IDS + 90}, IndexError, "token_type_ids holds 95|ids from 95 to 95 .* the ids 0 to 49"),
    "more types": ({"token_type_ids": torch.cat([IDS, IDS])}, ValueError, r"token_type_ids has the shape \(4, 12\)"),
    "types as a list": ({"token_type_ids": [[0] * LENGTH] * 2}, TypeError, "token_type_ids must be a tensor, got list"),
    "labels above": ({"labels": IDS + 45}, (ValueError, IndexError), "labels holds 50"),
    "labels below": ({"labels": IDS - 7}, (ValueError, IndexError), "labels holds -2"),
    "few labels": ({"labels": IDS[:, :5]}, ValueError, r"labels has the shape \(2, 5\)"),
}


@each
def test_inputs_that_do_not_fit(kind):
    model, batch = make(kind), inputs(kind)
    for case, (changes, error, message) in WRONG.items():
        name = next(iter(changes))
        if name != "labels" and name not in inspect.signature(model.base_model.forward).parameters:
            error, message = (TypeError, ValueError), name            # what an architecture does not have
        elif (kind, case) in (("llama", "positions above"), ("qwen2", "positions above"), ("xlnet", "types above")):
            model(**batch | changes)          # angles exist for any position; XLNet only asks whether types are equal
            continue
        with pytest.raises(error) as caught:
            model(**batch | changes)
        assert re.search(message, str(caught.value)), f"{case}: {caught.value}"


@each
def test_texts_that_are_too_long(kind):
    model = make(kind)
    if (most := model.config.max_tokens) is None:
        return
    with pytest.raises(ValueError, match=f"the text has {most + 1} tokens and this model reads at most {most}: cut it"):
        model(**inputs(kind) | {"input_ids": torch.full((1, most + 1), 5)})


@pytest.mark.parametrize("kind", ["bart", "t5"])
def test_encoder_outputs_that_do_not_fit(kind):
    model = make(kind)
    ids = inputs(kind)["decoder_input_ids"]
    for states, mask in ((torch.ones(2, 9, 7), None), (torch.ones(3, 9, 16), None), (torch.ones(2, 9, 16), torch.ones(2, 5))):
        with pytest.raises(ValueError, match=r"encoder_outputs have the shape \(., 9, .*\), the decoder asks for \(2, ., 16\)"):
            model(encoder_outputs=(states,), decoder_input_ids=ids, attention_mask=mask)


@each
def test_checkpoints_that_do_not_fit(kind, tmp_path, caplog):
    """Weights of another architecture, one too few, one of another shape: an error that names both sides. Entries of no model:
    a warning."""
    from safetensors.torch import load_file, save_file

    model = make(kind)
    model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    theirs, ours = next((theirs, ours) for ours, theirs in their_names(model).items()
                        if theirs in weights and weights[theirs].dim() == 1 and ".0." in ours)
    other = make("bert" if kind != "bert" else "gpt2")
    other.save_pretrained(tmp_path / "other")
    for changed, message in (
            ({name: value for name, value in weights.items() if name != theirs}, f"lacks '{ours}'.*'{theirs}' in the file"),
            (weights | {theirs: torch.ones(3)}, rf"{ours} has the shape \(3,\) in .* and \(\d+,\) in {type(model).__name__}"),
            (load_file(tmp_path / "other/model.safetensors"), f"lacks .*which {type(model).__name__} has no place for.*a '{kind}' model")):
        save_file(changed, file)
        with pytest.raises(ValueError, match=message):
            type(model).from_pretrained(tmp_path)
    save_file(weights | {"loss_fct.weight": torch.ones(3), "crf.transitions": torch.ones(2, 2)}, file)
    caplog.clear()
    type(model).from_pretrained(tmp_path)
    assert len(caplog.records) == 1 and "'crf.transitions', 'loss_fct.weight'" in caplog.text


@pytest.mark.parametrize("kind", ["openai-gpt", "gpt2", "ctrl", "bart", "transfo-xl"])
def test_a_recorded_computation_gives_the_same_numbers(kind):
    """torch.jit.trace. Reformer's layers are a function with gradients of its own, which cannot be recorded."""
    model, batch = make(kind), inputs(kind)
    model.config.return_dict = model.config.use_cache = model.config.use_mems_eval = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")               # of torch, about traces in general
        traced = torch.jit.trace(model, example_kwarg_inputs=dict(batch), strict=False)
    torch.testing.assert_close(traced(**batch)[0], model(**batch)[0])
