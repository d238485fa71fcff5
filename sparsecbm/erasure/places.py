"""Where a workspace keeps texts, and how one text is taken out of each place."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsecbm.annotate.human_labels import HUMAN_FILE
from sparsecbm.annotate.labels import label_paths
from sparsecbm.annotate.llm.cache import AnswerCache, cache_file
from sparsecbm.annotate.review.queue import LEASES
from sparsecbm.annotate.shards import parts_folder
from sparsecbm.base.errors import InterventionError, SparseCBMError
from sparsecbm.base.files import read_json, read_parquet, replacing, write_json, write_parquet
from sparsecbm.base.json_lines import count_json_lines, remove_json_lines
from sparsecbm.base.params import Params, TableFormat
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import MANIFEST, QUARANTINE, read_manifest, read_splits, write_splits
from sparsecbm.drift.check import drift_folder
from sparsecbm.erasure.files import files_below
from sparsecbm.erasure.subject import Subject
from sparsecbm.erasure.without_text import holds_text, without_text
from sparsecbm.explain.export import LINES, TABLE
from sparsecbm.intervene.memory.index import INDEX, read_index
from sparsecbm.intervene.memory.store import Memory
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.report.data_page import write_validation_page
from sparsecbm.report.run_page import read_metrics, write_index_page

CORRECTIONS = "corrections.jsonl"  # in the state folder; where `sparsecbm serve` keeps proposals by default


@dataclass(frozen=True)
class Change:
    """A file or folder that still holds the text.

    Attributes:
        what: what is taken out of it
        apply: takes it out; the file changes as a whole, or not at all, and a second call changes nothing
    """

    path: Path
    what: str
    apply: Callable[[], None]


def find_changes(workspace: Workspace, params: Params, subject: Subject) -> list[Change]:
    """What has to change in a workspace so that it no longer holds the text, in the order in which it should.

    Raises:
        DataError: a file that may hold the text cannot be read.
    """
    finders = (_tables, _labels, _records, _figures, _answers, _patches, _cached, _requests, _corrections)
    found = [change for finder in finders for change in finder(workspace, subject)]
    return [*_source(workspace, params, subject), *found, *_pages(workspace, subject), *_traces(workspace, subject)]


def find_stale(workspace: Workspace) -> list[Change]:
    """What was computed from texts, is made again when it is needed, and cannot be searched for one of them."""
    folders = {drift_folder(workspace) / "reference": "words and representations of all held-out texts"}
    folders[workspace.checkpoints] = "states of training"
    return [
        Change(path, what, lambda path=path: _discard(path))
        for path, what in folders.items()
        if path.exists() or _aside(path).exists()
    ]


def _discard(folder: Path) -> None:
    """Remove a folder, which is gone at once for its readers."""
    shutil.rmtree(_aside(folder), ignore_errors=True)
    if folder.exists():
        folder.rename(_aside(folder))
        shutil.rmtree(_aside(folder))


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.discarded")


def source_files(workspace: Workspace, params: Params) -> list[Path]:
    """The files of the source, if it names a path."""
    name = getattr(params.source, "path", None)
    if name is None:
        return []
    path = workspace.root / name
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def is_owned(workspace: Workspace, path: Path) -> bool:
    """Whether a file lies in the workspace; what lies elsewhere belongs to others, too."""
    return path.resolve().is_relative_to(workspace.root.resolve())


def _source(workspace: Workspace, params: Params, subject: Subject) -> Iterator[Change]:
    form = getattr(params.source, "format", TableFormat())
    for path in source_files(workspace, params):
        if not is_owned(workspace, path) or not holds_text(path, form, subject):
            continue
        if path.suffix.lower() == ".parquet":
            yield from _parquet_rows(path, subject)
            continue
        kept = without_text(path, form, subject)
        if kept is not None and kept != path.read_bytes():
            yield Change(path, "its rows in the source", lambda path=path, kept=kept: _write(path, kept))


def _tables(workspace: Workspace, subject: Subject) -> Iterator[Change]:
    """Tables of the stages; the manifest follows."""
    for folder in (workspace.ingested, workspace.validated, workspace.annotated):
        if not (folder / MANIFEST).is_file():
            continue
        splits = read_splits(folder)
        quarantine = read_parquet(folder / QUARANTINE) if (folder / QUARANTINE).is_file() else None
        rows = sum(int(subject.rows(frame).sum()) for frame in (*splits.values(), *_present(quarantine)))
        if rows:
            yield Change(folder, f"{rows} row(s)", lambda folder=folder: _without_rows(folder, subject))


def _without_rows(folder: Path, subject: Subject) -> None:
    splits = {name: frame[~subject.rows(frame)] for name, frame in read_splits(folder).items()}
    quarantine = read_parquet(folder / QUARANTINE) if (folder / QUARANTINE).is_file() else None
    kept = None if quarantine is None else quarantine[~subject.rows(quarantine)]
    write_splits(folder, splits, read_manifest(folder), kept)


def _labels(workspace: Workspace, subject: Subject) -> Iterator[Change]:
    """Labels of machines, and the words of explanations."""
    parts = sorted(parts_folder(workspace).glob("*.parquet"))
    others = (workspace.subgroups, workspace.explanations / TABLE)
    for path in (*label_paths(workspace.annotations).values(), *parts, *others):
        yield from _parquet_rows(path, subject)


def _parquet_rows(path: Path, subject: Subject) -> Iterator[Change]:
    def apply() -> None:
        frame = read_parquet(path)
        write_parquet(path, frame[~subject.rows(frame)])

    if path.is_file() and (rows := int(subject.rows(read_parquet(path)).sum())):
        yield Change(path, f"{rows} row(s)", apply)


def _records(workspace: Workspace, subject: Subject) -> Iterator[Change]:
    """Journals and explanations, one record a line."""
    names = (workspace.annotations / HUMAN_FILE, workspace.explanations / LINES, workspace.state / CORRECTIONS)
    for path in names:
        if records := count_json_lines(path, subject.matches):
            what = f"{records} record(s)"
            yield Change(path, what, lambda path=path: remove_json_lines(path, subject.matches))


def _figures(workspace: Workspace, subject: Subject) -> Iterator[Change]:
    """Suspicious labels among the figures, texts that patches change or reviewers hold, and trials of patches."""

    def without(path: Path) -> Any:
        return _without_items(read_json(path), subject)

    metrics, remedies = (workspace.root / "metrics").glob("*.json"), workspace.patch_requests.glob("*/remedies.json")
    for path in (*sorted(metrics), *sorted(remedies), workspace.state / LEASES):
        if path.is_file() and without(path) != read_json(path):
            yield Change(path, "its entries", lambda path=path: write_json(path, without(path)))
    for path in sorted(workspace.interventions.glob("*.csv")):
        lines = path.read_bytes().split(b"\n")
        starts = tuple(checksum[:12].encode() for checksum in subject.checksums)
        kept = [line for line in lines if not any(start in line.split(b",") for start in starts)]
        if kept != lines:
            yield Change(path, "its trials", lambda path=path, kept=kept: _write(path, b"\n".join(kept)))


def _without_items(value: Any, subject: Subject) -> Any:
    """A value of JSON without the items of lists, and the keys, that are about the text."""
    if isinstance(value, list):
        items = [item for item in value if not (isinstance(item, dict) and subject.matches(item))]
        return [_without_items(item, subject) for item in items]
    if isinstance(value, dict):
        return {key: _without_items(item, subject) for key, item in value.items() if key != subject.key}
    return value


def _answers(workspace: Workspace, subject: Subject) -> Iterator[Change]:
    path = cache_file(workspace)
    if not path.is_file():
        return
    with AnswerCache(path) as cache:
        rows = cache.count(subject.key)

    def apply() -> None:
        with AnswerCache(path) as cache:
            cache.forget(subject.key)

    if rows:
        yield Change(path, f"{rows} answer(s) and request(s)", apply)


def _patches(workspace: Workspace, subject: Subject) -> Iterator[Change]:
    """Patches made for the text: its checksum is part of their id, so they cannot be kept without it."""
    for path in files_below(workspace.root, "*.patch"):
        try:
            made_for = MaskPatch.load(path).texts
        except InterventionError:
            continue
        if subject.checksums & set(made_for):
            yield Change(path, "a patch made for it", lambda path=path: path.unlink(missing_ok=True))


def _cached(workspace: Workspace, subject: Subject) -> Iterator[Change]:
    """What was computed from the text for patches: each file of the cache states the checksums of its texts."""
    for path in files_below(workspace.patch_cache):
        if subject.is_in(path):
            what = "predictions and hidden states of its table"
            yield Change(path, what, lambda path=path: path.unlink(missing_ok=True))


def _requests(workspace: Workspace, subject: Subject) -> Iterator[Change]:
    """Requests for patches in the workbench."""
    for path in sorted(workspace.patch_requests.glob("*/request.json")):
        if any(subject.is_text(text) for text in read_json(path)["texts"]):
            yield Change(path.parent, "a request for a patch", lambda path=path: _discard(path.parent))


def _corrections(workspace: Workspace, subject: Subject) -> Iterator[Change]:
    """Stores of `sparsecbm memory`: a correction and its vector."""
    for path in files_below(workspace.root, INDEX):
        try:
            index = read_index(path.parent)
        except InterventionError:
            continue
        matches = [key for key, entry in index.items() if entry.correction.text in subject.checksums]
        if matches:
            what = f"{len(matches)} stored correction(s)"
            yield Change(path.parent, what, lambda path=path, matches=matches: _remove_all(path.parent, matches))


def _remove_all(folder: Path, corrections: list[str]) -> None:
    for correction in corrections:
        if correction in read_index(folder):
            Memory(folder).remove(correction)


def _pages(workspace: Workspace, subject: Subject) -> Iterator[Change]:
    """Pages, which are written again from what is left, or removed if a stage has to run for that."""
    writers = {
        workspace.report: lambda: write_index_page(workspace, read_metrics(workspace)),
        workspace.validation_page: lambda: write_validation_page(workspace),
    }
    for path, write in writers.items():
        if subject.is_in(path):
            yield Change(path, "its cards and rows", lambda path=path, write=write: _renew(path, write))


def _renew(path: Path, write: Callable[[], None]) -> None:
    try:
        write()
    except (SparseCBMError, KeyError):
        path.unlink(missing_ok=True)


def _traces(workspace: Workspace, subject: Subject) -> Iterator[Change]:
    """Traces of faults and logs, which are not meant to hold texts, but may."""
    for folder in ("faults", "logs"):
        for path in sorted((workspace.state / folder).glob("*")):
            if subject.is_in(path):
                yield Change(path, "the whole file", lambda path=path: path.unlink(missing_ok=True))


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _present(frame: Any) -> tuple:
    return () if frame is None else (frame,)
