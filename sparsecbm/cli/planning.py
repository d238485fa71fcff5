"""The command `sparsecbm plan`."""

from typing import Annotated

import typer

from sparsecbm.base.extras import require
from sparsecbm.base.workspace import Workspace
from sparsecbm.cli.pipeline import Profiles, Settings


def plan(
    profile: Profiles = None,
    set_: Settings = None,
    time: Annotated[
        bool, typer.Option("--time/--no-time", help="Measure for about ten seconds how fast this machine trains.")
    ] = True,
) -> None:
    """Say what a training will need before it runs: memory by stage, disk and time.

    The exit code is 3 if something does not fit; the message names the parameter to change.
    """
    require("mlflow")
    import shutil

    from sparsecbm.annotate.defined_concepts import load_defined
    from sparsecbm.cli.printing.planning import print_plan
    from sparsecbm.cli.printing.terminal import Terminal, say
    from sparsecbm.pipeline.compose import compose
    from sparsecbm.planning.available_memory import available_memory
    from sparsecbm.planning.base_memory import base_memory
    from sparsecbm.planning.plan import measured_seconds
    from sparsecbm.planning.plan import plan as plan_training

    workspace = Workspace.find()
    params = compose(workspace, profile or (), set_ or ()).params
    console = Terminal(stderr=True)
    with console.status("counting ..."):
        planned = plan_training(params, load_defined(params.source, workspace), base_memory())
    available, of_what = available_memory(params)
    seconds = {}
    if time and max(stage.size for stage in planned.stages) <= available:
        with console.status("measuring a few updates ..."):
            seconds = measured_seconds(planned, params)
    faults = print_plan(planned, available, of_what, shutil.disk_usage(workspace.root).free, seconds)
    for fault in faults:
        say(fault, error=True)
    if faults:
        raise typer.Exit(3)
