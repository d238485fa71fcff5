"""Routes: which rows of a batch go through which concept's subnetwork.

Blocks below the first masked one are the same for all concepts, so they run once on the rows of the batch. At the first
masked block the rows are copied as the route says. Each later block then needs its other arguments, such as attention
masks and positions, for the copied rows as well. `select_rows` makes them, for masked and for branched blocks.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sparsecbm.base.errors import ModelError

BlockOutput = Tensor | tuple[Any, ...]  # a block returns its states, alone or first in a tuple


@dataclass(frozen=True)
class Route:
    """Which rows of a batch go through which concept's subnetwork.

    Attributes:
        batch: number of rows before they are copied
        rows: [routed], the row of the batch that each routed row is a copy of
        segments: (index of the concept in the mask set, start, stop) of each run of routed rows
    """

    batch: int
    rows: Tensor
    segments: tuple[tuple[int, int, int], ...]

    @property
    def even(self) -> bool:
        """Whether all segments have one length, so that their products can be grouped."""
        return len({stop - start for _, start, stop in self.segments}) == 1


def route_rows(batch: int, rows: Sequence[Tensor], concepts: Sequence[int]) -> Route:
    """A route for a batch: the rows, each [any], that go through each of the given concepts."""
    segments, start = [], 0
    for concept, concept_rows in zip(concepts, rows, strict=True):
        segments.append((concept, start, start + len(concept_rows)))
        start += len(concept_rows)
    return Route(batch, torch.cat(list(rows)), tuple(segments))


_route: ContextVar[Route | None] = ContextVar("route", default=None)


@contextmanager
def routed(route: Route) -> Iterator[None]:
    """Send rows by this route while the block runs."""
    token = _route.set(route)
    try:
        yield
    finally:
        _route.reset(token)


def current_route(caller: str) -> Route:
    """The route in force.

    Raises:
        ModelError: there is none; the message names the caller.
    """
    route = _route.get()
    if route is None:
        raise ModelError(f"{caller} was called without a route; call the model, not its backbone")
    return route


def select_rows(value: object, rows: Tensor, batch: int) -> object:
    """An argument of a block, other than its hidden states, for the given rows of the batch.

    Masks and positions have either one row for each text, which is selected, or one row for all, which broadcasts.
    """
    if isinstance(value, Tensor) and value.ndim > 2 and len(value) == batch > 1:
        return value[rows]
    if isinstance(value, tuple):
        return tuple(select_rows(item, rows, batch) for item in value)
    return value


def run_rows(
    block: nn.Module, hidden: Tensor, rows: Tensor, batch: int, args: Sequence[object], kwargs: Mapping[str, object]
) -> BlockOutput:
    """Run a block on copies of rows of the batch.

    Args:
        hidden: hidden states of the copies, [copies, tokens, hidden]
        rows: [copies], the row of the batch that each copy comes from
        batch: number of rows of the batch
        args, kwargs: other arguments of the block, for the batch

    Returns:
        [copies, tokens, hidden]; a tuple that begins with them, if the block returns one
    """
    selected = [select_rows(value, rows, batch) for value in args]
    output: BlockOutput = block(
        hidden, *selected, **{name: select_rows(value, rows, batch) for name, value in kwargs.items()}
    )
    return output


class RowSplitter:
    """A forward pre-hook that makes a block run on routed rows.

    Args:
        block: to which the hook is added
        first: whether it is the first masked block, which gets the batch itself; later ones get the routed rows
    """

    def __init__(self, block: nn.Module, first: bool):
        self.first = first
        self.handle = block.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """The arguments of the block for the routed rows."""
        route = current_route("a masked block")
        hidden = args[0] if args else kwargs["hidden_states"]
        routed_hidden = hidden[route.rows] if self.first else hidden

        def select(value: object) -> object:
            return routed_hidden if value is hidden else select_rows(value, route.rows, route.batch)

        return tuple(select(value) for value in args), {name: select(value) for name, value in kwargs.items()}


def remove_row_splitter(block: nn.Module) -> None:
    """Take the `RowSplitter` off a block; hooks of others stay."""
    for hook in list(block._forward_pre_hooks.values()):
        if isinstance(hook, RowSplitter):
            hook.handle.remove()
