"""The most important figures as the description of a run, which MLflow shows above the list of all metrics."""

from collections.abc import Iterable

NOTE_TAG = "mlflow.note.content"  # MLflow's own tag, which its pages show as the description
COLUMNS = ("", "accuracy", "95 %", "majority", "bag of words")


def headline(scores: dict) -> str:
    """Accuracies of the label and of the concepts' mean as a Markdown table; empty without scores.

    Args:
        scores: the content of `metrics/evaluate.json`. Missing rows and cells are left out: a black box has no
            concepts, and a figure may be undefined.
    """
    bag_of_words = scores.get("bag_of_words") or {"concepts": {}}
    rows = [
        ("label", scores.get("label"), bag_of_words.get("label")),
        ("label, hard concepts", scores.get("label_hard"), None),
        ("label, hard, head refitted", scores.get("label_hard_refitted"), None),
        ("concepts, mean", scores.get("concepts", {}).get("mean"), bag_of_words["concepts"].get("mean")),
    ]
    lines = [_line(name, score, baseline) for name, score, baseline in rows if score]
    if not lines:
        return ""
    return "\n".join([f"Split `{scores.get('split')}`:", "", _row(COLUMNS), _row(["---"] * len(COLUMNS)), *lines])


def _line(name: str, score: dict, baseline: float | None) -> str:
    bounds = score.get("accuracy_interval", (None, None))
    interval = "" if None in bounds else " to ".join(map(_cell, bounds))
    return _row([name, _cell(score.get("accuracy")), interval, _cell(score.get("majority")), _cell(baseline)])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
