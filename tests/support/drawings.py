"""What stands in a drawing: labels, texts of cells, and lines."""

from matplotlib.axes import Axes


def x_labels(axes: Axes) -> list[str]:
    """Texts of the ticks below."""
    return [label.get_text() for label in axes.get_xticklabels()]


def y_labels(axes: Axes) -> list[str]:
    """Texts of the ticks at the side."""
    return [label.get_text() for label in axes.get_yticklabels()]


def cell_texts(axes: Axes) -> dict[tuple[int, int], str]:
    """(row, column) -> text in that cell of a heat map."""
    positions = {text: text.get_position() for text in axes.texts}
    return {(int(y), int(x)): text.get_text() for text, (x, y) in positions.items()}


def values_of(axes: Axes) -> list[list[float | None]]:
    """The values of a heat map; None for a blank cell."""
    return axes.collections[0].get_array().tolist()


def lines_of(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    """Label -> points of each labelled line; lines without a label are left out."""
    return {
        line.get_label(): [(float(x), float(y)) for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]
        for line in axes.lines
        if not line.get_label().startswith("_")
    }
