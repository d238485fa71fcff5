"""Contents of a drawing: labels, texts of cells, and lines."""

from matplotlib.axes import Axes


def x_labels(axes: Axes) -> list[str]:
    """Return the labels of the x axis."""
    return [label.get_text() for label in axes.get_xticklabels()]


def y_labels(axes: Axes) -> list[str]:
    """Return the labels of the y axis."""
    return [label.get_text() for label in axes.get_yticklabels()]


def cell_texts(axes: Axes) -> dict[tuple[int, int], str]:
    """Return (row, column) -> text in that cell of a heat map."""
    positions = {text: text.get_position() for text in axes.texts}
    return {(int(y), int(x)): text.get_text() for text, (x, y) in positions.items()}


def values_of(axes: Axes) -> list[list[float | None]]:
    """Return the values of a heat map; None for a blank cell."""
    return axes.collections[0].get_array().tolist()


def lines_of(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    """Return label -> points of each labelled line, without lines that have no label."""
    return {
        line.get_label(): [(float(x), float(y)) for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]
        for line in axes.lines
        if not line.get_label().startswith("_")
    }
