"""The page about drift: the verdict, the three failures, and every figure of a window next to the reference."""

import base64
import io
from collections.abc import Sequence

from sparsecbm.drift.check import DriftReport
from sparsecbm.drift.measures import ANNOTATED_RATES, RATES, Measure
from sparsecbm.plots.drift import plot_drift
from sparsecbm.report.render import render
from sparsecbm.report.tables import Table, number

TITLE = "Drift check"
RATE_KINDS = (RATES, ANNOTATED_RATES, "language")


def drift_page(report: DriftReport, name: str) -> str:
    """The whole page as HTML; a function of its arguments alone, to the byte. It needs no other file and no network.

    Args:
        name: of the table
    """
    return render(
        "drift.html.jinja",
        title=TITLE,
        name=name,
        report=report,
        drifted=sum(each.drifted for each in report.measures),
        light=_picture(report.measures, "light"),
        dark=_picture(report.measures, "dark"),
        tables=[_figure_table(report.measures), _rate_table(report.measures)],
    )


def _picture(measures: Sequence[Measure], theme: str) -> str:
    names = [each.name for each in measures]
    ratios = [each.effect / max(each.threshold, 1e-9) for each in measures]
    stream = io.BytesIO()
    plot_drift(names, ratios, [each.drifted for each in measures], stream, theme)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def _figure_table(measures: Sequence[Measure]) -> Table:
    rows = tuple(
        (
            each.kind,
            each.of,
            number(each.reference.get("mean")),
            number(each.window.get("mean")),
            number(each.effect),
            number(each.threshold),
            f"{each.p_holm:.2g}",
            "drift" if each.drifted else "",
        )
        for each in sorted(measures, key=lambda each: (not each.drifted, each.p_holm))
    )
    header = ("figure", "of", "reference, mean", "window, mean", "effect", "counts from", "p by Holm", "")
    return Table("Every figure, those that drifted first", header, rows, 2)


def _rate_table(measures: Sequence[Measure]) -> Table:
    rows = tuple(
        (each.kind, each.of, state, f"{each.reference[state]:.1%}", f"{each.window[state]:.1%}")
        for each in measures
        if each.kind in RATE_KINDS
        for state in each.window
    )
    return Table("Shares of the states", ("figure", "of", "state", "reference", "window"), rows, 3)
