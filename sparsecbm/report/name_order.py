"""Names of concepts, states and classes in the order of the data, which JSON with sorted keys does not keep."""

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any

from sparsecbm.base.concepts import ConceptSet


def names_of_data(manifest: Mapping) -> list[str]:
    """Names of concepts and of their columns, then all states and classes, from a manifest."""
    concept_set = ConceptSet.from_dict(manifest["vocabulary"])
    columns = ["label", *(f"concept.{name}" for name in concept_set.names)]
    return [*concept_set.names, *columns, *merge_orders([c.states for c in (concept_set.label, *concept_set)])]


def merge_orders(orders: Sequence[Sequence[str]]) -> list[str]:
    """One order that keeps each of several; if they contradict each other, the first one that has a name decides."""
    before: dict[str, list[str]] = {name: [] for order in orders for name in order}
    for order in orders:
        for first, second in pairwise(order):
            before[second].append(first)
    try:
        return list(TopologicalSorter(before).static_order())
    except CycleError:
        return list(before)


def in_order(value: Any, names: Iterable[str]) -> Any:
    """A nested value whose mappings have the given names first, in their order; other keys keep theirs."""
    ranks: dict[str, int] = {}
    for name in names:
        ranks.setdefault(name, len(ranks))

    def ordered(inner: Any) -> Any:
        if isinstance(inner, Mapping):
            keys = sorted(inner, key=lambda key: ranks.get(key, len(ranks)))
            return {key: ordered(inner[key]) for key in keys}
        return [ordered(each) for each in inner] if isinstance(inner, list) else inner

    return ordered(value)
