"""The commands on the pipeline: run, prune, track, verify, up, down, and `sparsecbm pipeline ...`."""

import os
import sys
from typing import Annotated

import typer

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.extras import require
from sparsecbm.base.workspace import Workspace
from sparsecbm.cli.flow_process import run_flow_module

PROMOTE_MODES = ("off", "gate-only", "auto")

Profiles = Annotated[
    list[str] | None,
    typer.Option(
        help="Lay profiles/NAME.yaml over params.yaml for this run; can be repeated. The file stays as it is."
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one parameter for this run; can be repeated."),
]

pipeline_app = typer.Typer(no_args_is_help=True, help="Maintain the definition of the pipeline, dvc.yaml.")


def run(
    stages: Annotated[
        list[str] | None, typer.Argument(help="Stages to run, with the stages that they need (default: all).")
    ] = None,
    profile: Profiles = None,
    set_: Settings = None,
    promote: Annotated[
        str,
        typer.Option(
            help="What follows the run: off (nothing), gate-only (judge the model) or auto (judge and promote it)."
        ),
    ] = "off",
) -> None:
    """Bring the pipeline up to date, as a Prefect flow.

    --profile and --set act on this run alone; `sparsecbm run` without them goes by params.yaml again.
    """
    require("prefect", "dvc")
    from sparsecbm.base.params import load_params
    from sparsecbm.cli.printing.terminal import say
    from sparsecbm.pipeline.compose import compose, run_environment
    from sparsecbm.pipeline.graph import stage_order

    workspace = Workspace.find()
    stage_order(workspace, stages or ())  # an unknown stage is an error before anything changes
    if promote not in PROMOTE_MODES:
        raise ConfigError(unknown("value of --promote", promote, PROMOTE_MODES))
    if profile or set_:
        composed = compose(workspace, profile or (), set_ or ())
        for change in composed.changes:
            say(f"for this run: {change}")
        sys.stdout.flush()  # before the lines of the flow
        os.environ.update(run_environment(workspace, composed.params))
    load_params(workspace.params)
    options = [] if promote == "off" else [f"--promote={promote}"]
    raise typer.Exit(run_flow_module(workspace, "retrain", *options, *(stages or ())))


def prune(profile: Profiles = None, set_: Settings = None) -> None:
    """Find the subnetwork of each concept: short for `sparsecbm run prune`."""
    run(["prune"], profile, set_)


def track() -> None:
    """Write the record of the finished pipeline to MLflow, unless it exists."""
    require("mlflow", "dvc")
    from sparsecbm.base.params import load_run_params
    from sparsecbm.cli.printing.terminal import say
    from sparsecbm.pipeline.graph import pending
    from sparsecbm.track.pages import page_hint
    from sparsecbm.track.record import record

    workspace = Workspace.find()
    params = load_run_params(workspace)
    if not params.track.enabled:
        raise ConfigError("the last run had tracking off; run `sparsecbm run` with track.enabled: true in params.yaml")
    link = record(workspace, params)
    if link is None:
        stages = ", ".join(pending(workspace)) or "all"
        raise ConfigError(f"the pipeline is not finished; stages out of date: {stages}; run `sparsecbm run`")
    say(f"{link.note}: {page_hint(workspace, link.url)}")


def verify() -> None:
    """Run the committed pipeline in a fresh clone and compare the outputs, byte for byte."""
    require("dvc")
    from sparsecbm.cli.printing.terminal import Terminal
    from sparsecbm.cli.printing.verification import show_verdict
    from sparsecbm.pipeline.verify import verify as verify_workspace

    console = Terminal()

    def print_line(line: str) -> None:
        console.print(f"  {line}", style="dim", soft_wrap=True)

    verdict = verify_workspace(Workspace.find(), print_line)
    show_verdict(verdict)
    raise typer.Exit(0 if verdict.good else 1)


def up() -> None:
    """Start a Prefect server, a worker and MLflow's pages, for this machine only (127.0.0.1)."""
    require("prefect", "mlflow")
    raise typer.Exit(run_flow_module(Workspace.find(), "services", "up"))


def down() -> None:
    """Stop what `up` started."""
    require("prefect")
    raise typer.Exit(run_flow_module(Workspace.find(), "services", "down"))


@pipeline_app.command()
def deps(
    check: Annotated[bool, typer.Option("--check", help="Only compare; exit code 1 if dvc.yaml is wrong.")] = False,
) -> None:
    """Write the source files that each stage imports into its dependencies in dvc.yaml."""
    from sparsecbm.cli.printing.terminal import say
    from sparsecbm.pipeline.deps import describe_faults, stage_dependencies, write_dependencies

    workspace = Workspace.find()
    if not check:
        stages = write_dependencies(workspace.root)
        say(f"dvc.yaml updated: {', '.join(stages)}" if stages else "dvc.yaml is up to date")
        return
    faults = describe_faults(stage_dependencies(workspace.root))
    for fault in faults:
        say(fault)
    if faults:
        say("`sparsecbm pipeline deps` corrects dvc.yaml")
        raise typer.Exit(1)
    say("dvc.yaml lists exactly the source files that the stages import")
