"""The report draws plots whose numbers exist and that show a difference."""

from copy import deepcopy

from sparsecbm.report.drawings import draw_plots
from tests.support import report_inputs

MASKS = {"curves.png", "exclusive.png", "probe.png", "swap.png"}


def drawn(folder, stage, record, explanations=()):
    """Return the names of the plots for the figures of one stage; there are no other plots."""
    draw_plots(folder, {stage: record}, {}, explanations)
    assert {path.name for path in folder.iterdir()} <= {stage}
    return {path.name for path in folder.rglob("*.png")}


def test_densities_are_drawn_only_if_they_differ(tmp_path):
    record = deepcopy(report_inputs.metrics()["prune"])
    assert drawn(tmp_path / "equal", "prune", record) == MASKS
    next(iter(record["chosen"]["layers"].values()))["density"]["food"] = 0.5
    assert drawn(tmp_path / "different", "prune", record) == MASKS | {"density.png"}


def test_overlaps_are_drawn_only_if_they_differ(tmp_path):
    record = deepcopy(report_inputs.metrics()["prune"])
    pairs = record["chosen"]["overlap"]["pairs"]
    pairs["noise"] = {"room": {**pairs["food"]["noise"], "jaccard": 0.9}}
    record["chosen"]["overlap"]["exclusive"]["room"] = 0.1
    assert drawn(tmp_path, "prune", record) == MASKS | {"overlap.png"}


def test_hard_effects_and_heads_are_drawn_if_the_model_has_them(tmp_path):
    record = report_inputs.metrics()["explain"]
    always = {"calibration.png", "effects.png", "faithfulness.png", "waterfall.png"}
    both = {**record, "effects_hard": record["effects"]}
    names = drawn(tmp_path / "both", "explain", both, report_inputs.explanations())
    assert names == always | {"effects-hard.png", "heads.png", "heads-exclusive.png"}
    dense = {**record, "subnetworks": None}
    assert drawn(tmp_path / "dense", "explain", dense, report_inputs.explanations()) == always


def test_without_figures_there_are_no_plots(tmp_path):
    draw_plots(tmp_path, {"prune": {"chosen": None}, "explain": {"note": "n"}, "intervene": {"note": "n"}}, {}, [])
    assert list(tmp_path.iterdir()) == []
