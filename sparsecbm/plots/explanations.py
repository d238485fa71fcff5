"""Explanations as drawings: one text's waterfall, effects of states on the label, heads and calibration."""

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from sparsecbm.plots.style import (
    DIVERGING,
    MAX_LABELS,
    NEGATIVE,
    NEUTRAL,
    POSITIVE,
    SERIES,
    Cells,
    Target,
    figure,
    heat_map,
    short_labels,
)

if TYPE_CHECKING:
    from sparsecbm.explain.explanation import Explanation

MAX_STEPS = 12  # bars of a waterfall between its start and its end


def plot_waterfall(explanation: "Explanation", target: Target = None) -> Figure:
    """Bars from the logit of the mean training text to that of this text: one for each concept, the largest first.

    Bars for the predicted class are blue, bars against it orange. The smallest contributions of many concepts share
    one bar.
    """
    label = explanation.label
    steps = sorted(
        ((f"{name}: {concept.state}", concept.contribution) for name, concept in explanation.concepts.items()),
        key=lambda step: -abs(step[1]),
    )
    if len(steps) > MAX_STEPS:
        rest = steps[MAX_STEPS - 1 :]
        steps = [*steps[: MAX_STEPS - 1], (f"{len(rest)} other concepts", sum(value for _, value in rest))]
    bars = [("mean of the training texts", 0.0, label.start, NEUTRAL)]
    total = label.start
    for name, value in steps:
        bars.append((name, total, total + value, POSITIVE if value >= 0 else NEGATIVE))
        total += value
    bars.append(("this text", 0.0, label.end, NEUTRAL))
    with figure(7.5, 0.45 * len(bars) + 1.2, target) as drawing:
        axes = drawing.add_subplot()
        for index, (_, before, after, colour) in enumerate(bars):
            axes.barh(index, after - before, left=before, color=colour, height=0.7)
            number = f"{after:.2f}" if colour == NEUTRAL else f"{after - before:+.2f}"
            axes.annotate(number, (max(before, after), index), (4, 0), textcoords="offset points", va="center")
            if index + 1 < len(bars):  # a line from the end of each bar to the next
                axes.plot([after, after], [index, index + 1], color=NEUTRAL, linewidth=0.8, zorder=0)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.use_sticky_edges = False  # room for the numbers at both sides
        axes.margins(x=0.12)
        axes.set_yticks(range(len(bars)), short_labels(name for name, *_ in bars))
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set(title=f"How the concepts make label {label.state}", xlabel="logit, against the mean of all labels")
    return drawing


def plot_effects(effects: Mapping, target: Target = None, hard: bool = False) -> Figure:
    """Effect of each state of each concept (rows) on the logit of each class (columns).

    Of many states, those with the largest effects are drawn.

    Args:
        effects: concept -> state -> class -> effect: `effects` or `effects_hard` of `metrics/explain.json`
        hard: whether the effects are those of one-hot states
    """
    by_state = {(name, state): by_class for name, states in effects.items() for state, by_class in states.items()}
    classes = list(next(iter(by_state.values())))
    largest = sorted(by_state, key=lambda key: -max(map(abs, by_state[key].values())))[:MAX_LABELS]
    shown = [key for key in by_state if key in set(largest)]
    rows: dict[str, list[str]] = {}
    for name, state in shown:
        rows.setdefault(name, []).append(f"{name}: {state}")
    values = np.array([[by_state[key][label] for label in classes] for key in shown])
    limit = float(np.abs(values).max()) or 1.0
    with figure(0.9 * len(classes) + 3.4, 0.36 * len(values) + 1.4, target) as drawing:
        axes = drawing.add_subplot()
        heat_map(axes, values, rows, classes, Cells("+.2f", "effect on the logit", DIVERGING, (-limit, limit)))
        ending = ", from one-hot concepts" if hard else ""
        title = f"Effect of each state on the label{ending}"
        if len(shown) < len(by_state):
            title += f"\n{len(shown)} of {len(by_state)} states, those with the largest effects"
        axes.set(title=title, xlabel="label")
    return drawing


def plot_heads(heads: Mapping, target: Target = None, exclusive: bool = False) -> Figure:
    """Share of the weights of each attention head (columns, by block) that each concept (rows) keeps.

    Args:
        heads: concept -> block -> density | exclusive -> share of each head: `subnetworks.heads` of
            `metrics/explain.json`
        exclusive: draw the weights that one concept alone keeps

    Raises:
        ValueError: there are no heads: the backbone's are not known, or none has weights under masks.
    """
    if not any(heads.values()):
        raise ValueError("no heads to draw: this backbone's heads are not known, or none has weights under masks")
    kind = "exclusive" if exclusive else "density"
    first = next(iter(heads.values()))
    blocks = sorted(first, key=int)
    columns = {f"block {block}": [f"{block}.{head}" for head in range(len(first[block][kind]))] for block in blocks}
    values = np.array([[share for block in blocks for share in by_block[block][kind]] for by_block in heads.values()])
    with figure(0.33 * values.shape[1] + 3.5, 0.35 * len(values) + 2, target) as drawing:
        axes = drawing.add_subplot()
        limits = (0.0, float(values.max()) or 1.0)
        heat_map(axes, values, list(heads), columns, Cells(texts=".2f", meaning="share of weights", limits=limits))
        title = (
            "Weights of each head that one concept alone keeps"
            if exclusive
            else "Weights of each head that a concept keeps"
        )
        axes.set(title=title, xlabel="block.head", ylabel="concept")
    return drawing


def plot_calibration(concepts: Mapping, target: Target = None) -> Figure:
    """Accuracy against confidence, a curve for each concept; on the diagonal the two are equal.

    The size of a point shows how many texts it covers. Of many concepts, those with the largest error are named, and
    the others are thin grey lines.

    Args:
        concepts: `concepts` of `metrics/explain.json`
    """
    curves = {name: concept["calibration"] for name, concept in concepts.items()}
    by_error = sorted(curves, key=lambda name: -(curves[name]["error"] or 0.0))
    named = dict(zip(by_error[: len(SERIES)], short_labels(by_error[: len(SERIES)]), strict=True))
    styles = cycle(SERIES)
    with figure(7.2, 4.6, target) as drawing:
        axes = drawing.add_subplot()
        axes.plot([0, 1], [0, 1], color=NEUTRAL, linewidth=0.8, linestyle="--")
        for name, curve in curves.items():
            confidence = [each["confidence"] for each in curve["bins"]]
            accuracy = [each["accuracy"] for each in curve["bins"]]
            if name not in named:
                axes.plot(confidence, accuracy, color=NEUTRAL, linewidth=0.4)
                continue
            style = next(styles)
            texts = np.array([each["texts"] for each in curve["bins"]], dtype=float)
            error = "no gold states" if curve["error"] is None else f"error {curve['error']:.3f}"
            axes.plot(confidence, accuracy, color=style["color"], linewidth=1)
            axes.scatter(confidence, accuracy, 20 + 180 * texts / max(texts.sum(), 1), **style)
            axes.plot([], [], label=f"{named[name]}: {error}", **style)
        title = "Confidence and accuracy of the concepts"
        if len(named) < len(curves):
            title += f"\n{len(named)} of {len(curves)} are named, those with the largest error"
        axes.set(
            title=title, xlabel="probability of the predicted state", ylabel="share of texts predicted right",
            xlim=(0, 1.02), ylim=(0, 1.05),
        )  # fmt: skip
        axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    return drawing
