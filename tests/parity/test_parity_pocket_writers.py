"""translator, summarizer and generator are ordinary checkpoints: transformers loads them, reads and writes the same."""
from pathlib import Path

import pytest
import torch

import course

transformers = pytest.importorskip("transformers", reason="transformers 4.57.6 is not installed")
POCKET = Path(course.__file__).parent / "pocket"
TEXTS = ["Tom didn't know what he wanted.", "The council of Nairobi opened a new office, said Amina Okafor.", "WHO? 👍 École, 37 %"]
KINDS = {"translator": "AutoModelForSeq2SeqLM", "summarizer": "AutoModelForSeq2SeqLM", "generator": "AutoModelForCausalLM"}
NAMES = [name for name in KINDS if (POCKET / name / "config.json").exists()]


@pytest.mark.parametrize("name", NAMES)
def test_transformers_reads_and_writes_the_same(name):
    folder = str(POCKET / name)
    ours, theirs = (getattr(library, KINDS[name]).from_pretrained(folder).float().eval() for library in (course, transformers))
    words = [library.AutoTokenizer.from_pretrained(folder) for library in (course, transformers)]
    for text in TEXTS:
        ids = [tokenizer(text, return_tensors="pt")["input_ids"] for tokenizer in words]
        assert torch.equal(*ids), text
        more = {} if name == "generator" else {"decoder_input_ids": ids[0][:, :6]}
        with torch.inference_mode():
            a, b = (model(ids[0], **more).logits for model in (ours, theirs))
            assert torch.allclose(a, b, atol=2e-4), text
            rows = [model.generate(ids[0], do_sample=False, max_new_tokens=12, attention_mask=torch.ones_like(ids[0]),
                                   **({"pad_token_id": 0} if name == "generator" else {})) for model in (ours, theirs)]
        assert torch.equal(*rows), text
        assert words[0].decode(rows[0][0], skip_special_tokens=True) == words[1].decode(rows[1][0], skip_special_tokens=True)
