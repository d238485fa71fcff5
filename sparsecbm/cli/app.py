"""The command line. Commands import what they need when they run, so that `--help` is quick."""

import atexit
import gc
import os
import re
import sys
import warnings
from typing import Annotated

import typer

from sparsecbm.base.errors import DataError
from sparsecbm.base.extras import missing_extras_explained
from sparsecbm.base.fault_boundary import exit_code
from sparsecbm.base.redaction import redacted
from sparsecbm.base.terminal_text import visible
from sparsecbm.cli import (
    annotation,
    batch,
    concepts,
    demo,
    doctor,
    drift,
    forgetting,
    memory,
    models,
    patches,
    pipeline,
    planning,
    promotion,
    publishing,
    reporting,
    serving,
    workbench,
    workspaces,
)

app = typer.Typer(
    name="sparsecbm",
    help="Train, test and use text classifiers that explain themselves by concepts.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# The base of all errors in the use of a command. Typer exports it under no name of its own.
_WrongUse = typer.BadParameter.__mro__[2]
_SURROGATE = re.compile("[\ud800-\udfff]")

MODELS, PIPELINE, PROMOTION = "Models", "Pipeline", "Promotion"  # panels of `sparsecbm --help`, in this order
PANELS = {
    MODELS: (
        models.predict, models.explain, models.evaluate, models.masks, models.compare, models.export,
        patches.intervene, batch.batch, drift.drift, workbench.workbench, demo.demo, publishing.publish,
    ),
    PIPELINE: (
        workspaces.init, workspaces.upgrade,
        planning.plan, pipeline.run, pipeline.prune, pipeline.track, reporting.report, pipeline.verify, pipeline.up,
        pipeline.down, doctor.doctor, forgetting.forget,
    ),
    PROMOTION: (promotion.promote, promotion.rollback, promotion.status, promotion.history, serving.serve),
}  # fmt: skip
for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(patches.patch_app, name="patch", rich_help_panel=MODELS)
app.add_typer(memory.memory_app, name="memory", rich_help_panel=MODELS)
app.add_typer(annotation.annotate_app, name="annotate", rich_help_panel=PIPELINE)
app.add_typer(concepts.concepts_app, name="concepts", rich_help_panel=PIPELINE)
app.add_typer(pipeline.pipeline_app, name="pipeline", rich_help_panel=PIPELINE)


def _print_version(requested: bool) -> None:
    if requested:
        from sparsecbm import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the stack trace of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Train, test and use text classifiers that explain themselves by concepts."""
    if debug:
        os.environ["SPARSECBM_DEBUG"] = "1"


def main() -> None:
    """Run the command line. The exit code is 1 for a fault and 2 for wrong use, each with one message."""
    warnings.showwarning = _show_warning
    arguments = sys.argv[1:]
    if "--debug" in arguments:  # at any position
        arguments = ["--debug", *(argument for argument in arguments if argument != "--debug")]
    atexit.register(gc.freeze)  # the last collections, which took .8 s after `predict`, then look at no object
    sys.exit(exit_code(lambda: _run(arguments)))


def _run(arguments: list[str]) -> int | None:
    for argument in arguments:
        if _SURROGATE.search(argument):  # bytes that are no UTF-8
            raise DataError(f"the argument {argument!r} is not UTF-8; convert it first")
    try:
        with missing_extras_explained():
            return app(arguments, prog_name="sparsecbm", standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except _WrongUse as error:
        from typer.rich_utils import rich_format_error

        error.message = visible(error.message)
        rich_format_error(error)
        return error.exit_code


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning as one message without the line of source that raised it."""
    print(f"warning: {visible(redacted(str(message)))}", file=sys.stderr)
