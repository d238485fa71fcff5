"""The command on new texts: drift."""

from pathlib import Path
from typing import Annotated

import typer

from sparsecbm.cli.options import Json

TRIGGERED = 3  # exit code; 1 and 2 are errors


def drift(
    table: Annotated[Path, typer.Argument(help="New texts: a csv, tsv, json, jsonl, parquet or xlsx file.")],
    model: Annotated[Path | None, typer.Option(help="A model of this workspace (default: models/sparse).")] = None,
    column: Annotated[str, typer.Option(help="The column of the texts.")] = "text",
    json: Json = False,
    output: Annotated[Path | None, typer.Option("--output", help="Write the page about drift into this file.")] = None,
    announce: Annotated[
        bool, typer.Option("--announce", help="If it triggers, send the event that starts retraining.")
    ] = False,
) -> None:
    """Compare new texts with the data of a model; the exit code is 3 if drift in several windows running triggers."""
    from sparsecbm.base.outputs import check_output
    from sparsecbm.cli.earlier_outputs import drift_pages

    if output is not None:
        check_output(output, drift_pages, "a page about drift")
    from sparsecbm.base.files import write_text
    from sparsecbm.base.params import load_params
    from sparsecbm.base.published import published_form
    from sparsecbm.base.workspace import Workspace
    from sparsecbm.cli.flow_process import run_module
    from sparsecbm.cli.printing.drift import show_drift
    from sparsecbm.cli.printing.terminal import say_json
    from sparsecbm.drift.check import check_table

    workspace = Workspace.find()
    params = load_params(workspace.params)
    report = check_table(workspace, params, model or workspace.sparse, table, column)
    if output is not None:
        from sparsecbm.report.drift_page import drift_page

        write_text(output, drift_page(report, table.name))
    if json:
        say_json(published_form(report))
    else:
        show_drift(report)
    if report.triggered:
        if announce and run_module(workspace, "sparsecbm.orchestration.drift_event", *report.triggered):
            raise typer.Exit(1)
        raise typer.Exit(TRIGGERED)
