"""A new workspace for one table: checked first, built in a hidden folder, and renamed when it is complete."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from sparsecbm.base.errors import ConfigError, DataError, SparseCBMError, WriteError
from sparsecbm.base.files import replacing_folder, write_text
from sparsecbm.base.git import GitError, git, git_or_empty
from sparsecbm.base.params import Params, TableFormat, TableSource, parse_params
from sparsecbm.base.params.source import ConceptColumn, Mapping
from sparsecbm.base.yaml_reader import parse_yaml
from sparsecbm.data.acceptance import accepted_splits
from sparsecbm.data.formats.reader import read_table
from sparsecbm.data.source_table import SourceTable, require_columns
from sparsecbm.data.sources.mapping import mapped_columns
from sparsecbm.data.sources.registry import load_with_faults
from sparsecbm.pipeline.graph import run_dvc
from sparsecbm.pipeline.installed_code import installed_code, text_hash, write_code
from sparsecbm.scaffold.option_names import in_options
from sparsecbm.scaffold.params_text import fill_params
from sparsecbm.scaffold.template_files import PARAMS, template_files

DVC_BYTES = 5_000_000  # from this size on, DVC has the table instead of git
AUTHOR = ("sparsecbm", "sparsecbm@localhost")  # of the first commit, where git knows nobody
RUN_PARAMS = "params.json"  # a file that `ingest` writes beside the table


@dataclass(frozen=True)
class Table:
    """A table of a person, and what its columns mean.

    Attributes:
        columns: states that they do not name are those of the rows
    """

    path: Path
    columns: Mapping
    format: TableFormat


@dataclass(frozen=True)
class Created:
    """A new workspace.

    Attributes:
        table: path of the table in it
        rows: of the table
        labels: states of the label
        concepts: concept -> its states, of the concepts with a column
        by_dvc: whether DVC has the table; else git has it
        has_author: whether git knew the author of the first commit
    """

    root: Path
    table: str
    rows: int
    labels: tuple[str, ...]
    concepts: dict[str, tuple[str, ...]]
    by_dvc: bool
    has_author: bool


def create_workspace(root: Path, table: Table) -> Created:
    """Make a workspace with a copy of the table, its own git repository and a first commit.

    Raises:
        ConfigError: the folder is not empty or cannot be made, or git is missing.
        DataError: the table is unreadable, lacks a column, or has nothing to learn.
        WriteError: the disk is full, or something else keeps files from being written. Nothing is left.
    """
    root = Path(root)
    _check_target(root)
    git_version()
    source, rows = _checked_source(table)
    by_dvc = table.path.stat().st_size >= DVC_BYTES
    with replacing_folder(root, _refuse_contents) as folder:
        _write_files(folder, source, table.path)
        has_author = _commit(folder, source.path, by_dvc)
    concepts = {name: concept.states or () for name, concept in source.columns.concepts.items()}
    return Created(root, source.path, rows, source.columns.labels or (), concepts, by_dvc, has_author)


def git_version() -> str:
    """The version of git.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return git(Path.cwd(), "--version")
    except GitError:
        raise ConfigError("git is not installed; a workspace is a git repository, so install git first") from None


def _check_target(root: Path) -> None:
    if root.resolve() in (Path.cwd().resolve(), *Path.cwd().resolve().parents):
        raise ConfigError(f"{root} is the folder that you are in; name a new one, such as reviews")
    if root.is_dir() and any(root.iterdir()):
        _refuse_contents(root)
    if not root.resolve().parent.is_dir():
        raise ConfigError(f"{root.parent} does not exist; make it first: mkdir -p {root.parent}")


def _refuse_contents(root: Path) -> None:
    raise WriteError(root, "it is not empty; name a new folder")


def _checked_source(table: Table) -> tuple[TableSource, int]:
    """The source with the states of label and concepts, as the workspace will have it, and the number of rows."""
    try:
        wanted, form = mapped_columns(table.columns), table.format
        content = read_table(table.path, form, known=set(wanted).__contains__)
        remedy = f"Correct --text, --label and the other names of columns. {content.hint}".rstrip()
        require_columns(list(content.frame.columns), wanted, table.path.name, remedy)
        if content.separator:
            form = form.model_copy(update={"separator": content.separator})
        source = TableSource(name="table", path=str(table.path.resolve()), format=form, columns=table.columns)
        loaded = load_with_faults(source, Path("/"))
        accepted_splits(loaded, _params(source))
    except SparseCBMError as error:
        raise DataError(in_options(str(error))) from None
    name = f"table{table.path.suffix}" if table.path.name == RUN_PARAMS else table.path.name
    changes = {"path": f"data/{name}", "columns": _with_states(table.columns, loaded)}
    return source.model_copy(update=changes), len(loaded.frame)


def _with_states(columns: Mapping, loaded: SourceTable) -> Mapping:
    """The mapping with all states, so that later rows cannot change them unseen."""
    concepts = {
        name: ConceptColumn(column=concept.column, states=loaded.concept_set[name].states)
        for name, concept in columns.concepts.items()
    }
    return columns.model_copy(update={"labels": loaded.concept_set.label.states, "concepts": concepts})


def _params(source: TableSource) -> Params:
    text = fill_params(template_files()[PARAMS].decode(), source)
    return parse_params(parse_yaml(text, PARAMS), PARAMS)


def _write_files(folder: Path, source: TableSource, table: Path) -> None:
    files = template_files()
    params = fill_params(files.pop(PARAMS).decode(), source)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    write_text(folder / PARAMS, params)
    parse_params(parse_yaml(params, PARAMS), PARAMS)
    shutil.copyfile(table, folder / source.path)
    code = installed_code(folder)
    hashes = {name: text_hash(content) for name, content in files.items()}
    write_code(folder, type(code)(code.version, code.package, code.stages, hashes))


def _commit(folder: Path, table: str, by_dvc: bool) -> bool:
    """Make the repository and its first commit; return whether git knows the author."""
    git(folder, "init", "--quiet", "--initial-branch=main", "--template=")
    if by_dvc:
        result = run_dvc(folder, "add", "--quiet", table)
        if result.returncode != 0:
            raise DataError(f"dvc add {table} failed: {result.stderr.strip() or result.stdout.strip()}")
    git(folder, "add", "--all")
    if not by_dvc:
        git(folder, "add", "--force", "--", table)  # a person may have git ignore such files everywhere
    has_author = bool(git_or_empty(folder, "-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT"))
    name, email = AUTHOR
    identity = () if has_author else ("-c", f"user.name={name}", "-c", f"user.email={email}")
    commit = ("commit", "--quiet", "--no-verify", "--no-gpg-sign", "--message", "Start a workspace of sparsecbm")
    git(folder, *identity, *commit)
    return has_author
