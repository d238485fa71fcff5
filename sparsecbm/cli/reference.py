"""The reference of the commands, docs/reference/command-line.md: `python -m sparsecbm.cli.reference` renews it."""

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from textwrap import fill
from typing import Any

from typer.main import get_command

from sparsecbm.base.files import write_text
from sparsecbm.base.workspace import Workspace
from sparsecbm.cli.app import app
from sparsecbm.cli.json_schemas import TITLES

START, END = "<!-- commands: generated -->", "<!-- end of commands -->"
PAGES = {  # the page that tells how to use a command, from the folder of the reference
    "annotate": "../annotation.md",
    "annotate export": "../review.md",
    "annotate import": "../review.md",
    "annotate review": "../review.md",
    "batch": "../batch.md",
    "concepts check": "../annotation.md",
    "concepts suggest": "../annotation.md",
    "demo": "../workbench.md",
    "down": "../operations.md",
    "drift": "../drift.md",
    "evaluate": "../metrics.md",
    "explain": "../explanations.md",
    "export": "../speed.md",
    "forget": "../erasure.md",
    "history": "../operations.md",
    "init": "../workspaces.md",
    "intervene": "../interventions.md",
    "masks": "../masks.md",
    "memory": "../interventions.md",
    "patch": "../interventions.md",
    "plan": "../larger-models.md",
    "predict": "../speed.md",
    "promote": "../operations.md",
    "report": "../reading-the-report.md",
    "rollback": "../operations.md",
    "run": "../operations.md",
    "serve": "../service.md",
    "status": "../operations.md",
    "up": "../operations.md",
    "upgrade": "../workspaces.md",
    "verify": "../why-runs-repeat.md",
    "workbench": "../workbench.md",
}
WIDTH = 100


def fill_commands(page: str) -> str:
    """The page with fresh descriptions of all commands between its markers."""
    head, rest = page.split(START)
    return f"{head}{START}\n\n{commands()}\n{END}{rest.split(END)[1]}"


def commands() -> str:
    """A table of all commands, then a section for each, as Markdown."""
    found = dict(each_command())
    rows = [f"| [`{name}`](#{name.replace(' ', '-')}) | {first_sentence(found[name].help)} |" for name in found]
    table = "\n".join(["| command | what it does |", "|---|---|", *rows])
    return "\n".join([table + "\n", *(_section(name, command) for name, command in found.items())])


def each_command() -> Iterator[tuple[str, Any]]:
    """Pairs of name and command, such as `patch make`, in the order of `sparsecbm --help`.

    A group that does something without a subcommand, such as `annotate`, is a command, too.
    """
    for name, command in get_command(app).commands.items():
        children = getattr(command, "commands", {})
        if not children or command.invoke_without_command:
            yield name, command
        for child, subcommand in children.items():
            yield f"{name} {child}", subcommand


def first_sentence(text: str | None) -> str:
    """The first sentence of a help text, in one line, without its full stop."""
    line = " ".join((text or "").split("\n\n")[0].split())
    return line.removesuffix(".")


def _section(name: str, command: Any) -> str:
    parts = [f"### {name}\n"]
    parts += [fill(" ".join(part.split()), WIDTH) + "\n" for part in (command.help or "").split("\n\n")]
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    arguments = [parameter for parameter in shown if parameter.param_type_name == "argument"]
    options = [parameter for parameter in shown if parameter.param_type_name == "option"]
    usage = " ".join(["sparsecbm", name, *(_argument(each) for each in arguments), *(["[OPTIONS]"] if options else [])])
    parts.append(f"```text\n{usage}\n```\n")
    if shown:
        parts.append("\n".join(["| argument or option | default | meaning |", "|---|---|---|"]))
        parts.append("\n".join(_row(each) for each in [*arguments, *options]) + "\n")
    if links := _links(name):
        parts.append(f"See {', '.join(links)}.\n")
    return "\n".join(parts)


def _argument(parameter: Any) -> str:
    name = parameter.name.strip("_").upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = f"`{_argument(parameter)}`"
    else:
        names = [*parameter.opts, *parameter.secondary_opts]
        value = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.strip('_').upper()}"
        name = ", ".join(f"`{each}{value}`" for each in names)
    cells = (name, _default(parameter), " ".join((parameter.help or "").split()))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = parameter.default.value if isinstance(parameter.default, Enum) else parameter.default
    return "" if default in (None, False, "", (), []) else f"`{default}`"


def _links(name: str) -> list[str]:
    links = []
    page = PAGES.get(name, PAGES.get(name.split(" ")[0]))
    if page is not None:
        links.append(f"[{page.removeprefix('../')}]({page})")
    key = name.replace(" ", "-")
    named = {schema for schema, (_, title) in TITLES.items() if f"`sparsecbm {name}" in title or schema == key}
    links += [f"[`{schema}.schema.json`](../../sparsecbm/schemas/{schema}.schema.json)" for schema in sorted(named)]
    return links


def main() -> None:
    """Renew the commands of docs/reference/command-line.md."""
    path = Path(Workspace.find().root) / "docs" / "reference" / "command-line.md"
    write_text(path, fill_commands(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
