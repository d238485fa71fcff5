"""Drawings of masks: their numbers and labels."""

from sparsecbm.plots.masks import (
    plot_density,
    plot_exclusive,
    plot_overlap,
    plot_probe,
    plot_swap,
)
from tests.support.drawings import cell_texts, values_of, x_labels, y_labels
from tests.support.report_inputs import LAYERS

SQUARE = {
    "gap": {"mean": {"value": 0.3, "interval": [0.25, 0.35]}},
    "matrix": {"food": {"food": 0.95, "noise": 0.5}, "noise": {"food": None, "noise": 0.85}},
}
OVERLAP = {
    "pairs": {"food": {"noise": {"jaccard": 0.4, "chance": 0.14}}},
    "core": 0.1,
    "exclusive": {"food": 0.15, "noise": 0.15},
}


def test_swap_and_probe_matrices_show_concepts_in_rows_and_masks_in_columns():
    for plot, reader in ((plot_swap, "Trained head"), (plot_probe, "Fresh linear probe")):
        axes = plot(SQUARE).axes[0]
        assert axes.get_title().startswith(reader)
        assert "own mask minus others: +0.300 (95 % from +0.250 to +0.350)" in axes.get_title()
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("under the mask of", "concept")
        assert y_labels(axes) == x_labels(axes) == ["food", "noise"]
        assert cell_texts(axes) == {(0, 0): "0.950", (0, 1): "0.500", (1, 1): "0.850"}  # no number without texts
        assert values_of(axes) == [[0.95, 0.5], [None, 0.85]]


def test_the_title_shows_no_gap_of_a_single_concept():
    one = {"gap": {"mean": {"value": None, "interval": [None, None]}}, "matrix": {"food": {"food": 0.5}}}
    assert plot_swap(one).axes[0].get_title() == "Trained head of each concept"
    unsure = {**one, "gap": {"mean": {"value": 0.5, "interval": [None, None]}}}
    assert plot_swap(unsure).axes[0].get_title().endswith("own mask minus others: +0.500")


def test_overlap_shows_chance_in_the_cell():
    axes = plot_overlap(OVERLAP).axes[0]
    assert "all masks keep 10.0% of the weights" in axes.get_title()
    assert cell_texts(axes) == dict.fromkeys([(0, 1), (1, 0)], "0.40\nchance 0.14")
    assert values_of(axes) == [[None, 0.4], [0.4, None]]


def test_shares_by_layer_have_concepts_in_rows_and_layers_in_columns():
    axes = plot_exclusive(LAYERS).axes[0]
    assert y_labels(axes) == ["food", "noise"]
    parts = ["attention.self.query", "output.dense"]
    assert x_labels(axes) == [f"{block} {part}" for block in (0, 1) for part in parts]
    assert values_of(axes) == [[0.1, 0.05, 0.2, 0.05 + 0.1], [0.02] * 4]
    assert [cell_texts(axes)[0, column] for column in range(4)] == ["10.0%", "5.0%", "20.0%", "15.0%"]
    assert values_of(plot_density(LAYERS).axes[0]) == [[0.25] * 4] * 2


def test_blocks_are_in_the_order_of_their_numbers():
    layers = {f"layer.{block}.out": {"density": {"food": block / 10}} for block in (10, 2, 1)}
    assert x_labels(plot_density(layers).axes[0]) == ["1 out", "2 out", "10 out"]


def test_many_concepts_and_layers_are_drawn_without_numbers():
    names = [f"concept {i}" for i in range(50)]
    layers = {
        f"l.{block}.p{part}": {"exclusive": dict.fromkeys(names, 0.1)} for block in range(12) for part in "abcdef"
    }
    axes = plot_exclusive(layers).axes[0]
    assert (list(axes.texts), y_labels(axes)) == ([], names)
    assert x_labels(axes) == [f"block {block}" for block in range(12)]
    square = {"gap": {"mean": {"value": None}}, "matrix": {name: dict.fromkeys(names, 0.5) for name in names}}
    axes = plot_swap(square).axes[0]
    assert (list(axes.texts), y_labels(axes)) == ([], names)
