"""What the cards of a workspace say: the figures of its run, and what its owner states in the parameters."""

from typing import Any

from sparsecbm.base.files import read_json_object
from sparsecbm.base.params import HubSource, Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import read_manifest
from sparsecbm.display.card_facts import CardFacts
from sparsecbm.report.run_page import read_metrics


def workspace_facts(workspace: Workspace, params: Params, **how: Any) -> CardFacts:
    """The facts about the sparse model of a workspace.

    Args:
        how: `words` and `address` of `CardFacts`
    """
    metrics = read_metrics(workspace)
    validation = workspace.metrics("validate")
    if validation.is_file():
        metrics["validate"] = read_json_object(validation)
    source = params.source
    return CardFacts(
        metrics=metrics,
        manifest=read_manifest(workspace.annotated),
        card=params.card,
        backbone=params.model.backbone,
        data_set=source.dataset if isinstance(source, HubSource) else "",
        **how,
    )
