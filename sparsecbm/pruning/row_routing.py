"""Which rows of a training batch go through which concept's mask."""

from collections.abc import Sequence

from torch import Tensor


def route_all(concepts: Sequence[str], rows: Tensor, step: int) -> dict[str, Tensor]:
    """All rows through every mask: K times the work of one mask."""
    return dict.fromkeys(concepts, rows)


def route_sampled(concepts: Sequence[str], rows: Tensor, step: int) -> dict[str, Tensor]:
    """All rows through one mask, concepts in turn."""
    return {concepts[step % len(concepts)]: rows}


def route_split(concepts: Sequence[str], rows: Tensor, step: int) -> dict[str, Tensor]:
    """Each row through one mask. A row goes through another mask in the next step; a mask may get no row."""
    parts = {name: rows[(rows + step) % len(concepts) == index] for index, name in enumerate(concepts)}
    return {name: part for name, part in parts.items() if len(part)}


ROUTINGS = {"all": route_all, "sampled": route_sampled, "split": route_split}


def route_batch(routing: str, concepts: Sequence[str], rows: Tensor, step: int) -> dict[str, Tensor]:
    """The rows that go through each concept's mask.

    Args:
        routing: all | sampled | split
        concepts: names of the concepts, in order
        rows: [batch], 0 to batch - 1
        step: number of the update

    Returns:
        concept -> [rows of its own]; concepts without rows are left out
    """
    return ROUTINGS[routing](concepts, rows, step)
