"""The pocket models are ordinary checkpoints: transformers, with PEFT for the adapters, loads them with the same numbers."""
import json
from pathlib import Path

import pytest
import torch

import course

transformers = pytest.importorskip("transformers", reason="transformers 4.57.6 is not installed")
POCKET = Path(course.__file__).parent / "pocket"
WHOLE = sorted(path.parent for path in POCKET.glob("*/config.json") if not (path.parent / "adapter_config.json").exists()
               and json.loads(path.read_text(encoding="utf-8"))["model_type"] == "bert")
ADAPTERS = sorted(path.parent for path in POCKET.glob("*/adapter_config.json"))
TEXTS = ["Not bad at all.", "In May the World Bank opened an office in Nairobi, said Amina Okafor.", "Who? 👍 ÉCOLE"]


@pytest.mark.parametrize("folder", ADAPTERS, ids=lambda path: path.name)
def test_peft_adds_an_adapter_to_the_encoder_as_course_does(folder):
    peft = pytest.importorskip("peft", reason="peft is not installed")
    settings = json.loads((folder / "config.json").read_text())
    kind = settings["architectures"][0]
    config = transformers.AutoConfig.from_pretrained(folder)
    base = getattr(transformers, kind).from_pretrained(POCKET / "encoder", config=config)
    # merged: PEFT's own forward for question answering does not hand token_type_ids on
    theirs = peft.PeftModel.from_pretrained(base.float(), folder).merge_and_unload().eval()
    ours = getattr(course, kind).from_pretrained(str(folder)).float().eval()
    words = [course.AutoTokenizer.from_pretrained(str(folder)), transformers.AutoTokenizer.from_pretrained(folder)]
    batches = [tokenizer(TEXTS, TEXTS[::-1], padding=True, return_tensors="pt") for tokenizer in words]
    for name, ids in batches[0].items():
        assert torch.equal(ids, batches[1][name]), name
    with torch.inference_mode():
        a, b = ours(**batches[0]), theirs(**batches[1])
    for name in ("logits", "start_logits", "end_logits"):
        if name in b:
            assert torch.allclose(a[name], b[name], atol=2e-4), name
            assert a[name].std() > 0.1
    assert theirs.config.id2label == ours.config.id2label


@pytest.mark.parametrize("folder", WHOLE, ids=lambda path: path.name)
def test_transformers_loads_a_whole_folder(folder):
    kind = json.loads((folder / "config.json").read_text())["architectures"][0]
    theirs = getattr(transformers, kind).from_pretrained(folder).float().eval()
    ours = getattr(course, kind).from_pretrained(str(folder)).float().eval()
    batch, other = (package.AutoTokenizer.from_pretrained(str(folder))(TEXTS, padding=True, return_tensors="pt")
                    for package in (course, transformers))
    assert torch.equal(batch["input_ids"], other["input_ids"])
    with torch.inference_mode():
        assert torch.allclose(ours(**batch).logits, theirs(**other).logits, atol=2e-4)
    assert theirs.config.id2label == ours.config.id2label
