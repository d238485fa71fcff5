"""The commands `sparsecbm annotate ...`: label texts in the terminal, or in other tools."""

import getpass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.extras import require
from sparsecbm.base.workspace import Workspace
from sparsecbm.cli.flow_process import run_module
from sparsecbm.cli.pipeline import Profiles, Settings, lay_over_params

annotate_app = typer.Typer(help="Label concepts: machines, people in the terminal, or people in other tools.")

Author = Annotated[str, typer.Option(help="Who decides (default: user.name of git, or the name of the user).")]


class ExchangeFormat(StrEnum):
    """A format of other tools."""

    label_studio = "label-studio"
    csv = "csv"


@annotate_app.callback(invoke_without_command=True)
def annotate(
    context: typer.Context,
    annotator: Annotated[
        list[str] | None,
        typer.Option(help="A machine that labels (default: all in annotate.annotators); can be repeated."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many texts, tokens, dollars and minutes it takes.")
    ] = False,
    profile: Profiles = None,
    set_: Settings = None,
) -> None:
    """Let machines label the concepts of all texts that lack a label, as a Prefect flow.

    What is labelled is kept, so the command goes on where an earlier one ended. `sparsecbm run` trains on the labels.
    """
    if context.invoked_subcommand is not None:
        if annotator or dry_run or profile or set_:
            raise ConfigError(f"options stand behind the command: sparsecbm annotate {context.invoked_subcommand} ...")
        return
    from sparsecbm.annotate.labelling import describe_people, machines, read_definitions
    from sparsecbm.base.params import load_params
    from sparsecbm.cli.checked_texts import ensure_checked_texts
    from sparsecbm.cli.printing.terminal import say
    from sparsecbm.data.source_table import HUMAN

    require("prefect", "dvc")
    workspace = Workspace.find()
    lay_over_params(workspace, profile, set_)
    params = load_params(workspace.params)
    if dry_run and not annotator and set(params.annotate.annotators) == {HUMAN}:
        ensure_checked_texts(workspace)
        for line in describe_people(workspace):
            say(f"{HUMAN}: {line}")
        return
    names = machines(params, annotator or ())
    read_definitions(workspace)
    options = ["--dry-run"] if dry_run else []
    raise typer.Exit(run_module(workspace, "flows.annotate", *options, *names))


@annotate_app.command()
def review(
    concept: Annotated[
        list[str] | None, typer.Option(help="A concept to label (default: all); can be repeated.")
    ] = None,
    split: Annotated[str, typer.Option(help="The split to label; all but train come at random.")] = "train",
    author: Author = "",
    limit: Annotated[
        int | None, typer.Option(min=1, help="End after so many labels; a text has one for each concept.")
    ] = None,
) -> None:
    """Label texts, those whose labels help most first, with one key for each state."""
    from sparsecbm.annotate.review.outlook import concept_progress
    from sparsecbm.annotate.review.queue import ReviewQueue
    from sparsecbm.cli.checked_texts import ensure_checked_texts
    from sparsecbm.cli.keyboard import pressed_keys
    from sparsecbm.cli.printing.review import show_progress, show_start
    from sparsecbm.cli.reviewing import review_cells

    workspace = Workspace.find()
    ensure_checked_texts(workspace)
    queue = ReviewQueue.open(workspace, split, author or _author(workspace), concept or ())
    start = concept_progress(queue)
    show_start(queue, split, start)
    try:
        with pressed_keys() as keys:
            review_cells(queue, keys, limit, lambda: show_progress(queue, start))
    finally:
        queue.close()
    show_progress(queue, start)


@annotate_app.command()
def export(
    format_: Annotated[ExchangeFormat, typer.Option("--format", help="The format of the file.")],
    output: Annotated[Path, typer.Option("--output", help="The file to write.")],
    split: Annotated[list[str] | None, typer.Option(help="A split (default: all); can be repeated.")] = None,
) -> None:
    """Write texts and decisions of people for Label Studio or for a spreadsheet."""
    from sparsecbm.annotate.exchange.transfer import exported_labels
    from sparsecbm.annotate.labelled_texts import load_labelled_texts
    from sparsecbm.base.files import write_text
    from sparsecbm.cli.checked_texts import ensure_checked_texts
    from sparsecbm.cli.printing.terminal import say

    workspace = Workspace.find()
    wanted = ".json" if format_ is ExchangeFormat.label_studio else ".csv"
    if output.suffix.lower() != wanted:
        raise ConfigError(f"--output {output}: the format {format_} needs a name that ends in {wanted}")
    ensure_checked_texts(workspace)
    texts = load_labelled_texts(workspace, split)
    if format_ is ExchangeFormat.label_studio:
        write_text(output, exported_labels(workspace, texts, "tasks"))
        interface = output.with_suffix(".xml")
        write_text(interface, exported_labels(workspace, texts, "interface"))
        say(f"{len(texts.frame):,} tasks are in {output}; the labelling interface for Label Studio is in {interface}")
    else:
        write_text(output, exported_labels(workspace, texts, "csv"))
        say(f"{len(texts.frame):,} texts are in {output}; fill in the columns concept.NAME, and your name as author")


@annotate_app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A .json of Label Studio, or a .csv, .tsv or .xlsx as `export` writes.")],
    author: Annotated[str, typer.Option(help="Who decided, where the file does not say it.")] = "",
) -> None:
    """Add the decisions in a file. A file with a fault adds nothing, and the same file adds nothing twice."""
    from sparsecbm.annotate.exchange.transfer import checked_import, describe_import
    from sparsecbm.annotate.human_labels import HUMAN_FILE, append_decisions
    from sparsecbm.cli.checked_texts import ensure_checked_texts
    from sparsecbm.cli.printing.terminal import say

    workspace = Workspace.find()
    ensure_checked_texts(workspace)
    result = checked_import(workspace, file, author)
    append_decisions(workspace.annotations / HUMAN_FILE, result.added)
    say(describe_import(result, file))


def _author(workspace: Workspace) -> str:
    """The name that git signs commits with, or that of the user of this machine."""
    from sparsecbm.base.git import git_or_empty

    name = git_or_empty(workspace.root, "config", "user.name").strip()
    try:
        return name or getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        raise ConfigError("who decides? give your name by --author") from None
