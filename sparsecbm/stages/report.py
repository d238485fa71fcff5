"""Stage `report`: one page of what the stages before it found."""

import json

from sparsecbm.base.files import read_json, write_text
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import read_manifest
from sparsecbm.explain.explanation import Explanation
from sparsecbm.explain.export import LINES
from sparsecbm.report.embedded_plots import read_plots
from sparsecbm.report.index_page import index_page

READ = ("finetune", "prune", "explain", "intervene", "evaluate")  # stages whose figures and plots the page shows


def run(params: Params, workspace: Workspace) -> None:
    """Write `reports/index.html` from what other stages wrote; what they did not write, the page leaves out."""
    metrics = {stage: read_json(workspace.metrics(stage)) for stage in READ if workspace.metrics(stage).is_file()}
    plots = {stage: read_plots(workspace.plots / stage) for stage in READ}
    with open(workspace.explanations / LINES, encoding="utf-8") as lines:
        explanations = [Explanation.from_dict(json.loads(line)) for line in lines]
    source = read_manifest(workspace.annotated)["source"]
    write_text(workspace.report, index_page(source, metrics, plots, explanations))
