"""Faithfulness as a picture: every method under every operator, against chance."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from sparsecbm.base.files import replacing
from sparsecbm.evaluate.faithfulness.faithfulness import FaithfulnessScores

MARKERS = {"delete": "o", "mask": "s", "replace": "D"}  # told apart without colours, too
STYLE = ("seaborn-v0_8-whitegrid", "seaborn-v0_8-colorblind")


def plot_faithfulness(scores: FaithfulnessScores, path: Path) -> None:
    """How far each method is ahead of matched random attributions, with its interval: 0 is chance."""
    methods = list(scores.methods)
    with plt.style.context(STYLE, after_reset=True), replacing(path) as temporary:
        size = (9, 0.6 * len(methods) + 1.8)
        figure, axes = plt.subplots(1, 2, figsize=size, sharey=True, layout="constrained")
        for axis, measure in zip(axes, ("comprehensiveness", "sufficiency"), strict=True):
            for place, method in enumerate(methods):
                for offset, operator in enumerate(scores.operators):
                    mean = getattr(scores.methods[method], measure).get(operator, {}).get("mean")
                    if mean is None:
                        continue
                    height = place + 0.22 * (offset - (len(scores.operators) - 1) / 2)
                    label, colour = (operator if axis is axes[0] and place == 0 else None), f"C{offset}"
                    axis.plot(mean.excess_interval, [height] * 2, color=colour, linewidth=2.5)
                    axis.plot(mean.excess, height, MARKERS[operator], color=colour, markersize=6, label=label)
            axis.axvline(0, color="black", linewidth=1)
            axis.set(title=measure, xlabel="ahead of random attributions, 95 %")
        axes[0].set_yticks(range(len(methods)), [method.replace("_", " ") for method in methods])
        axes[0].invert_yaxis()
        if scores.items:
            figure.legend(loc="outside upper center", ncols=len(scores.operators))
        figure.savefig(temporary, dpi=100, format="png")
        plt.close(figure)
