"""Pictures of masks: the numbers in them, and bytes that repeat."""

import matplotlib.pyplot as plt
import pytest
import seaborn as sns
import torch
from matplotlib.figure import Figure

from sparsecbm.evaluate.evidence import Estimate
from sparsecbm.evaluate.specificity.specificity import OverlapScores, PairScores, SquareScores
from sparsecbm.model.masks import MaskSet
from sparsecbm.plots.masks import plot_density, plot_overlap, plot_probe, plot_swap

SQUARE = SquareScores(
    own=0.9,
    others=0.6,
    gap={name: Estimate(value=0.3, interval=[0.25, 0.35]) for name in ("food", "noise", "mean")},
    matrix={"food": {"food": 0.95, "noise": 0.5}, "noise": {"food": None, "noise": 0.85}},
)
OVERLAP = OverlapScores(
    jaccard=0.4,
    chance=0.14,
    pairs={"food": {"noise": PairScores(jaccard=0.4, chance=0.14)}},
    core=0.1,
    exclusive={"food": 0.15, "noise": 0.15},
)


def masks(blocks=2):
    """Of each concept: the first block whole, nothing of the attention of the others, half of their output."""
    of = {}
    for number in range(blocks):
        half = torch.zeros(2, 4, dtype=torch.bool)
        half[0] = True
        of[f"encoder.layer.{number}.attention.query"] = torch.full((4, 4), number == 0)
        of[f"encoder.layer.{number}.output"] = torch.ones(2, 4, dtype=torch.bool) if number == 0 else half
    return MaskSet.from_masks({"food": of, "noise": of})


@pytest.fixture
def drawn(monkeypatch):
    """The words in every figure that is saved: (titles and axes, cells), axes without colour bars."""
    seen = []
    save = Figure.savefig

    def record(figure, *args, **kwargs):
        for axis in figure.axes:
            if axis.get_title() and axis.get_visible():
                seen.append(
                    (axis.get_title(), axis.get_xlabel(), axis.get_ylabel(), [t.get_text() for t in axis.texts])
                )
        return save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", record)
    return seen


def test_swap_and_probe_matrices_show_concepts_in_rows_and_masks_in_columns(drawn, tmp_path):
    plot_swap(SQUARE, tmp_path / "swap.png")
    plot_probe(SQUARE, tmp_path / "probe.png")
    for (title, across, down, cells), reader in zip(drawn, ("trained head", "fresh linear probe"), strict=True):
        assert reader in title and "own mask minus others: +0.300 (95 % from +0.250 to +0.350)" in title
        assert (across, down) == ("under the mask of", "concept that is read")
        assert cells == ["0.950", "0.500", "0.850"]  # the cell without texts is empty


def test_overlap_shows_chance_in_the_cell(drawn, tmp_path):
    plot_overlap(OVERLAP, tmp_path / "overlap.png")
    ((title, _, _, cells),) = drawn
    assert "all keep 10.0% of the weights" in title
    assert cells == ["0.40\nchance 0.14"] * 2


def test_density_shows_every_part_of_every_block(drawn, tmp_path):
    plot_density(masks(), tmp_path / "density.png")
    assert [title for title, *_ in drawn] == ["food: 58.3% kept", "noise: 58.3% kept"]  # 28 of 48
    assert drawn[0][3] == ["1.00", "0.00", "1.00", "0.50"]  # attention of both blocks, output of both
    plot_density(masks(13), tmp_path / "many.png")
    assert drawn[-1][3] == []  # too crowded for numbers


@pytest.mark.parametrize(
    "plot, data", [(plot_swap, SQUARE), (plot_probe, SQUARE), (plot_overlap, OVERLAP), (plot_density, masks())]
)
def test_bytes_repeat_whatever_was_drawn_before(plot, data, tmp_path):
    plot(data, tmp_path / "first.png")
    with plt.style.context("default"):
        sns.set_theme(style="whitegrid", font_scale=2)
        plot(data, tmp_path / "again.png")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    assert plt.get_fignums() == []
