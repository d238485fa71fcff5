"""Gathers what the gates look at: each version fetched, looked at, and let read the held-out split by itself."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from sparsecbm.base.errors import DataError, ModelError
from sparsecbm.base.files import read_json
from sparsecbm.base.params import Params
from sparsecbm.base.redaction import redacted
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import read_manifest, read_split
from sparsecbm.promote.artifacts import AlteredError, VersionPredictions, fetched, predict_in_subprocess
from sparsecbm.promote.gates import Evidence, judge
from sparsecbm.promote.ledger import FAILED, NOT_JUDGED, Ledger, Row
from sparsecbm.promote.registry import CHAMPION, SPLIT_TAG, Registry

TIMED = 20  # single texts behind a latency


def judge_version(workspace: Workspace, params: Params, registry: Registry, number: int) -> Ledger:
    """Judge a version against the champion on this workspace's held-out split.

    A version that must not be loaded, or does not load, is rejected by the row that says so; a champion that cannot
    be read holds the challenger back.

    Raises:
        RegistryError: there is no such version, or it is of another kind.
        DataError: this workspace has no annotated data.
    """
    champion, rows, notes = registry.alias(CHAMPION), [], []
    version = registry.version(number)
    split, sha256 = held_out(workspace)
    frame = read_split(workspace.annotated, split)
    found, figures = _read(registry, number, champion, frame["text"].tolist(), params)
    challenger, reference = found[number], found.get(champion)
    if isinstance(challenger, ModelError):
        altered = isinstance(challenger, AlteredError)
        gate, figure = ("integrity", "files") if altered else ("loading", "a process of its own")
        rows.append(Row(gate, figure, FAILED, "reject", reason=redacted(str(challenger))))
    else:
        rows.append(Row("integrity", "files", "passed"))
        if isinstance(reference, ModelError):
            why = redacted(f"not judged: {reference}")
            rows.append(Row("champion", "comparison", NOT_JUDGED, "hold", reason=why))
            reference = None
        if champion is not None and registry.version(champion).tags.get(SPLIT_TAG) != sha256:
            notes.append(f"Version {champion} came with another split `{split}`; both read this workspace's.")
    if version.tags.get(SPLIT_TAG) != sha256:
        why = "not judged: the version came with another split, so texts of this one may be among those it learnt from"
        rows.append(Row("split", split, NOT_JUDGED, "hold", reason=why))
    if isinstance(challenger, VersionPredictions):
        evidence = Evidence(frame, challenger, reference, figures, params.evaluate, params.seed)
        rows += judge(params.promote.gates, evidence)
    return Ledger(
        registry.name, number, champion, split, sha256, len(frame), tuple(rows), tuple(notes), params.promote.ties
    )


def _read(
    registry: Registry, number: int, champion: int | None, texts: list[str], params: Params
) -> tuple[dict[int, VersionPredictions | ModelError], dict[str, dict]]:
    """What challenger and champion read, or why they do not, and the challenger's figures.

    They read at once where there are cores and threads for both, each with its share of the threads. Nothing is made of
    a champion whose challenger must not be loaded.
    """
    found: dict[int, VersionPredictions | ModelError] = {}
    figures: dict[str, dict] = {}
    at_once = min(2 if champion is not None else 1, params.threads, len(os.sched_getaffinity(0)))
    with ExitStack() as stack:
        turns = Path(stack.enter_context(TemporaryDirectory(prefix="sparsecbm-turns-"))) / "turns"
        pool = stack.enter_context(ThreadPoolExecutor(at_once))
        started: dict[int, Future[VersionPredictions]] = {}
        try:
            for which in (number, champion) if champion is not None else (number,):
                folder = stack.enter_context(fetched(registry, which))
                if which == number:
                    figures = metrics_of(folder)
                started[which] = pool.submit(
                    predict_in_subprocess,
                    folder,
                    texts,
                    params.threads // at_once,
                    params.promote.seconds,
                    TIMED,
                    turns,
                )
        except ModelError as error:
            found[which] = error
        for which, read in started.items():
            try:
                found[which] = read.result()
            except ModelError as error:
                found[which] = error
    return found, figures


def held_out(workspace: Workspace) -> tuple[str, str]:
    """The split whose scores head `metrics/evaluate.json`, and the sha256 of its table.

    Raises:
        DataError: the pipeline has not run here.
    """
    split = read_json(workspace.metrics("evaluate")).get("split")
    for entry in read_manifest(workspace.annotated)["splits"]:
        if entry["name"] == split:
            return split, entry["sha256"]
    raise DataError(f"metrics/evaluate.json is of split {split!r}, which data/annotated lacks; run the pipeline")


def metrics_of(folder: Path) -> dict[str, dict]:
    """FILE -> content of each `metrics/FILE.json` that a version carries."""
    return {path.stem: read_json(path) for path in sorted((folder / "artifacts" / "metrics").glob("*.json"))}
