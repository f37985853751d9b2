"""Schedules, parameter groups and collators beside those of transformers."""

import pytest
import torch
from torch import nn

import course

transformers = pytest.importorskip("transformers", reason="transformers is not installed here")

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh", *(f"##{x}" for x in "abcdefgh")]
TEXTS = ["abc de f", "h", "a bcd efgh gfe dcba", "ab ab cd"]


@pytest.fixture
def tokenizers(tmp_path):
    (tmp_path / "vocab.txt").write_text("".join(f"{piece}\n" for piece in VOCAB))
    return [library.BertTokenizerFast(vocab_file=str(tmp_path / "vocab.txt")) for library in (course, transformers)]


@pytest.mark.parametrize(("name", "options"), [
    ("constant", {}), ("constant_with_warmup", {}), ("linear", {}), ("cosine", {}), ("cosine", {"num_cycles": 1.3}),
    ("cosine_with_restarts", {"num_cycles": 3}), ("polynomial", {}), ("polynomial", {"power": 2.5, "lr_end": 1e-3}),
    ("inverse_sqrt", {}), ("inverse_sqrt", {"timescale": 7})])
@pytest.mark.parametrize(("warmup", "total"), [(0, 12), (5, 23), (9, 10)])
def test_schedules(name, options, warmup, total):
    traces = []
    for library in (course, transformers):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
        if name == "inverse_sqrt":                    # transformers forgets the options of this one
            scheduler = getattr(library, "optimization", library).get_inverse_sqrt_schedule(optimizer, warmup, **options)
        else:
            scheduler = library.get_scheduler(name, optimizer, warmup, total, scheduler_specific_kwargs=options)
        traces.append([])
        for _ in range(total + 1):
            traces[-1].append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
    assert traces[0] == pytest.approx(traces[1], abs=1e-12)


@pytest.mark.parametrize("kind", ["bert", "t5", "llama", "xlnet", "gpt2"])
def test_parameter_groups(kind, tmp_path):
    """The same number of weights shrink as in transformers' Trainer."""
    from transformers.trainer import Trainer

    sizes = {"bert": {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12, "num_hidden_layers": 2},
             "t5": {"d_model": 8, "num_heads": 2, "d_kv": 4, "d_ff": 12, "num_layers": 2},
             "llama": {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12, "num_hidden_layers": 2},
             "xlnet": {"d_model": 8, "n_head": 2, "d_inner": 12, "n_layer": 2},
             "gpt2": {"n_embd": 8, "n_head": 2, "n_layer": 2}}[kind] | {"vocab_size": 30}
    theirs = transformers.AutoModelForSequenceClassification.from_config(transformers.AutoConfig.for_model(kind, **sizes))
    theirs.save_pretrained(tmp_path)
    ours = course.AutoModelForSequenceClassification.from_pretrained(str(tmp_path))
    names = Trainer.get_decay_parameter_names(None, theirs)
    expected = sum(p.numel() for n, p in theirs.named_parameters() if n in names)
    decayed, kept = course.parameter_groups(ours)
    assert sum(p.numel() for p in decayed["params"]) == expected
    assert sum(p.numel() for p in kept["params"]) == sum(p.numel() for p in theirs.parameters()) - expected


@pytest.mark.parametrize("side", ["right", "left"])
def test_collators(tokenizers, side):
    batches = {}
    for library, tokenizer in zip((course, transformers), tokenizers, strict=True):
        tokenizer.padding_side = side
        rows = [dict(tokenizer(text)) for text in TEXTS]
        tokens = [row | {"labels": [n % 4 for n in row["input_ids"]]} for row in rows]
        for name, collator, features in (
                ("padding", library.DataCollatorWithPadding(tokenizer, pad_to_multiple_of=4), [r | {"label": 1} for r in rows]),
                ("tokens", library.DataCollatorForTokenClassification(tokenizer), tokens),
                ("seq2seq", library.DataCollatorForSeq2Seq(tokenizer), [r | {"labels": [3] * n} for n, r in enumerate(rows, 1)]),
                ("causal", library.DataCollatorForLanguageModeling(tokenizer, mlm=False), rows),
                ("masked", library.DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.4), rows),
                ("no random words", library.DataCollatorForLanguageModeling(
                    tokenizer, mlm_probability=0.4, mask_replace_prob=0.7, random_replace_prob=0.0), rows)):
            torch.manual_seed(3)
            batches.setdefault(name, []).append(collator(features))
        batches.setdefault("plain", []).append(library.default_data_collator([{"input_ids": [1, 2], "label": 1.5}] * 2))
    for name, (ours, theirs) in batches.items():
        assert set(ours) == set(theirs), name
        assert all(torch.equal(ours[key], theirs[key]) and ours[key].dtype == theirs[key].dtype for key in ours), name
