"""What still holds a text after it was taken out of a workspace, and what clears it there.

Histories are never rewritten here: git, DVC, MLflow and Prefect have their own commands for that, and other people may
need what they hold. Files that no command of this project wrote belong to whoever put them there.
"""

import configparser
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sparsecbm.annotate.concept_file import read_concept_file
from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.git import git_or_empty
from sparsecbm.base.params import Params, TableFormat
from sparsecbm.base.redaction import redacted
from sparsecbm.base.workspace import Workspace
from sparsecbm.erasure.files import files_below
from sparsecbm.erasure.places import is_owned, source_files
from sparsecbm.erasure.subject import Subject
from sparsecbm.erasure.without_text import holds_text, is_editable
from sparsecbm.pipeline.graph import run_dvc
from sparsecbm.pipeline.shared_cache import LOCAL
from sparsecbm.track.artifact_search import find_runs
from sparsecbm.track.store import Store, database, open_store, tracking_uri, translated_errors

_SPECIFIC = 12  # fewest characters that git is asked for


@dataclass(frozen=True)
class Copy:
    """Something that still holds the text.

    Attributes:
        where: what it is
        remedy: the command that clears it, or what a person has to do
        certain: whether it was looked into
    """

    where: str
    remedy: str
    certain: bool = True


def find_copies(workspace: Workspace, params: Params, subject: Subject, erased: Iterable[Path]) -> list[Copy]:
    """Everything beyond the reach of `find_changes` that holds the text.

    Args:
        erased: files and folders that are cleared by the erasure itself
    """
    return [
        *_source(workspace, params, subject),
        *_concept_examples(workspace, subject),
        *_files(workspace, subject, (*erased, *source_files(workspace, params))),
        *_commits(workspace, subject),
        *_dvc(workspace, subject),
        *_mlflow(workspace, params, subject),
    ]


def _source(workspace: Workspace, params: Params, subject: Subject) -> Iterator[Copy]:
    form = getattr(params.source, "format", TableFormat())
    for path in source_files(workspace, params):
        if not holds_text(path, form, subject):
            continue
        editable = path.suffix.lower() == ".parquet" or is_editable(path, form)
        if not (is_owned(workspace, path) and editable):
            yield Copy(f"the source {path}", "take it out there, or the next run reads it again")
    if params.source.name == "hub" or (params.source.name == "cebab" and params.source.path is None):
        yield Copy(
            f"the source {params.source.name}, which is downloaded",
            "ask its publisher, or take a copy without it as a source of the kind table; the next run reads it again",
            certain=False,
        )


def _concept_examples(workspace: Workspace, subject: Subject) -> Iterator[Copy]:
    if not workspace.concept_file.is_file():
        return
    whole = " ".join(" ".join(text.split()) for text in subject.texts)
    for definition in read_concept_file(workspace.concept_file).concepts:
        for example, _ in definition.examples:
            if " ".join(example.split()) in whole:
                where = f"{workspace.concept_file.name}, an example of concept {definition.name!r}: {example[:60]!r}"
                yield Copy(where, "take the example out; machines then label this concept again")


def _files(workspace: Workspace, subject: Subject, erased: Iterable[Path]) -> Iterator[Copy]:
    """Files that nobody is known to have written, and the databases of Prefect."""
    handled = (*erased, workspace.state / "mlartifacts", workspace.state / "mlflow.db")
    prefect = workspace.state / "prefect"
    for path in files_below(workspace.root):
        if any(path == other or path.is_relative_to(other) for other in handled) or not subject.is_in(path):
            continue
        if path.is_relative_to(prefect):
            remedy = f"sparsecbm down; rm -r {_quoted(prefect)}; sparsecbm up; it loses the list of flow runs"
            yield Copy(f"Prefect's {path.relative_to(prefect)}", remedy)
        else:
            yield Copy(str(path.relative_to(workspace.root)), f"rm {_quoted(path)}, or take the text out by hand")


def _commits(workspace: Workspace, subject: Subject) -> Iterator[Copy]:
    words = max(subject.texts[0].replace("\\", "\n").replace('"', "\n").splitlines(), key=len).strip()
    if len(words) < _SPECIFIC:
        return
    for line in git_or_empty(workspace.root, "log", "--all", "--format=%h %s", f"-S{words}").splitlines():
        yield Copy(
            f"git commit {line}",
            "git filter-repo --replace-text FILE, with the text in FILE; then "
            "git reflog expire --expire=now --all && git gc --prune=now, and the same in every clone",
        )


def _dvc(workspace: Workspace, subject: Subject) -> Iterator[Copy]:
    """Files of the cache, commits whose `dvc.lock` names them, and remotes."""
    if not (workspace.root / ".dvc").is_dir():
        return
    asked = run_dvc(workspace.root, "cache", "dir")
    if asked.returncode != 0:
        return
    cache = (workspace.root / asked.stdout.strip()) / "files" / "md5"
    held = [path for path in sorted(cache.glob("??/*")) if path.suffix != ".dir" and subject.is_in(path)]
    if not held:
        return
    names = {path.parent.name + path.name for path in held}
    lists = [path for path in sorted(cache.glob("??/*.dir")) if names & _listed(path)]
    for path in (*held, *lists):
        kind = "a list of files with" if path in lists else "a version of a file with"
        yield Copy(f"DVC cache {path.relative_to(cache)}, {kind} it", f"rm -f {_quoted(path)}")
    named = "|".join(sorted({*names, *(path.parent.name + path.name for path in lists)}))
    log = ("log", "--all", "--format=%h %s", f"-G{named}", "--", "dvc.lock", "*.dvc")
    for line in git_or_empty(workspace.root, *log).splitlines():
        yield Copy(f"git commit {line}, whose dvc.lock names such files", "dvc checkout of it fails once they are gone")
    for name, url in _remotes(workspace.root).items():
        folder = workspace.root / ".dvc" / url / "files" / "md5"
        if not folder.is_dir():
            remedy = f"dvc gc --workspace --cloud --remote {shlex.quote(name)} after the next run"
            yield Copy(f"DVC remote {name} ({redacted(url)}), if such files were pushed", remedy, certain=False)
            continue
        for path in (folder / path.relative_to(cache) for path in (*held, *lists)):
            if path.exists():
                yield Copy(f"DVC remote {name}: {path.relative_to(folder)}", f"rm -f {_quoted(path)}")


def _remotes(root: Path) -> dict[str, str]:
    """Name -> address of the remotes that a workspace configures; `dvc remote list` breaks long lines."""
    settings = configparser.RawConfigParser()
    settings.read([root / ".dvc" / "config", root / LOCAL], encoding="utf-8")
    sections = {section: re.fullmatch(r"'?remote \"(.+)\"'?", section) for section in settings.sections()}
    return {match[1]: settings.get(section, "url", fallback="") for section, match in sections.items() if match}


def _listed(path: Path) -> set[str]:
    try:
        return {entry["md5"] for entry in json.loads(path.read_bytes())}
    except (ValueError, TypeError, KeyError):
        return set()


def _mlflow(workspace: Workspace, params: Params, subject: Subject) -> Iterator[Copy]:
    uri = tracking_uri(workspace)
    if not params.track.enabled or not (uri.startswith("http") or Path(database(workspace)).is_file()):
        return
    try:
        store = open_store(workspace, params.track.experiment)
        with translated_errors(store.uri):
            yield from _runs(store, subject)
    except (SparseCBMError, OSError) as error:
        yield Copy(
            f"MLflow was not looked through: {error}", "start it, and ask again: sparsecbm forget", certain=False
        )


def _runs(store: Store, subject: Subject) -> Iterator[Copy]:
    address = shlex.quote(redacted(store.uri))
    for run in find_runs(store, subject.is_in):
        yield Copy(
            ", ".join((f"MLflow run {run.run_id} ({run.name})", *run.versions)),
            f"MLFLOW_TRACKING_URI={address} mlflow runs delete --run-id {run.run_id}; "
            f"mlflow gc --backend-store-uri {address} --run-ids {run.run_id}"
            + ("; promote another version first" if run.versions else ""),
        )


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
