"""Pictures of explanations: the numbers in them, and bytes that repeat."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import seaborn as sns
from matplotlib.figure import Figure

from sparsecbm.explain.contributions import StateEffects, Step, Waterfall
from sparsecbm.explain.subnetworks import Region, Subnetworks, UnitShares
from sparsecbm.model.overlap import Overlap
from sparsecbm.plots.explanations import AGAINST, FOR, TOTAL, plot_effects, plot_heads, plot_waterfall

FALL = Waterfall("5", 0.25, (Step("food", "Positive", 2.0, 0.25, 2.25), Step("noise", "loud", -0.75, 2.25, 1.5)), 1.5)
EFFECTS = StateEffects(
    "hard",
    {
        "food": {"Negative": {"1": 2.0, "5": -2.0}, "Positive": {"1": -1.0, "5": 1.0}},
        "noise": {"loud": {"1": 0.5, "5": -0.5}, "quiet": {"1": 0.0, "5": 0.0}},
    },
)


def found(heads=2):
    shares = {number: UnitShares(np.full(heads, 0.25 * number), np.zeros(heads), np.zeros(heads)) for number in (1, 2)}
    whole = Region(100, {"food": 0.3, "noise": 0.5}, Overlap({}, {}, 0.1, {}))
    return Subnetworks(whole, {}, {}, {}, {"food": shares, "noise": shares} if heads else {}, {})


@pytest.fixture
def drawn(monkeypatch):
    """The axes of every figure that is saved, colour bars left out."""
    seen = []
    save = Figure.savefig

    def record(figure, *args, **kwargs):
        seen.extend(axis for axis in figure.axes if axis.get_title())
        return save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", record)
    return seen


def words(axis):
    return [text.get_text() for text in axis.texts]


def test_the_bars_of_a_waterfall_lie_end_to_end(drawn, tmp_path):
    plot_waterfall(FALL, tmp_path / "fall.png")
    (axis,) = drawn
    assert axis.get_title() == "How the concepts make label 5"
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["mean of the training texts", "food: Positive", "noise: loud", "this text"]
    assert words(axis) == ["0.25", "+2.00", "-0.75", "1.50"]
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axis.patches]
    assert bars == [(0, 0.25), (0.25, 2.25), (2.25, 1.5), (0, 1.5)]
    colours = [plt.matplotlib.colors.to_hex(bar.get_facecolor()) for bar in axis.patches]
    assert colours == [TOTAL, FOR, AGAINST, TOTAL]


def test_effects_show_states_in_rows_and_classes_in_columns(drawn, tmp_path):
    plot_effects(EFFECTS, tmp_path / "effects.png")
    (axis,) = drawn
    assert axis.get_title() == "What each state does to the label, from one-hot concepts"
    assert words(axis) == ["+2.00", "-2.00", "-1.00", "+1.00", "+0.50", "-0.50", "+0.00", "+0.00"]
    assert [label.get_text() for label in axis.get_yticklabels()][-1] == "noise: quiet"
    assert axis.collections[0].get_clim() == (-2, 2)  # nothing has the colour in the middle but 0


def test_heads_show_every_block_under_masks(drawn, tmp_path):
    plot_heads(found(), tmp_path / "heads.png")
    assert [axis.get_title() for axis in drawn] == ["food: 30.0% kept", "noise: 50.0% kept"]
    assert words(drawn[0]) == ["0.25", "0.25", "0.50", "0.50"]
    assert [label.get_text() for label in drawn[0].get_yticklabels()] == ["1", "2"]
    plot_heads(found(heads=32), tmp_path / "many.png")
    assert words(drawn[-1]) == []  # too crowded for numbers
    with pytest.raises(ValueError, match="no heads to draw"):
        plot_heads(found(heads=0), tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


@pytest.mark.parametrize("plot, data", [(plot_waterfall, FALL), (plot_effects, EFFECTS), (plot_heads, found())])
def test_bytes_repeat_whatever_was_drawn_before(plot, data, tmp_path):
    plot(data, tmp_path / "first.png")
    with plt.style.context("default"):
        sns.set_theme(style="whitegrid", font_scale=2)
        plot(data, tmp_path / "again.png")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    assert (tmp_path / "first.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["again.png", "first.png"]
    assert plt.get_fignums() == []
