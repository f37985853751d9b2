"""Coefficients of agreement against published and independently computed figures, and their intervals."""

import numpy as np
import pandas as pd
import pytest

from course import load_dataset
from course.research.agreement import agreement, alpha, coefficient, counts, kappa

_ = np.nan
# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", example C: four coders, twelve units
EXAMPLE_C = pd.DataFrame({"A": [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _], "B": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
                          "C": [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _], "D": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _]})
# the example of the Wikipedia article on the same coefficient: three coders, fifteen units
WIKIPEDIA = pd.DataFrame({"A": [_, _, _, _, _, 3, 4, 1, 2, 1, 1, 3, 3, _, 3], "B": [1, _, 2, 1, 3, 3, 4, 3, _, _, _, _, _, _, _],
                          "C": [_, _, 2, 1, 3, 4, 4, _, 2, 1, 1, 3, 3, _, 4]})


def pair(a, b):
    return pd.DataFrame({"a": list(a), "b": list(b)})


def from_table(table):
    rows = [(i, j) for i, row in enumerate(table) for j, n in enumerate(row) for _ in range(n)]
    return pd.DataFrame(rows, columns=["a", "b"])


@pytest.mark.parametrize("level, c, wikipedia", [("nominal", 0.743421, 0.691358), ("ordinal", 0.815388, 0.806721),
                                                 ("interval", 0.849107, 0.810845), ("ratio", 0.797403, 0.808944)])
def test_alpha_at_every_level(level, c, wikipedia):
    assert alpha(EXAMPLE_C, list("ABCD"), level) == pytest.approx(c, abs=1e-6)
    assert alpha(WIKIPEDIA, list("ABC"), level) == pytest.approx(wikipedia, abs=1e-6)


@pytest.mark.parametrize("a, b, expected", [("0100000010", "1110010000", 0.095238), ("aabbdcccedda", "babbbccceddd", 0.691964),
                                            ("AB", "BA", -0.5), ("aaaa", "aaaa", 1.0)])
def test_alpha_of_two_coders(a, b, expected):
    assert alpha(pair(a, b), ["a", "b"]) == pytest.approx(expected, abs=1e-6)


def test_ac1_fleiss_and_percent_with_missing_codes():
    found = coefficient(EXAMPLE_C, list("ABCD"))
    assert found["percent"] == pytest.approx(0.818182, abs=1e-6)
    assert found["ac1"] == pytest.approx(0.775444, abs=1e-6)
    assert found["fleiss"] == pytest.approx(0.76117, abs=1e-5)


@pytest.mark.parametrize("table, weights, value, error", [
    ([[0, 4, 1], [0, 8, 0], [0, 1, 5]], None, 0.484163, 0.138014),
    ([[0, 4, 1], [0, 8, 0], [0, 1, 5]], "linear", 0.470120, 0.145746),
    ([[0, 4, 1], [0, 8, 0], [0, 1, 5]], "quadratic", 0.450161, 0.192233),
    ([[20, 5], [10, 15]], None, 0.4, 0.126996),
    ([[45, 15], [25, 15]], None, 0.130435, None), ([[25, 35], [5, 35]], None, 0.259259, None),
    ([[7, 0], [0, 0]], None, 1.0, 0.0)])
def test_kappa_and_its_standard_error(table, weights, value, error):
    found = kappa(table, weights)
    assert found[0] == pytest.approx(value, abs=1e-6)
    assert error is None or found[1] == pytest.approx(error, abs=1e-6)


def test_fleiss_1971_kind_of_data():
    """Ten units, fourteen coders: the worked example of the Wikipedia article on Fleiss' kappa."""
    table = [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1], [7, 7, 0, 0, 0],
             [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]
    codes = pd.DataFrame([np.repeat(range(5), row) for row in table])
    assert coefficient(codes, list(codes.columns))["fleiss"] == pytest.approx(0.209931, abs=1e-6)


def test_the_kappa_paradox_is_named():
    found = agreement(from_table([[118, 5], [2, 0]]), ["a", "b"], resamples=200)
    value = dict(zip(found.coefficient, found.value, strict=True))
    assert value["percent"] == pytest.approx(0.944) and value["kappa"] == pytest.approx(-0.023392, abs=1e-6)
    assert value["alpha"] == pytest.approx(-0.024691, abs=1e-6) and value["ac1"] == pytest.approx(0.940776, abs=1e-6)
    assert any("kappa paradox" in line for line in found.advice)


def test_local_life():
    survey = load_dataset("local_life")
    topic, two, three = coefficient(survey, ["topic_a", "topic_b"]), ["sentiment_a", "sentiment_b"], [f"topic_{c}" for c in "abc"]
    assert [topic[k] for k in ("percent", "kappa", "alpha", "ac1")] == pytest.approx([0.765556, 0.735238, 0.735106, 0.740002], abs=1e-6)
    assert alpha(survey, three) == pytest.approx(0.764385, abs=1e-6)
    assert alpha(survey.dropna(subset=three), three) == pytest.approx(0.811362, abs=1e-6)     # what dropping units would say
    order = ["negative", "mixed", "positive"]
    assert alpha(survey, two, "ordinal", order) == pytest.approx(0.785717, abs=1e-6)
    assert alpha(survey, [*two, "sentiment_c"], "ordinal", order) == pytest.approx(0.805798, abs=1e-6)
    assert coefficient(survey, two, "ordinal", order)["kappa"] == pytest.approx(0.805499, abs=1e-6)
    assert kappa(counts(survey.sentiment_a, survey.sentiment_b, order), "linear")[0] == pytest.approx(0.735719, abs=1e-6)
    assert kappa(counts(survey.topic_a, survey.topic_b))[1] == pytest.approx(0.015937, abs=1e-6)


def test_intervals_resample_respondents():
    found = agreement(load_dataset("local_life"), ["topic_a", "topic_b"], cluster="respondent", seed=1).set_index("coefficient")
    assert found.low["alpha"] == pytest.approx(0.706, abs=0.006) and found.high["alpha"] == pytest.approx(0.765, abs=0.006)
    assert (found.low < found.value).all() and (found.value < found.high).all()
    again = agreement(load_dataset("local_life"), ["topic_a", "topic_b"], cluster="respondent", seed=1).set_index("coefficient")
    assert (found.low == again.low).all()


def test_pairs_and_labels():
    survey = load_dataset("local_life")
    found = agreement(survey, ["topic_a", "topic_b", "topic_c"], resamples=50)
    assert list(found.pairs.units) == [900, 225, 225]
    assert found.pairs.kappa.iloc[0] == pytest.approx(0.735238, abs=1e-6)
    assert list(found.pairs.columns[:4]) == ["coder", "other", "units", "percent"]
    assert set(found.by_label.label) == set(survey.topic_a) and found.by_label.share.sum() == pytest.approx(1)
    assert found[found.coefficient == "alpha"].by_label is not None            # a slice keeps its tables


@pytest.mark.parametrize("frame, coders, options, error, says", [
    (pair("ab", "ab"), ["a"], {}, ValueError, "at least two coders"),
    (pair("ab", "ab"), ["a", "c"], {}, KeyError, "no column 'c'"),
    (pair("ab", "ab"), ["a", "a"], {}, ValueError, "named twice"),
    (pair(["x", None], [None, "y"]), ["a", "b"], {}, ValueError, "nothing to compare"),
    (pair("ab", "ab"), ["a", "b"], {"labels": ["a"]}, ValueError, "'b' is not in the codebook"),
    (pair("ab", "ab"), ["a", "b"], {"level": "ordinal"}, ValueError, "need their order"),
    (pair("ab", "ab"), ["a", "b"], {"level": "interval"}, ValueError, "needs numbers"),
    (pair("ab", "ab"), ["a", "b"], {"level": "metric"}, ValueError, "nominal, ordinal"),
    (pd.DataFrame({"a": [1.0, 2], "b": [1.0, 1], "who": [1, None]}), ["a", "b"], {"cluster": "who"}, ValueError, "missing in 1")])
def test_what_cannot_be_compared(frame, coders, options, error, says):
    with pytest.raises(error, match=says):
        agreement(frame, coders, **options)


def test_advice_for_small_and_perfect_data():
    assert any("same label" in line for line in agreement(pair("aaaa", "aaaa"), ["a", "b"], resamples=20).advice)
    perfect = agreement(pair("ab" * 30, "ab" * 30), ["a", "b"], resamples=20)
    assert any("never differ" in line for line in perfect.advice) and (perfect.value == 1).all()
    few = agreement(pair("abababab", "abababaa"), ["a", "b"], resamples=20)
    assert any("only 1 disagreements" in line for line in few.advice) and any("Only 8 units" in line for line in few.advice)
