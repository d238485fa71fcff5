"""The one style of every drawing: colours, sizes, heat maps, and how a figure is saved.

A figure is a `matplotlib.figure.Figure` without pyplot: nothing has to be closed, and no state is shared.
Bytes of a saved figure depend on its numbers alone, whatever was drawn before.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sparsecbm.base.files import replacing

# Okabe and Ito's palette without its yellow, which vanishes on white: all kinds of colour vision tell it apart.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")
# A series has a marker of its own, so that it differs in grey, too.
SERIES = tuple({"color": colour, "marker": marker} for colour, marker in zip(PALETTE, "osD^vPX*", strict=True))
POSITIVE, NEGATIVE, NEUTRAL = "#0072b2", "#d55e00", "#7f7f7f"
SEQUENTIAL, DIVERGING = "cividis", "PuOr"
INK = {"light": "#1f2328", "dark": "#e6e6e6"}

MAX_INCHES = 16.0  # either side of a figure
MAX_NUMBERS = 160  # a heat map with more cells shows colours alone
MAX_LABELS = 64  # along one side of a heat map
MAX_PANELS = 12
MAX_NAME = 32  # characters of a label

Target = Path | str | IO[bytes] | None
Labels = Sequence[str] | Mapping[str, Sequence[str]]


@contextmanager
def figure(
    width: float, height: float, target: Target = None, theme: str = "light", dpi: int = 100
) -> Iterator[Figure]:
    """Yield an empty figure to draw into; save it when the block ends, if there is a target.

    Args:
        width, height: inches, at most `MAX_INCHES`
        target: a file, whose ending names the format, or an open binary stream, which gets a PNG
        theme: light | dark: of the page that shows the figure
        dpi: pixels an inch
    """
    with matplotlib.style.context(_settings(theme), after_reset=True):
        drawing = Figure(figsize=(min(width, MAX_INCHES), min(height, MAX_INCHES)), dpi=dpi, layout="constrained")
        yield drawing
        if target is None:
            drawing.draw_without_rendering()  # fixes the style, which ends with this block
        elif isinstance(target, Path | str):
            path = Path(target)
            with replacing(path) as temporary:
                _save(drawing, temporary, path.suffix.removeprefix(".") or "png")
        else:
            _save(drawing, target, "png")


@dataclass(frozen=True, eq=False)
class Cells:
    """How a heat map shows its values.

    Attributes:
        texts: what cells show: a format of their values, such as `.2f`, or one text for each cell
        meaning: title of the colour bar; without one there is no bar
        limits: values of the first and the last colour
    """

    texts: np.ndarray | str = ""
    meaning: str | None = None
    colours: str = SEQUENTIAL
    limits: tuple[float, float] = (0.0, 1.0)


def heat_map(axes: Axes, values: np.ndarray, rows: Labels, columns: Labels, cells: Cells) -> None:
    """Draw a matrix as coloured cells, with a number in each cell as long as they are few.

    Args:
        values: [rows, columns]; a cell of nan stays blank
        rows, columns: labels; or groups of labels, each under its name. Lines separate groups, and where there are
            too many labels, only the names of groups are written.
    """
    mesh = axes.pcolormesh(np.ma.masked_invalid(values), cmap=cells.colours, vmin=cells.limits[0], vmax=cells.limits[1])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.invert_yaxis()
    row_ticks, row_labels, row_lines = _ticks(rows)
    column_ticks, column_labels, column_lines = _ticks(columns)
    axes.set_yticks(row_ticks, row_labels)
    axes.set_xticks(column_ticks, column_labels)
    if sum(len(label) + 1 for label in column_labels) > 9 * axes.figure.get_figwidth() / _panels_across(axes):
        axes.tick_params(axis="x", rotation=90)
    axes.hlines(row_lines, 0, values.shape[1], color="black", linewidth=1)
    axes.vlines(column_lines, 0, values.shape[0], color="black", linewidth=1)
    if values.size <= MAX_NUMBERS:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                text = format(value, cells.texts) if isinstance(cells.texts, str) else cells.texts[row, column]
                ink = ink_on(mesh.cmap(mesh.norm(value)))
                axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=ink, fontsize=8)
    if cells.meaning is not None:
        axes.figure.colorbar(mesh, ax=axes, label=cells.meaning)


def short_labels(names: Iterable[object]) -> list[str]:
    """Each name, in `MAX_NAME` characters at most: the middle of a longer one is left out.

    Names that then look alike are numbered by their position, from 1.
    """
    whole = [str(name) for name in names]
    counts = Counter(map(_cut, whole))
    labels = []
    for number, name in enumerate(whole, start=1):
        ending = f" ({number})" if len(name) > MAX_NAME and counts[_cut(name)] > 1 else ""
        labels.append(_cut(name, MAX_NAME - len(ending)) + ending)
    return labels


def category_colours(names: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """A colour for each category: of the palette, or of a scale where the names are numbers or too many."""
    if len(names) > len(PALETTE) or all(name.replace(".", "", 1).isdigit() for name in names):
        scale = matplotlib.colormaps["viridis"]
        return {name: scale((index + 1) / (len(names) + 1))[:3] for index, name in enumerate(names)}
    return {name: matplotlib.colors.to_rgb(colour) for name, colour in zip(names, PALETTE, strict=False)}


def ink_on(colour: Sequence[float]) -> str:
    """Black or white, whichever is legible on a colour (red, green, blue, each 0 to 1)."""
    red, green, blue = colour[:3]
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.45 else "#ffffff"


def _settings(theme: str) -> dict[str, object]:
    ink = INK[theme]
    return {
        "font.size": 9,
        "axes.titlesize": 10,
        "figure.titlesize": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.alpha": 0.3,
        "legend.frameon": False,
        "text.parse_math": False,  # names of users may hold dollars
        "pdf.fonttype": 42,  # whole fonts, so that text can be copied
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), ink),
        # A dark page shows through; elsewhere a figure brings its own white.
        **({"savefig.transparent": True} if theme == "dark" else {}),
    }


def _save(drawing: Figure, target: Path | IO[bytes], form: str) -> None:
    # Without the version of the drawing library and the time, the bytes depend on the numbers alone.
    metadata = {"png": {"Software": None}, "pdf": {"Creator": None, "Producer": None, "CreationDate": None}}
    drawing.savefig(target, dpi="figure", format=form, metadata=metadata.get(form))


def _ticks(labels: Labels) -> tuple[list[float], list[str], list[int]]:
    """Positions and texts of the ticks along one side, and the positions of lines between groups."""
    groups = labels if isinstance(labels, Mapping) else {"": labels}
    ends = np.cumsum([len(names) for names in groups.values()]).tolist()
    texts = short_labels(name for names in groups.values() for name in names)
    positions = [index + 0.5 for index in range(len(texts))]
    if len(texts) > MAX_LABELS and len(groups) > 1:
        texts = short_labels(groups)
        positions = [(start + end) / 2 for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    step = -(-len(texts) // MAX_LABELS) or 1
    return positions[::step], texts[::step], ends[:-1]


def _cut(name: str, most: int = MAX_NAME) -> str:
    if len(name) <= most:
        return name
    end = (most - 1) // 2
    return f"{name[: most - 1 - end]}…{name[len(name) - end :]}"


def _panels_across(axes: Axes) -> int:
    spec = axes.get_subplotspec()
    return spec.get_gridspec().ncols if spec else 1
