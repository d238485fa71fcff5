"""Gathers the evidence for the gates: each version is downloaded, checked, and predicts the held-out split."""

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
from sparsecbm.drift.check import windows_file
from sparsecbm.drift.windows import read_windows
from sparsecbm.promote.artifacts import AlteredError, VersionPredictions, fetched_version, predict_in_subprocess
from sparsecbm.promote.gates import Evidence, apply_gates
from sparsecbm.promote.ledger import FAILED, NOT_JUDGED, PASSED, Ledger, Row
from sparsecbm.promote.registry import CHAMPION, MODEL_TAG, PATCHES_TAG, SPLIT_TAG, Registry
from sparsecbm.promote.task import check_same_task

TIMED = 20  # single texts behind a latency

Outcomes = dict[int, VersionPredictions | ModelError]  # version -> its predictions, or why there are none


def judge_version(workspace: Workspace, params: Params, registry: Registry, number: int) -> Ledger:
    """Judge a version against the champion on this workspace's held-out split.

    A challenger that must not be loaded, or does not load, is rejected. A champion that does not predict holds the
    challenger.

    Raises:
        RegistryError: there is no such version, it is a model of another kind, or the champion has another task.
        DataError: this workspace has no annotated data.
    """
    champion, rows, notes = registry.alias(CHAMPION), [], []
    version = registry.version(number)
    split, sha256 = held_out_split(workspace)
    frame = read_split(workspace.annotated, split)
    outcomes, figures = _predict_versions(registry, number, champion, frame["text"].tolist(), params)
    challenger, reference = outcomes[number], outcomes.get(champion)
    if isinstance(challenger, VersionPredictions) and isinstance(reference, VersionPredictions):
        check_same_task(registry, champion, challenger, reference)
    if isinstance(challenger, ModelError):
        altered = isinstance(challenger, AlteredError)
        gate, figure = ("integrity", "files") if altered else ("loading", "a process of its own")
        rows.append(Row(gate, figure, FAILED, "reject", reason=redacted(str(challenger))))
    else:
        rows.append(Row("integrity", "files", PASSED))
        if isinstance(reference, ModelError):
            reason = redacted(f"not judged: {reference}")
            rows.append(Row("champion", "comparison", NOT_JUDGED, "hold", reason=reason))
            reference = None
        if champion is not None and registry.version(champion).tags.get(SPLIT_TAG) != sha256:
            notes.append(f"Version {champion} was registered with another split `{split}`; both predict this one.")
    if version.tags.get(PATCHES_TAG):
        notes.append(
            f"Patches {version.tags[PATCHES_TAG]} are in the masks. Scores, size and latency are measured with them; "
            "figures of stages are those of the model without them."
        )
    if version.tags.get(SPLIT_TAG) != sha256:
        reason = "not judged: the version was registered with another split and may have trained on texts of this one"
        rows.append(Row("split", split, NOT_JUDGED, "hold", reason=reason))
    if isinstance(challenger, VersionPredictions):
        model = version.tags.get(MODEL_TAG)
        windows = [window for window in read_windows(windows_file(workspace)) if window.model == model]
        settings = (params.evaluate, params.seed, windows, params.drift)
        evidence = Evidence(frame, challenger, reference, figures, *settings)
        rows += apply_gates(params.promote.gates, evidence)
    return Ledger(
        registry.name, number, champion, split, sha256, len(frame), tuple(rows), tuple(notes), params.promote.ties
    )


def _predict_versions(
    registry: Registry, number: int, champion: int | None, texts: list[str], params: Params
) -> tuple[Outcomes, dict[str, dict]]:
    """Predictions of challenger and champion, or why there are none, and the challenger's figures.

    Both predict at once if there are cores and threads for both; each gets its share of the threads. The champion does
    not run if the challenger must not be loaded.
    """
    outcomes: Outcomes = {}
    figures: dict[str, dict] = {}
    at_once = min(2 if champion is not None else 1, params.threads, len(os.sched_getaffinity(0)))
    with ExitStack() as stack:
        turns = Path(stack.enter_context(TemporaryDirectory(prefix="sparsecbm-turns-"))) / "turns"
        pool = stack.enter_context(ThreadPoolExecutor(at_once))
        started: dict[int, Future[VersionPredictions]] = {}
        threads, seconds = params.threads // at_once, params.promote.seconds
        try:
            for which in (number, champion) if champion is not None else (number,):
                folder = stack.enter_context(fetched_version(registry, which))
                if which == number:
                    figures = load_metrics(folder)
                started[which] = pool.submit(predict_in_subprocess, folder, texts, threads, seconds, TIMED, turns)
        except ModelError as error:
            outcomes[which] = error
        for which, future in started.items():
            try:
                outcomes[which] = future.result()
            except ModelError as error:
                outcomes[which] = error
    return outcomes, figures


def held_out_split(workspace: Workspace) -> tuple[str, str]:
    """The split whose scores come first in `metrics/evaluate.json`, and the sha256 of its table.

    Raises:
        DataError: the pipeline has not run here.
    """
    split = read_json(workspace.metrics("evaluate")).get("split")
    for entry in read_manifest(workspace.annotated)["splits"]:
        if entry["name"] == split:
            return split, entry["sha256"]
    raise DataError(f"metrics/evaluate.json scores split {split!r}, which data/annotated lacks; run the pipeline")


def load_metrics(folder: Path) -> dict[str, dict]:
    """FILE -> content of each `metrics/FILE.json` that a version carries."""
    return {path.stem: read_json(path) for path in sorted((folder / "artifacts" / "metrics").glob("*.json"))}
