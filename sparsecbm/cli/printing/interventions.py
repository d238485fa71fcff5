"""Edits, patches with their side effects, and corrections in the terminal."""

from collections.abc import Collection, Mapping, Sequence

from rich.table import Table

from sparsecbm.base.published import published_form
from sparsecbm.cli.json_forms import PatchRow
from sparsecbm.cli.printing.tables import figures, share
from sparsecbm.cli.printing.terminal import Terminal, cell, say
from sparsecbm.intervene.edits import Edit
from sparsecbm.intervene.memory.index import Correction
from sparsecbm.intervene.memory.recall import CorrectedPrediction, TextOffers
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.patches.side_effects import SideEffects
from sparsecbm.model.prediction import Prediction


def show_edits(edits: Sequence[Edit]) -> None:
    """Print the predictions of each text before and after; changed rows are marked."""
    for edit in edits:
        _show_change(edit.before, edit.after, dict.fromkeys(edit.set_to, "set"), edit.changed)


def show_corrected(results: Sequence[CorrectedPrediction]) -> None:
    """Print the predictions of each text before and after, and the corrections that acted."""
    for result in results:
        marks = {
            concept: f"by {offer.correction.kind} {offer.correction.id[:12]}, similarity {offer.likeness:.3f}"
            for concept, offer in result.acted.items()
        }
        changed = ("label",) if result.before.label.state != result.after.label.state else ()
        _show_change(result.before, result.after, marks, changed)
        if not marks:
            say("no correction acted")


def _show_change(before: Prediction, after: Prediction, marks: Mapping[str, str], changed: Collection[str]) -> None:
    console = Terminal()
    console.print(before.text, style="bold")
    table = Table("", "before", "after", "", box=None, pad_edge=False)
    rows = {name: (before.concepts[name], after.concepts[name]) for name in before.concepts}
    for name, pair in {**rows, "label": (before.label, after.label)}.items():
        mark = marks.get(name) or ("changed" if name in changed else "")
        cells = (f"{prediction.state} {share(prediction.confidence)}" for prediction in pair)
        table.add_row(cell(name), *map(cell, cells), cell(mark, "green"))
    console.print(table)


def show_offers(results: Sequence[TextOffers]) -> None:
    """Print the most similar correction of each concept for each text."""
    console = Terminal()
    for result in results:
        console.print(result.text, style="bold")
        if not result.offers:
            console.print("no correction is similar enough")
            continue
        table = figures("", "similarity")
        for column in ("state", "by", "author", "note"):
            table.add_column(column, overflow="fold")
        for concept, offer in result.offers.items():
            correction = offer.correction
            by = f"{correction.kind} {correction.id[:12]}"
            cells = map(cell, (correction.state, by, correction.author, correction.note))
            table.add_row(cell(concept), f"{offer.likeness:.3f}", *cells)
        console.print(table)


def show_patch(patch: MaskPatch) -> None:
    """Print what a patch is for, what it flips, the predictions of its texts before and after, and its side effects."""
    console = Terminal()
    console.print(f"patch {patch.id[:12]}: {patch.concept} should be {patch.state}", style="bold")
    layers = Table("layer", "dropped", "grown", box=None, pad_edge=False)
    for layer in patch.flipped:
        dropped, grown = len(patch.dropped.get(layer, ())), len(patch.grown.get(layer, ()))
        layers.add_row(cell(layer), str(dropped), str(grown))
    layers.add_row("all", *(str(sum(map(len, kind.values()))) for kind in (patch.dropped, patch.grown)), style="bold")
    console.print(layers)
    console.print(f"{patch.bits} of {patch.size:,} bits, {100 * patch.share:.5f} %")
    texts = Table("text", "before", "after", box=None, pad_edge=False)
    for text, before, after in zip(patch.texts, patch.before, patch.after, strict=True):
        cells = (f"{prediction.state} {share(prediction.confidence)}" for prediction in (before, after))
        texts.add_row(cell(text[:12]), *map(cell, cells))
    console.print(texts)
    if patch.side_effects:
        show_side_effects(patch.side_effects, patch.concept)
    for name in ("author", "note", "parent"):
        if getattr(patch, name):
            console.print(f"{name}: {getattr(patch, name)}")
    if patch.made.get("forced"):
        console.print("made with --force: its harm had no limit", style="red")


def show_side_effects(effects: SideEffects, concept: str) -> None:
    """Print side effects: accuracies, what was fixed and harmed, and the most similar texts."""
    console = Terminal()
    table = figures(f"share right, of {effects.texts} held-out texts", "before", "after", "change, 95 %")
    known = {
        concept: effects.harmed.of + effects.fixed.of,
        "label": effects.label_harmed.of + effects.label_fixed.of,
    }
    for name, change in ((concept, effects.concept), ("label", effects.label)):
        table.add_row(
            cell(f"{name}, of {known[name]} with a state"),
            _number(change.before),
            _number(change.after),
            _interval(change.interval),
        )
    console.print(table)
    table = figures("", "count", "of", "share", "95 %")
    rows = {
        f"{concept}: correct, now wrong": effects.harmed,
        f"{concept}: wrong, now correct": effects.fixed,
        "label: correct, now wrong": effects.label_harmed,
        "label: wrong, now correct": effects.label_fixed,
    }
    for name, part in rows.items():
        cells = (str(part.count), str(part.of), _number(part.share), _interval(part.interval))
        table.add_row(cell(name), *cells)
    console.print(table)
    neighbours = effects.neighbours
    console.print(
        f"of the {neighbours.texts} most similar texts {neighbours.fixed} are fixed and {neighbours.harmed} harmed"
    )


def show_list(rows: Sequence[PatchRow] | Sequence[Correction], empty: str) -> None:
    """Print one row for each patch or correction, or the message `empty`."""
    console = Terminal()
    if not rows:
        console.print(empty)
        return
    columns = [name for name in published_form(rows[0]) if name != "id"]
    table = Table("id", *columns, box=None, pad_edge=False)
    for row in rows:
        values = (getattr(row, name) for name in columns)
        table.add_row(cell(row.id[:12]), *(cell("" if value is None else value) for value in values))
    console.print(table)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(ends: tuple[float | None, float | None]) -> str:
    low, high = ends
    return "" if low is None or high is None else f"{low:+.3f} to {high:+.3f}"
