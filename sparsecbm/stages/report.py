"""Stage `report`: draw every plot, and write the pages and the model card, from what the other stages wrote."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.files import read_json_object, read_parquet, replacing_folder, write_json, write_text
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import QUARANTINE, read_manifest, read_splits
from sparsecbm.data.validation import Validated
from sparsecbm.display.model_card import model_card
from sparsecbm.explain.export import read_explanations
from sparsecbm.model.storage import load as load_model
from sparsecbm.report.drawings import draw_plots
from sparsecbm.report.embedded_plots import read_plots
from sparsecbm.report.index_page import index_page
from sparsecbm.report.summary import summarise
from sparsecbm.report.validation_page import validation_page

SHOWN = ("finetune", "prune", "explain", "intervene", "evaluate")  # stages whose figures and plots the page shows


def run(params: Params, workspace: Workspace) -> None:
    """Write `plots`, `reports/index.html`, `reports/validation.html`, `reports/model-card.md`, `metrics/summary.json`.

    What other stages did not write is left out of the pages.
    """
    manifest = read_manifest(workspace.annotated)
    explanations = read_explanations(workspace.explanations)
    files = {stage: workspace.metrics(stage) for stage in SHOWN}
    metrics = {stage: read_json_object(file) for stage, file in files.items() if file.is_file()}
    metrics = _in_order(metrics, _vocabulary(manifest))
    with replacing_folder(workspace.plots) as folder:
        draw_plots(folder, metrics, _load_interventions(workspace), explanations)
    plots = {stage: read_plots(workspace.plots / stage) for stage in SHOWN}
    write_text(workspace.report, index_page(manifest["source"], metrics, plots, explanations))
    _write_validation_page(workspace)
    write_text(workspace.model_card, model_card(load_model(workspace.sparse)))
    validation = read_json_object(workspace.metrics("validate"))
    write_json(workspace.metrics("summary"), summarise({**metrics, "validate": validation}))


def _write_validation_page(workspace: Workspace) -> None:
    manifest = read_manifest(workspace.validated)
    splits = read_splits(workspace.validated)
    report = _in_order(read_json_object(workspace.metrics("validate")), [*splits, *_vocabulary(manifest)])
    quarantine = read_parquet(workspace.validated / QUARANTINE)
    page = validation_page(Validated(splits, quarantine, report, refusal=None), manifest)
    write_text(workspace.validation_page, page)


def _load_interventions(workspace: Workspace) -> dict[str, pd.DataFrame]:
    """Name -> table, of those that have rows."""
    return {path.stem: pd.read_csv(path) for path in sorted(workspace.interventions.glob("*.csv"))}


def _vocabulary(manifest: Mapping) -> list[str]:
    """Names of concepts, states and classes in the order of the data, which sorted JSON does not keep."""
    concept_set = ConceptSet.from_dict(manifest["vocabulary"])
    columns = ["label", *(f"concept.{name}" for name in concept_set.names)]
    states = [state for concept in (concept_set.label, *concept_set) for state in concept.states]
    return [*concept_set.names, *columns, *states]


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
