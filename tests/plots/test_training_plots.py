"""Drawings of training: every point of every curve, and the selected epoch."""

from sparsecbm.plots.training import plot_curves, plot_pruning
from tests.support.drawings import lines_of
from tests.support.report_inputs import TRAINING

VALIDATION = {
    "label": [(10, 0.5), (20, 0.25)],
    "concepts": [(10, 0.75), (20, 0.75)],
    "kept": [(10, 0), (10, 1)],
}


def test_curves_of_finetuning_have_every_point():
    left, right = plot_curves(TRAINING).axes
    assert lines_of(left) == {
        "total": [(5, 2.0), (10, 1.5), (20, 1.0)],
        "label": [(5, 1.5), (10, 1.0), (20, 0.5)],
        "concepts": [(5, 0.5), (10, 0.5), (20, 0.5)],
    }
    assert lines_of(right) == VALIDATION


def test_a_black_box_has_no_curve_of_concepts():
    epochs = [{"step": 10, "validation.label.accuracy": 0.5}]
    right = plot_curves({**TRAINING, "epochs": epochs}).axes[1]
    assert lines_of(right) == {"label": [(10, 0.5)], "kept": [(10, 0), (10, 1)]}


def test_curves_of_pruning_have_every_point():
    sparsity, loss, right = plot_pruning(TRAINING).axes
    (steps,), (losses,) = sparsity.lines, loss.lines
    assert list(zip(steps.get_xdata(), steps.get_ydata(), strict=True)) == [(0, 0.0), (10, 0.75)]
    assert steps.get_drawstyle() == "steps-post", "sparsity stays until the next event"
    assert list(losses.get_ydata()) == [0.5, 0.5, 0.5]
    assert lines_of(right) == VALIDATION


def test_a_search_of_one_epoch_has_no_curve_of_validation():
    drawing = plot_pruning({**TRAINING, "epochs": TRAINING["epochs"][:1]})
    assert [axes.get_ylabel() for axes in drawing.axes] == ["sparsity", "concept loss under masks"]
