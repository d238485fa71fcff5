"""Gathers what the gates look at: each version fetched, looked at, and let read the held-out split by itself."""

from pathlib import Path

from sparsecbm.data.tables import read_manifest, read_split
from sparsecbm.errors import DataError, ModelError
from sparsecbm.files import read_json
from sparsecbm.params import Params
from sparsecbm.promote.custody import Altered, Read, fetched, read_texts
from sparsecbm.promote.gates import Evidence, judge
from sparsecbm.promote.ledger import FAILED, NOT_JUDGED, Ledger, Row
from sparsecbm.promote.registry import CHAMPION, SPLIT_TAG, Registry
from sparsecbm.secrets import redacted
from sparsecbm.workspace import Workspace

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
    texts = frame["text"].tolist()
    figures: dict[str, dict] = {}

    def read(which: int) -> Read:
        with fetched(registry, which) as folder:
            if which == number:
                figures.update(metrics_of(folder))
            return read_texts(folder, texts, params.threads, params.promote.seconds, TIMED)

    try:
        challenger = read(number)
        rows.append(Row("integrity", "files", "passed"))
    except ModelError as error:
        gate, figure = ("integrity", "files") if isinstance(error, Altered) else ("loading", "a process of its own")
        rows.append(Row(gate, figure, FAILED, "reject", reason=redacted(str(error))))
        challenger = None
    reference = None
    if challenger is not None and champion is not None:
        try:
            reference = read(champion)
        except ModelError as error:
            rows.append(Row("champion", "comparison", NOT_JUDGED, "hold", reason=redacted(f"not judged: {error}")))
        if registry.version(champion).tags.get(SPLIT_TAG) != sha256:
            notes.append(f"Version {champion} came with another split `{split}`; both read this workspace's.")
    if version.tags.get(SPLIT_TAG) != sha256:
        why = "not judged: the version came with another split, so texts of this one may be among those it learnt from"
        rows.append(Row("split", split, NOT_JUDGED, "hold", reason=why))
    if challenger is not None:
        evidence = Evidence(frame, challenger, reference, figures, params.evaluate, params.seed)
        rows += judge(params.promote.gates, evidence)
    return Ledger(
        registry.name, number, champion, split, sha256, len(frame), tuple(rows), tuple(notes), params.promote.ties
    )


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
