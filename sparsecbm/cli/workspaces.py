"""The commands on whole workspaces: init, upgrade."""

from pathlib import Path
from typing import Annotated

import typer

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.workspace import Workspace

CONCEPT_STEPS = (
    "sparsecbm concepts suggest                            # proposes concepts.yaml, which you edit",
    "sparsecbm concepts check",
    "sparsecbm annotate review                             # you label some texts to learn from,",
    "sparsecbm annotate review --split test --limit 150    # and 150 labels to measure on",
    "sparsecbm annotate                                    # machines label the rest; params.yaml names them",
)


def init(
    folder: Annotated[Path, typer.Argument(metavar="NAME", help="The new folder.")],
    table: Annotated[Path, typer.Option(help="A csv, tsv, json, jsonl, parquet or xlsx file; it is copied.")],
    text: Annotated[str, typer.Option(metavar="COLUMN", help="Column of the texts.")],
    label: Annotated[str, typer.Option(metavar="COLUMN", help="Column of the label.")],
    labels: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="States of the label in their order (default: those there).")
    ] = None,
    id_: Annotated[str | None, typer.Option("--id", metavar="COLUMN", help="Column of unique ids.")] = None,
    group: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of groups; rows of one group stay in one split.")
    ] = None,
    split: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the names of splits.")] = None,
    concept: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=COLUMN", help="A concept that people labelled; can be repeated."),
    ] = None,
    format_: Annotated[
        list[str] | None,
        typer.Option(
            "--format", metavar="KEY=VALUE", help="How the file is written, if it does not tell: encoding=latin-1."
        ),
    ] = None,
) -> None:
    """Make a workspace for a table of texts and labels: git, dvc.yaml, params.yaml, flows, profiles."""
    from pydantic import ValidationError

    from sparsecbm.base.params import TableFormat
    from sparsecbm.base.params.messages import explain_faults
    from sparsecbm.base.params.source import Mapping
    from sparsecbm.cli.printing.terminal import say
    from sparsecbm.scaffold.create import AUTHOR, Table, create_workspace

    form, concepts = _pairs("--format", format_), _pairs("--concept", concept)
    columns: dict[str, object] = {"text": text, "label": label, "id": id_, "group": group, "split": split}
    columns["labels"] = tuple(labels.split(",")) if labels else None
    columns["concepts"] = {name: {"column": column} for name, column in concepts.items()}
    try:
        chosen = Table(table, Mapping.model_validate(columns), TableFormat.model_validate(_typed(form)))
    except ValidationError as error:
        model = TableFormat if error.title == "TableFormat" else Mapping
        raise ConfigError(explain_faults(error, "the command", model)) from None
    made = create_workspace(folder, chosen)
    say(f"{made.root}: {made.rows} rows of {made.table}; {label} is {', '.join(made.labels)}")
    for name, states in made.concepts.items():
        say(f"{name} is {', '.join(states)}")
    if made.concepts:
        say("Is a state misspelt? Then correct the table, and make the workspace anew: it would be a state of its own.")
    if labels is None and not _are_numbers(made.labels):
        say("The labels are in alphabetical order; if they have another one, set source.columns.labels in params.yaml.")
    if made.by_dvc:
        say(f"DVC has the table; git has {made.table}.dvc")
    if not made.has_author:
        say(
            f"git knows no author, so the first commit is by {AUTHOR[0]}; for yours: "
            "git config --global user.name NAME; git config --global user.email ADDRESS"
        )
    steps = [f"cd {made.root}"]
    if not concepts:
        steps += CONCEPT_STEPS
    say("next:\n" + "\n".join(f"  {step}" for step in [*steps, "sparsecbm run"]))


def upgrade() -> None:
    """Renew this workspace for the installed version; files that you changed stay as they are."""
    from sparsecbm.cli.printing.terminal import say
    from sparsecbm.scaffold.template_files import HIDDEN, TEMPLATE
    from sparsecbm.scaffold.upgrade import upgrade as upgrade_workspace

    root = Workspace.find().root
    done = upgrade_workspace(root)
    say(f"sparsecbm {done.before} -> {done.after}" if done.before != done.after else f"sparsecbm {done.after}")
    if done.stages:
        say(f"other code: {', '.join(done.stages)}; `sparsecbm run` runs these stages again")
    if done.written:
        say(f"renewed: {', '.join(done.written)}")
    names = {shown: name for name, shown in HIDDEN.items()}
    for file in done.kept:
        say(f"kept as you have it: {file}; compare it with {TEMPLATE / names.get(file, file)}")
    if done.stages or done.written:
        say("commit the result: git commit --all --message 'Upgrade sparsecbm'")


def _are_numbers(states: tuple[str, ...]) -> bool:
    try:
        return len([float(state) for state in states]) > 0
    except ValueError:
        return False


def _pairs(option: str, entries: list[str] | None) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for entry in entries or ():
        key, equals, value = entry.partition("=")
        if not (key and equals and value):
            raise ConfigError(f"{option} takes {'KEY=VALUE' if option == '--format' else 'NAME=COLUMN'}, not {entry!r}")
        if key in pairs:
            raise ConfigError(f"{option} names {key!r} twice; name it once")
        pairs[key] = value
    return pairs


def _typed(form: dict[str, str]) -> dict[str, object]:
    """Numbers and truth values as YAML has them; the separator stays a text."""
    from sparsecbm.base.yaml_reader import parse_yaml

    texts = ("separator", "quote", "encoding", "sheet")
    return {key: value if key in texts else parse_yaml(value, f"--format {key}") for key, value in form.items()}
