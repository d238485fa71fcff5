"""Drawings of explanations: their numbers and labels."""

from dataclasses import replace

import pytest
from matplotlib.colors import to_hex

from sparsecbm.plots.explanations import plot_calibration, plot_effects, plot_heads, plot_waterfall
from sparsecbm.plots.style import NEGATIVE, NEUTRAL, POSITIVE, SERIES
from tests.support.drawings import cell_texts, values_of, x_labels, y_labels
from tests.support.report_inputs import explanations

EFFECTS = {
    "food": {"Negative": {"1": 2.0, "5": -2.0}, "Positive": {"1": -1.0, "5": 1.0}},
    "noise": {"loud": {"1": 0.5, "5": -0.5}, "quiet": {"1": 0.0, "5": 0.0}},
}
HEADS = {
    "food": {"1": {"density": [0.25, 0.5], "exclusive": [0.1, 0.2]}, "2": {"density": [0, 1], "exclusive": [0, 0.3]}},
    "noise": {"1": {"density": [0.1, 0.2], "exclusive": [0, 0]}, "2": {"density": [0.3, 0.4], "exclusive": [0, 0.1]}},
}


def explained(**contributions):
    """Return an explanation that starts at 0.25 and has the given contributions."""
    explanation = explanations()[0]
    concepts = {
        name: replace(explanation.concepts["food"], contribution=value, state="Positive")
        for name, value in contributions.items()
    }
    label = replace(explanation.label, start=0.25, end=0.25 + sum(contributions.values()))
    return replace(explanation, label=label, concepts=concepts)


def test_the_bars_of_a_waterfall_lie_end_to_end():
    axes = plot_waterfall(explained(noise=-0.75, food=2.0)).axes[0]
    assert axes.get_title() == "How the concepts make label 3"
    assert y_labels(axes) == ["mean of the training texts", "food: Positive", "noise: Positive", "this text"]
    assert [text.get_text() for text in axes.texts] == ["0.25", "+2.00", "-0.75", "1.50"]
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]
    assert bars == [(0, 0.25), (0.25, 2.25), (2.25, 1.5), (0, 1.5)]
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [NEUTRAL, POSITIVE, NEGATIVE, NEUTRAL]


def test_small_contributions_of_many_concepts_have_a_common_bar():
    contributions = {f"c{i}": 1.0 + i for i in range(11)} | {f"small{i}": 0.5 for i in range(39)}
    axes = plot_waterfall(explained(**contributions)).axes[0]
    assert len(axes.patches) == 14
    assert y_labels(axes)[-2:] == ["39 other concepts", "this text"]
    assert axes.patches[12].get_width() == pytest.approx(19.5)
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches]
    assert ends[-2] == pytest.approx(ends[-1])


def test_effects_show_states_in_rows_and_classes_in_columns():
    axes = plot_effects(EFFECTS).axes[0]
    assert axes.get_title() == "Effect of each state on the label"
    assert y_labels(axes) == ["food: Negative", "food: Positive", "noise: loud", "noise: quiet"]
    assert x_labels(axes) == ["1", "5"]
    rows = [[cell_texts(axes)[row, column] for column in range(2)] for row in range(4)]
    assert rows == [["+2.00", "-2.00"], ["-1.00", "+1.00"], ["+0.50", "-0.50"], ["+0.00", "+0.00"]]
    assert axes.collections[0].get_clim() == (-2, 2), "only 0 has the colour in the middle"
    assert plot_effects(EFFECTS, hard=True).axes[0].get_title().endswith(", from one-hot concepts")


def test_heads_of_every_masked_block_are_shown():
    axes = plot_heads(HEADS).axes[0]
    assert (y_labels(axes), x_labels(axes)) == (["food", "noise"], ["1.0", "1.1", "2.0", "2.1"])
    assert [cell_texts(axes)[0, column] for column in range(4)] == ["0.25", "0.50", "0.00", "1.00"]
    assert axes.collections[0].get_clim() == (0, 1)
    axes = plot_heads(HEADS, exclusive=True).axes[0]
    assert values_of(axes) == [[0.1, 0.2, 0, 0.3], [0, 0, 0, 0.1]]
    assert axes.get_title() == "Weights of each head that one concept alone keeps"
    with pytest.raises(ValueError, match="no heads to draw"):
        plot_heads({})
    with pytest.raises(ValueError, match="no heads to draw"):
        plot_heads({"food": {}})


def test_blocks_of_heads_are_in_the_order_of_their_numbers():
    heads = {"food": {block: {"density": [0.5]} for block in ("10", "9")}}
    assert x_labels(plot_heads(heads).axes[0]) == ["9.0", "10.0"]


def curve(error, *points):
    bins = [{"confidence": sure, "accuracy": right, "texts": texts} for sure, right, texts in points]
    return {"calibration": {"error": error, "bins": bins}}


def test_calibration_shows_accuracy_against_confidence_and_the_number_of_texts():
    concepts = {"food": curve(0.1, (0.5, 0.25, 30), (0.9, 1.0, 10)), "noise": curve(None)}
    axes = plot_calibration(concepts).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["food: error 0.100", "noise: no gold states"]
    points = axes.collections[0]
    assert points.get_offsets().tolist() == [[0.5, 0.25], [0.9, 1.0]]
    assert points.get_sizes().tolist() == [20 + 180 * 0.75, 20 + 180 * 0.25]
    diagonal, food = axes.lines[:2]
    assert (list(diagonal.get_xdata()), list(diagonal.get_ydata())) == ([0, 1], [0, 1])
    assert (list(food.get_xdata()), list(food.get_ydata())) == ([0.5, 0.9], [0.25, 1.0])


def test_calibration_names_the_concepts_with_the_largest_error():
    concepts = {f"c{i}": curve(i / 100, (0.5, 0.5, 1)) for i in range(50)}
    axes = plot_calibration(concepts).axes[0]
    named = [text.get_text() for text in axes.get_legend().get_texts()]
    assert named == [f"c{i}: error 0.{i}0" for i in range(42, 50)] and len(named) == len(SERIES)
    assert "8 of 50 are named" in axes.get_title()
    assert [line.get_color() for line in axes.lines[1:43]] == [NEUTRAL] * 42
