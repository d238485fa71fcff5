"""The command line. Commands import what they need when they run, so that `--help` is quick."""

import os
import sys
from typing import Annotated

import typer

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.extras import missing_extras_explained
from sparsecbm.base.redaction import redacted
from sparsecbm.cli import doctor, memory, models, patches, pipeline, promotion

app = typer.Typer(
    name="sparsecbm",
    help="Train, test and use text classifiers that explain themselves by concepts.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

MODELS, PIPELINE, PROMOTION = "Models", "Pipeline", "Promotion"  # panels of `sparsecbm --help`, in this order
PANELS = {
    MODELS: (models.predict, models.explain, models.evaluate, models.masks, models.compare, patches.intervene),
    PIPELINE: (
        pipeline.run, pipeline.prune, pipeline.track, pipeline.verify, pipeline.up, pipeline.down, doctor.doctor,
    ),
    PROMOTION: (promotion.promote, promotion.rollback, promotion.status, promotion.history),
}  # fmt: skip
for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(patches.patch_app, name="patch", rich_help_panel=MODELS)
app.add_typer(memory.memory_app, name="memory", rich_help_panel=MODELS)
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
    """Run the command line; an error in the input is one message and exit code 1."""
    arguments = sys.argv[1:]
    if "--debug" in arguments:  # at any position
        arguments = ["--debug", *(argument for argument in arguments if argument != "--debug")]
    try:
        with missing_extras_explained():
            app(arguments, prog_name="sparsecbm")
    except SparseCBMError as error:
        if os.environ.get("SPARSECBM_DEBUG") == "1":
            raise
        print(f"error: {redacted(str(error))}", file=sys.stderr)
        sys.exit(1)
