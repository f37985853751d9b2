"""LoRA: what is trained, what it costs, what is saved."""

import json

import pytest
import tiny
import torch
from torch import nn

import course


@pytest.fixture
def base(tmp_path):
    tiny.save(tmp_path / "base")
    return tmp_path / "base"


def load(base, task="ForSequenceClassification", **more):
    return getattr(course, f"AutoModel{task}").from_pretrained(base, **more)


def spoil(model):
    """An adapter that has learned something."""
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(0.3 * torch.randn_like(p))
    return model.eval()


def test_it_starts_as_the_model_it_was_added_to(base, batch):
    plain, model = load(base), course.add_lora(load(base), rank=3)
    assert torch.equal(plain(**batch).logits, model.eval()(**batch).logits)
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert {n.split(".")[-2] for n in trained if "lora" in n} == {"q", "v"}
    assert {n for n in trained if "lora" not in n} == {"bert.pooler.weight", "bert.pooler.bias", "classifier.weight", "classifier.bias"}


def test_frozen_parts_get_no_gradients_and_the_rest_learns(base, batch):
    model = course.add_lora(load(base), rank=2, targets="all", dropout=0.1).train()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer = course.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(2):                                # at first B is zero, and A gets no gradient
        model(**batch, labels=torch.tensor([0, 1, 0])).loss.backward()
        optimizer.step()
    for name, p in model.named_parameters():
        assert (p.grad is None) == (not p.requires_grad) and torch.equal(p, before[name]) == (not p.requires_grad), name
    assert sum(isinstance(m, nn.Linear) and hasattr(m, "lora_A") for m in model.modules()) == 12


@pytest.mark.parametrize("targets", [("q", "v"), ["query", "output.dense"], "all"])
def test_saved_read_and_merged_it_is_the_same(tmp_path, base, batch, targets):
    model = spoil(course.add_lora(load(base), rank=3, alpha=5, targets=targets))
    model.save_pretrained(tmp_path / "adapter")
    assert {p.name for p in (tmp_path / "adapter").iterdir()} == {"adapter_config.json", "adapter_model.safetensors", "config.json"}
    logits = model(**batch).logits
    again = load(tmp_path / "adapter")
    assert torch.allclose(again(**batch).logits, logits, atol=1e-4)
    merged = course.merge_lora(model)
    assert torch.allclose(merged(**batch).logits, logits, atol=1e-4) and merged is model
    assert all(type(m) is not course.lora.LoRALinear and p.requires_grad for m in merged.modules() for p in m.parameters())
    merged.save_pretrained(tmp_path / "whole")
    assert torch.allclose(load(tmp_path / "whole")(**batch).logits, logits, atol=1e-4)
    settings = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == str(base) and settings["modules_to_save"] == ["classifier", "pooler"]
    assert (settings["r"], settings["lora_alpha"]) == (3, 5)


def test_the_trainer_saves_and_resumes_the_adapter_alone(tmp_path, base):
    def make(folder):
        torch.manual_seed(0)
        model = course.add_lora(load(base), rank=2, dropout=0.1)
        args = course.TrainingArguments(str(folder), max_steps=6, save_steps=2, logging_steps=1, use_cpu=True, report_to="none",
                                        disable_tqdm=True, per_device_train_batch_size=2, learning_rate=1e-2)
        rows = [dict(tiny.tokenizer()(text)) | {"label": i % 2} for i, text in enumerate(["good", "not bad", "the vote", "new"])]
        return course.Trainer(model, args, train_dataset=rows, processing_class=tiny.tokenizer())
    whole, again = make(tmp_path / "whole"), make(tmp_path / "again")
    whole.train()
    assert not (tmp_path / "whole/checkpoint-2/model.safetensors").exists()
    again.train(resume_from_checkpoint=str(tmp_path / "whole/checkpoint-2"))
    assert all(torch.equal(p, q) for p, q in zip(whole.model.parameters(), again.model.parameters(), strict=True))
    frozen = dict(load(base).named_parameters())
    assert all(torch.equal(p, frozen[n]) for n, p in whole.model.named_parameters() if not p.requires_grad)


def test_what_makes_no_sense_is_said(tmp_path, base):
    with pytest.raises(ValueError, match="no linear layer .* is called qurey; they end in .*k, out, q"):
        course.add_lora(load(base), targets=["qurey"])
    model = course.add_lora(load(base))
    with pytest.raises(ValueError, match="has an adapter already"):
        course.add_lora(model)
    with pytest.raises(ValueError, match="rank must be a whole number above 0"):
        course.add_lora(load(base), rank=0)
    nameless = course.add_lora(tiny.model())
    with pytest.raises(ValueError, match="names the model that it belongs to"):
        nameless.save_pretrained(tmp_path / "no")
    gpt2 = course.GPT2LMHeadModel(course.GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2))
    with pytest.raises(ValueError, match="stored together with other weights"):
        course.add_lora(gpt2)


def test_of_a_language_model_the_adapter_alone_is_trained(tmp_path):
    config = course.LlamaConfig(vocab_size=30, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12)
    course.LlamaForCausalLM(config).save_pretrained(tmp_path / "llama")
    model = course.add_lora(course.LlamaForCausalLM.from_pretrained(tmp_path / "llama"), targets=["q_proj", "v_proj"])
    assert all("lora" in n for n, p in model.named_parameters() if p.requires_grad)
    spoil(model).save_pretrained(tmp_path / "adapter")
    ids = torch.tensor([[3, 4, 5]])
    again = course.LlamaForCausalLM.from_pretrained(tmp_path / "adapter")
    assert torch.allclose(again(ids).logits, model(ids).logits, atol=1e-5)
