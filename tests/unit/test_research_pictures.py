"""Pictures say in words what they show."""

import pandas as pd
import pytest

from course.research.agreement import agreement
from course.research.evidence import estimate, sample, validate
from course.research.pictures import agreement_plot, behind, calibration_plot, confusion_plot, curve_plot, estimate_plot


@pytest.fixture(scope="module")
def study():
    machine = pd.DataFrame({"id": range(120), "label": ["a", "b", "a"] * 40, "true": ["a", "b", "b"] * 40, "answer": "t",
                            "p_a": [0.9, 0.1, 0.6] * 40, "p_b": [0.1, 0.9, 0.4] * 40, "x": ["u", "v"] * 60})
    gold = sample(machine, 60, seed=1)
    return machine, gold, validate(machine, gold, gold_label="true")


def test_agreement():
    people = agreement(pd.DataFrame({"a": list("xyxyxyxyxx"), "b": list("xyxyxyxyyy")}), ["a", "b"], resamples=50)
    assert "percent 0.80 from" in agreement_plot(people).alt and "x 0." in agreement_plot(people, by_label=True).alt


def test_confusion_and_the_texts_behind_a_cell(study):
    _, _, report = study
    alt = confusion_plot(report).alt
    assert "a 100%" in alt and "of b is called a" in alt
    texts = behind(report, "b", "a")
    assert len(texts) == len(report.errors) > 0 and list(texts.columns) == ["id", "answer", "sure"] and behind(report, "a", "b").empty


def test_calibration(study):
    machine, gold, report = study
    assert "0.60 is right in 0.00" in calibration_plot(report).alt and "0.90 is right in 1.00" in calibration_plot(report).alt
    with pytest.raises(ValueError, match="no probabilities"):
        calibration_plot(validate(machine.drop(columns=["p_a", "p_b"]), gold, gold_label="true"))


def test_estimates(study):
    machine, gold, _ = study
    result = estimate("a ~ x", machine, gold, gold_label="true")
    assert all(word in estimate_plot(result).alt for word in ("naive", "hand codes only", "corrected", "x: v"))
    with pytest.raises(ValueError, match="no term 'age'"):
        estimate_plot(result, "age")
    paths = pd.concat([result.assign(method_of_coding="similarity", model="m", style=style, seed=0) for style in ("name", "full")])
    assert "under 2 choices: naive from" in curve_plot(paths[paths.term == "x: v"], truth=0.1).alt
