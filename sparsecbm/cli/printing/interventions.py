"""Edits, patches and their bills in the terminal."""

from collections.abc import Collection, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from sparsecbm.cli.printing.tables import figures, plain, share
from sparsecbm.intervene.edits import Edit
from sparsecbm.intervene.memory.recall import Corrected
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.model.prediction import Prediction


def show_edits(edits: Sequence[Edit]) -> None:
    """What each text read before and after; changed rows are marked."""
    for edit in edits:
        _show_change(edit.before, edit.after, dict.fromkeys(edit.set_to, "set"), edit.changed)


def show_corrected(results: Sequence[Corrected]) -> None:
    """What each text read before and after, and by which correction."""
    for result in results:
        marks = {
            concept: f"by {offer.correction.kind} {offer.correction.id[:12]}, likeness {offer.likeness:.3f}"
            for concept, offer in result.acted.items()
        }
        changed = ("label",) if result.before.label.state != result.after.label.state else ()
        _show_change(result.before, result.after, marks, changed)
        if not marks:
            print("no correction acted")


def _show_change(before: Prediction, after: Prediction, marks: Mapping[str, str], changed: Collection[str]) -> None:
    console = Console(highlight=False)
    console.print(before.text, markup=False, style="bold")
    table = Table("", "before", "after", "", box=None, pad_edge=False)
    rows = {name: (before.concepts[name], after.concepts[name]) for name in before.concepts}
    for name, pair in {**rows, "label": (before.label, after.label)}.items():
        mark = marks.get(name) or ("changed" if name in changed else "")
        cells = (f"{read.state} {share(read.confidence)}" for read in pair)
        table.add_row(plain(name), *map(plain, cells), f"[green]{mark}[/]")
    console.print(table)


def show_offers(found: Sequence[dict]) -> None:
    """For each text, the nearest correction of each concept."""
    console = Console(highlight=False)
    for each in found:
        console.print(each["text"], markup=False, style="bold")
        if not each["offers"]:
            console.print("nothing is so alike")
            continue
        table = figures("", "likeness")
        for column in ("say", "by", "author", "note"):
            table.add_column(column, overflow="fold")
        for concept, offer in each["offers"].items():
            kept = offer["correction"]
            by = f"{kept['kind']} {kept['id'][:12]}"
            cells = map(plain, (kept["state"], by, kept["author"], kept["note"]))
            table.add_row(plain(concept), f"{offer['likeness']:.3f}", *cells)
        console.print(table)


def show_patch(patch: MaskPatch) -> None:
    """What a patch is for, what it flips, what its texts read before and after, and its bill."""
    console = Console(highlight=False)
    console.print(f"patch {patch.id[:12]}: {patch.concept} should read {patch.state}", markup=False, style="bold")
    layers = Table("layer", "dropped", "grown", box=None, pad_edge=False)
    for layer in patch.flipped:
        dropped, grown = len(patch.dropped.get(layer, ())), len(patch.grown.get(layer, ()))
        layers.add_row(plain(layer), str(dropped), str(grown))
    layers.add_row("all", *(str(sum(map(len, kind.values()))) for kind in (patch.dropped, patch.grown)), style="bold")
    console.print(layers)
    console.print(f"{patch.bits} of {patch.size:,} bits, {100 * patch.share:.5f} %", markup=False)
    texts = Table("text", "before", "after", box=None, pad_edge=False)
    for text, before, after in zip(patch.texts, patch.before, patch.after, strict=True):
        cells = (f"{read.state} {share(read.confidence)}" for read in (before, after))
        texts.add_row(text[:12], *map(plain, cells))
    console.print(texts)
    if patch.side_effects:
        show_side_effects(patch.side_effects, patch.concept)
    for name in ("author", "note", "parent"):
        if getattr(patch, name):
            console.print(f"{name}: {getattr(patch, name)}", markup=False)
    if patch.made.get("forced"):
        console.print("[red]made with --force: its harm was not asked about[/]")


def show_side_effects(bill: dict, concept: str) -> None:
    """A bill in its plain form: accuracies, what was fixed and harmed, and how it generalises."""
    console = Console(highlight=False)
    table = figures(f"on {bill['texts']} other texts", "before", "after", "change, 95 %")
    for name, row in ((concept, bill["concept"]), ("label", bill["label"])):
        table.add_row(plain(name), _number(row["before"]), _number(row["after"]), _between(row["interval"]))
    console.print(table)
    table = figures("", "count", "of", "share", "95 %")
    kinds = {"harmed": "right, now wrong", "fixed": "wrong, now right"}
    for part, of in (("", concept), ("label_", "label")):
        for kind, words in kinds.items():
            row = bill[f"{part}{kind}"]
            cells = (str(row["count"]), str(row["of"]), _number(row["share"]), _between(row["interval"]))
            table.add_row(plain(f"{of}: {words}"), *cells)
    console.print(table)
    near = bill["neighbours"]
    console.print(f"of the {near['texts']} nearest texts {near['fixed']} are fixed and {near['harmed']} harmed")


def show_list(rows: Sequence[dict]) -> None:
    """Patches or corrections, one a row."""
    console = Console(highlight=False)
    if not rows:
        console.print("nothing there")
        return
    table = Table(*rows[0], box=None, pad_edge=False)
    for row in rows:
        cells = {**row, "id": row["id"][:12]}
        table.add_row(*(plain("" if value is None else str(value)) for value in cells.values()))
    console.print(table)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _between(ends: Sequence[float | None]) -> str:
    return "" if None in ends else f"{ends[0]:+.3f} to {ends[1]:+.3f}"
