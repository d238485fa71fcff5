"""The command on texts of any number: batch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.cli.options import Model

if TYPE_CHECKING:
    from sparsecbm.batch.run import BatchOptions

ENGINES = ("local", "ray")


def batch(
    model: Model,
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="A .parquet, .csv, .tsv or .jsonl file, a folder of such files or of .txt files, a folder of a saved "
            "data set, or hub:NAME.",
        ),
    ],
    output: Annotated[Path, typer.Argument(help="The folder to write, or to go on with.")],
    column: Annotated[str, typer.Option(help="The column of the texts.")] = "text",
    id_: Annotated[str | None, typer.Option("--id", help="A column that names each row.")] = None,
    split: Annotated[str | None, typer.Option(help="The split of a data set.")] = None,
    explain: Annotated[
        str, typer.Option(help="none, short (contributions of concepts) or full (words and subnetworks, too).")
    ] = "none",
    patch: Annotated[list[Path] | None, typer.Option(help="A mask patch to apply; can be repeated.")] = None,
    corrections: Annotated[
        Path | None, typer.Option(help="A folder of corrections (`sparsecbm memory`) that act on similar texts.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Smallest similarity at which a correction acts, from -1 to 1.")
    ] = None,
    precision: Annotated[
        str, typer.Option(help="auto (bf16 if the processor multiplies it), float32 or bf16.")
    ] = "auto",
    engine: Annotated[str, typer.Option(help="local (processes), or ray in a workspace.")] = "local",
    workers: Annotated[int, typer.Option(min=1, help="Processes, each with a copy of the model and one thread.")] = 1,
) -> None:
    """Predict texts of any number into a folder of parquet files; a second call goes on where the first one ended."""
    if engine not in ENGINES:
        raise ConfigError(f"--engine: {unknown('engine', engine, ENGINES)}")
    from sparsecbm.batch.run import BatchOptions, predict_batch
    from sparsecbm.cli.printing.terminal import say

    options = BatchOptions(
        column=column,
        id_column=id_,
        split=split,
        explain=explain,
        precision=precision,
        patches=tuple(path.absolute() for path in patch or ()),
        corrections=corrections and corrections.absolute(),
        threshold=threshold,
    )
    if engine == "ray":
        raise typer.Exit(_run_on_ray(model, source, output, options, workers))
    for line in predict_batch(model, source, output, options, workers).describe(output):
        say(line)


def _run_on_ray(model: Path, source: str, output: Path, options: "BatchOptions", workers: int) -> int:
    """Run the flow `batch`; returns its exit code."""
    import json

    from pydantic import TypeAdapter

    from sparsecbm.base.extras import RAY, require
    from sparsecbm.base.workspace import Workspace
    from sparsecbm.batch.run import BatchOptions
    from sparsecbm.batch.source import HUB
    from sparsecbm.cli.flow_process import run_module

    require(*RAY)
    named = source if source.startswith(HUB) else str(Path(source).absolute())
    parameters = {
        "model": str(model.absolute()),
        "source": named,
        "output": str(output.absolute()),
        "options": TypeAdapter(BatchOptions).dump_python(options, mode="json"),
        "workers": workers,
    }
    return run_module(Workspace.find(), "flows.batch", json.dumps(parameters))
