"""Samples with known probabilities, validation, planning and corrected estimates, against independently computed figures.

The expected estimates were made with ppi_py 0.2.3 and with the R package dsl 0.1.0 on these very arrays."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from course import load_dataset
from course.research.evidence import corrected, estimate, plan, sample, validate, wilson

spec = importlib.util.spec_from_file_location("coverage_study", Path(__file__).parents[2] / "benchmarks/coverage.py")
coverage = importlib.util.module_from_spec(spec)
spec.loader.exec_module(coverage)

Y = np.array([1, 0, 1, 1, 0, 0, 1, 0, 0, 1, 0, 1.0])
F = np.array([int(c) for c in "101001100111" "110101100110110011101011"], float)
X = np.array([int(c) for c in "001101010110" "010110010101101001101001"], float)
CODED = np.arange(36) < 12
PADDED = np.r_[Y, np.zeros(24)]
OUTCOME = np.array([2.1, .3, 1.8, 2.9, .1, .9, 2.4, .2, .6, 2.2, 1.0, 2.7, 2.0, 1.9, .5, 2.3, .2, 1.7, 2.2, .4, .9, 2.1, 1.8, .3,
                    2.6, 1.5, .7, .1, 2.0, 2.4, 1.1, .5, 2.8, .6, 1.9, 2.2])
ONE, LINE = np.ones((36, 1)), np.column_stack([np.ones(36), X])
THIRD = np.full(36, 1 / 3)
BY_X = np.where(X == 1, 1 / 2, 1 / 6)


def fit(x, pi, **options):
    beta, covariance, weight = corrected(x, PADDED, x, F, CODED, pi, **options)
    return [*beta], [*np.sqrt(covariance.diagonal())], weight


@pytest.mark.parametrize("x, pi, options, beta, error", [
    (ONE, THIRD, {}, [0.527778], [0.144263]),
    (LINE, THIRD, {}, [0.555556, -0.055556], [0.117121, 0.288378]),
    (LINE, THIRD, {"logit": True}, [0.223144, -0.223144], [0.474342, 1.155903]),
    (LINE, BY_X, {}, [0.555556, 0.0], [0.117121, 0.214367]),
    (LINE, BY_X, {"logit": True}, [0.223144, 0.0], [0.474342, 0.868188]),
    (LINE, THIRD, {"groups": np.arange(36) // 3}, [0.555556, -0.055556], [0.067620, 0.185031])])
def test_dsl(x, pi, options, beta, error):
    found = fit(x, pi, weight=1.0, **options)
    assert found[0] == pytest.approx(beta, abs=1e-6) and found[1] == pytest.approx(error, abs=1e-6)


def test_dsl_with_the_label_as_predictor():
    x = np.column_stack([np.ones(36), PADDED, X])
    x_hat = np.column_stack([np.ones(36), F, X])
    beta, covariance, _ = corrected(x, OUTCOME, x_hat, OUTCOME, CODED, THIRD, weight=1.0)
    assert beta == pytest.approx([0.127640, 2.160248, 0.347792], abs=1e-6)
    assert np.sqrt(covariance.diagonal()) == pytest.approx([0.234515, 0.384426, 0.466074], abs=1e-6)


@pytest.mark.parametrize("x, options, beta, weight, error", [
    (LINE, {}, [0.537457, -0.037457], 0.674227, None), (LINE, {"logit": True}, None, 0.679799, None),
    (ONE, {}, [0.513955], 0.502362, [0.131894])])
def test_tuned(x, options, beta, weight, error):
    found = fit(x, THIRD, **options)
    assert found[2] == pytest.approx(weight, abs=1e-6)
    assert beta is None or found[0] == pytest.approx(beta, abs=1e-6)
    assert error is None or found[1] == pytest.approx(error, abs=1e-6)


@pytest.mark.parametrize("weight, mean, low, high", [(0.0, 0.5, 0.217104, 0.782896), (0.5, 0.520833, 0.258449, 0.783218),
                                                     (1.0, 0.541667, 0.202076, 0.881257), (0.340909, 0.514205, 0.257008, 0.771401)])
def test_ppi_with_two_samples(weight, mean, low, high):
    (found,), (error,), _ = fit(ONE, THIRD, weight=weight, separate=True)
    assert (found, found - 1.959964 * error, found + 1.959964 * error) == pytest.approx((mean, low, high), abs=2e-6)


def test_ppi_regressions_with_two_samples():
    """ppi_py divides by n - 1 in regressions (by n in means), so only the larger part of the spread can be compared."""
    beta, error, _ = fit(LINE, THIRD, weight=1.0, separate=True)
    assert beta == pytest.approx([0.583333, -0.083333], abs=1e-6)
    logit, logit_error, _ = fit(LINE, THIRD, weight=1.0, separate=True, logit=True)
    assert logit == pytest.approx([0.336472, -0.336472], abs=1e-6)
    theirs = [(0.868272 - 0.298394) / 2, (0.623479 + 0.790146) / 2, (1.508793 + 0.835848) / 2, (2.504061 + 3.177006) / 2]
    for ours, half in zip([*error, *logit_error], theirs, strict=True):
        assert (23 / 24) ** -0.5 - 1e-4 < half / 1.959964 / ours < (11 / 12) ** -0.5 + 1e-4


@pytest.mark.parametrize("hits, n, low, high", [(8, 10, 0.490162, 0.943318), (0, 10, 0, 0.277533), (10, 10, 0.722467, 1),
                                                (47, 62, 0.638475, 0.847541)])
def test_wilson(hits, n, low, high):
    assert wilson(hits / n, n) == pytest.approx((low, high), abs=1e-6)


def weighted():
    """100 texts, 20 of them machine-positive; 8 of each kind are coded, so that pi differs."""
    machine = pd.DataFrame({"id": range(100), "label": ["yes"] * 20 + ["no"] * 80, "area": ["a", "b"] * 50})
    rows = [*range(8), *range(20, 28)]
    gold = pd.DataFrame({"id": rows, "gold": ["yes" if c == "1" else "no" for c in "11101011" "00010000"],
                         "pi": [0.4] * 8 + [0.1] * 8, "stratum": ["yes"] * 8 + ["no"] * 8})
    return machine, gold


def test_validation_speaks_of_the_corpus():
    report = validate(*weighted(), by="area").set_index("label")
    assert report.recall["yes"] == pytest.approx(0.6) and report.precision["yes"] == pytest.approx(0.75)
    assert report.f1["accuracy"] == pytest.approx(0.85) and report["share"]["yes"] == pytest.approx(0.25)
    assert report.confusion.loc["yes", "no"] == pytest.approx(10) and report.confusion.to_numpy().sum() == pytest.approx(100)
    assert report.recall_low["yes"] < 0.6 < report.recall_high["yes"]
    assert set(report.by_group.value) == {"a", "b"} and len(report.errors) == 3


@pytest.mark.parametrize("options, by_hand", [
    ({"width": 0.05}, 385), ({"width": 0.05, "total": 1000}, 278), ({"width": 0.03}, 1068), ({"width": 0.03, "total": 1000}, 517)])
def test_plan_before_a_pilot(options, by_hand):
    assert plan(**options) == {"by hand": by_hand, "with the machine": by_hand}


def test_plan_after_a_pilot():
    report = validate(*weighted())
    found = plan(report, "yes", width=0.1)
    assert found["with the machine"] < found["by hand"] == plan(width=0.1, share=0.25, total=100)["by hand"]
    assert plan(report, width=0.1)["by hand"] > 0


def test_sample_knows_its_probabilities():
    survey = load_dataset("local_life")
    simple = sample(survey, 200, seed=3)
    assert len(simple) == 200 and (simple.pi == 200 / 900).all() and simple.id.is_unique and (simple.part == "test").all()
    equal = sample(survey, 120, by="area", equal=True, seed=3)
    assert (equal.groupby("stratum").size() == 30).all()
    sizes = survey.area.value_counts()
    assert all(pi == pytest.approx(30 / sizes[area]) for pi, area in zip(equal.pi, equal.area, strict=True))
    shares = sample(survey, 201, by=["area", "question"], seed=1)
    assert len(shares) == 201 and (1 / shares.pi).sum() == pytest.approx(900)
    assert list(sample(survey, 50, seed=7).id) == list(sample(survey, 50, seed=7).id) != list(sample(survey, 50, seed=8).id)
    assert len(sample(survey, 900, by="area")) == 900


def test_a_corrected_estimate_is_unbiased_and_its_interval_covers():
    """150 studies of the script that makes the full table; the bands are wide enough for so few."""
    found = coverage.study(150)
    assert found.bias["naive"] < -0.2 and found.coverage["naive"] < 0.03
    for method in ("hand codes only", "corrected", "corrected, λ = 1"):
        assert abs(found.bias[method]) < 0.02 and 0.89 <= found.coverage[method] <= 0.99, method
    assert found.sd["corrected"] < found.sd["hand codes only"]


def test_estimate_reads_formulas():
    survey = load_dataset("local_life").dropna(subset="answer")
    machine = survey.assign(id=survey.index, label=survey.topic_b)
    gold = sample(machine, 300, by="area", seed=2)
    share = estimate("transport ~ 1", machine, gold, gold_label="topic_a", target="corpus", cluster="respondent").set_index("method")
    assert share.low["corrected"] < (survey.topic_a == "transport").mean() < share.high["corrected"]
    assert share.se["corrected"] < share.se["hand codes only"]
    table = estimate("transport ~ area + age", machine, gold, gold_label="topic_a", cluster="respondent")
    assert list(table.term.unique()) == ["(intercept)", "area: small town", "area: suburb", "area: village", "age"]
    assert "stratified random sample, 4 strata" in table.record["design"]
    predictor = estimate("age ~ transport", machine, gold, gold_label="topic_a")
    assert list(predictor.term.unique()) == ["(intercept)", "transport"]


def broken(what):
    machine, gold = weighted()
    if what == "no pi":
        return machine, gold.drop(columns="pi"), "how were these texts chosen"
    if what == "pi 0":
        return machine, gold.assign(pi=0.0), "stands for nothing"
    if what == "train":
        return machine, gold.assign(part="train"), "looks better than it is"
    if what == "trained by record":
        machine.attrs["record"] = {"train_ids": [3]}
        return machine, gold, "1 of the hand codes trained the model"
    if what == "unknown ids":
        return machine, gold.assign(id=gold.id + 90), "not in the machine's table"
    if what == "another population":
        return machine[:50], gold[:8], "stand for 20 texts"
    if what == "duplicates":
        return pd.concat([machine, machine[:2]]), gold, "more than once: 0, 1"
    if what == "no id":
        return machine.drop(columns="id"), gold, "never matched by their order"
    return machine, gold.assign(gold=None), "not one text"


@pytest.mark.parametrize("what", ["no pi", "pi 0", "train", "trained by record", "unknown ids", "duplicates", "no id", "no codes",
                                  "another population"])
def test_no_claim_without_a_design(what):
    machine, gold, says = broken(what)
    for claim in (lambda: validate(machine, gold), lambda: estimate("yes ~ 1", machine, gold)):
        with pytest.raises(ValueError, match=says):
            claim()


@pytest.mark.parametrize("formula, says", [("yes", "has the form"), ("area ~ 1", "no word"), ("yes ~ country", "neither a label"),
                                           ("maybe ~ area", "no word")])
def test_formulas_that_cannot_be_read(formula, says):
    with pytest.raises(ValueError, match=says):
        estimate(formula, *weighted())


def test_texts_that_trained_the_model_are_left_out():
    machine, gold = weighted()
    machine.attrs["record"] = {"train_ids": [60, 61]}
    assert any("2 texts trained the model" in note for note in validate(machine, gold).notes)


def test_texts_without_a_code_are_stood_for_by_those_of_their_stratum():
    machine, gold = weighted()
    gold.loc[[0, 1, 8, 9], "gold"] = None               # two of the eight of each stratum
    report = validate(machine, gold)
    assert report.confusion.to_numpy().sum() == pytest.approx(100)
    share = estimate("yes ~ 1", machine, gold, target="corpus", weight=1.0).set_index("method").estimate["corrected"]
    assert share == pytest.approx(0.2 + (-0.2 * 2 / 6 + 0.8 * 1 / 6), abs=1e-9)      # the machine's, and its mean error


def test_what_is_left_out_is_said():
    machine, gold = weighted()
    machine.loc[50, "label"] = None
    gold.loc[0, "gold"] = None
    notes = validate(machine, gold).notes
    assert any("1 of the 16 texts drawn have no hand code" in n for n in notes) and any("1 texts have no machine label" in n for n in notes)
    with pytest.raises(ValueError, match="from 1 to the 100 rows"):
        sample(machine, 101)
