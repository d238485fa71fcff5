"""The command that shows the project on its embedded reviews."""

from typing import Annotated

import typer


def demo(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port of the page.")] = 8090,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Open the workbench on the embedded reviews, in a clone of the project; train the model first if there is none."""
    from sparsecbm.base.errors import ConfigError
    from sparsecbm.base.params import load_params
    from sparsecbm.base.workspace import Workspace
    from sparsecbm.cli.flow_process import run_module
    from sparsecbm.cli.printing.terminal import say
    from sparsecbm.cli.workbench import workbench

    workspace = Workspace.find()
    source = load_params(workspace.params).source.name
    if source != "restaurants":
        raise ConfigError(
            f"{workspace.root} holds other texts than the embedded reviews (source.name is {source}); run this command "
            "in a clone of the project, or `sparsecbm workbench` here"
        )
    if not workspace.sparse.is_dir():
        say("There is no model yet. Training it takes about six minutes on two idle cores, once.")
        if code := run_module(workspace, "flows.retrain", "prune"):
            raise typer.Exit(code)
    workbench(port=port, browser=browser)
