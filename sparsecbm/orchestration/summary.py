"""What a run leaves, in a few lines: scores, the report's path, and where the record is."""

from collections.abc import Sequence

from sparsecbm.base.errors import DataError
from sparsecbm.base.files import read_json
from sparsecbm.base.workspace import Workspace


def score_lines(workspace: Workspace) -> list[str]:
    """The accuracy of the label and of the concepts; empty without an evaluation."""
    try:
        scores = read_json(workspace.metrics("evaluate"))
    except DataError:
        return []
    concepts = scores.get("concepts") or {}
    mean = concepts.get("mean") or {}
    parts = [_accuracy("label", scores.get("label") or {}), _accuracy("concepts on average", mean)]
    single = [
        f"{name} {score['accuracy']:.3f}" for name, score in concepts.items()
        if name != "mean" and isinstance(score, dict) and score.get("accuracy") is not None
    ]  # fmt: skip
    lines = [f"accuracy on {scores.get('split')}: {'; '.join(filter(None, parts))}"] if any(parts) else []
    return [*lines, f"concepts: {', '.join(single)}"] if single else lines


def result_lines(workspace: Workspace, stages: Sequence[str]) -> list[str]:
    """What the stages of a run made: the scores of `evaluate`, the page of `report`."""
    lines = score_lines(workspace) if "evaluate" in stages else []
    if "report" in stages and workspace.report.is_file():
        lines.append(f"report: {workspace.report.relative_to(workspace.root)}")
    return lines


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> duration(59.6), duration(754)
    ('60 s', '12 min 34 s')
    """
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60} s"


def _accuracy(name: str, score: dict) -> str:
    value, interval, majority = score.get("accuracy"), score.get("accuracy_interval"), score.get("majority")
    if value is None:
        return ""
    notes = [f"{interval[0]:.3f} to {interval[1]:.3f}"] if interval and None not in interval else []
    notes += [f"majority {majority:.3f}"] if majority is not None else []
    return f"{name} {value:.3f}" + (f" ({', '.join(notes)})" if notes else "")
