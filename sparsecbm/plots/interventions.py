"""Interventions as drawings: curves of edits, patches and their harm, and what stored corrections fix and harm."""

from itertools import cycle

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sparsecbm.plots.style import NEUTRAL, SERIES, Target, figure

TITLES = {
    "one_hot": "one-hot states, head as trained",
    "typical": "typical predictions, head as trained",
    "hard": "all one-hot, head refitted",
}
OUTCOMES = ("repaired", "too much harm", "not reached")


def plot_policies(rows: pd.DataFrame, ceiling: float, target: Target = None) -> Figure:
    """Label accuracy against edits by a person who is always right: a line for each policy, a panel for each setting.

    Args:
        rows: `reports/interventions/oracle_curves.csv`
        ceiling: `gold_ceiling` of `metrics/intervene.json`
    """
    rows = rows[rows["person_error"] == 0].assign(series=lambda table: table["policy"])
    return _plot_panels(rows, ceiling, "Label accuracy by policy (oracle edits)", target)


def plot_people(rows: pd.DataFrame, ceiling: float, target: Target = None) -> Figure:
    """Label accuracy against edits under the policy `cooperative`.

    There is a line for each error rate and a panel for each setting.

    Args:
        rows, ceiling: as for `plot_policies`
    """
    rows = rows[rows["policy"] == "cooperative"]
    rows = rows.assign(series=rows["person_error"].map("{:.0%} wrong answers".format))
    return _plot_panels(rows, ceiling, "Label accuracy by the person's error rate (oracle edits)", target)


def plot_trials(rows: pd.DataFrame, budget: int, max_harm: float, target: Target = None) -> Figure:
    """Every attempt: bits flipped against correct predictions that it harms.

    Attempts without a patch are at the right edge, with no harm. Lines mark what is allowed.

    Args:
        rows: `reports/interventions/oracle_patches.csv`
        budget: bits that a patch may flip
        max_harm: share of correct predictions that a patch may harm
    """
    bits = rows["bits"].astype(float).fillna(budget * 1.1)
    harm = (rows["harmed"].astype(float) / rows["right_before"].astype(float)).fillna(0.0)
    reached = rows["reached"].astype(bool)
    repaired = rows["repaired"].eq(True) & reached
    members = dict(zip(OUTCOMES, (repaired, reached & ~repaired, ~reached), strict=True))
    with figure(6.2, 3.6, target) as drawing:
        axes = drawing.add_subplot()
        for (outcome, chosen), style in zip(members.items(), SERIES, strict=False):
            axes.scatter(bits[chosen], harm[chosen], s=40, label=outcome, **style)
        axes.axhline(max_harm, color=NEUTRAL, linewidth=0.9, linestyle="--")
        axes.axvline(budget, color=NEUTRAL, linewidth=0.9, linestyle=":")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
        axes.set(
            title="Patches of wrong predictions (oracle)", xlabel="bits flipped", ylabel="correct predictions harmed"
        )
        axes.legend()
    return drawing


def plot_memory(rows: pd.DataFrame, target: Target = None) -> Figure:
    """Predictions that stored corrections fix minus those that they harm, by threshold, with the controls.

    Args:
        rows: `reports/interventions/oracle_memory.csv`
    """
    table = pd.DataFrame({"series": rows["control"].str.replace("_", " "), "threshold": rows["threshold"]})
    table["net"] = rows["fixed"] - rows["harmed"]
    with figure(6.2, 3.6, target) as drawing:
        axes = drawing.add_subplot()
        _plot_series(axes, table, "threshold", "net")
        axes.axhline(0, color=NEUTRAL, linewidth=0.9)
        axes.set(title="Corrections from memory (oracle)", xlabel="least similarity", ylabel="fixed minus harmed")
        axes.legend()
    return drawing


def _plot_panels(rows: pd.DataFrame, ceiling: float, title: str, target: Target) -> Figure:
    settings = list(dict.fromkeys(rows["setting"]))
    with figure(3.4 * len(settings) + 1.2, 3.6, target) as drawing:
        panels = drawing.subplots(1, len(settings), sharey=True, squeeze=False)[0]
        for setting, axes in zip(settings, panels, strict=True):
            _plot_series(axes, rows[rows["setting"] == setting], "edits", "label_accuracy")
            axes.axhline(ceiling, color="black", linewidth=0.9, linestyle="--")
            axes.annotate("ceiling of gold states", (0, ceiling), (2, 3), textcoords="offset points", fontsize=7)
            axes.set(title=TITLES[setting], xlabel="concepts edited")
            axes.xaxis.get_major_locator().set_params(integer=True)
        panels[0].set_ylabel("label accuracy")
        panels[-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=8)
        drawing.suptitle(title)
    return drawing


def _plot_series(axes: Axes, rows: pd.DataFrame, x: str, y: str) -> None:
    """One line for each value of the column `series`, in the order of the rows."""
    for name, style in zip(dict.fromkeys(rows["series"]), cycle(SERIES), strict=False):
        line = rows[rows["series"] == name]
        axes.plot(line[x], line[y], label=name, markersize=4, **style)
