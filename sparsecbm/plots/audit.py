"""One page of A4 for auditors, drawn as a PDF whose text can be copied."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sparsecbm.plots.style import PALETTE, figure, short_labels

A4 = (8.27, 11.69)  # inches
MOST = 12  # rows of scores on the page, if the texts leave room
LINES = 2  # of a text; the rest of it is left out
LINE, ROW = 0.0165, 0.026  # heights of a line of text and of a row of scores, as shares of the page
TOP, BOTTOM = 0.905, 0.02  # where facts begin and where the last limit may end
FIXED = 0.225  # height of headings, of the axis below the scores, and of what separates the sections
FACT_WIDTH, QUESTION_WIDTH, ANSWER_WIDTH, LIMIT_WIDTH = 98, 66, 48, 118  # characters of a line
GAP = 0.003  # between two findings
LEFT, RIGHT, VALUE = 0.08, 0.93, 0.60  # where texts begin and end, and where the answers begin


@dataclass(frozen=True)
class AuditedScore:
    """Accuracy of the label or of a concept, beside what simpler models reach.

    Attributes:
        interval: 95 %, by bootstrap over groups
        majority: the share of the commonest state
        words: accuracy of a bag of words; None if there is none
        dense: accuracy of the model before masks; None if there is none
    """

    name: str
    accuracy: float
    interval: tuple[float, float]
    majority: float
    words: float | None
    dense: float | None


def draw_audit_page(
    target: Path,
    title: str,
    facts: Sequence[tuple[str, str]],
    scores: Sequence[AuditedScore],
    findings: Sequence[tuple[str, str]],
    limits: Sequence[str],
) -> None:
    """Write the page.

    Args:
        facts: (name, value)
        scores: the label first
        findings: (question, answer)
    """
    with figure(*A4, target) as page:
        page.set_layout_engine("none")
        heading = f"{short_labels([title])[0]}: a text classifier with named concepts"
        page.text(LEFT, 0.95, heading, fontsize=15, weight="bold")
        page.text(
            LEFT,
            0.93,
            "Summary for auditors. The label is computed from the concepts and from nothing else.",
            fontsize=9,
        )
        height = TOP
        for name, value in facts:
            page.text(LEFT, height, name, fontsize=8, weight="bold", va="top")
            height = _write(page, 0.22, height, value, FACT_WIDTH)
        shown = list(scores)[: _rows_with_room(facts, findings, limits)]
        top = height - 0.035
        page.text(LEFT, top, "Right predictions on the held-out split, with 95 % intervals", fontsize=10, weight="bold")
        bottom = top - 0.03 - ROW * (len(shown) + 1)
        _draw_scores(page.add_axes((0.22, bottom, RIGHT - 0.27, top - 0.02 - bottom)), shown)
        height = bottom - 0.085
        if len(scores) > len(shown):
            more = f"and {len(scores) - len(shown)} more concepts: see the report"
            page.text(LEFT, bottom - 0.07, more, fontsize=8)
        page.text(LEFT, height, "Masks, explanations, interventions", fontsize=10, weight="bold")
        height -= 0.012
        for question, answer in findings:
            below = _write(page, LEFT, height, question, QUESTION_WIDTH)
            height = min(below, _write(page, VALUE, height, answer, ANSWER_WIDTH)) - GAP
        height -= 0.025
        page.text(LEFT, height, "What these figures do not say", fontsize=10, weight="bold")
        height -= 0.012
        for limit in limits:
            height = _write(page, LEFT, height, f"- {limit}", LIMIT_WIDTH)


def _write(page: Figure, x: float, y: float, text: str, width: int) -> float:
    """Write a text below a height, in lines of at most `width` characters, and return the height below it."""
    lines = _wrapped(text, width)
    page.text(x, y, "\n".join(lines), fontsize=8, va="top", linespacing=1.3)
    return y - LINE * len(lines)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, max_lines=LINES, placeholder=" …") or [""]


def _rows_with_room(
    facts: Sequence[tuple[str, str]], findings: Sequence[tuple[str, str]], limits: Sequence[str]
) -> int:
    """How many rows of scores the page has room for beside its texts."""
    lines = sum(len(_wrapped(value, FACT_WIDTH)) for _, value in facts)
    lines += sum(len(_wrapped(f"- {limit}", LIMIT_WIDTH)) for limit in limits)
    lines += sum(max(len(_wrapped(q, QUESTION_WIDTH)), len(_wrapped(a, ANSWER_WIDTH))) for q, a in findings)
    room = TOP - BOTTOM - FIXED - LINE * lines - GAP * len(findings)
    return max(1, min(MOST, int(room / ROW)))


def _draw_scores(axes: Axes, scores: Sequence[AuditedScore]) -> None:
    """A row for each variable: accuracy with its interval, and marks of what simpler models reach."""
    rows = list(range(len(scores)))
    accuracy = [score.accuracy for score in scores]
    errors = [[s.accuracy - s.interval[0] for s in scores], [s.interval[1] - s.accuracy for s in scores]]
    axes.errorbar(accuracy, rows, xerr=errors, fmt="o", color=PALETTE[0], capsize=3, label="this model", zorder=3)
    for label, marker, colour, values in (
        ("commonest state", "|", PALETTE[6], [score.majority for score in scores]),
        ("bag of words", "x", PALETTE[1], [score.words for score in scores]),
        ("before masks", "D", PALETTE[2], [score.dense for score in scores]),
    ):
        known = [(value, row) for value, row in zip(values, rows, strict=True) if value is not None]
        if known:
            axes.plot(*zip(*known, strict=True), marker, color=colour, label=label, markersize=5, alpha=0.8)
    for row, score in enumerate(scores):
        axes.text(1.01, row, f"{score.accuracy:.3f}", va="center", fontsize=8, transform=axes.get_yaxis_transform())
    axes.set_yticks(rows, short_labels(score.name for score in scores), fontsize=8)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(scores) - 0.5, -0.5)
    axes.tick_params(axis="x", labelsize=8)
    below = -0.9 / (len(scores) + 1)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, below), ncols=4, fontsize=8, frameon=False)
