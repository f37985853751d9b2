"""The models of the package that write: translator, summarizer, generator. Whole, small, documented, calm about bad input."""
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from course import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, pipeline, set_seed

POCKET = Path(__file__).parents[2] / "course" / "pocket"
KINDS = {"translator": AutoModelForSeq2SeqLM, "summarizer": AutoModelForSeq2SeqLM, "generator": AutoModelForCausalLM}
NAMES = [name for name in KINDS if (POCKET / name / "config.json").exists()]
BAD = ["Das ist kein Englisch, und das Modell hat es nie gelesen.", "WHAT IS THIS?!", "😀🎉", "Nguyễn Thị Lan and Oluwaseun Adeyemi",
       "?", "これは日本語です。"]


@pytest.fixture(scope="module")
def loaded():
    return {name: (AutoTokenizer.from_pretrained(f"pocket/{name}"), KINDS[name].from_pretrained(f"pocket/{name}").eval())
            for name in NAMES}


def write(loaded, name: str, text: str, **options) -> str:
    tokenizer, model = loaded[name]
    ids = tokenizer(text, return_tensors="pt", truncation=True, max_length=200)
    with torch.inference_mode():
        found = model.generate(**ids, **options)[0]
    return tokenizer.decode(found, skip_special_tokens=True)


@pytest.mark.parametrize("name", NAMES)
def test_files_are_whole_small_and_in_half_precision(name):
    folder = POCKET / name
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size <= 10e6, f"{size / 1e6:.1f} MB"
    assert {"config.json", "generation_config.json", "tokenizer.json", "README.md", "scores.json", "training.json"} <= {
        path.name for path in folder.iterdir()}
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        for key in file.keys():  # noqa: SIM118 - not a dict
            value = file.get_tensor(key)
            assert value.dtype == torch.float16 and torch.isfinite(value).all(), key


@pytest.mark.parametrize("name", NAMES)
def test_loading_gives_float32_and_both_engines_read_alike(name, loaded):
    tokenizer, model = loaded[name]
    assert model.dtype == torch.float32 and len(tokenizer) == model.config.vocab_size
    slow = AutoTokenizer.from_pretrained(f"pocket/{name}", use_fast=False)
    for text in ["Tom didn't say what he wanted, did he?", *BAD]:
        assert slow(text)["input_ids"] == tokenizer(text)["input_ids"], text


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_what_a_user_must_know_and_what_was_measured(name):
    from recipes.common import card
    text = (POCKET / name / "README.md").read_text(encoding="utf-8")
    for part in ("license:", "pipeline_tag:", "## Training", "## Scores", "## What it cannot do", "**Misuse:**", "seed", "gets wrong",
                 f"python -m recipes.{name}"):
        assert part in text, part
    assert text == card(name, POCKET / name)


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_gives_a_text_and_no_crash(name, loaded):
    for text in BAD:
        options = {"max_new_tokens": 12, "do_sample": False} if name == "generator" else {"max_length": 12, "num_beams": 1}
        assert isinstance(write(loaded, name, text, **options), str)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "generator"])
def test_what_is_written_does_not_depend_on_the_neighbours_in_a_batch(name, loaded):
    tokenizer, model = loaded[name]
    texts = ["I like it.", "The old man who lived next door asked us whether we wanted to see his garden."]
    alone = [write(loaded, name, text, max_length=20) for text in texts]
    with torch.inference_mode():
        rows = model.generate(**tokenizer(texts, padding=True, return_tensors="pt"), max_length=20)
    assert [tokenizer.decode(row, skip_special_tokens=True) for row in rows] == alone


@pytest.mark.skipif("translator" not in NAMES, reason="needs pocket/translator")
def test_the_translator_knows_plain_sentences(loaded):
    assert pipeline("translation_en_to_de")("I am tired.") == [{"translation_text": "Ich bin müde."}]
    with pytest.raises(ValueError, match="translation_en_to_de"):
        pipeline("translation_de_to_en")("Ich bin müde.")
    assert "Tom" in write(loaded, "translator", "Tom is not here.")


def scores(name: str) -> dict:
    return json.loads((POCKET / name / "scores.json").read_text(encoding="utf-8"))


def test_the_translator_meets_its_bar():
    assert scores("translator")["bleu"][0] >= 32


@pytest.mark.xfail(strict=True, reason="below its bar, as its card says: delete the mark when a better model meets it")
def test_the_summarizer_is_better_than_the_first_sentence_on_two_of_three():
    found = scores("summarizer")
    better = [all(found[f"{text}_{kind}"][0] > found[f"{text}_lead_{kind}"][0] for kind in ("rouge1", "rougeL"))
              for text in ("scitldr_dev", "petitions", "news_briefs")]
    assert sum(better) >= 2


def test_the_generator_needs_fewer_bits_than_5_grams():
    found = scores("generator")
    assert all(found[text][0] < found[f"{text}_5gram"][0] for text in (
        "wikitext2_valid", "fairytales_valid", "state_of_the_union_last_tenth"))


@pytest.mark.skipif("summarizer" not in NAMES, reason="needs pocket/summarizer")
def test_the_summarizer_is_shorter_than_the_text_and_takes_words_from_it(loaded):
    text = ("The council wants to close the swimming pool in the summer. The building is forty years old and its roof leaks. "
            "A repair would cost three million pounds. More than two thousand people have signed a petition against the plan. "
            "The decision is expected in May.")
    found = write(loaded, "summarizer", text)
    words = found.lower().split()
    assert 0 < len(words) < 40
    assert sum(word in text.lower() for word in words) >= 0.6 * len(words), found


@pytest.mark.skipif("generator" not in NAMES, reason="needs pocket/generator")
def test_the_generator_goes_on_and_refuses_what_is_too_long(loaded):
    tokenizer, model = loaded["generator"]
    set_seed(0)
    ids = tokenizer("Once upon a time there was", return_tensors="pt")
    found = model.generate(**ids, max_new_tokens=20, do_sample=True, top_k=20)
    assert found.shape[1] > ids["input_ids"].shape[1]
    nats = model(**ids, labels=ids["input_ids"]).loss
    shuffled = ids["input_ids"][:, torch.randperm(ids["input_ids"].shape[1])]
    assert nats < model(shuffled, labels=shuffled).loss
    with pytest.raises(ValueError, match="256"):
        model.generate(tokenizer("word " * 5000, return_tensors="pt")["input_ids"], max_new_tokens=5)
