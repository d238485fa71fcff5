"""`sparsecbm masks` in the terminal."""

from collections.abc import Iterator
from itertools import takewhile
from statistics import fmean

from rich.table import Table

from sparsecbm.base.terminal_text import visible
from sparsecbm.cli.inspection.mask_summary import MaskSummary, PairSummary
from sparsecbm.cli.printing.tables import figures, share
from sparsecbm.cli.printing.terminal import Terminal, cell

MAX_COLUMNS = 8  # concepts beside each other
MAX_PAIRS = 36  # of concepts; `--json` has all
MAX_HEADS = 5  # of a concept; `--json` has all


def show_masks(summary: MaskSummary) -> None:
    """Print density by layer and concept, overlap of concepts, and what masks cost and save."""
    console = Terminal()
    for table in (_layers(summary), _concepts(summary), _pairs(summary), *_parts(summary)):
        if table.row_count:
            console.print(table)
            console.print()
    if summary.parts_note is not None:
        console.print(f"No list of parts: {visible(summary.parts_note)}.\n")
    for line in describe_cost(summary):
        console.print(line)


def describe_cost(summary: MaskSummary) -> list[str]:
    """What the masks cost in storage and time, and what they can save, in words."""
    storage = summary.storage
    return [
        f"Masks: {storage.bits:,} bits, one per weight and concept; {storage.masks_bytes:,} bytes on disk, or "
        f"{storage.bits_each:.3f} bits per weight and concept.",
        f"Weights: {storage.weights_bytes:,} bytes on disk. All concepts share them, so they are stored once. Weights "
        "that no concept keeps are stored, too.",
        "Masks alone make the model neither smaller nor faster. A prediction takes one pass through the masked blocks "
        f"for each concept, {len(summary.concepts)} in all; a dense model takes one pass.",
        "`model.compact()` saves time: these masks drop whole heads or neurons, so each subnetwork can be cut out as a "
        "smaller dense network with the same outputs."
        if summary.structured
        else "`model.compact()` cannot cut out these subnetworks as smaller dense networks: the masks would have to "
        "drop whole heads or neurons. `sparsecbm run --profile fast` finds such masks.",
    ]


def _layers(summary: MaskSummary) -> Table:
    paths = zip(*(name.split(".")[:-1] for name in summary.layers), strict=False)
    prefix = ".".join(parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, paths))  # `encoder.layer`
    many = len(summary.concepts) > MAX_COLUMNS
    title = f"share kept in {prefix or 'layer'}" + (f", of {len(summary.concepts)} concepts" if many else "")
    table = figures(title, "weights", *(("least", "mean", "most") if many else summary.concepts))
    for name, layer in summary.layers.items():
        shares = _shares(list(layer.density.values()))
        table.add_row(cell(name.removeprefix(f"{prefix}.")), f"{layer.weights:,}", *shares)
    totals = _shares([concept.density for concept in summary.concepts.values()])
    table.add_row("all layers", f"{summary.weights:,}", *totals, style="bold")
    return table


def _shares(by_concept: list[float]) -> list[str]:
    """A share for each concept; of more than fit beside each other, the least, the mean and the largest."""
    if len(by_concept) > MAX_COLUMNS:
        by_concept = [min(by_concept), fmean(by_concept), max(by_concept)]
    return list(map(share, by_concept))


def _concepts(summary: MaskSummary) -> Table:
    table = figures("weights kept by", "weights", "share", "exclusive")
    for name, concept in summary.concepts.items():
        table.add_row(cell(name), f"{concept.kept:,}", share(concept.density), share(concept.exclusive))
    for name, kept_share in (("every concept (core)", summary.core), ("no concept", summary.unused)):
        table.add_row(name, f"{round(kept_share * summary.weights):,}", share(kept_share))
    return table


def _pairs(summary: MaskSummary) -> Table:
    pairs = [(f"{first}, {second}", pair) for first, by in summary.overlap.pairs.items() for second, pair in by.items()]
    shown = pairs
    if len(pairs) > MAX_PAIRS:
        shown = sorted(pairs, key=lambda named: -named[1].excess)[:MAX_PAIRS]
    only = f" ({len(shown)} of {len(pairs):,} pairs, the largest excess)" if len(shown) < len(pairs) else ""
    table = figures(f"overlap of{only}", "Jaccard", "by chance", "excess")
    for names, pair in shown:
        table.add_row(cell(names), *_overlap(pair))
    if len(pairs) > 1:
        table.add_row("mean", *_overlap(summary.overlap), style="bold")
    return table


def _parts(summary: MaskSummary) -> Iterator[Table]:
    """The strongest heads and neurons of each concept, and what the neurons fire on."""
    for name, parts in summary.parts.items():
        table = figures(f"parts of {name}", "its own", "effect", "95 %")
        table.add_column("fires on", overflow="fold")
        for kind, listed in (("head", parts.heads[:MAX_HEADS]), ("neuron", parts.neurons)):
            for part in listed:
                low, high = part.interval
                interval = f"{low:+.3f} to {high:+.3f}"
                words = cell(", ".join(part.words))
                table.add_row(
                    f"{kind} {part.block}.{part.index}", share(part.exclusive), f"{part.effect:+.3f}", interval, words
                )
        yield table


def _overlap(pair: PairSummary) -> tuple[str, str, str]:
    return f"{pair.jaccard:.3f}", f"{pair.chance:.3f}", f"{pair.excess:+.3f}"
