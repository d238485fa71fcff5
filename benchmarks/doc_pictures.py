"""Draw pictures of the method, of subnetworks and of drift from docs/img/card.json and benchmarks/results/.

    python -m benchmarks.doc_pictures            # write the pictures
    python -m benchmarks.doc_pictures --check    # exit with 1 if one differs from what the figures give

The pictures are SVG, written by hand: a version of a drawing library then changes no byte. They have a light ground of
their own, so they are legible on a dark page, too.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from sparsecbm.base.files import read_json, write_text

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
PICTURES = ROOT / "docs" / "img"

BLUE, ORANGE, GREY, INK, GROUND = "#0072B2", "#D55E00", "#9AA5B1", "#1F2933", "#FFFFFF"
POWER_COLOURS = (BLUE, ORANGE, "#009E73", "#7A3E9D")
MEASURES = ("swap", "probe", "ablation")
CONCEPTS = ("food", "service", "ambiance", "noise")
NAMES, PANEL, ROW, HEAD = 165, 190, 26, 58  # width of the names and of a panel, height of a row and of the head


@dataclass(frozen=True)
class Mark:
    """One figure of a chart.

    Attributes:
        value, low, high: a figure and the ends of its interval; both ends are the figure itself if there is none
        colour: of the dot and the line
        open: whether the dot is a ring
    """

    value: float
    low: float
    high: float
    colour: str
    open: bool = False


@dataclass(frozen=True)
class Axis:
    """The values of a panel from left to right, and those that get a tick."""

    low: float
    high: float
    ticks: Sequence[float]
    form: str


def excess_chart(title: str, rows: Mapping[str, Mapping[str, Sequence[Mark]]], legend: Mapping[str, str]) -> str:
    """Three panels of points over random masks: row name -> measure -> marks."""
    return _chart(title, MEASURES, rows, Axis(-20, 60, (-20, 0, 20, 40, 60), "{:g}"), legend)


def _chart(
    title: str,
    panels: Sequence[str],
    rows: Mapping[str, Mapping[str, Sequence[Mark]]],
    axis: Axis,
    legend: Mapping[str, str],
) -> str:
    width, height = NAMES + len(panels) * PANEL + 10, HEAD + len(rows) * ROW + 62
    parts = [_text(10, 22, title, size=15, weight=600)]
    for column, panel in enumerate(panels):
        left = NAMES + column * PANEL
        if len(panels) > 1:
            parts.append(_text(left + (PANEL - 40) / 2, 46, panel, anchor="middle", weight=600))
        for tick in axis.ticks:
            x = _position(tick, axis, left)
            strong = tick == 0 and axis.low < 0
            bottom = HEAD + len(rows) * ROW
            parts.append(_line(x, HEAD, x, bottom, INK if strong else "#D5DAE0", 1.2 if strong else 0.8))
            parts.append(_text(x, bottom + 16, axis.form.format(tick), anchor="middle", size=11))
        for number, marks in enumerate(rows.values()):
            shown = marks.get(panel, ())
            for index, mark in enumerate(shown):
                y = HEAD + (number + 0.5) * ROW + (index - (len(shown) - 1) / 2) * 8
                parts += _mark(mark, axis, left, y)
    for number, name in enumerate(rows):
        parts.append(_text(NAMES - 14, HEAD + (number + 0.5) * ROW + 4, name, anchor="end"))
    x = NAMES
    for name, colour in legend.items():
        filled = GROUND if colour.startswith("ring ") else colour
        ring = colour.removeprefix("ring ")
        parts.append(f'<circle cx="{x}" cy="{height - 20}" r="4.5" fill="{filled}" stroke="{ring}" stroke-width="2"/>')
        parts.append(_text(x + 10, height - 16, name, size=12))
        x += 30 + 7 * len(name)
    return _svg(width, height, title, parts)


def _mark(mark: Mark, axis: Axis, left: float, y: float) -> list[str]:
    low, value, high = (_position(figure, axis, left) for figure in (mark.low, mark.value, mark.high))
    fill = GROUND if mark.open else mark.colour
    dot = f'<circle cx="{value:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{mark.colour}" stroke-width="2"/>'
    return [*([_line(low, y, high, y, mark.colour, 2.2)] if low != high else []), dot]


def _position(value: float, axis: Axis, left: float) -> float:
    return left + (PANEL - 40) * (value - axis.low) / (axis.high - axis.low)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", size: int = 13, weight: int = 400) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}"'
    return f'<text {place} fill="{INK}">{escape(text)}</text>'


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" font-family="system-ui, sans-serif">'
    )
    ground = f'<rect width="100%" height="100%" rx="6" fill="{GROUND}"/>'
    return "\n".join([head, f"<title>{escape(title)}</title>", ground, *parts, "</svg>"]) + "\n"


def _points(score: Mapping[str, Any], colour: str, hollow: bool = False) -> Mark:
    low, high = score["interval"]
    return Mark(100 * score["value"], 100 * low, 100 * high, colour, hollow)


def draw_measures() -> str:
    """Swap, probe and ablation over random masks, by concept, on both data sets (75 %, seed 1)."""
    sources = {BLUE: "masks-cebab-sparse-75", ORANGE: "masks-restaurants-sparse-75"}
    excess = {colour: read_json(RESULTS / f"{name}.json")["1"]["excess"] for colour, name in sources.items()}
    rows = {
        concept: {
            measure: [_points(scores[measure][concept], colour) for colour, scores in excess.items()]
            for measure in MEASURES
        }
        for concept in CONCEPTS
    }
    title = "Points over matched random masks (75 %, seed 1)"
    return excess_chart(title, rows, {"CEBaB": BLUE, "restaurants": ORANGE})


def draw_nulls() -> str:
    """The same for real concepts and for concepts without meaning (restaurants, seed 1)."""
    scores = read_json(RESULTS / "null-concepts-restaurants.json")["1"]["fixed"]
    nulls = {name: _shown(name) for name in ("permuted food 1", "permuted ambiance 3", "word of", "word i")}
    rows = {name: {each: [_points(scores["real"][each][name], BLUE)] for each in MEASURES} for name in CONCEPTS}
    rows |= {
        shown: {each: [_points(scores["nulls"][each][name], ORANGE, hollow=True)] for each in MEASURES}
        for name, shown in nulls.items()
    }
    title = "Points over matched random masks (restaurants, 75 %, seed 1)"
    return excess_chart(title, rows, {"real concept": BLUE, "without meaning": f"ring {ORANGE}"})


def draw_own() -> str:
    """How much better the own mask predicts a concept than a random mask does: real concepts and null concepts."""
    seeds = read_json(RESULTS / "null-concepts-cebab.json").values()
    judged = [of_seed["fixed"]["own_weights"] for of_seed in seeds]
    rows = {}
    for name in sorted(judged[0], key=lambda name: (name not in CONCEPTS, name)):
        leads = [100 * of_seed[name]["better"][0] for of_seed in judged]
        colour = BLUE if name in CONCEPTS else ORANGE
        rows[name if name in CONCEPTS else _shown(name)] = {"lead": [Mark(lead, lead, lead, colour) for lead in leads]}
    title = "Own mask over a random one, in points"
    return _chart(title, ("lead",), rows, Axis(-20, 20, (-20, -10, 0, 10, 20), "{:g}"), {"real": BLUE, "null": ORANGE})


def _shown(null: str) -> str:
    """The name of a null concept for readers: `permuted food 1` is "food, permuted", `word of` is 'holds "of"'."""
    kind, name, *_ = null.split()
    return f"{name}, permuted" if kind == "permuted" else f'holds "{name}"'


def draw_power() -> str:
    """How often drift is found, by the points that leave `Negative`: a panel for each source, a line for a concept."""
    left, top, width, height, gap = 60, 66, 270, 200, 50
    parts = [_text(10, 22, "Share of windows of 500 texts in which drift is found", size=15, weight=600)]
    for panel, (shown, source) in enumerate({"CEBaB": "cebab", "embedded reviews": "restaurants"}.items()):
        start = left + panel * (width + gap)
        parts.append(_text(start + width / 2, top - 16, shown, anchor="middle", weight=600))
        for share in (0, 0.2, 0.4, 0.6, 0.8, 1):
            y = top + height * (1 - share)
            parts.append(_line(start, y, start + width, y, INK if share in (0, 0.8) else "#D5DAE0", 0.8))
            if panel == 0:
                parts.append(_text(start - 8, y + 4, f"{share:g}", anchor="end", size=11))
        for points in (0, 5, 10, 15):
            x = start + width * points / 15
            parts.append(_text(x, top + height + 18, f"{points:g}", anchor="middle", size=11))
        rates = read_json(RESULTS / f"drift-{source}.json")["rates"]
        for name, colour in zip(CONCEPTS, POWER_COLOURS, strict=True):
            found = {float(shift): figures["value"] for shift, figures in rates[name]["500"].items()}
            places = [
                (start + width * shift / 0.15, top + height * (1 - value)) for shift, value in sorted(found.items())
            ]
            ends = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(f'<polyline points="{ends}" fill="none" stroke="{colour}" stroke-width="2.2"/>')
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    parts.append(
        _text(left + width + gap / 2, top + height + 40, "points that leave Negative", anchor="middle", size=12)
    )
    for number, (name, colour) in enumerate(zip(CONCEPTS, POWER_COLOURS, strict=True)):
        x, y = left + 90 + number * 110, top + height + 62
        parts += [_line(x, y - 4, x + 22, y - 4, colour, 2.2), _text(x + 28, y, name, size=12)]
    return _svg(left + 2 * width + gap + 20, top + height + 76, "Power of drift tests", parts)


def draw_masks() -> str:
    """A drawing of what masks share: 40 weights by four concepts, in the shares of the default settings."""
    size, gap, columns = 11, 3, 40
    core, own = range(7), {name: range(7 + 3 * index, 10 + 3 * index) for index, name in enumerate(CONCEPTS)}
    width, height = NAMES + columns * (size + gap) + 10, HEAD + len(CONCEPTS) * 30 + 40
    parts = [_text(10, 22, "Forty weights under four masks: each keeps a quarter", size=15, weight=600)]
    for row, name in enumerate(CONCEPTS):
        y = 48 + row * 30
        parts.append(_text(NAMES - 14, y + 11, name, anchor="end"))
        for weight in range(columns):
            # The order is spread over the row, since kept weights lie anywhere in a layer.
            place = weight * 17 % columns
            kept = GREY if weight in core else ORANGE if weight in own[name] else ""
            look = f'fill="{kept}"' if kept else f'fill="{GROUND}" stroke="#D5DAE0"'
            x = NAMES + place * (size + gap)
            parts.append(f'<rect x="{x}" y="{y}" width="{size}" height="{size}" {look}/>')
    x, y = NAMES, height - 30
    for label, colour in {"kept by all (core)": GREY, "kept by this concept alone": ORANGE, "dropped": ""}.items():
        look = f'fill="{colour}"' if colour else f'fill="{GROUND}" stroke="#9AA5B1"'
        parts += [
            f'<rect x="{x}" y="{y}" width="{size}" height="{size}" {look}/>',
            _text(x + 19, y + 11, label, size=12),
        ]
        x += 44 + 7 * len(label)
    return _svg(width, height, "What masks share", parts)


def draw_swap() -> str:
    """Accuracy of each concept under every mask, chosen and random (CEBaB, 75 %, seed 1)."""
    scores = read_json(RESULTS / "masks-cebab-sparse-75.json")["1"]
    cell, top = 68, 78
    parts = [_text(10, 22, "Accuracy of each concept (row) under every mask (column), CEBaB", size=15, weight=600)]
    for panel, kind in enumerate(("chosen", "random")):
        left = 80 + panel * (len(CONCEPTS) * cell + 28)
        swap = scores[kind]["swap"]
        gap = f"{kind} masks: own {100 * swap['gap']['mean']['value']:+.1f} points"
        parts.append(_text(left, 48, gap, weight=600))
        for index, name in enumerate(CONCEPTS):
            parts.append(_text(left + (index + 0.5) * cell, top - 8, name, anchor="middle", size=12))
            if panel == 0:
                parts.append(_text(left - 10, top + index * 40 + 25, name, anchor="end"))
            for column, mask in enumerate(CONCEPTS):
                parts += _cell(swap["matrix"][name][mask], left + column * cell, top + index * 40, cell)
    return _svg(80 + 2 * len(CONCEPTS) * cell + 28 + 12, top + len(CONCEPTS) * 40 + 14, "Swap of masks", parts)


def _cell(accuracy: float, x: float, y: float, width: float) -> list[str]:
    """A cell of a heat map, 40 high: the bluer, the nearer to 1; white at .4."""
    share = min(max((accuracy - 0.4) / 0.6, 0), 1)
    red, green, blue = (round(255 + share * (int(BLUE[at : at + 2], 16) - 255)) for at in (1, 3, 5))
    ink = GROUND if share > 0.85 else INK
    number = f'<text x="{x + width / 2:g}" y="{y + 25:g}" text-anchor="middle" font-size="13" fill="{ink}">'
    fill = f"#{red:02X}{green:02X}{blue:02X}"
    return [
        f'<rect x="{x:g}" y="{y:g}" width="{width - 2:g}" height="38" fill="{fill}" stroke="#D5DAE0"/>',
        f"{number}{f'{accuracy:.2f}'.lstrip('0')}</text>",
    ]


def draw_bottleneck() -> str:
    """How a text becomes a label: one backbone, a mask for each concept, and nothing but concepts for the label."""
    card = read_json(PICTURES / "card.json")
    label = card["label"]["state"]
    states = {name: concept["state"] for name, concept in card["concepts"].items()}
    adds = {name: f"{concept['contributions'][label]:+.2f}" for name, concept in card["concepts"].items()}
    middle, step, top = 150.0, 64, 54
    parts = [_box(12, middle - 46, 128, 92, ["a text", '"The ramen was', 'superb, though ..."'])]
    parts.append(_box(178, middle - 46, 118, 92, ["backbone,", "lower blocks:", "once for all"]))
    parts.append(_arrow(140, middle, 178, middle))
    for number, name in enumerate(CONCEPTS):
        y = top + number * step
        parts.append(_arrow(296, middle, 334, y))
        parts.append(_box(334, y - 21, 152, 42, ["upper blocks under", f"the mask of {name}"], BLUE))
        parts.append(_arrow(486, y, 518, y))
        parts.append(_box(518, y - 21, 96, 42, [name, states[name]], ORANGE))
        parts.append(_arrow(614, y, 692, middle))
        parts.append(_text(624, y - 8, adds[name], size=11))
    parts.append(_box(692, middle - 30, 84, 60, ["label", f"{label} stars"]))
    return _svg(
        790, 300, "A text goes through one backbone under four masks; the label comes from concepts alone", parts
    )


def _box(x: float, y: float, width: float, height: float, lines: Sequence[str], colour: str = INK) -> str:
    shape = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5"'
    first = y + height / 2 + 4 - (len(lines) - 1) * 8
    texts = [
        _text(x + width / 2, first + 16 * number, line, anchor="middle", size=12) for number, line in enumerate(lines)
    ]
    return "\n".join([f'<rect {shape} fill="{GROUND}" stroke="{colour}" stroke-width="1.6"/>', *texts])


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    """A line with a small dot at its end, which needs no direction."""
    dot = f'<circle cx="{x2:.1f}" cy="{y2:.1f}" r="2.6" fill="{INK}"/>'
    return _line(x1, y1, x2, y2, GREY, 1.4) + dot


DRAWINGS = {
    "drift-power.svg": draw_power,
    "method-bottleneck.svg": draw_bottleneck,
    "subnetworks-masks.svg": draw_masks,
    "subnetworks-measures.svg": draw_measures,
    "subnetworks-nulls.svg": draw_nulls,
    "subnetworks-own.svg": draw_own,
    "subnetworks-swap.svg": draw_swap,
}


def main() -> None:
    """Write the pictures, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args().check
    stale = []
    for name, draw in DRAWINGS.items():
        path, picture = PICTURES / name, draw()
        if check and (not path.is_file() or path.read_text(encoding="utf-8") != picture):
            stale.append(name)
        elif not check:
            write_text(path, picture)
    if stale:
        sys.exit(f"differ from their figures: {', '.join(stale)}; run python -m benchmarks.doc_pictures")


if __name__ == "__main__":
    main()
