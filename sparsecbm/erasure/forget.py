"""Forget a text: find all places, clear them in an order that a kill cannot spoil, and say what is left to do."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sparsecbm.base.errors import ConfigError, DataError, unknown
from sparsecbm.base.files import read_json_object, read_parquet, write_json
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import MANIFEST, QUARANTINE, read_splits
from sparsecbm.erasure.elsewhere import Copy, find_copies
from sparsecbm.erasure.files import SCHEDULED, recover_all
from sparsecbm.erasure.places import Change, find_changes, find_stale
from sparsecbm.erasure.subject import Subject
from sparsecbm.pipeline.lock import flow_lock

JOURNAL = "forget.json"  # in the state folder while an erasure is under way; it holds the text


@dataclass(frozen=True)
class Erasure:
    """What forgetting a text means for a workspace.

    Attributes:
        changes: files that lose it
        copies: what still holds it afterwards
        reruns: commands that make again what depended on it
    """

    subject: Subject
    changes: list[Change]
    copies: list[Copy]
    reruns: list[str]


def plan_erasure(workspace: Workspace, identity: str | None, text: str | None) -> Erasure:
    """Find all that holds a text. Nothing is changed.

    Args:
        identity: id of a row; exactly one of this and `text` is given

    Raises:
        ConfigError: neither or both are given, or another erasure was interrupted.
        DataError: there is no such row, or nothing holds the text.
    """
    subject = _find_subject(workspace, identity, text)
    changes, stale = _all_changes(workspace, subject), _all_stale(workspace)
    erased = [*(change.path for change in (*changes, *stale)), workspace.state / JOURNAL]
    copies = [
        copy for each in _workspaces(workspace) for copy in find_copies(each, load_params(each.params), subject, erased)
    ]
    if not (changes or any(copy.certain for copy in copies) or _journal(workspace)):
        raise DataError(
            "nothing in this workspace holds this text; compare blanks and letters, or give the id of a row"
        )
    return Erasure(subject, [*changes, *stale], copies, _reruns(workspace, subject))


def erase(workspace: Workspace, erasure: Erasure) -> None:
    """Clear all places. After a kill, the same call goes on where the other ended.

    Raises:
        WorkspaceBusyError: a flow runs in the workspace.
        DataError: a place cannot be written, or somebody wrote the text again meanwhile.
    """
    subject, journal = erasure.subject, workspace.writable_state() / JOURNAL
    with flow_lock(workspace):
        write_json(journal, {"ids": list(subject.ids), "texts": list(subject.texts)})
        recover_all(workspace.root)
        for change in (*_all_changes(workspace, subject), *_all_stale(workspace)):
            change.apply()
        left = _all_changes(workspace, subject)
        if left:
            paths = ", ".join(str(change.path) for change in left)
            raise DataError(f"{paths} hold the text again, since somebody wrote meanwhile; repeat the command")
        journal.unlink()


def _workspaces(workspace: Workspace) -> list[Workspace]:
    """The workspace, and the clone in which scheduled runs work."""
    clone = Workspace(workspace.state / SCHEDULED)
    return [workspace, clone] if (clone.root / "dvc.yaml").is_file() else [workspace]


def _all_changes(workspace: Workspace, subject: Subject) -> list[Change]:
    return [
        change for each in _workspaces(workspace) for change in find_changes(each, load_params(each.params), subject)
    ]


def _all_stale(workspace: Workspace) -> list[Change]:
    return [change for each in _workspaces(workspace) for change in find_stale(each)]


def _find_subject(workspace: Workspace, identity: str | None, text: str | None) -> Subject:
    if (identity is None) == (text is None) or (text is not None and not text.strip()):
        raise ConfigError("give either --id or --text")
    interrupted = _journal(workspace)
    if interrupted is not None:
        if identity in interrupted.ids or interrupted.is_text(text):
            return interrupted
        name = f"--id {interrupted.ids[0]}" if interrupted.ids else "--text TEXT with its text"
        raise ConfigError(f"an erasure was interrupted; complete it first: sparsecbm forget {name} --yes")
    tables = [table[["id", "text"]] for each in _workspaces(workspace) for table in _tables(each)]
    rows = pd.concat([pd.DataFrame({"id": [], "text": []}, dtype="str"), *tables], ignore_index=True).drop_duplicates()
    if identity is not None:
        texts = rows.loc[rows["id"] == identity, "text"].dropna().unique().tolist()
        if not texts:
            raise DataError(_unknown_id(identity, rows["id"].unique().tolist()))
        if len(texts) > 1:
            raise DataError(f"{len(texts)} texts have the id {identity!r} in tables of different runs; give --text")
        text = texts[0]
    subject = Subject((), (str(text),))
    same = rows[rows["text"].map(subject.same).astype(bool)]
    spellings = (str(text), *same["text"].tolist())
    ids = sorted(set(same["id"].dropna()), key=lambda each: (each != identity, each))
    return Subject(tuple(ids), tuple(dict.fromkeys(spellings)))


def _unknown_id(identity: str, ids: list[str]) -> str:
    if not ids:
        return "no table of this workspace has rows yet; give the text itself by --text"
    few = ids if len(ids) <= 20 else [*ids[:3], f"... ({len(ids)} in all)"]
    return unknown("id", identity, few)


def _tables(workspace: Workspace) -> Iterator[pd.DataFrame]:
    for folder in (workspace.ingested, workspace.validated, workspace.annotated):
        if (folder / MANIFEST).is_file():
            yield from read_splits(folder).values()
            if (folder / QUARANTINE).is_file():
                yield read_parquet(folder / QUARANTINE)


def _journal(workspace: Workspace) -> Subject | None:
    path: Path = workspace.state / JOURNAL
    if not path.is_file():
        return None
    record = read_json_object(path)
    return Subject(tuple(record["ids"]), tuple(record["texts"]))


def _reruns(workspace: Workspace, subject: Subject) -> list[str]:
    """Commands for what was computed with the text; models were trained or chosen with it."""
    if not subject.ids:
        return []
    reruns = ["sparsecbm run: data, models, figures and reports without it"]
    if any(folder.is_dir() for folder in (workspace.dense, workspace.sparse)):
        reruns.append("sparsecbm promote: a champion that never saw it; then patch make, export and serve as before")
    return reruns
