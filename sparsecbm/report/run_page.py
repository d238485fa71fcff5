"""The page of a run, written from what its stages left in the workspace."""

from collections.abc import Mapping

from sparsecbm.base.files import read_json_object, write_text
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import read_manifest
from sparsecbm.explain.export import read_explanations
from sparsecbm.report.data_name import data_name
from sparsecbm.report.embedded_plots import read_plots
from sparsecbm.report.index_page import index_page
from sparsecbm.report.name_order import in_order, names_of_data

# Stages whose figures and plots the page shows.
SHOWN = ("annotate", "finetune", "prune", "explain", "intervene", "evaluate")


def read_metrics(workspace: Workspace) -> dict[str, Mapping]:
    """Stage -> content of its metrics file, with names in the order of the data; stages without one are left out."""
    files = {stage: workspace.metrics(stage) for stage in SHOWN}
    metrics = {stage: read_json_object(file) for stage, file in files.items() if file.is_file()}
    return in_order(metrics, names_of_data(read_manifest(workspace.annotated)))


def write_index_page(workspace: Workspace, metrics: Mapping[str, Mapping]) -> None:
    """Write the page of the run, with the plots that are there."""
    plots = {stage: read_plots(workspace.plots / stage) for stage in SHOWN}
    name = data_name(read_manifest(workspace.annotated))
    write_text(workspace.report, index_page(name, metrics, plots, read_explanations(workspace.explanations)))
