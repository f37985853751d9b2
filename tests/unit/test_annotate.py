"""The machine codes: legal labels with probabilities, records beside results, and the methods text made of them."""

import json

import numpy as np
import pandas as pd
import pytest

from course import load_dataset
from course.research.agreement import agreement
from course.research.annotate import annotate, multiverse, read_record
from course.research.codebook import Codebook, Label
from course.research.evidence import estimate, sample, validate
from course.research.methods import methods

BOOK = Codebook("topics", "What is the answer about?", [
    Label("transport", "roads, traffic, parking, buses and trains"), Label("health", "doctors, hospitals, pharmacies, illness",
                                                                          examples=("The doctor retired.",)),
    Label("housing", "rent, finding a home, landlords")])
SURVEY = load_dataset("local_life")
SURVEY = SURVEY[SURVEY.topic_a.isin(list(BOOK)) & (SURVEY.language == "en")].iloc[:90].rename(columns={"topic_a": "gold"})


@pytest.fixture(scope="module")
def machine():
    return annotate(SURVEY, "answer", BOOK, method="similarity")


def test_each_label_has_a_probability(machine):
    shares = machine[["p_transport", "p_health", "p_housing"]].to_numpy()
    assert shares.sum(1) == pytest.approx(np.ones(90), abs=1e-5)
    assert [list(BOOK)[i] for i in shares.argmax(1)] == machine.label.tolist()
    assert (machine.label == machine.gold).mean() > 0.7
    assert (machine.index == SURVEY.index).all() and machine.id.is_unique and not machine.truncated.any()
    assert machine.margin.between(0, 1).all() and (machine.n_tokens > 2).all()


def test_missing_stays_missing_and_rows_stay_in_place():
    frame = pd.DataFrame({"answer": [None, "The bus is late.", "   ", "My rent."]}, index=[4, 3, 2, 1])
    found = annotate(frame, "answer", BOOK, method="similarity")
    assert found.label.where(found.label.notna(), None).tolist() == [None, "transport", None, "housing"]
    assert found.valid.tolist() == [False, True, False, True] and found.p_health.isna().tolist() == [True, False, True, False]
    assert found.attrs["record"]["empty"] == 2 and list(found.index) == [4, 3, 2, 1]


def test_the_record_stands_beside_the_table(tmp_path):
    found = annotate(SURVEY[:4], "answer", BOOK, method="similarity", style="full", save=tmp_path / "coded.csv")
    record = read_record(tmp_path / "coded.record.json")
    assert record == json.loads(json.dumps(found.attrs["record"], default=str))
    assert record["codebook_hash"] == BOOK.hash and record["model"] == "pocket/encoder" and record["revision"].startswith("sha256 ")
    assert "roads, traffic" in record["prompt"] and record["versions"]["torch"] and record["texts"] == 4
    assert pd.read_csv(tmp_path / "coded.csv").label.tolist() == found.label.tolist()


def test_few_shot_learns_and_its_texts_are_no_test():
    train = sample(SURVEY, 45, by="gold", part="train")
    found = annotate(SURVEY, "answer", BOOK, method="few-shot", train=train)
    rest = found[~found.id.isin(train.id)]
    assert (rest.label == rest.gold).mean() > 0.7 and set(found.attrs["record"]["train_ids"]) == set(train.id)
    with pytest.raises(ValueError, match="looks better than it is"):
        validate(found, train.assign(part="test"))
    again = annotate(SURVEY, "answer", BOOK, method="few-shot", train=train)
    assert again.label.equals(found.label)


@pytest.mark.parametrize("method", ["contrastive", "lora", "fine-tuned"])
def test_what_trains_the_encoder_learns(method):
    train = sample(SURVEY, 24, by="gold", part="train")
    found = annotate(SURVEY, "answer", BOOK, method=method, train=train, seed=1, training={"max_steps": 12, "disable_tqdm": True})
    rest = found[~found.id.isin(train.id)]
    assert (rest.label == rest.gold).mean() > 0.6
    assert found[[f"p_{name}" for name in BOOK]].sum(axis=1).to_numpy() == pytest.approx(np.ones(90), abs=1e-5)
    record = found.attrs["record"]
    assert record["run"]["arguments"]["max_steps"] == 12 and record["run"]["train_examples"] == 24 and record["run"]["revision"] != "unknown"
    assert (record["run"]["trained"] < record["run"]["weights"]) == (method == "lora")


@pytest.mark.parametrize("arguments, error, says", [
    ({"method": "oracle"}, ValueError, "zero-shot, similarity"), ({"text": "answers"}, KeyError, "no column 'answers'"),
    ({"method": "few-shot"}, ValueError, "learns from hand codes"),
    ({"method": "similarity", "train": SURVEY}, ValueError, "learns nothing"),
    ({"method": "similarity", "training": {"max_steps": 3}}, ValueError, "belong to few-shot, contrastive"),
    ({"method": "few-shot", "train": SURVEY[SURVEY.gold != "health"]}, ValueError, "no text in train has the label 'health'"),
    ({"method": "few-shot", "train": SURVEY.assign(gold="weather")}, ValueError, "'weather'"),
    ({"method": "similarity", "frame": SURVEY.assign(answer=None)}, ValueError, "holds no text")])
def test_calls_that_cannot_be_right(arguments, error, says):
    with pytest.raises(error, match=says):
        annotate(**({"frame": SURVEY, "text": "answer", "codebook": BOOK} | arguments))


def test_examples_of_the_prompt_are_no_test():
    frame = pd.DataFrame({"answer": ["The doctor retired.", "The bus."]})
    found = annotate(frame, "answer", BOOK, method="similarity", shots=1)
    assert found.attrs["record"]["train_ids"] == [0]


def test_a_conclusion_under_several_choices():
    gold = sample(SURVEY, 40, seed=1)
    paths = multiverse(SURVEY, "answer", BOOK, "transport ~ area", gold, styles=["name", "definition"], term="(intercept)",
                       target="corpus")
    assert len(paths) == 6 and set(paths.method) == {"naive", "hand codes only", "corrected"} and paths.record["paths"] == 2
    hand = paths[paths.method == "hand codes only"].estimate
    assert hand.nunique() == 1                          # the machine has no part in it


def test_methods_says_what_is_known_and_what_is_not(machine):
    gold = sample(SURVEY, 60, seed=2)
    report, result = validate(machine, gold), estimate("transport ~ 1", machine, gold, target="corpus")
    people = agreement(SURVEY, ["gold", "topic_b"], resamples=100)
    text = methods(BOOK, people, report, result, rule="talking them over", frozen="before the test part was drawn")
    for part in (BOOK.hash, f"{people.value[people.coefficient == 'alpha'].iloc[0]:.2f}", "60 hand-coded answers", "pocket/encoder",
                 "simple random sample, 60 of 90", f"{result.estimate.iloc[0]:.3f}", "talking them over"):
        assert part in text, part
    assert text.count("NOT REPORTED") == 1 and "NOT REPORTED: whether another model" in text
    assert methods().count("NOT REPORTED") == 7
    items = methods(BOOK, people, report, result, style="guide-llm")
    assert len([line for line in items.splitlines() if line.startswith("- **")]) == 14
    assert "NOT REPORTED: funding and interests." in items and "roads, traffic" in items
    assert methods(style="bibtex").count("@article") == 3
    other = Codebook("topics", "", [*BOOK.labels.values(), "other"])
    assert "The codebook changed after" in methods(other, people, report)
