"""The section on the quality of concept labels."""

import pytest

from sparsecbm.plots.labels import measured, plot_label_calibration, plot_label_confusions
from sparsecbm.report.label_tables import agreement_table, alpha_table, noise_table, state_table, suspect_table
from sparsecbm.report.sections import sections

AGREEMENT = {
    "texts": 50, "accuracy": 0.7, "accuracy_interval": [0.6, 0.8], "macro_f1": 0.697, "macro_f1_interval": [0.5, 0.8],
    "kappa": 0.4, "kappa_interval": [0.2, 0.6], "precision": {"bad": 0.667, "good": 0.75},
    "recall": {"bad": 0.8, "good": 0.6}, "states": ["bad", "good"], "confusion": [[20, 5], [10, 15]],
    "calibration_error": 0.12,
    "calibration": [
        {"texts": 20, "confidence": 0.7, "accuracy": 0.4}, {"texts": 30, "confidence": 0.9, "accuracy": 0.9},
    ],
}  # fmt: skip
QUALITY = {
    "lowest_kappa": None,
    "concepts": {
        "food": {
            "people": 60, "coverage": {"llm": 0.8333, "combined": 0.8333}, "alpha": 0.41, "alpha_interval": [0.2, 0.6],
            "against_people": {"llm": AGREEMENT, "combined": AGREEMENT},
            "between_machines": {"llm": {"local": AGREEMENT}},
        },
        "noise": {
            "people": 3, "coverage": {"llm": 1.0, "combined": 1.0}, "alpha": None, "alpha_interval": [None, None],
            "against_people": {"llm": None, "combined": None}, "between_machines": {"llm": {"local": None}},
        },
    },
}  # fmt: skip
SUSPECT = {"id": "r4", "split": "train", "text": "<b>Lovely</b> soup", "state": "bad", "source": "human"}
NOISE = {
    "food": {
        "people": {
            "cells": 60, "judge": "words", "judge_accuracy": 0.9, "wrong_share": 0.05,
            "suspects": [{**SUSPECT, "judged": "good", "probability": 0.02}],
        },
        "machines": None,
    },
    "noise": {"people": None, "machines": None},
}  # fmt: skip


def test_each_machine_is_a_row_and_few_texts_are_said():
    first, second = agreement_table(QUALITY).rows
    figures = ("50", "0.833", "0.700", "0.600 to 0.800", "0.697", "0.400", "0.200 to 0.600", "0.120")
    assert first == ("food", "llm", *figures)
    assert second == ("noise", "llm", "3", "1.000", "too few to measure", "", "", "", "", "")


def test_machines_are_shown_combined_if_there_are_several():
    food = QUALITY["concepts"]["food"]
    against = {"llm": None, "local": AGREEMENT, "combined": AGREEMENT}
    several = {**food, "coverage": dict.fromkeys(against, 0.5), "against_people": against}
    rows = agreement_table({"concepts": {"food": several}}).rows
    assert [row[1] for row in rows] == ["llm", "local", "combined"]


def test_alpha_states_noise_and_suspects():
    rows = alpha_table(QUALITY).rows
    assert rows[0] == ("food", "Krippendorff's alpha, people and machines", "0.410 (0.200 to 0.600)")
    assert rows[1] == ("food", "kappa of llm and local", "0.400") and rows[3][2] == "–"
    assert state_table(QUALITY).rows == (("food", "bad", "0.667", "0.800"), ("food", "good", "0.750", "0.600"))
    assert noise_table(NOISE).rows == (("food", "people", "60", "words", "0.900", "0.050"),)
    weak = {"food": {"people": {**NOISE["food"]["people"], "judge_accuracy": 0.69}, "machines": None}}
    assert noise_table(weak).rows == (("food", "people", "60", "words", "0.690", "–"),)
    assert suspect_table(NOISE).rows == (("food", "bad", "good", "0.020", "train", "human", "<b>Lovely</b> soup"),)


@pytest.mark.parametrize(
    ("record", "tables"),
    [
        ({}, None),
        ({"quality": None, "noise": {"food": {"people": None, "machines": None}}}, None),
        ({"quality": None, "noise": NOISE}, 1),
        ({"quality": QUALITY, "noise": NOISE}, 2),
    ],
)
def test_the_section_shows_what_was_measured(record, tables):
    found = {section.anchor: section for section in sections({"annotate": record}, {})}
    assert ("labels" in found) == (tables is not None)
    if tables:
        assert len(found["labels"].tables) == tables


def test_the_drawings_show_the_measured_concepts():
    assert list(measured(QUALITY)) == ["food"]
    (axes,) = plot_label_confusions(QUALITY).axes[:1]
    assert axes.get_title() == "food: kappa 0.40"
    assert {text.get_text() for text in axes.texts} >= {"20", "5", "10", "15"}
    drawing = plot_label_calibration(QUALITY)
    assert "food: error 0.120" in [text.get_text() for legend in drawing.legends for text in legend.get_texts()] + [
        text.get_text() for axes in drawing.axes if axes.get_legend() for text in axes.get_legend().get_texts()
    ]
