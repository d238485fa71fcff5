"""Every plot of a run, drawn from the numbers and tables that the other stages wrote."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from sparsecbm.base.progress import progress
from sparsecbm.explain.explanation import Explanation
from sparsecbm.plots.explanations import plot_calibration, plot_effects, plot_heads, plot_waterfall
from sparsecbm.plots.faithfulness import plot_faithfulness
from sparsecbm.plots.interventions import plot_memory, plot_people, plot_policies, plot_trials
from sparsecbm.plots.labels import measured, plot_label_calibration, plot_label_confusions
from sparsecbm.plots.masks import (
    plot_density,
    plot_exclusive,
    plot_overlap,
    plot_probe,
    plot_swap,
)
from sparsecbm.plots.scores import plot_accuracies, plot_confusions
from sparsecbm.plots.training import plot_curves, plot_pruning
from sparsecbm.report.examples import Example, first_example
from sparsecbm.report.variation import overlaps_vary, shares_vary

Plots = list[Callable[[], object]]


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
        explanations: the waterfall is of the text that the page begins with
    """
    plots: Plots = []
    quality = metrics.get("annotate", {}).get("quality")
    if quality and measured(quality):
        plots += [partial(plot_label_confusions, quality, folder / "annotate" / "confusion.png")]
        plots += [partial(plot_label_calibration, quality, folder / "annotate" / "calibration.png")]
    if "finetune" in metrics:
        plots += [partial(plot_curves, metrics["finetune"], folder / "finetune" / "curves.png")]
    if metrics.get("prune", {}).get("chosen"):
        plots += _masks(folder / "prune", metrics["prune"])
    if metrics.get("explain", {}).get("concepts"):
        plots += _explanations(folder / "explain", metrics["explain"], explanations)
    if "intervene" in metrics and interventions:
        plots += _interventions(folder / "intervene", metrics["intervene"], interventions)
    if "evaluate" in metrics:
        scores = metrics["evaluate"]
        for each in (scores, *scores["splits"].values()):
            plots += [partial(plot_confusions, each, folder / "evaluate" / f"confusion-{each['split']}.png")]
            plots += [partial(plot_accuracies, each, folder / "evaluate" / f"accuracy-{each['split']}.png")]
    for plot in progress(plots, "draw", "plot"):
        plot()


def _masks(folder: Path, record: Mapping) -> Plots:
    chosen = record["chosen"]
    shares = {"density": plot_density, "exclusive": plot_exclusive}
    return [
        partial(plot_pruning, record, folder / "curves.png"),
        partial(plot_swap, chosen["swap"], folder / "swap.png"),
        partial(plot_probe, chosen["probe"], folder / "probe.png"),
        *(
            [partial(plot_overlap, chosen["overlap"], folder / "overlap.png")]
            if overlaps_vary(chosen["overlap"])
            else []
        ),
        *(
            partial(plot, chosen["layers"], folder / f"{kind}.png")
            for kind, plot in shares.items()
            if shares_vary(chosen["layers"], kind)
        ),
    ]


def _explanations(folder: Path, record: Mapping, explanations: Sequence[Explanation]) -> Plots:
    plots: Plots = [
        partial(plot_effects, record["effects"], folder / "effects.png"),
        partial(plot_calibration, record["concepts"], folder / "calibration.png"),
        partial(plot_faithfulness, record["faithfulness"], folder / "faithfulness.png"),
    ]
    if record["effects_hard"] is not None:
        plots.append(partial(plot_effects, record["effects_hard"], folder / "effects-hard.png", hard=True))
    heads = (record["subnetworks"] or {}).get("heads")
    if heads:
        plots.append(partial(plot_heads, heads, folder / "heads.png"))
        plots.append(partial(plot_heads, heads, folder / "heads-exclusive.png", exclusive=True))
    first = first_example([Example.from_explanation(each, number) for number, each in enumerate(explanations)])
    if first:
        plots.append(partial(plot_waterfall, first.explanation, folder / "waterfall.png"))
    return plots


def _interventions(folder: Path, record: Mapping, tables: Mapping[str, pd.DataFrame]) -> Plots:
    plots: Plots = [
        partial(plot_policies, tables["oracle_curves"], record["gold_ceiling"], folder / "policies.png"),
        partial(plot_people, tables["oracle_curves"], record["gold_ceiling"], folder / "people.png"),
        partial(plot_memory, tables["oracle_memory"], folder / "memory.png"),
    ]
    if "oracle_patches" in tables:  # absent where no prediction was wrong
        limits, target = record["patch_limits"], folder / "patches.png"
        plots.append(partial(plot_trials, tables["oracle_patches"], limits["bits"], limits["max_harm"], target))
    return plots
