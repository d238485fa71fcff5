"""The pages of a workspace, written from what its stages left there."""

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.files import read_json_object, read_parquet, write_text
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import QUARANTINE, read_manifest, read_splits
from sparsecbm.data.validation import Validated
from sparsecbm.explain.export import read_explanations
from sparsecbm.report.data_name import data_name
from sparsecbm.report.embedded_plots import read_plots
from sparsecbm.report.index_page import index_page
from sparsecbm.report.validation_page import validation_page

# Stages whose figures and plots the page shows.
SHOWN = ("annotate", "finetune", "prune", "explain", "intervene", "evaluate")


def read_metrics(workspace: Workspace) -> dict[str, Mapping]:
    """Stage -> content of its metrics file, with names in the order of the data; stages without one are left out."""
    files = {stage: workspace.metrics(stage) for stage in SHOWN}
    metrics = {stage: read_json_object(file) for stage, file in files.items() if file.is_file()}
    return _in_order(metrics, _vocabulary(read_manifest(workspace.annotated)))


def write_index_page(workspace: Workspace, metrics: Mapping[str, Mapping]) -> None:
    """Write the page of the run, with the plots that are there."""
    plots = {stage: read_plots(workspace.plots / stage) for stage in SHOWN}
    name = data_name(read_manifest(workspace.annotated))
    write_text(workspace.report, index_page(name, metrics, plots, read_explanations(workspace.explanations)))


def write_validation_page(workspace: Workspace) -> None:
    """Write the page about the data."""
    manifest = read_manifest(workspace.validated)
    splits = read_splits(workspace.validated)
    report = _in_order(read_json_object(workspace.metrics("validate")), [*splits, *_vocabulary(manifest)])
    quarantine = read_parquet(workspace.validated / QUARANTINE)
    page = validation_page(Validated(splits, quarantine, report, refusal=None), manifest)
    write_text(workspace.validation_page, page)


def _vocabulary(manifest: Mapping) -> list[str]:
    """Names of concepts, states and classes in the order of the data, which sorted JSON does not keep."""
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


def _in_order(value: Any, names: Iterable[str]) -> Any:
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
