"""The picture of faithfulness: the numbers in it, and bytes that repeat."""

import pytest
from matplotlib.figure import Figure

from sparsecbm.evaluate.faithfulness.faithfulness import FaithfulnessScores, MethodScores
from sparsecbm.evaluate.faithfulness.randomisation import Comparison
from sparsecbm.plots.faithfulness import plot_faithfulness


def compared(excess):
    half = {"interval": [0, 1], "excess_interval": [excess - 0.1, excess + 0.2], "win_rate_interval": [0, 1]}
    return {"mean": Comparison(items=9, value=0.5, random=0.5 - excess, excess=excess, win_rate=0.5, p=0.5, **half)}


def scores(operators=("delete", "replace"), items=9):
    def method(excess):
        falls = {operator: compared(excess + i / 10) for i, operator in enumerate(operators) if items}
        turned = {operator: compared(-excess) for operator in operators if items}
        return MethodScores(
            comprehensiveness=falls,
            sufficiency=turned,
            kendall_tau={},
            infidelity={},
            max_sensitivity={},
            edited_words={},
        )

    methods = {"leave_one_out": method(0.4), "random": method(0.0)}
    return FaithfulnessScores(
        texts=4,
        items=items,
        edits=0,
        operators=list(operators),
        shares=[0.5],
        random_draws=2,
        methods=methods,
        sanity={},
    )


@pytest.fixture
def drawn(monkeypatch):
    """Title of each panel -> the x values of what is drawn in it, and its y labels."""
    seen = {}
    save = Figure.savefig

    def record(figure, *args, **kwargs):
        for axis in figure.axes:
            lines = [list(map(float, line.get_xdata())) for line in axis.lines]
            seen[axis.get_title()] = (lines, [label.get_text() for label in axis.get_yticklabels()])
        return save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", record)
    return seen


def test_every_method_and_operator_stands_in_it_with_its_interval_and_chance(drawn, tmp_path):
    plot_faithfulness(scores(), tmp_path / "a.png")
    lines, labels = drawn["comprehensiveness"]
    assert labels == ["leave one out", "random"]
    expected = [[0.3, 0.6], [0.4], [0.4, 0.7], [0.5], [-0.1, 0.2], [0.0], [0.0, 0.3], [0.1], [0, 0]]
    assert [pytest.approx(line) for line in lines] == expected
    assert drawn["sufficiency"][0][1] == [-0.4]
    plot_faithfulness(scores(), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_nothing_measured_gives_an_empty_picture(drawn, tmp_path):
    plot_faithfulness(scores(items=0), tmp_path / "a.png")
    assert drawn["comprehensiveness"][0] == [[0, 0]]
