"""The models that ship with the package: whole, small, documented, and right on plain cases."""
import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from course import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer

ROOT = Path(__file__).parents[2]
POCKET = ROOT / "course" / "pocket"
FOLDERS = sorted(path.parent for path in POCKET.glob("*/config.json")            # those that write: test_pocket_writers.py
                 if json.loads(path.read_text(encoding="utf-8"))["model_type"] == "bert")
NAMES = [path.name for path in FOLDERS]


def table(name: str) -> list[dict[str, str]]:
    with open(ROOT / "recipes" / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def scores(name: str) -> dict:
    return json.loads((POCKET / name / "scores.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def encoder():
    return AutoTokenizer.from_pretrained("pocket/encoder"), AutoModelForMaskedLM.from_pretrained("pocket/encoder")


@pytest.fixture(scope="module")
def sentiment():
    return AutoTokenizer.from_pretrained("pocket/sentiment"), AutoModelForSequenceClassification.from_pretrained(
        "pocket/sentiment")


def embed(encoder, texts: list[str]) -> torch.Tensor:
    tokenizer, model = encoder
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = model.base_model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)


def test_the_two_models_of_the_tour_are_there():
    assert {"encoder", "sentiment"} <= set(NAMES)


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_files_are_whole(folder):
    files = {path.name for path in folder.iterdir()}
    assert {"config.json", "vocab.txt", "tokenizer_config.json", "README.md", "scores.json"} <= files
    weights = [path for path in folder.iterdir() if path.suffix == ".safetensors"]
    assert len(weights) == 1
    with safe_open(weights[0], framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 - not a dict
            value = file.get_tensor(name)
            assert value.dtype == torch.float16, name
            assert torch.isfinite(value.float()).all(), name
    settings = json.loads((folder / "config.json").read_text())
    assert settings["model_type"] == "bert" and settings["architectures"]
    assert len((folder / "vocab.txt").read_text(encoding="utf-8").splitlines()) == settings["vocab_size"]


def test_sizes_are_within_the_budget():
    size = {path.name: sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) for path in POCKET.iterdir()}
    assert sum(size.values()) <= 90e6
    assert size["encoder"] <= 30e6
    assert size["sentiment"] <= 3e6


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_model_card_says_what_a_user_must_know(folder):
    card = (folder / "README.md").read_text(encoding="utf-8")
    head = card.split("---")[1]
    assert {"license", "language", "base_model", "pipeline_tag"} <= {line.split(":")[0] for line in head.split("\n")}
    for part in ("## Training", "## Scores", "## What it cannot do", "Apache-2.0", "CC BY", "seed", "python -m recipes.", "**Misuse:**",
                 "it gets wrong"):
        assert part in card, part
    assert "{" not in card, "a figure was not filled in"


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_a_card_says_what_its_scores_say_and_another_figure_is_found(folder, monkeypatch, tmp_path):
    from recipes.evaluate import differences, figures
    found = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    assert differences(folder.name, folder, found) == []
    copy = shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("*.safetensors"))
    shutil.copy(next(folder.glob("*.safetensors")), copy)
    name, value, error = next(figure for figure in figures(found) if figure[2] is not None)
    changed = json.loads(json.dumps(found).replace(json.dumps([value, error]), json.dumps([value - 0.05, error])))
    assert differences(folder.name, folder, changed)[0].startswith(f"{folder.name}: {name} is")
    card = copy / "README.md"
    card.write_text(card.read_text(encoding="utf-8").replace("## Scores", "## Scores of yesterday"), encoding="utf-8")
    assert "README.md is not what" in differences(folder.name, copy, found)[0]


def test_vocabulary_begins_with_the_special_tokens_and_spells_every_english_word(encoder):
    tokenizer, _ = encoder
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3, 4]) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    text = "Zyxwvutsrq-ponmlkjihgfedcba's café naïve Straße 0123456789 – “quote” … € § & @ # % ~"
    assert "[UNK]" not in tokenizer.tokenize(text)
    assert tokenizer.tokenize("umbrella democracy teacher") == ["umbrella", "democracy", "teacher"]


def test_the_everyday_blanks_of_the_card(encoder):
    tokenizer, model = encoder
    right = 0
    for row in table("everyday_blanks.tsv"):
        batch = tokenizer(row["sentence"], return_tensors="pt")
        with torch.inference_mode():
            logits = model(**batch).logits[batch["input_ids"] == tokenizer.mask_token_id][0]
        right += tokenizer.convert_ids_to_tokens(logits.argmax().item()) in row["sensible"].split()
    assert right == scores("encoder")["everyday_blanks_sensible"]


def test_most_everyday_blanks_get_a_sensible_word():
    assert scores("encoder")["everyday_blanks_sensible"] > 10


def test_blanks_beat_the_unigram_baseline():
    for name, found in scores("encoder")["masked_tokens"].items():
        assert found["top1"] > 2 * found["unigram_top1"], name
        assert found["top5"] > 1.5 * found["unigram_top5"], name


def test_embeddings_know_what_is_alike(encoder):
    same, other, far = (float(pair[0] @ pair[1]) for pair in (
        embed(encoder, ["A man is playing a guitar.", "Somebody plays the guitar."]),
        embed(encoder, ["A man is playing a guitar.", "A woman is listening to music."]),
        embed(encoder, ["A man is playing a guitar.", "Parliament voted against the tax."])))
    assert same > 0.7 and same > other > far and far < 0.35


def test_sentiment_labels(sentiment):
    assert sentiment[1].config.id2label == {0: "NEGATIVE", 1: "POSITIVE"}
    assert sentiment[1].config.label2id == {"NEGATIVE": 0, "POSITIVE": 1}


def test_sentiment_is_right_on_everyday_sentences_with_negation(sentiment):
    tokenizer, model = sentiment
    rows = [row for row in table("everyday_sentiment.tsv") if row["expected"] != "NEUTRAL"]
    batch = tokenizer([row["sentence"] for row in rows], padding=True, return_tensors="pt")
    with torch.inference_mode():
        answers = [model.config.id2label[i] for i in model(**batch).logits.argmax(-1).tolist()]
    wrong = [row["sentence"] for row, answer in zip(rows, answers, strict=True) if answer != row["expected"]]
    assert len(wrong) <= 0.15 * len(rows), wrong
    assert not {"Not bad at all.", "I don't hate it.", "I love this course."} & set(wrong)


def test_the_accuracy_of_the_card():
    from recipes.common import chances
    from recipes.sentiment import labelled
    path = ROOT.parent / "shared" / "data" / "sentiment" / "sst2_dev.tsv"
    if not path.exists():
        pytest.skip("needs the course's data folder ../shared/data (sst2_dev.tsv)")
    rows = labelled(path)
    right = (chances(POCKET / "sentiment", [text for text, _ in rows])[:, 1] > 0.5) == [label for _, label in rows]
    assert right.mean() == pytest.approx(scores("sentiment")["sst2_dev_accuracy"][0], abs=0.005)


@pytest.mark.parametrize(("name", "score", "least"), [
    ("sentiment", "sst2_dev_accuracy", 0.86), ("paraphrase", "stsb_dev_accuracy", 0.90), ("ner", "wikigold_dev_f1", 0.65),
    ("qa", "squad_dev_f1", 0.70), ("qa", "refused_other_article", 0.60), ("nli", "three_way", 0.72)])
def test_a_model_is_not_replaced_by_a_worse_one(name, score, least):
    assert scores(name)[score][0] >= least


@pytest.mark.xfail(strict=True, reason="below its bar, as its card says: delete the line when a better model meets it")
@pytest.mark.parametrize(("name", "score", "bar"), [
    ("sentiment", "sst2_dev_accuracy", 0.88), ("ner", "wikigold_dev_f1", 0.80)])
def test_a_model_meets_its_bar(name, score, bar):
    assert scores(name)[score][0] >= bar


# ---------------------------------------------------------------- what the recipes share

def test_the_guard_stops_a_run_that_would_train_on_a_sentence_kept_for_evaluation():
    from recipes.common import Guard, Leak
    kept = "The plot wanders about for two hours and never finds its way back to the harbour ."
    guard = Guard({"kept": [kept, "Not bad at all.", "Great fun!"]})
    fine = ["The plot of land behind the harbour was sold for two thousand pounds.", "This was great fun!", "Not bad."]
    guard.check(fine)
    for planted in (kept, kept.upper().replace(" .", "!"), f"My review. {kept} So I left before the end of it all.",
                    "the plot wanders about for two hours and never finds its way home", "great fun",
                    "wanders about for two hours and never finds its way back"):
        with pytest.raises(Leak, match="kept"):
            guard.check([*fine, planted])
        assert guard.clean([*fine, planted]) == fine


def test_a_run_asks_the_guard_before_its_first_step(tmp_path):
    from argparse import Namespace

    from recipes.common import Guard, Leak, train
    model = torch.nn.Linear(2, 1)
    args = Namespace(lr=0.1, warm=1, minutes=0.0, work=tmp_path)
    guard = Guard({"dev": ["one two three four five six seven eight"]})

    def loss(batch):
        return model(batch).square().mean()

    with pytest.raises(Leak):
        train(model, [torch.ones(3, 2)], loss, args, guard, ["zero one two three four five six seven eight nine"])
    assert not list(tmp_path.iterdir())
    before = loss(torch.ones(3, 2)).item()
    train(model, [torch.ones(3, 2)] * 20, loss, args, guard, ["another text"])
    assert loss(torch.ones(3, 2)).item() < before
    with pytest.raises(SystemExit, match="20 steps"):  # a checkpoint of another run is not gone on with
        train(model, [torch.ones(3, 2)] * 5, loss, args, guard, ["another text"])


def test_lora_starts_as_the_layer_it_wraps_and_only_learns_its_own_weights():
    from recipes.common import new_model, wrap
    model = new_model(AutoModelForSequenceClassification, num_labels=2).eval()
    ids = torch.tensor([[2, 100, 200, 300, 3]])
    with torch.inference_mode():
        before = model.base_model(ids).last_hidden_state
        loras = wrap(model, 4, 8, frozen=2)
        after = model.base_model(ids).last_hidden_state
    assert torch.allclose(before, after, atol=1e-5) and len(loras) == 4 * 6
    assert {name.split(".")[-1] for name, p in model.named_parameters() if p.requires_grad} == {"A", "B", "weight", "bias"}
    assert not model.base_model.tokens.weight.requires_grad


def test_names_are_replaced_by_names_of_their_kind_and_nothing_else_changes():
    from recipes.entities import other_names, spans
    rows = [("Ada Byron left New York .".split(), ["B-PER", "I-PER", "O", "B-LOC", "I-LOC", "O"]),
            ("In Oslo lives Kim .".split(), ["?", "B-LOC", "?", "B-PER", "?"]), (["None", "."], ["O", "O"])]
    assert other_names(rows, 0.0, np.random.default_rng(0)) == rows
    seen = set()
    for seed in range(30):
        for (words, tags), (before, old) in zip(other_names(rows, 1.0, np.random.default_rng(seed)), rows, strict=True):
            assert len(words) == len(tags) and [kind for *_, kind in sorted(spans(tags))] == [k for *_, k in sorted(spans(old))]
            assert [w for w, tag in zip(words, tags, strict=True) if tag in "O?"] == [
                w for w, tag in zip(before, old, strict=True) if tag in "O?"]
            seen |= {(" ".join(words[a:b]), kind) for a, b, kind in spans(tags)}
    assert seen == {("Ada Byron", "PER"), ("Kim", "PER"), ("New York", "LOC"), ("Oslo", "LOC")}


def test_a_text_beside_topics_is_surest_of_the_nearest(tmp_path, monkeypatch):
    from recipes import topics
    monkeypatch.setattr(topics, "texts", lambda *_: ["The bus was late again.", "My landlord raised the rent.", "qwertz"])
    found = topics.nearest_topics(tmp_path, 3, np.random.default_rng(0))
    assert len(found) == 9 and all(0 <= chance <= 1 for *_, chance in found)
    assert "transport" in found[0][1] and "housing" in found[3][1] and found[0][2] > 0.8 and found[3][2] > 0.8
    for first, near, far in (found[i: i + 3] for i in (0, 3, 6)):
        assert first[0] == near[0] == far[0] and first[2] >= near[2] >= far[2]
    assert found[6][2] < found[0][2]                                      # nothing fits: nothing is sure


# ---------------------------------------------------------------- bad input

STRANGE = ["Herr Schmidt wohnt seit zehn Jahren in Hamburg.", "山田太郎は東京に住んでいます。", "HELP! LOST MY DOG IN CHICAGO 😭😭", "...",
           "Nguyễn Thị Lan and Oluwaseun Adébáyò met Þórdís.", "word " * 600]


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if folder.name != "encoder"], ids=lambda folder: folder.name)
def test_strange_texts_get_an_answer_and_no_error(folder):
    import course
    kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"][0]
    tokenizer, model = AutoTokenizer.from_pretrained(str(folder)), getattr(course, kind).from_pretrained(str(folder))
    for text in STRANGE:
        batch = tokenizer(text, "What?" if "Question" in kind else None, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            out = model(**batch)
        for name in ("logits", "start_logits", "end_logits"):
            if getattr(out, name, None) is not None:
                assert torch.isfinite(getattr(out, name)).all(), (name, text)


def test_names_of_any_origin_keep_their_letters_in_the_vocabulary(encoder):
    assert "[UNK]" not in encoder[0].tokenize("Nguyễn Thị Lan, Oluwaseun Adébáyò, Þórdís, Владимир, Αθηνά")
    assert "[UNK]" in encoder[0].tokenize("山田太郎")  # the card says so
