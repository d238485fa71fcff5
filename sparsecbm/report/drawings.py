"""Every plot of a run, drawn from the numbers and tables that the other stages wrote."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from sparsecbm.explain.explanation import Explanation
from sparsecbm.plots.explanations import plot_calibration, plot_effects, plot_heads, plot_waterfall
from sparsecbm.plots.faithfulness import plot_faithfulness
from sparsecbm.plots.interventions import plot_memory, plot_people, plot_policies, plot_trials
from sparsecbm.plots.masks import plot_density, plot_exclusive, plot_overlap, plot_probe, plot_swap, shares_vary
from sparsecbm.plots.scores import plot_accuracies, plot_confusions
from sparsecbm.plots.training import plot_curves, plot_pruning


def draw_plots(
    folder: Path,
    metrics: Mapping[str, Mapping],
    interventions: Mapping[str, pd.DataFrame],
    explanations: Sequence[Explanation],
) -> None:
    """Write `folder/STAGE/NAME.png` for every plot whose numbers are there.

    Args:
        metrics: stage -> content of its `metrics/STAGE.json`; a stage that did not run is missing
        interventions: name -> table of `reports/interventions`
        explanations: the first one gives the waterfall
    """
    if "finetune" in metrics:
        plot_curves(metrics["finetune"], folder / "finetune" / "curves.png")
    if metrics.get("prune", {}).get("chosen"):
        _draw_masks(folder / "prune", metrics["prune"])
    if metrics.get("explain", {}).get("concepts"):
        _draw_explanations(folder / "explain", metrics["explain"], explanations)
    if "intervene" in metrics and interventions:
        _draw_interventions(folder / "intervene", metrics["intervene"], interventions)
    if "evaluate" in metrics:
        scores = metrics["evaluate"]
        for each in (scores, *scores["splits"].values()):
            plot_confusions(each, folder / "evaluate" / f"confusion-{each['split']}.png")
            plot_accuracies(each, folder / "evaluate" / f"accuracy-{each['split']}.png")


def _draw_masks(folder: Path, record: Mapping) -> None:
    chosen = record["chosen"]
    plot_pruning(record, folder / "curves.png")
    plot_overlap(chosen["overlap"], folder / "overlap.png")
    plot_swap(chosen["swap"], folder / "swap.png")
    plot_probe(chosen["probe"], folder / "probe.png")
    for kind, plot in {"density": plot_density, "exclusive": plot_exclusive}.items():
        if shares_vary(chosen["layers"], kind):
            plot(chosen["layers"], folder / f"{kind}.png")


def _draw_explanations(folder: Path, record: Mapping, explanations: Sequence[Explanation]) -> None:
    plot_effects(record["effects"], folder / "effects.png")
    if record["effects_hard"] is not None:
        plot_effects(record["effects_hard"], folder / "effects-hard.png", hard=True)
    plot_calibration(record["concepts"], folder / "calibration.png")
    plot_faithfulness(record["faithfulness"], folder / "faithfulness.png")
    if record["subnetworks"] is not None and record["subnetworks"]["heads"]:
        plot_heads(record["subnetworks"]["heads"], folder / "heads.png")
        plot_heads(record["subnetworks"]["heads"], folder / "heads-exclusive.png", exclusive=True)
    if explanations:
        plot_waterfall(explanations[0], folder / "waterfall.png")


def _draw_interventions(folder: Path, record: Mapping, tables: Mapping[str, pd.DataFrame]) -> None:
    plot_policies(tables["oracle_curves"], record["gold_ceiling"], folder / "policies.png")
    plot_people(tables["oracle_curves"], record["gold_ceiling"], folder / "people.png")
    plot_memory(tables["oracle_memory"], folder / "memory.png")
    if "oracle_patches" in tables:  # absent where no prediction was wrong
        limits = record["patch_limits"]
        plot_trials(tables["oracle_patches"], limits["bits"], limits["max_harm"], folder / "patches.png")
