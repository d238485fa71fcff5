"""Interventions as pictures: curves of edits, patches and their harm, and what memory fixes and harms."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from sparsecbm.base.files import replacing
from sparsecbm.intervene.experiments.curves import OracleCurve

TITLES = {
    "one_hot": "one-hot states, head as trained",
    "typical": "typical readings, head as trained",
    "hard": "all one-hot, head fitted on such",
}


def plot_policies(curves: Sequence[OracleCurve], ceiling: float, path: Path) -> None:
    """Label accuracy against edits by a person who is right, one line a policy, one panel a setting."""
    rows = pd.DataFrame([row for curve in curves if curve.error == 0 for row in curve.rows()])
    _panels(rows, "policy", path, ceiling, "Label accuracy by who is edited first (oracle edits)")


def plot_people(curves: Sequence[OracleCurve], ceiling: float, path: Path) -> None:
    """Label accuracy against edits under the policy `cooperative`, one line an error rate, one panel a setting."""
    rows = pd.DataFrame([row for curve in curves if curve.policy == "cooperative" for row in curve.rows()])
    rows["wrong answers"] = rows["person_error"].map("{:.0%}".format)
    _panels(rows, "wrong answers", path, ceiling, "Label accuracy by how often the person errs (oracle edits)")


def plot_trials(rows: Sequence[dict], budget: int, max_harm: float, path: Path) -> None:
    """Every attempt: bits flipped against right readings spoiled; those that reach no patch stand at the right edge."""
    table = pd.DataFrame(rows)
    share = table["harmed"].astype(float) / table["right_before"].astype(float)
    table = table.assign(bits=table["bits"].astype(float).fillna(budget * 1.1), harm=share.fillna(0.0))
    table["outcome"] = table["repaired"].map({True: "repaired", False: "too much harm"})
    table.loc[~table["reached"], "outcome"] = "not reached"
    with plt.style.context("default", after_reset=True):
        figure = Figure(figsize=(6.2, 3.6), layout="constrained")
        axis = figure.add_subplot()
        order = ["repaired", "too much harm", "not reached"]
        sns.scatterplot(
            table, x="bits", y="harm", hue="outcome", style="outcome", hue_order=order, style_order=order,
            palette="colorblind", s=55, ax=axis,
        )  # fmt: skip
        axis.axhline(max_harm, color="grey", linewidth=0.9, linestyle="--")
        axis.axvline(budget, color="grey", linewidth=0.9, linestyle=":")
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
        axis.set(title="Patches of misread texts (oracle)", xlabel="bits flipped", ylabel="right readings spoiled")
        _save(figure, path)


def plot_memory(rows: Sequence[dict], path: Path) -> None:
    """Readings that stored corrections fix less those that they harm, as the threshold moves, beside the controls."""
    table = pd.DataFrame(rows)
    table["net"] = table["fixed"] - table["harmed"]
    table["control"] = table["control"].str.replace("_", " ")
    with plt.style.context("default", after_reset=True):
        figure = Figure(figsize=(6.2, 3.6), layout="constrained")
        axis = figure.add_subplot()
        sns.lineplot(
            table, x="threshold", y="net", hue="control", style="control", markers=True, palette="colorblind", ax=axis
        )
        axis.axhline(0, color="grey", linewidth=0.9)
        axis.set(title="Corrections from memory (oracle)", xlabel="least likeness", ylabel="fixed less harmed")
        _save(figure, path)


def _panels(rows: pd.DataFrame, hue: str, path: Path, ceiling: float, title: str) -> None:
    settings = list(dict.fromkeys(rows["setting"]))
    with plt.style.context("default", after_reset=True):
        figure = Figure(figsize=(3.4 * len(settings) + 1.2, 3.6), layout="constrained")
        panels = figure.subplots(1, len(settings), sharey=True, squeeze=False)[0]
        for place, (setting, axis) in enumerate(zip(settings, panels, strict=True)):
            sns.lineplot(
                rows[rows["setting"] == setting], x="edits", y="label_accuracy", hue=hue, style=hue, markers=True,
                dashes=False, palette="colorblind", errorbar=None, ax=axis, legend=place == len(settings) - 1,
            )  # fmt: skip
            axis.axhline(ceiling, color="black", linewidth=0.9, linestyle="--")
            axis.annotate("ceiling of gold states", (0, ceiling), (2, 3), textcoords="offset points", fontsize=7)
            axis.set(title=TITLES[setting], xlabel="concepts edited", ylabel="label accuracy")
            axis.title.set_fontsize(9)
            axis.xaxis.get_major_locator().set_params(integer=True)
        sns.move_legend(panels[-1], "center left", bbox_to_anchor=(1.02, 0.5), frameon=False, fontsize=8)
        figure.suptitle(title, fontsize=11)
        _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary, dpi=100, format="png", metadata={"Software": None})
