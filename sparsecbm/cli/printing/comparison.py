"""`sparsecbm compare` in the terminal."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import RenderableType
from rich.table import Column, Table
from rich.text import Text

from sparsecbm.cli.inspection.compare import (
    Comparison,
    LabelHeadDifference,
    PredictionDifference,
    Sides,
    ValueDifference,
)
from sparsecbm.cli.printing.tables import figures, share
from sparsecbm.cli.printing.terminal import Terminal, cell

MAX_ROWS = 12  # of a long list


def show_comparison(comparison: Comparison, a: Path, b: Path) -> None:
    """Print what differs, part by part; a part without differences is one line."""
    console = Terminal()
    for side, folder in (("A", a), ("B", b)):
        console.print(f"{side} is {folder}", soft_wrap=True)
    files = ", ".join(comparison.files)
    console.print()
    if files:
        console.print(f"files that differ: {files}")
    else:
        console.print("all files are equal, byte for byte", style="green")
    for part in _parts(comparison):
        console.print()
        console.print(part)


def _parts(comparison: Comparison) -> list[RenderableType]:
    parts = [_sides("settings", comparison.settings), _sides("concepts", comparison.concepts)]
    if comparison.unmatched:
        parts.append(_sides("layers that do not match", comparison.unmatched))
    parts += [_weights(comparison), _masks(comparison), _label_head("label head", comparison.label_head)]
    if comparison.hard_head:
        parts.append(_label_head("label head for hard concepts", comparison.hard_head))
    if comparison.predictions:
        parts.append(_predictions(comparison.predictions))
    return parts


def _sides(name: str, differing: Mapping[str, Sides]) -> RenderableType:
    if not differing:
        return f"{name}: no difference"
    table = Table(Column(cell(name), overflow="fold"), "A", "B", box=None, pad_edge=False)
    for key, sides in list(differing.items())[:MAX_ROWS]:
        table.add_row(cell(key), _value(sides.a), _value(sides.b))
    return _with_remainder(table, len(differing))


def _weights(comparison: Comparison) -> RenderableType:
    if not comparison.layers:
        return "weights: none to compare"
    if not comparison.weights:
        return f"weights: no difference in {comparison.layers} layers"
    table = figures(
        f"weights: {len(comparison.weights)} of {comparison.layers} layers differ", "values", "differ", "by at most"
    )
    largest_first = sorted(comparison.weights.items(), key=lambda item: -_size(item[1]))
    for layer, values in largest_first[:MAX_ROWS]:
        table.add_row(cell(layer), *_differences(values))
    return _with_remainder(table, len(comparison.weights))


def _masks(comparison: Comparison) -> RenderableType:
    if not comparison.masks:
        return "masks: none to compare"
    table = figures("masks", "bits", "differ", "Jaccard", "kept in A", "kept in B")
    for name, mask in comparison.masks.items():
        kept = share(mask.density.a), share(mask.density.b)
        table.add_row(cell(name), f"{mask.bits:,}", f"{mask.differing:,}", f"{mask.jaccard:.3f}", *kept)
    return table


def _label_head(name: str, difference: LabelHeadDifference | None) -> RenderableType:
    if difference is None:
        return f"{name}: none to compare"
    table = figures(name, "values", "differ", "by at most")
    for concept, values in difference.V.items():
        table.add_row(cell(f"V of {concept}"), *_differences(values))
    table.add_row("b", *_differences(difference.b))
    return table


def _predictions(difference: PredictionDifference) -> RenderableType:
    table = figures(f"predictions for {difference.texts:,} texts", "differ", "probability, at most")
    table.add_column("from A to B")
    variables = {"label": difference.label, **difference.concepts} if difference.label else difference.concepts
    for name, variable in variables.items():
        changes = [cell(f"{count:,} x {a} → {b}") for a, row in variable.changes.items() for b, count in row.items()]
        table.add_row(cell(name), f"{variable.differing:,}", f"{variable.largest:.3f}", Text("\n").join(changes))
    table.add_row("any of these", f"{difference.differing:,}", style="bold")
    return table


def _with_remainder(table: Table, rows: int) -> Table:
    if rows > MAX_ROWS:
        table.add_row(f"and {rows - MAX_ROWS} more (--json)", style="dim")
    return table


def _differences(difference: ValueDifference) -> tuple[str, str, str]:
    return f"{difference.values:,}", f"{difference.differing:,}", f"{_size(difference):.3g}"


def _size(difference: ValueDifference) -> float:
    return float("inf") if difference.largest is None else difference.largest


def _value(value: object) -> Text:
    if isinstance(value, dict):  # shapes by parameter
        return cell(", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in value.items()))
    return cell("none" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else value)
