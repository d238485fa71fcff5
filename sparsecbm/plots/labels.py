"""Concept labels as drawings: machines against people."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from sparsecbm.plots.explanations import plot_calibration
from sparsecbm.plots.style import MAX_PANELS, Cells, Target, figure, heat_map, short_labels

COMBINED = "combined"


def measured(quality: Mapping) -> dict[str, Mapping]:
    """Concept -> agreement of the combined machine labels with people, where it was measured.

    Args:
        quality: `quality` of `metrics/annotate.json`
    """
    found = {name: concept["against_people"].get(COMBINED) for name, concept in quality["concepts"].items()}
    return {name: agreement for name, agreement in found.items() if agreement}


def plot_label_confusions(quality: Mapping, target: Target = None) -> Figure:
    """One heat map for each concept: rows are states that people gave, columns those of the machines.

    Of many concepts, those with the lowest kappa are drawn.

    Args:
        quality: `quality` of `metrics/annotate.json`; at least one concept is measured
    """
    agreements = measured(quality)
    lowest = sorted(agreements, key=lambda name: agreements[name]["kappa"] or 0.0)[:MAX_PANELS]
    shown = {name: agreement for name, agreement in agreements.items() if name in lowest}
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    with figure(4.2 * columns, 3.6 * rows, target) as drawing:
        for number, (name, each) in enumerate(zip(short_labels(shown), shown.values(), strict=True), start=1):
            counts = np.array(each["confusion"])
            shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
            axes = drawing.add_subplot(rows, columns, number)
            heat_map(axes, shares, each["states"], each["states"], Cells(texts=counts.astype(str)))
            kappa = "kappa undefined" if each["kappa"] is None else f"kappa {each['kappa']:.2f}"
            axes.set(title=f"{name}: {kappa}", xlabel="machines", ylabel="people")
    return drawing


def plot_label_calibration(quality: Mapping, target: Target = None) -> Figure:
    """How often people agree with the machines, by the machines' confidence.

    Args:
        quality: `quality` of `metrics/annotate.json`
    """
    curves = {
        name: {"calibration": {"error": each["calibration_error"], "bins": each["calibration"]}}
        for name, each in measured(quality).items()
    }
    return plot_calibration(curves, target)
