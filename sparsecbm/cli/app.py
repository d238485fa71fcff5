"""The command line. Commands are thin and import what they need when they run, so that help is quick."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sparsecbm.base.errors import ConfigError, SparseCBMError, unknown
from sparsecbm.base.redaction import redacted
from sparsecbm.base.workspace import Workspace
from sparsecbm.cli import memory as memory_commands
from sparsecbm.cli import patches as patch_commands
from sparsecbm.cli.promotion import add_commands

app = typer.Typer(
    name="sparsecbm",
    help="Train, test and use text classifiers that explain themselves by concepts.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(patch_commands.intervene)
app.add_typer(patch_commands.patch_app, name="patch")
app.add_typer(memory_commands.memory_app, name="memory")

Model = Annotated[Path, typer.Argument(help="A model folder, such as models/dense.")]
Profiles = Annotated[list[str] | None, typer.Option(help="Lay profiles/NAME.yaml over params.yaml, or none.")]
Values = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set one parameter.")]
Json = Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")]


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="Show the stack trace of an error.")] = False) -> None:
    """Train, test and use text classifiers that explain themselves by concepts."""
    if debug:
        os.environ["SPARSECBM_DEBUG"] = "1"


@app.command()
def doctor() -> None:
    """Check versions, pins, folders, databases and disk, and say how to mend what is wrong."""
    from rich.console import Console
    from rich.table import Table

    from sparsecbm.cli.doctor import examine
    from sparsecbm.cli.printing.tables import plain

    console = Console()
    table = Table("", "what", "found", box=None, pad_edge=False)
    faults = []
    with console.status("looking ..."):
        for finding in examine(Workspace.find()):
            table.add_row("[green]ok[/]" if finding.good else "[red]!![/]", finding.name, plain(finding.found))
            if not finding.good:
                faults.append(finding)
    console.print(table)
    for fault in faults:
        console.print(f"[red]{fault.name}[/] mend: {plain(fault.mend)}", soft_wrap=True, highlight=False)
    if faults:
        raise typer.Exit(1)
    console.print("[green]all is well[/]")


@app.command()
def run(
    stages: Annotated[list[str] | None, typer.Argument(help="Stages to bring up to date with what they need.")] = None,
    profile: Profiles = None,
    set_: Values = None,
    promote: Annotated[
        str, typer.Option(help="Then judge the model: off, gate-only, or auto (and promote it).")
    ] = "off",
) -> None:
    """Bring the pipeline up to date, as a Prefect flow: all stages or those named."""
    from sparsecbm.base.params import load_params
    from sparsecbm.pipeline.compose import compose
    from sparsecbm.pipeline.graph import stage_order
    from sparsecbm.pipeline.lock import flow_lock

    workspace = Workspace.find()
    stage_order(workspace, stages or ())
    if promote not in ("off", "gate-only", "auto"):
        raise ConfigError(unknown("value of --promote", promote, ("off", "gate-only", "auto")))
    if profile or set_:
        with flow_lock(workspace):  # a running flow must not find its parameters changed
            if compose(workspace, profile or (), set_ or ()):
                print("params.yaml composed")
    load_params(workspace.params)
    options = [] if promote == "off" else [f"--promote={promote}"]
    raise typer.Exit(_python(workspace, "flows.retrain", *options, *(stages or ())))


@app.command()
def prune(profile: Profiles = None, set_: Values = None) -> None:
    """Find each concept's subnetwork: short for `run prune`, with what the stage needs."""
    run(["prune"], profile, set_)


@app.command()
def predict(
    model: Model,
    text: Annotated[list[str] | None, typer.Option("--text", help="A text; may be given several times.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help=".jsonl, .csv or .tsv (text), or a text a line.")] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Write here instead of to the terminal.")] = None,
) -> None:
    """Read texts with a model: one JSON line a text, with label, probabilities and concepts."""
    from sparsecbm.base.files import write_text
    from sparsecbm.cli.predictions import given_texts, prediction_lines

    texts = given_texts(text, file)
    from sparsecbm.api import SparseCBM

    lines = prediction_lines(SparseCBM.from_pretrained(model), texts)
    if output is None:
        for line in lines:
            print(line)
    else:
        write_text(output, "".join(f"{line}\n" for line in lines))


@app.command()
def explain(
    model: Model,
    text: Annotated[list[str] | None, typer.Option("--text", help="A text; may be given several times.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help=".jsonl, .csv or .tsv (text), or a text a line.")] = None,
    concept: Annotated[list[str] | None, typer.Option(help="Whose words to look at; all by default.")] = None,
    state: Annotated[
        list[str] | None, typer.Option(help="CONCEPT=STATE: explain this state in the place of the one that is read.")
    ] = None,
    method: Annotated[str, typer.Option(help="How words are scored.")] = "integrated_gradients",
    html: Annotated[Path | None, typer.Option("--html", help="Write the cards here, as one page.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write here, one JSON line a text.")] = None,
) -> None:
    """Say which words, subnetworks and concepts made the label of texts, as a card in the terminal or a file."""
    if html and json:
        raise ConfigError("give either --html or --json")
    from sparsecbm.cli.explaining import explain_texts
    from sparsecbm.cli.predictions import given_texts

    texts = given_texts(text, file)
    found = explain_texts(model, texts, concept, _states(state or ()), method)
    if html or json:
        from sparsecbm.base.files import write_text
        from sparsecbm.display.card import page
        from sparsecbm.explain.export import json_lines

        write_text(html or json, page(list(found)) if html else json_lines(list(found)))
        return
    from sparsecbm.cli.printing.explanation import show_explanation

    for explanation in found:
        show_explanation(explanation)


@app.command()
def evaluate(
    model: Model,
    split: Annotated[str, typer.Option(help="The split to score, such as test, dev or validation.")],
    output: Annotated[Path, typer.Option(help="The JSON file to write.")],
    source: Annotated[str | None, typer.Option(help="restaurants, cebab, imdb-c, table or hub.")] = None,
    path: Annotated[str | None, typer.Option(help="Where the source's file or folder lies.")] = None,
) -> None:
    """Score a model on a split of a source: the one in params.yaml, or another."""
    from sparsecbm.api import SparseCBM
    from sparsecbm.base.files import write_json
    from sparsecbm.base.params import load_params, other_source
    from sparsecbm.cli.printing.tables import show_scores
    from sparsecbm.evaluate.scores.source_scores import evaluate_source

    workspace = Workspace.find()
    params = load_params(workspace.params)
    chosen = other_source(params, source, path and str(Path(path).resolve()))
    scores = evaluate_source(SparseCBM.from_pretrained(model), params, chosen, split, workspace.root)
    write_json(output, scores.model_dump())
    show_scores(scores)


@app.command()
def masks(model: Model, json: Json = False) -> None:
    """Show which weights each concept keeps, how much concepts share, and what masks save and do not."""
    from sparsecbm.cli.inspection.mask_summary import mask_summary
    from sparsecbm.cli.printing.masks import show_masks
    from sparsecbm.cli.printing.tables import show_json

    summary = mask_summary(model)
    if json:
        show_json(summary)
    else:
        show_masks(summary)


@app.command()
def compare(
    model_a: Model,
    model_b: Model,
    file: Annotated[
        Path | None, typer.Option(help="Texts for both to read: .jsonl, .csv or .tsv (text), or a text a line.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what differs between two models: settings, weights, masks and, with --file, predictions."""
    from sparsecbm.cli.inspection.compare import compare_models
    from sparsecbm.cli.predictions import given_texts
    from sparsecbm.cli.printing.comparison import show_comparison
    from sparsecbm.cli.printing.tables import show_json

    texts = given_texts(None, file) if file else []
    comparison = compare_models(model_a, model_b, texts)
    if json:
        show_json(comparison)
    else:
        show_comparison(comparison, model_a, model_b)


@app.command()
def track() -> None:
    """Write the record of the finished pipeline into MLflow, if it is not there yet."""
    from sparsecbm.base.params import load_params
    from sparsecbm.pipeline.graph import pending
    from sparsecbm.track.record import record

    workspace = Workspace.find()
    params = load_params(workspace.params)
    if not params.track.enabled:
        raise ConfigError("tracking is off; `sparsecbm run --set track.enabled=true` turns it on")
    link = record(workspace, params)
    if link is None:
        left = ", ".join(pending(workspace)) or "all"
        raise ConfigError(f"the pipeline is not finished; stages left to run: {left}; `sparsecbm run` runs them")
    print(f"{link.note}: {link.url}")


@app.command()
def verify() -> None:
    """Run the committed pipeline in a fresh clone and compare its outputs with these, byte for byte."""
    from rich.console import Console
    from rich.table import Table

    from sparsecbm.pipeline.verify import TOLERANCE
    from sparsecbm.pipeline.verify import verify as compare

    console = Console(highlight=False)

    def say(line: str) -> None:
        console.print(f"  {line}", markup=False, style="dim", soft_wrap=True)

    verdict = compare(Workspace.find(), say)
    table = Table("stage", "output", "here", "fresh clone", "", box=None, pad_edge=False)
    for out in verdict.outputs:
        mark = "[green]same[/]" if out.same else "[red]differs[/]"
        table.add_row(out.stage, out.path, out.here[:12] or "none", out.clone[:12] or "none", mark)
    console.print(table)
    different = [out.path for out in verdict.outputs if not out.same]
    console.print(
        f"[red]differing: {', '.join(different)}[/]"
        if different
        else f"[green]all {len(verdict.outputs)} outputs agree to the byte[/]"
    )
    far = [score for score in verdict.scores if not score.close]
    for score in far:
        console.print(f"[red]{score.name}: {score.fresh:.4f} here, {score.committed:.4f} in git[/]")
    if verdict.scores:
        agree = len(verdict.scores) - len(far)
        console.print(f"{agree} of {len(verdict.scores)} scores are within {TOLERANCE} of those in git")
    else:
        console.print("git holds no metrics/evaluate.json to compare scores with")
    raise typer.Exit(0 if verdict.good else 1)


add_commands(app)


@app.command()
def up() -> None:
    """Start a Prefect server, a worker and MLflow's pages on loopback."""
    raise typer.Exit(_python(Workspace.find(), "flows.services", "up"))


@app.command()
def down() -> None:
    """Stop what `up` started."""
    raise typer.Exit(_python(Workspace.find(), "flows.services", "down"))


def main() -> None:
    """Run the command line; a fault in the input is one message and exit code 1."""
    arguments = sys.argv[1:]
    if "--debug" in arguments:  # wherever it stands
        arguments = ["--debug", *(argument for argument in arguments if argument != "--debug")]
    try:
        app(arguments)
    except SparseCBMError as error:
        if os.environ.get("SPARSECBM_DEBUG") == "1":
            raise
        print(f"error: {redacted(str(error))}", file=sys.stderr)
        sys.exit(1)


def _states(given: Sequence[str]) -> dict[str, str]:
    """Concept -> the state to explain, from `CONCEPT=STATE`."""
    states = {}
    for each in given:
        concept, _, state = each.partition("=")
        if not (concept and state):
            raise ConfigError(f"--state {each}: give CONCEPT=STATE, such as noise=Negative")
        if states.setdefault(concept, state) != state:
            raise ConfigError(f"--state {each}: {states[concept]} is asked for as well; give one state a concept")
    return states


def _python(workspace: Workspace, module: str, *arguments: str) -> int:
    """Run a module of this project in the workspace and pass its exit code on."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=workspace.root)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # the terminal interrupts both; the child ends in order and says how


if __name__ == "__main__":
    main()
