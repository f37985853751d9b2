"""The Trainer beside that of transformers: 50 losses one by one; LoRA adapters beside the library PEFT."""

from itertools import pairwise

import pytest
import torch

import course

transformers = pytest.importorskip("transformers", reason="transformers is not installed here")
pytest.importorskip("accelerate", reason="accelerate is not installed here")

SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
         "max_position_embeddings": 32, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "num_labels": 3}


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    transformers.BertForSequenceClassification(transformers.BertConfig(**SIZES)).save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def rows(tokens=False):
    generator = torch.Generator().manual_seed(1)
    made = []
    for i in range(100):
        ids = torch.randint(4, 60, (12,), generator=generator)
        labels = torch.where(ids % 4 == 0, -100, ids % 3) if tokens else int(ids.sum()) % 3
        made.append({"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels, "number": i})
    return made


def trace(library, folder, where, tokens=False, **settings):
    """The loss of each step, as the callbacks see it."""
    kind = "BertForTokenClassification" if tokens else "BertForSequenceClassification"
    model = getattr(library, kind).from_pretrained(folder, num_labels=3)
    if tokens:                                        # the head is new: the same one for both
        with torch.no_grad():
            generator = torch.Generator().manual_seed(2)
            model.classifier.weight.copy_(0.1 * torch.randn(3, 32, generator=generator))
    args = library.TrainingArguments(**{
        "output_dir": str(where), "per_device_train_batch_size": 8, "max_steps": 50, "learning_rate": 3e-3, "use_cpu": True,
        "logging_steps": 1, "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "seed": 7, "group_by_length": False}
        | settings)
    losses = []

    class Watched(library.Trainer):                   # the log of transformers rounds to four digits
        def training_step(self, *args, **kwargs):
            found = super().training_step(*args, **kwargs)
            losses.append(float(found[0] if isinstance(found, tuple) else found))
            return found

    class Ends(library.TrainerCallback):              # theirs is called for every batch, ours for every step
        def on_step_end(self, *args, **kwargs):
            ends.append(len(losses))
    ends = [0]
    trainer = Watched(model, args, train_dataset=rows(tokens), eval_dataset=rows(tokens)[:30], callbacks=[Ends()])
    trainer.train()
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    return ([sum(losses[a:b]) for a, b in pairwise(ends)], [entry["learning_rate"] for entry in history],
            [float(entry["grad_norm"]) for entry in history if "grad_norm" in entry], trainer.evaluate()["eval_loss"])


@pytest.mark.parametrize("settings", [
    {}, {"gradient_accumulation_steps": 2}, {"max_grad_norm": 0.05}, {"label_smoothing_factor": 0.2},
    {"warmup_steps": 10, "weight_decay": 0.3}, {"warmup_ratio": 0.2, "lr_scheduler_type": "cosine"},
    {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"power": 2.0}, "adam_beta2": 0.95, "adam_epsilon": 1e-6},
    {"tokens": True}], ids=str)
def test_fifty_losses(folder, tmp_path, settings):
    """The same examples in the same order; 1e-4 is the promise, and what differs is the order of sums."""
    ours, theirs = (trace(library, folder, tmp_path / library.__name__, **settings) for library in (course, transformers))
    assert len(set(ours[0])) == 50
    several = settings.get("gradient_accumulation_steps", 1)
    # transformers takes the sum, not the mean, of the losses of accumulated batches where the model takes any keyword
    scale = 1 if abs(theirs[0][0] / ours[0][0] - 1) < 0.1 else several
    assert ours[0] == pytest.approx([loss / scale for loss in theirs[0]], abs=1e-4)
    assert ours[1] == pytest.approx(theirs[1], abs=1e-9)
    assert ours[3] == pytest.approx(theirs[3], abs=1e-4)
    if several == 1:
        assert ours[2] == pytest.approx(theirs[2], rel=2e-2)


@pytest.mark.parametrize("targets", [("q", "v"), "all"])
def test_peft_reads_the_adapter(folder, tmp_path, targets):
    peft = pytest.importorskip("peft", reason="peft is not installed here")
    model = course.add_lora(course.AutoModelForSequenceClassification.from_pretrained(folder), rank=4, alpha=10, targets=targets)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(0.2 * torch.randn_like(p))
    model.eval().save_pretrained(tmp_path / "adapter")
    theirs = peft.PeftModel.from_pretrained(
        transformers.AutoModelForSequenceClassification.from_pretrained(folder), str(tmp_path / "adapter")).eval()
    batch = {"input_ids": torch.randint(4, 60, (3, 9)), "attention_mask": torch.ones(3, 9, dtype=torch.long)}
    with torch.no_grad():
        expected = theirs(**batch).logits
        assert torch.allclose(model(**batch).logits, expected, atol=1e-5)
        again = course.AutoModelForSequenceClassification.from_pretrained(tmp_path / "adapter")
        assert torch.allclose(again(**batch).logits, expected, atol=1e-5)


def test_an_adapter_of_peft_is_trained_alike(folder, tmp_path):
    """The same start, five steps of the same optimizer, the same adapter."""
    peft = pytest.importorskip("peft", reason="peft is not installed here")
    config = peft.LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=8, target_modules=["query", "value"])
    theirs = peft.get_peft_model(transformers.AutoModelForSequenceClassification.from_pretrained(folder), config)
    ours = course.add_lora(course.AutoModelForSequenceClassification.from_pretrained(folder), rank=4, alpha=8)
    ours.bert.pooler.requires_grad_(False)
    named = dict(theirs.named_parameters())
    from course.lora import adapter_weights
    with torch.no_grad():
        for name, value in adapter_weights(ours).items():
            name = name.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default.")
            other = named.get(name, named.get(name.replace("classifier.", "classifier.modules_to_save.default.")))
            if other is not None:
                value.copy_(other)
    batch = {"input_ids": torch.randint(4, 60, (6, 9)), "labels": torch.tensor([0, 1, 2] * 2)}
    losses = []
    for model in (ours, theirs):
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
        losses.append([])
        for _ in range(5):
            loss = model.train()(**batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses[-1].append(loss.item())
    assert losses[0] == pytest.approx(losses[1], abs=1e-5) and losses[0][-1] < losses[0][0]
