"""Drawings of scores: confusions by row share, and accuracies with their baselines."""

from sparsecbm.plots.scores import plot_accuracies, plot_confusions
from tests.support.drawings import cell_texts, values_of, x_labels, y_labels


def score(accuracy=0.75, confusion=((3, 1), (0, 4)), states=("bad", "good")):
    return {
        "accuracy": accuracy, "accuracy_interval": [0.5, 0.9], "majority": 0.4,
        "confusion": confusion and [list(row) for row in confusion], "states": states and list(states),
    }  # fmt: skip


def scores(**concepts):
    return {
        "split": "dev", "label": score(), "label_hard": score(0.5), "label_hard_refitted": None, "bag_of_words": None,
        "concepts": {"mean": score(0.6, None, None), **concepts},
    }  # fmt: skip


def test_confusions_have_gold_in_rows_and_predictions_in_columns():
    drawing = plot_confusions(scores(food=score(None, ((0, 0), (1, 1)))))
    label, food = drawing.axes
    assert (label.get_title(), food.get_title()) == ("label: accuracy 0.750", "food: no texts")
    assert (label.get_ylabel(), label.get_xlabel()) == ("gold", "predicted")
    assert y_labels(label) == x_labels(label) == ["bad", "good"]
    assert values_of(label) == [[0.75, 0.25], [0.0, 1.0]]
    assert cell_texts(label) == {(0, 0): "3", (0, 1): "1", (1, 0): "0", (1, 1): "4"}
    assert values_of(food) == [[0.0, 0.0], [0.5, 0.5]], "a state without texts has no shares"
    assert drawing.get_suptitle() == "split dev"


def test_only_the_least_accurate_of_many_concepts_are_drawn():
    drawing = plot_confusions(scores(**{f"c{i}": score(i / 100) for i in range(50)}))
    titles = [axes.get_title() for axes in drawing.axes]
    assert titles == ["label: accuracy 0.750", *(f"c{i}: accuracy {i / 100:.3f}" for i in range(11))]
    assert drawing.get_suptitle() == "split dev: the label and the 11 least accurate of 50 concepts"


def test_accuracies_are_drawn_with_majority_and_bag_of_words():
    words = {"label": 0.45, "concepts": {"food": 0.7}}
    drawing = plot_accuracies({**scores(food=score(0.8), unknown=score(None)), "bag_of_words": words})
    axes = drawing.axes[0]
    assert y_labels(axes) == ["label", "label, hard concepts", "mean", "food", "unknown"]
    points = {}
    for line in axes.lines:
        row = line.get_ydata()[0]
        points.setdefault(int(row), []).extend(float(x) for x in line.get_xdata())
    assert points == {
        0: [0.5, 0.9, 0.75, 0.4, 0.45],  # interval, accuracy, majority, bag of words
        1: [0.5, 0.9, 0.5, 0.4],
        2: [0.5, 0.9, 0.6, 0.4],
        3: [0.5, 0.9, 0.8, 0.4, 0.7],
    }
    legend = [text.get_text() for text in drawing.legends[0].get_texts()]
    assert legend == ["model, 95 % interval", "majority", "bag of words"]
    assert axes.get_xlabel() == "accuracy on dev"
