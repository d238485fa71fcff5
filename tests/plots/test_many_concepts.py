"""Every plot stays bounded and legible with 50 concepts of 20 states: its size, its labels, what is drawn."""

from itertools import chain

import pandas as pd
import pytest
from matplotlib.text import Text

from sparsecbm.plots.explanations import plot_calibration, plot_effects, plot_heads, plot_waterfall
from sparsecbm.plots.frames import plot_scores
from sparsecbm.plots.masks import plot_density, plot_exclusive, plot_overlap, plot_probe, plot_swap
from sparsecbm.plots.scores import plot_accuracies, plot_confusions
from sparsecbm.plots.style import MAX_INCHES, MAX_LABELS, MAX_NAME, short_labels
from tests.support import many_concepts
from tests.support.drawings import x_labels, y_labels

MOST_ELEMENTS = 2500  # the confusions have 12 panels with 40 labels each; 3,600 numbers in cells would be more
POINTS = 72  # of an inch

PLOTS = {
    "density": lambda run: plot_density(run["prune"]["chosen"]["layers"]),
    "exclusive": lambda run: plot_exclusive(run["prune"]["chosen"]["layers"]),
    "overlap": lambda run: plot_overlap(run["prune"]["chosen"]["overlap"]),
    "swap": lambda run: plot_swap(run["prune"]["chosen"]["swap"]),
    "probe": lambda run: plot_probe(run["prune"]["chosen"]["probe"]),
    "effects": lambda run: plot_effects(run["explain"]["effects"]),
    "calibration": lambda run: plot_calibration(run["explain"]["concepts"]),
    "heads": lambda run: plot_heads(run["explain"]["subnetworks"]["heads"]),
    "waterfall": lambda run: plot_waterfall(many_concepts.explanation()),
    "accuracies": lambda run: plot_accuracies(run["evaluate"]),
    "confusions": lambda run: plot_confusions(run["evaluate"]),
}


@pytest.fixture(scope="module")
def run():
    return many_concepts.metrics()


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_of_50_concepts_is_bounded_and_its_labels_do_not_overlap(name, run):
    drawing = PLOTS[name](run)
    assert max(drawing.get_size_inches()) <= MAX_INCHES
    assert len(drawing.findobj(Text)) <= MOST_ELEMENTS
    for axes in drawing.axes:
        labels = y_labels(axes)
        assert len(labels) <= MAX_LABELS and len(x_labels(axes)) <= MAX_LABELS
        assert max(map(len, chain(labels, x_labels(axes))), default=0) <= MAX_NAME
        height = axes.get_position().height * drawing.get_size_inches()[1] * POINTS
        size = axes.get_yticklabels()[0].get_fontsize() if labels else 0
        assert len(labels) * size <= height, "each label has a line of its own"


def test_effects_of_many_states_are_those_of_the_largest_states(run):
    effects = {f"c{i}": {f"s{j}": {"1": float(i), "2": -float(j)} for j in range(20)} for i in range(50)}
    axes = plot_effects(effects).axes[0]
    # The largest size is the larger of i and j: 3 concepts of 47 and more have 20 states each, and 4 are left of c46.
    largest = [f"c{i}: s{j}" for i in (47, 48, 49) for j in range(20)]
    assert y_labels(axes) == [f"c46: s{j}" for j in range(4)] + largest
    assert axes.get_title().endswith("64 of 1000 states, those with the largest effects")
    few = plot_effects({"c": {"s": {"1": 1.0}}}).axes[0]
    assert "states, those" not in few.get_title()


def test_accuracies_of_more_concepts_than_labels_are_the_least_accurate(run):
    by_concept = {f"c{i}": {**run["evaluate"]["label"], "accuracy": 1 - i / 100} for i in range(80)}
    record = {**run["evaluate"], "concepts": by_concept | {"mean": run["evaluate"]["concepts"]["mean"]}}
    axes = plot_accuracies(record).axes[0]
    least = [f"c{i}" for i in range(80 - (MAX_LABELS - 3), 80)]
    assert y_labels(axes) == ["label", "label, hard concepts", *least, "mean"]
    assert axes.get_xlabel() == "accuracy on test, without the 19 most accurate concepts"
    assert axes.get_ylim() == (MAX_LABELS - 0.5, -0.5)


def test_long_names_keep_their_beginning_and_their_end_and_stay_apart():
    question = "How satisfied are you with the opening hours of the office in your town?"
    assert short_labels(["food", "x" * MAX_NAME]) == ["food", "x" * MAX_NAME]
    assert short_labels([question]) == ["How satisfied ar…e in your town?"] and len(short_labels([question])[0]) == 32
    twins = [question, "food", question.replace("opening", "closing")]
    first, food, second = short_labels(twins)
    assert (first, food, second) == ("How satisfied …in your town? (1)", "food", "How satisfied …in your town? (3)")
    assert short_labels(["food", "food"]) == ["food", "food"], "rows of two variables may have the same state"


def test_scores_of_a_frame_with_many_concepts_are_the_least_accurate():
    accuracies = {"accuracy": [1 - row / 100 for row in range(80)], "low": 0.1, "high": 0.9, "majority": 0.4}
    axes = plot_scores(pd.DataFrame(accuracies, index=[f"c{row}" for row in range(80)])).axes[0]
    assert y_labels(axes) == [f"c{row}" for row in range(80 - MAX_LABELS, 80)]
    assert axes.get_xlabel() == "accuracy, without the 16 most accurate"
    few = plot_scores(pd.DataFrame(accuracies).head(3)).axes[0]
    assert few.get_xlabel() == "accuracy"
