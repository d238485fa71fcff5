"""Stage `report`: draw every plot, and write the pages and both cards, from what the other stages wrote."""

import pandas as pd

from sparsecbm.base.files import read_json_object, replacing_folder, write_json, write_text
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.display.data_card import data_card
from sparsecbm.display.model_card import model_card
from sparsecbm.explain.export import read_explanations
from sparsecbm.model.storage import load as load_model
from sparsecbm.report.card_facts import workspace_facts
from sparsecbm.report.data_page import write_validation_page
from sparsecbm.report.drawings import draw_plots
from sparsecbm.report.run_page import read_metrics, write_index_page
from sparsecbm.report.summary import summarise


def run(params: Params, workspace: Workspace) -> None:
    """Write `plots`, `metrics/summary.json`, and in `reports` `index.html`, `validation.html` and both cards.

    What other stages did not write is left out of the pages.
    """
    metrics = read_metrics(workspace)
    with replacing_folder(workspace.plots) as folder:
        draw_plots(folder, metrics, _load_interventions(workspace), read_explanations(workspace.explanations))
    write_index_page(workspace, metrics)
    write_validation_page(workspace)
    facts = workspace_facts(workspace, params)
    write_text(workspace.model_card, model_card(load_model(workspace.sparse), facts))
    write_text(workspace.data_card, data_card(facts, params.annotate.redact))
    validation = read_json_object(workspace.metrics("validate"))
    write_json(workspace.metrics("summary"), summarise({**metrics, "validate": validation}))


def _load_interventions(workspace: Workspace) -> dict[str, pd.DataFrame]:
    """Name -> table, of those that have rows."""
    return {path.stem: pd.read_csv(path) for path in sorted(workspace.interventions.glob("*.csv"))}
