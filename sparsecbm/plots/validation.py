"""Small plots as PNG bytes in base64, each drawn for a light and for a dark page."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import seaborn
from matplotlib.figure import Figure

INK = {"light": "#1f2328", "dark": "#e6e6e6"}
_ORDER = (3, 0, 4, 2, 1, 9, 8, 5)  # of seaborn's colour-blind palette: vermilion and blue first
MISSING_GREY = {"light": "#d0d0d0", "dark": "#4a4a4a"}


@dataclass(frozen=True)
class Picture:
    """One plot in both themes, and what it says in words."""

    light: str
    dark: str
    alt: str


def share_bars(title: str, rows: dict[str, dict[str, int]]) -> Picture:
    """One horizontal bar a row, parted by the share of each state; `missing` is hatched grey.

    Args:
        rows: Row name -> state -> count; every row has the same states.
    """
    states = list(next(iter(rows.values())))
    palette = _colours([state for state in states if state != "missing"])
    totals = {name: max(sum(counts.values()), 1) for name, counts in rows.items()}

    def draw(theme: str) -> Figure:
        """Draw the bars for one theme.

        The first row is on top and alone feeds the legend. A share is written into its part where there is room for it
        (from 9 % on). The height grows with the rows and with the lines of the legend.

        Args:
            theme: light | dark; sets the colours of text and of `missing`, those of the states stay
        """
        figure, axes = _figure(
            4.4, 0.75 + 0.36 * len(rows) + 0.24 * -(-len(states) // _legend_columns(len(states))), theme
        )
        for position, (name, counts) in enumerate(rows.items()):
            left = 0.0
            for state, count in counts.items():
                share = count / totals[name]
                grey = state == "missing"
                colour = MISSING_GREY[theme] if grey else palette[state]
                axes.barh(
                    position,
                    share,
                    left=left,
                    color=colour,
                    hatch="////" if grey else None,
                    height=0.72,
                    edgecolor="#8a8a8a" if grey else "none",
                    linewidth=0,
                    label=state if position == 0 else None,
                )
                if share >= 0.09:
                    ink = INK[theme] if grey else _ink_on(colour)
                    axes.text(
                        left + share / 2, position, f"{share:.0%}", ha="center", va="center", fontsize=7.5, color=ink
                    )
                left += share
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_xlim(0, 1)
        axes.set_xticks([])
        axes.invert_yaxis()
        axes.tick_params(length=0)
        axes.set_title(title, loc="left", fontsize=10, color=INK[theme], fontweight="bold")
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.42, -0.02),
            ncols=_legend_columns(len(states)),
            frameon=False,
            fontsize=8,
            labelcolor=INK[theme],
            handlelength=1,
            handleheight=1,
            columnspacing=1.2,
        )
        return figure

    said = [
        f"{name}: " + ", ".join(f"{state} {count / totals[name]:.0%}" for state, count in counts.items())
        for name, counts in rows.items()
    ]
    return _picture(draw, f"{title}. " + "; ".join(said))


def length_curves(title: str, lengths: dict[str, np.ndarray], unit: str) -> Picture:
    """The distribution of lengths, one line a split, as the share of its texts in each bin."""
    longest = max(int(values.max()) for values in lengths.values())
    width = max(1, -(-(longest + 1) // 25))  # whole words, so that no bin holds more lengths than another
    edges = np.arange(0, longest + 1 + width, width)
    palette = _colours(list(lengths))

    def draw(theme: str) -> Figure:
        """Draw the curves for one theme: steps over the same bins for all splits, as shares, so that heights compare.

        Args:
            theme: light | dark; sets the colours of text, those of the splits stay
        """
        figure, axes = _figure(4.4, 2.3, theme)
        for name, values in lengths.items():
            counts, _ = np.histogram(values, bins=edges)
            axes.stairs(counts / len(values), edges, color=palette[name], linewidth=1.6, label=name)
        axes.set_xlabel(unit, fontsize=8, color=INK[theme])
        axes.set_ylabel("share of texts", fontsize=8, color=INK[theme])
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.set_ylim(bottom=0)
        axes.set_title(title, loc="left", fontsize=10, color=INK[theme], fontweight="bold")
        axes.legend(frameon=False, fontsize=8, labelcolor=INK[theme])
        return figure

    said = [f"{name}: median {np.median(values):g} {unit}" for name, values in lengths.items()]
    return _picture(draw, f"{title}. " + "; ".join(said))


def _legend_columns(entries: int) -> int:
    return entries if entries <= 6 else 4


def _figure(width: float, height: float, theme: str) -> tuple[Figure, object]:
    # A Figure of its own, without pyplot, keeps no global state.
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(colors=INK[theme], labelsize=8)
    return figure, axes


def _colours(names: list[str]) -> dict[str, object]:
    """Colours that people with any colour vision can tell apart; a scale where the names are numbers or many."""
    if len(names) > len(_ORDER) or all(name.replace(".", "", 1).isdigit() for name in names):
        return dict(zip(names, seaborn.color_palette("viridis", len(names)), strict=True))
    palette = seaborn.color_palette("colorblind")
    return {name: palette[position] for name, position in zip(names, _ORDER, strict=False)}


def _ink_on(colour: tuple[float, float, float]) -> str:
    red, green, blue = colour
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.45 else "#ffffff"


def _picture(draw: Callable[[str], Figure], alt: str) -> Picture:
    return Picture(_png(draw("light")), _png(draw("dark")), alt)


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    # Without the version of the drawing library, the bytes depend on the data alone.
    figure.savefig(buffer, format="png", dpi=160, transparent=True, metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode("ascii")
