"""The drawing of faithfulness shows every method and operator with its interval, and chance."""

import pytest

from sparsecbm.plots.faithfulness import plot_faithfulness
from tests.support.drawings import y_labels


def scores(operators=("delete", "replace"), items=9):
    """Return scores: leads of .4 and .5 in comprehensiveness for one method, and 0 and .1 for random attributions."""

    def compared(excess):
        return {"mean": {"excess": excess, "excess_interval": [excess - 0.1, excess + 0.2]}}

    def method(excess):
        leads = {operator: compared(excess + i / 10) for i, operator in enumerate(operators) if items}
        return {"comprehensiveness": leads, "sufficiency": {operator: compared(-excess) for operator in leads}}

    methods = {"leave_one_out": method(0.4), "random": method(0.0)}
    return {"methods": methods, "operators": list(operators), "items": items}


def test_every_method_and_operator_has_its_interval_and_chance():
    drawing = plot_faithfulness(scores())
    left, right = drawing.axes
    assert (left.get_title(), right.get_title()) == ("comprehensiveness", "sufficiency")
    assert y_labels(left) == ["leave one out", "random"]
    expected = [[0.3, 0.6], [0.4], [0.4, 0.7], [0.5], [-0.1, 0.2], [0.0], [0.0, 0.3], [0.1], [0, 0]]
    assert [pytest.approx(list(line.get_xdata())) for line in left.lines] == expected
    assert [list(line.get_xdata()) for line in right.lines[:4]] == [[-0.5, pytest.approx(-0.2)], [-0.4]] * 2
    heights = [line.get_ydata()[0] for line in left.lines[:4]]
    assert heights == pytest.approx([-0.11, -0.11, 0.11, 0.11]), "operators of a method stand side by side"
    assert [text.get_text() for text in drawing.legends[0].get_texts()] == ["delete", "replace"]


def test_operators_differ_in_their_markers():
    points = [line for line in plot_faithfulness(scores()).axes[0].lines if line.get_marker() != "None"]
    assert [line.get_marker() for line in points] == ["o", "s", "o", "s"]


def test_no_scores_give_an_empty_drawing():
    drawing = plot_faithfulness(scores(items=0))
    assert [list(line.get_xdata()) for line in drawing.axes[0].lines] == [[0, 0]]
    assert drawing.legends == []
