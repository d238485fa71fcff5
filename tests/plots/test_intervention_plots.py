"""Drawings of interventions: one line for each policy or error rate, one point for each attempt."""

import io

import pandas as pd
import pytest

from sparsecbm.plots.interventions import plot_memory, plot_people, plot_policies, plot_trials
from tests.support.drawings import lines_of
from tests.support.report_inputs import intervention_tables

TABLES = intervention_tables()


def from_csv(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as loaded from its CSV file."""
    return pd.read_csv(io.StringIO(table.to_csv(index=False)))


def test_policies_are_drawn_for_error_rate_0():
    (axes,) = plot_policies(TABLES["oracle_curves"], 0.8).axes
    assert lines_of(axes) == {
        "random": [(0, 0.5), (1, pytest.approx(0.6))],
        "cooperative": [(0, 0.6), (1, pytest.approx(0.7))],
    }
    (ceiling,) = [line for line in axes.lines if line.get_label().startswith("_")]
    assert list(ceiling.get_ydata()) == [0.8, 0.8]
    assert axes.get_title() == "one-hot states, head as trained"


def test_every_setting_has_a_panel():
    rows = pd.concat([TABLES["oracle_curves"].assign(setting=setting) for setting in ("one_hot", "typical", "hard")])
    drawing = plot_policies(rows, 0.8)
    assert [axes.get_title() for axes in drawing.axes] == [
        "one-hot states, head as trained", "typical predictions, head as trained", "all one-hot, head refitted",
    ]  # fmt: skip
    assert [len(lines_of(axes)) for axes in drawing.axes] == [2, 2, 2]


def test_each_error_rate_has_one_line():
    (axes,) = plot_people(TABLES["oracle_curves"], 0.8).axes
    assert lines_of(axes) == {
        "0% wrong answers": [(0, 0.6), (1, pytest.approx(0.7))],
        "10% wrong answers": [(0, 0.6), (1, pytest.approx(0.6))],
    }


@pytest.mark.parametrize("table", [TABLES["oracle_patches"], from_csv(TABLES["oracle_patches"])])
def test_the_position_of_an_attempt_shows_its_bits_and_harm(table):
    (axes,) = plot_trials(table, 100, 0.01).axes
    points = {group.get_label(): group.get_offsets().tolist() for group in axes.collections}
    assert points == {
        "repaired": [[40, 0]],
        "too much harm": [[90, 0.05]],
        "not reached": [[pytest.approx(110), 0]],  # without a number of bits: at the right edge
    }
    harm, budget = axes.lines
    assert (list(harm.get_ydata()), list(budget.get_xdata())) == ([0.01, 0.01], [100, 100])


def test_memory_shows_fixed_minus_harmed_texts():
    (axes,) = plot_memory(TABLES["oracle_memory"]).axes
    assert lines_of(axes) == {"corrections": [(0.7, 3), (0.9, 3)], "wrong state": [(0.7, -4), (0.9, -4)]}
