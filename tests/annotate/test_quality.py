"""Agreement and calibration of two sources."""

import pandas as pd
import pytest

from sparsecbm.annotate.quality import (
    COMBINED,
    QualitySettings,
    SourceLabels,
    compare_labels,
    measure_concept,
    summarise_quality,
)
from sparsecbm.base.concepts import Concept

FOOD = Concept("food", ("bad", "good"))
SETTINGS = QualitySettings(resamples=200, bins=10, seed=1)


def source(states: str, confidence: list[float] | None = None, first: int = 0) -> SourceLabels:
    """Labels of the texts 0, 1, ...: `b` is bad, `g` good, `-` no label."""
    given = {f"{first + i:03d}": {"b": "bad", "g": "good"}[c] for i, c in enumerate(states) if c != "-"}
    labels = pd.Series(given, dtype="str")
    return SourceLabels(labels, None if confidence is None else pd.Series(confidence, labels.index))


def groups_of(count: int, size: int = 1) -> pd.Series:
    return pd.Series([f"g{i // size}" for i in range(count)], [f"{i:03d}" for i in range(count)])


# People (first) against a machine: 20 both bad, 5 bad and good, 10 good and bad, 15 both good.
PEOPLE, MACHINE = "b" * 25 + "g" * 25, "b" * 20 + "g" * 5 + "b" * 10 + "g" * 15


def test_scores_by_hand():
    found = compare_labels(FOOD, source(PEOPLE), source(MACHINE), groups_of(50), SETTINGS)
    assert found.texts == 50 and found.confusion == [[20, 5], [10, 15]]
    assert found.accuracy == pytest.approx(0.7) and found.kappa == pytest.approx(0.4)
    assert found.precision == {"bad": round(20 / 30, 6), "good": 0.75}
    assert found.recall == {"bad": 0.8, "good": 0.6}
    assert found.macro_f1 == pytest.approx((40 / 55 + 30 / 45) / 2, abs=1e-6)
    low, high = found.kappa_interval
    assert low < 0.4 < high and found.calibration_error is None and found.calibration == []


def test_intervals_are_wider_where_texts_of_a_group_err_together():
    people, machine = source(PEOPLE * 2), source(MACHINE * 2)
    alone, grouped = (
        compare_labels(FOOD, people, machine, groups_of(100, size), SETTINGS).accuracy_interval for size in (1, 5)
    )
    assert grouped[1] - grouped[0] > 1.3 * (alone[1] - alone[0])


def test_calibration_is_of_the_confidence_in_the_given_state():
    """30 labels with confidence .9 of which 27 are right are calibrated; 20 with .7 of which 8 are right are not."""
    people, machine = source("g" * 50), source("g" * 27 + "b" * 3 + "g" * 8 + "b" * 12, [0.9] * 30 + [0.7] * 20)
    found = compare_labels(FOOD, people, machine, groups_of(50), SETTINGS)
    assert found.calibration_error == pytest.approx(20 / 50 * (0.7 - 0.4))
    bins = [(b.texts, b.confidence, b.accuracy) for b in found.calibration]
    assert bins == [(20, 0.7, 0.4), (30, 0.9, 0.9)]


def test_sources_that_hardly_overlap_are_not_compared():
    people = source("b" * 10 + "g" * 9)
    assert compare_labels(FOOD, people, source("b" * 50), groups_of(60), SETTINGS) is None
    assert compare_labels(FOOD, people, source("b" * 30, first=19), groups_of(60), SETTINGS) is None


def test_a_concept_has_coverage_alpha_and_each_pair():
    people = source("bg" * 12)
    machines = {"llm": source("bg" * 12), "local": source("bg" * 6 + "-" * 12), COMBINED: source("gb" * 12)}
    found = measure_concept(FOOD, people, machines, groups_of(24), SETTINGS)
    assert found.people == 24 and found.coverage == {"llm": 1, "local": 0.5, COMBINED: 1}
    assert found.alpha == 1 and found.alpha_interval == [1, 1]  # of people, llm and local, which all agree
    assert found.against_people["llm"].kappa == 1 and found.against_people[COMBINED].kappa == -1
    assert found.against_people["local"] is None  # twelve texts
    assert list(found.between_machines) == ["llm"] and found.between_machines["llm"] == {"local": None}


def test_the_lowest_kappa_is_unknown_if_one_concept_is_not_measured():
    good = measure_concept(FOOD, source(PEOPLE), {COMBINED: source(PEOPLE)}, groups_of(50), SETTINGS)
    fair = measure_concept(FOOD, source(PEOPLE), {COMBINED: source(MACHINE)}, groups_of(50), SETTINGS)
    unknown = measure_concept(FOOD, source("b"), {COMBINED: source(MACHINE)}, groups_of(50), SETTINGS)
    assert summarise_quality({"a": good, "b": fair}).lowest_kappa == pytest.approx(0.4)
    assert summarise_quality({"a": good, "b": unknown}).lowest_kappa is None
    assert summarise_quality({"a": unknown}).lowest_kappa is None


def test_nobody_labelled_anything():
    empty = SourceLabels(pd.Series(dtype="str"))
    found = measure_concept(FOOD, empty, {COMBINED: empty}, groups_of(0), SETTINGS)
    assert found.people == 0 and found.coverage == {COMBINED: None} and found.alpha is None
    assert found.against_people == {COMBINED: None}
    assert found.alpha_interval == [None, None]
