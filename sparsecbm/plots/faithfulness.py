"""Faithfulness as a drawing: every attribution method under every operator, against chance."""

from collections.abc import Mapping
from itertools import cycle

from matplotlib.figure import Figure

from sparsecbm.plots.style import SERIES, Target, figure

MEASURES = ("comprehensiveness", "sufficiency")


def plot_faithfulness(scores: Mapping, target: Target = None) -> Figure:
    """Lead of each method over matched random attributions, with its 95 % interval; 0 is chance.

    Args:
        scores: `faithfulness` of `metrics/explain.json`
    """
    methods, operators = scores["methods"], scores["operators"]
    with figure(9, 0.6 * len(methods) + 1.8, target) as drawing:
        panels = drawing.subplots(1, 2, sharey=True)
        for axes, measure in zip(panels, MEASURES, strict=True):
            for index, by_measure in enumerate(methods.values()):
                for number, (operator, style) in enumerate(zip(operators, cycle(SERIES), strict=False)):
                    mean = by_measure[measure].get(operator, {}).get("mean")
                    if mean is None:
                        continue
                    height = index + 0.22 * (number - (len(operators) - 1) / 2)
                    label = operator if axes is panels[0] and index == 0 else None
                    axes.plot(mean["excess_interval"], [height] * 2, color=style["color"], linewidth=2.5)
                    axes.plot(mean["excess"], height, linestyle="", markersize=6, label=label, **style)
            axes.axvline(0, color="black", linewidth=1)
            axes.set(title=measure, xlabel="lead over random attributions, 95 % interval")
        panels[0].set_yticks(range(len(methods)), [method.replace("_", " ") for method in methods])
        panels[0].invert_yaxis()
        if scores["items"]:
            drawing.legend(loc="outside upper center", ncols=len(operators))
    return drawing
