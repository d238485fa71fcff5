"""The commands on the pipeline: run, prune, track, verify, up, down, and `sparsecbm pipeline ...`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.extras import require
from sparsecbm.base.workspace import Workspace
from sparsecbm.cli.flow_process import SERVICES, run_module

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
    from sparsecbm.pipeline.graph import stage_order

    workspace = Workspace.find()
    stage_order(workspace, stages or ())  # an unknown stage is an error before anything changes
    if promote not in PROMOTE_MODES:
        raise ConfigError(unknown("value of --promote", promote, PROMOTE_MODES))
    lay_over_params(workspace, profile, set_)
    load_params(workspace.params)
    options = [] if promote == "off" else [f"--promote={promote}"]
    raise typer.Exit(run_module(workspace, "flows.retrain", *options, *(stages or ())))


def lay_over_params(workspace: Workspace, profile: list[str] | None, settings: list[str] | None) -> None:
    """Lay profiles and settings over `params.yaml` for the flow that this command starts, and say what changes."""
    from sparsecbm.cli.printing.terminal import say
    from sparsecbm.pipeline.compose import compose, run_environment

    if profile or settings:
        composed = compose(workspace, profile or (), settings or ())
        for change in composed.changes:
            say(f"for this run: {change}")
        sys.stdout.flush()  # before the lines of the flow
        os.environ.update(run_environment(workspace, composed.params))


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
    raise typer.Exit(run_module(Workspace.find(), SERVICES, "up"))


def down() -> None:
    """Stop what `up` started."""
    require("prefect")
    raise typer.Exit(run_module(Workspace.find(), SERVICES, "down"))


@pipeline_app.command()
def deps(
    check: Annotated[bool, typer.Option("--check", help="Only compare; exit code 1 if dvc.yaml is wrong.")] = False,
) -> None:
    """Record the code that each stage runs: in a clone of the project its source files, in dvc.yaml and the template
    of workspaces; else hashes of the installed package, in code.json."""
    from sparsecbm.pipeline.installed_code import has_code_file

    root = Workspace.find().root
    if has_code_file(root):
        _code_of_stages(root, check)
    else:
        _sources_of_stages(root, check)


def _code_of_stages(root: Path, check: bool) -> None:
    from sparsecbm.cli.printing.terminal import say
    from sparsecbm.pipeline.deps import own_stages
    from sparsecbm.pipeline.installed_code import CODE_FILE, check_code, renew_code

    if check:
        check_code(root, own_stages(root))
        say(f"{CODE_FILE} has the hashes of the installed code")
        return
    stages = renew_code(root)
    say(f"{CODE_FILE} updated: {', '.join(stages)}" if stages else f"{CODE_FILE} is up to date")


def _sources_of_stages(root: Path, check: bool) -> None:
    from sparsecbm.cli.printing.terminal import say
    from sparsecbm.pipeline.deps import describe_faults, stage_dependencies, write_dependencies
    from sparsecbm.scaffold.template_files import holds_template, template_faults, write_template

    if not check:
        stages = write_dependencies(root)
        say(f"dvc.yaml updated: {', '.join(stages)}" if stages else "dvc.yaml is up to date")
        if holds_template(root) and (files := write_template(root)):
            say(f"template of workspaces updated: {', '.join(files)}")
        return
    faults = describe_faults(stage_dependencies(root))
    if holds_template(root):
        faults += [f"the template of workspaces has another {name}" for name in template_faults(root)]
    for fault in faults:
        say(fault)
    if faults:
        say("`sparsecbm pipeline deps` corrects this")
        raise typer.Exit(1)
    say("dvc.yaml lists exactly the source files that the stages import")
