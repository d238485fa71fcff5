"""`sparsecbm compare` in the terminal."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console, RenderableType
from rich.table import Column, Table

from sparsecbm.cli.inspection.compare import (
    Comparison,
    LabelHeadDifference,
    PredictionDifference,
    Sides,
    ValueDifference,
)
from sparsecbm.cli.printing.tables import figures, plain, share

MOST = 12  # rows of a long list


def show_comparison(found: Comparison, a: Path, b: Path) -> None:
    """What differs, part by part; a part that is the same is one line."""
    console = Console(highlight=False)
    for side, folder in (("A", a), ("B", b)):
        console.print(f"{side} is {folder}", markup=False, soft_wrap=True)
    files = ", ".join(found.files)
    console.print(f"\nfiles that differ: {plain(files)}" if files else "\n[green]all files are the same to the byte[/]")
    for part in _parts(found):
        console.print()
        console.print(part)


def _parts(found: Comparison) -> list[RenderableType]:
    return [
        _sides("settings", found.settings),
        _sides("concepts", found.concepts),
        *([_sides("layers that do not match", found.unmatched)] if found.unmatched else []),
        _weights(found),
        _masks(found),
        _label_head("label head", found.label_head),
        *([_label_head("label head for hard concepts", found.hard_head)] if found.hard_head else []),
        *([_predictions(found.predictions)] if found.predictions else []),
    ]


def _sides(name: str, differing: Mapping[str, Sides]) -> RenderableType:
    if not differing:
        return f"{name}: the same"
    table = Table(Column(plain(name), overflow="fold"), "A", "B", box=None, pad_edge=False)
    for key, sides in list(differing.items())[:MOST]:
        table.add_row(plain(key), _value(sides.a), _value(sides.b))
    return _noting_the_rest(table, len(differing))


def _weights(found: Comparison) -> RenderableType:
    if not found.layers:
        return "weights: none to compare"
    if not found.weights:
        return f"weights: the same in all {found.layers} layers"
    table = figures(f"weights: {len(found.weights)} of {found.layers} layers differ", "values", "differ", "by at most")
    largest_first = sorted(found.weights.items(), key=lambda item: -_size(item[1]))
    for layer, values in largest_first[:MOST]:
        table.add_row(plain(layer), *_differences(values))
    return _noting_the_rest(table, len(found.weights))


def _masks(found: Comparison) -> RenderableType:
    if not found.masks:
        return "masks: none to compare"
    table = figures("masks", "bits", "differ", "Jaccard", "kept in A", "kept in B")
    for name, mask in found.masks.items():
        kept = share(mask.density.a), share(mask.density.b)
        table.add_row(plain(name), f"{mask.bits:,}", f"{mask.differing:,}", f"{mask.jaccard:.3f}", *kept)
    return table


def _label_head(name: str, found: LabelHeadDifference | None) -> RenderableType:
    if found is None:
        return f"{name}: none to compare"
    table = figures(name, "values", "differ", "by at most")
    for concept, values in found.V.items():
        table.add_row(plain(f"V of {concept}"), *_differences(values))
    table.add_row("b", *_differences(found.b))
    return table


def _predictions(found: PredictionDifference) -> RenderableType:
    table = figures(f"predictions for {found.texts:,} texts", "differ", "probability, at most")
    table.add_column("from A to B")
    read = {"label": found.label, **found.concepts} if found.label else found.concepts
    for name, readings in read.items():
        changes = [f"{n:,} x {x} → {y}" for x, row in readings.changes.items() for y, n in row.items()]
        table.add_row(plain(name), f"{readings.differing:,}", f"{readings.largest:.3f}", plain("\n".join(changes)))
    table.add_row("any of these", f"{found.differing:,}", style="bold")
    return table


def _noting_the_rest(table: Table, rows: int) -> Table:
    if rows > MOST:
        table.add_row(f"and {rows - MOST} more (--json)", style="dim")
    return table


def _differences(found: ValueDifference) -> tuple[str, str, str]:
    return f"{found.values:,}", f"{found.differing:,}", f"{_size(found):.3g}"


def _size(found: ValueDifference) -> float:
    return float("inf") if found.largest is None else found.largest


def _value(value: object) -> str:
    if isinstance(value, dict):  # shapes by parameter
        return ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in value.items())
    return "none" if value is None else plain(", ".join(map(str, value)) if isinstance(value, list) else str(value))
