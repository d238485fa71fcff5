"""The drawing of drift: bars in multiples of what counts."""

from matplotlib.colors import to_rgba

from sparsecbm.plots.drift import FAR, MOST, plot_drift
from sparsecbm.plots.style import NEGATIVE, NEUTRAL
from tests.support.drawings import y_labels


def test_bars_are_multiples_of_the_bound_largest_first():
    axes = plot_drift(["a", "b", "c"], [0.5, 9.0, -1.0], [False, True, False]).axes[0]
    assert y_labels(axes) == ["b", "a", "c"]
    assert [bar.get_width() for bar in axes.patches] == [FAR, 0.5, 0.0]
    assert [bar.get_facecolor() for bar in axes.patches] == [to_rgba(NEGATIVE), *[to_rgba(NEUTRAL)] * 2]
    assert [text.get_text().strip() for text in axes.texts] == ["9 times"]


def test_of_many_figures_the_largest_are_drawn():
    axes = plot_drift([str(i) for i in range(MOST + 5)], list(range(MOST + 5)), [False] * (MOST + 5)).axes[0]
    assert len(axes.patches) == MOST and y_labels(axes)[0] == str(MOST + 4)
