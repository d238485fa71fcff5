"""`sparsecbm masks` in the terminal."""

from itertools import takewhile

from rich.console import Console
from rich.table import Table

from sparsecbm.cli.inspection.mask_summary import MaskSummary, PairSummary
from sparsecbm.cli.printing.tables import figures, plain, share


def show_masks(summary: MaskSummary) -> None:
    """Density by layer and concept, what concepts share, what masks cost and what they do not save."""
    console = Console(highlight=False)
    for table in (_layers(summary), _concepts(summary), _pairs(summary)):
        if table.row_count:
            console.print(table)
            console.print()
    for line in words(summary):
        console.print(line, markup=False)


def words(summary: MaskSummary) -> list[str]:
    """What the masks cost, what is not saved, and what can be."""
    storage, many = summary.storage, len(summary.concepts)
    return [
        f"Masks: {storage.bits:,} bits, one a weight and concept; {storage.masks_bytes:,} bytes on disk, which "
        f"is {storage.bits_each:.3f} bits a weight and concept.",
        f"Weights: {storage.weights_bytes:,} bytes on disk. All concepts share them, so they are stored once; and "
        "they stay whole: a weight that no concept keeps is stored like any other.",
        "Not saved: masks act while the model runs and make it by themselves neither smaller nor faster. Reading every "
        f"concept takes as many passes through the blocks with masks as there are concepts, {many}; a dense model "
        "takes one.",
        "Saved with `model.compact()`: these masks keep or drop whole heads and neurons, so each concept's subnetwork "
        "can be cut out as a smaller dense network with the same outputs."
        if summary.structured
        else "`model.compact()` cannot cut these subnetworks out as smaller dense networks: for that, masks must keep "
        "or drop whole heads and neurons (`sparsecbm prune --set prune.granularity=structured --set prune.core=0`).",
    ]


def _layers(summary: MaskSummary) -> Table:
    paths = zip(*(name.split(".")[:-1] for name in summary.layers), strict=False)
    shared = ".".join(parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, paths))  # `encoder.layer`
    table = figures(f"share kept in {shared or 'layer'}", "weights", *summary.concepts)
    for name, layer in summary.layers.items():
        table.add_row(plain(name.removeprefix(f"{shared}.")), f"{layer.weights:,}", *map(share, layer.density.values()))
    totals = [share(concept.density) for concept in summary.concepts.values()]
    table.add_row("all layers", f"{summary.weights:,}", *totals, style="bold")
    return table


def _concepts(summary: MaskSummary) -> Table:
    table = figures("weights kept by", "weights", "share", "by it alone")
    for name, concept in summary.concepts.items():
        table.add_row(plain(name), f"{concept.kept:,}", share(concept.density), share(concept.exclusive))
    for name, part in (("every concept (core)", summary.core), ("no concept", summary.unused)):
        table.add_row(name, f"{round(part * summary.weights):,}", share(part))
    return table


def _pairs(summary: MaskSummary) -> Table:
    table = figures("overlap of", "Jaccard", "by chance", "excess")
    for first, others in summary.overlap.pairs.items():
        for second, pair in others.items():
            table.add_row(plain(f"{first}, {second}"), *_overlap(pair))
    if table.row_count > 1:
        table.add_row("mean", *_overlap(summary.overlap), style="bold")
    return table


def _overlap(pair: PairSummary) -> tuple[str, str, str]:
    return f"{pair.jaccard:.3f}", f"{pair.chance:.3f}", f"{pair.excess:+.3f}"
