"""Drawings of data: shares of states and lengths of texts."""

import io

import numpy as np
import pytest

from sparsecbm.plots.style import MAX_NAME
from sparsecbm.plots.validation import plot_lengths, plot_shares
from tests.support.drawings import lines_of, y_labels

COUNTS = {"train": {"low": 3, "high": 1, "missing": 0}, "test": {"low": 1, "high": 18, "missing": 1}}


def test_bars_show_the_share_of_each_state():
    axes = plot_shares("price", COUNTS).axes[0]
    assert (axes.get_title(loc="left"), y_labels(axes)) == ("price", ["train", "test"])
    bars = [(bar.get_x(), bar.get_width()) for bar in axes.patches]
    expected = [(0, 0.75), (0.75, 0.25), (1, 0), (0, 0.05), (0.05, 0.9), (0.95, 0.05)]
    assert [pytest.approx(bar) for bar in bars] == expected
    assert [text.get_text() for text in axes.texts] == ["75%", "25%", "90%"], "narrow bars hold no number"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["low", "high", "missing"]
    assert [bool(bar.get_hatch()) for bar in axes.patches] == [False, False, True] * 2


def test_a_split_without_rows_has_empty_bars():
    axes = plot_shares("price", {"train": {"low": 0, "missing": 0}}).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0, 0]


def test_lengths_are_shares_of_texts_in_common_bins():
    lengths = {"train": np.array([1, 1, 2, 30]), "test": np.array([3, 3])}
    axes = plot_lengths("length of texts", lengths, "words").axes[0]
    train, test = axes.patches
    assert train.get_data().edges.tolist() == test.get_data().edges.tolist() == list(range(0, 33, 2))
    assert train.get_data().values.tolist() == [0.5, 0.25, *[0] * 13, 0.25]
    assert test.get_data().values.tolist() == [0, 1, *[0] * 14]
    assert axes.get_xlabel() == "words" and lines_of(axes) == {}


def test_both_themes_show_the_same_colours_of_states():
    light, dark = (plot_shares("price", COUNTS, theme=theme).axes[0] for theme in ("light", "dark"))
    assert [bar.get_facecolor() for bar in light.patches[:2]] == [bar.get_facecolor() for bar in dark.patches[:2]]
    assert light.title.get_color() != dark.title.get_color()


def test_bytes_depend_on_the_data_only():
    def png(counts):
        stream = io.BytesIO()
        plot_shares("price", counts, stream)
        return stream.getvalue()

    assert png(COUNTS) == png(COUNTS)
    assert png(COUNTS) != png({**COUNTS, "train": {"low": 1, "high": 3, "missing": 0}})


@pytest.mark.parametrize(
    "states, columns",
    [
        (["1", "2", "3", "4", "5"], 6),  # and `missing`: six short names stand beside each other
        (["Negative", "Positive", "unknown"], 4),
        ([f"state {number}" for number in range(20)], 4),
        ([f"How satisfied are you, all in all, on {number}" for number in range(20)], 1),
    ],
)
def test_the_names_of_states_fit_below_the_bars(states, columns):
    counts = dict.fromkeys(("train", "validation"), dict.fromkeys([*states, "missing"], 5))
    drawing = plot_shares("food", counts)
    (axes,) = drawing.axes
    legend = axes.get_legend()
    assert legend._ncols == columns and len(legend.get_texts()) == len(states) + 1
    box, page = legend.get_window_extent(), drawing.bbox
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1, "nothing of the legend is cut off"
    assert max(len(text.get_text()) for text in legend.get_texts()) <= MAX_NAME
