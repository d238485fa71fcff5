"""Labels of people on single texts: `data/annotations/human.jsonl`, one decision a line, only ever appended to.

A decision holds `key` (see `labels.text_key`), `concept`, `state` (null: the text cannot be decided), `author`, `at`
(ISO 8601 time, UTC) and `action`: `label`, or `undo`, which takes back the author's latest decision on this cell.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd

from sparsecbm.base.errors import DataError, unknown
from sparsecbm.base.json_lines import append_json_lines, read_json_lines

HUMAN_FILE = "human.jsonl"  # in `data/annotations`
Action = Literal["label", "undo"]
ACTIONS: tuple[str, ...] = get_args(Action)


@dataclass(frozen=True)
class Decision:
    """One decision of a person on one concept of one text."""

    key: str
    concept: str
    state: str | None
    author: str
    at: str
    action: Action = "label"


_KEYS = tuple(each.name for each in fields(Decision))  # of a record; all but the last one must be there


def read_decisions(path: Path) -> list[Decision]:
    """All decisions in order; none if there is no file.

    A line that a crash cut off at the end of the file does not count.

    Raises:
        DataError: a line is no decision; names the line.
    """
    decisions = []
    for number, record in enumerate(read_json_lines(path), start=1):
        fault = _fault(record)
        if fault:
            raise DataError(f"{path}, line {number} is no decision: {fault}; correct or remove the line")
        decisions.append(Decision(**record))
    return decisions


def _fault(record: Mapping[str, Any]) -> str:
    """Why a record is no decision; empty if it is one."""
    for name in record:
        if name not in _KEYS:
            return unknown("key", name, _KEYS)
    for name in _KEYS[:-1]:
        if not (isinstance(record.get(name), str) or (name == "state" and record.get(name, "") is None)):
            return f"{name!r} must be a text{', or null' if name == 'state' else ''}"
    try:
        parse_time(record["at"])
    except ValueError:
        return f"{record['at']!r} is no ISO 8601 time"
    action = record.get("action", "label")
    return "" if action in ACTIONS else unknown("action", str(action), ACTIONS)


def append_decisions(path: Path, decisions: Iterable[Decision]) -> None:
    """Append decisions; each is on disk when the function returns. A line that was cut off is removed first.

    Two processes that append at once take turns, so neither loses a decision.

    Raises:
        DataError: the file cannot be written.
    """
    append_json_lines(path, map(asdict, decisions))


def standing_decisions(decisions: Iterable[Decision]) -> list[Decision]:
    """The latest decision of each author on each cell that is not taken back, in the order in which they were made."""
    by_author: dict[tuple[str, str, str], list[tuple[int, Decision]]] = {}
    for number, decision in enumerate(decisions):
        votes = by_author.setdefault((decision.key, decision.concept, decision.author), [])
        if decision.action == "label":
            votes.append((number, decision))
        elif votes:
            votes.pop()
    return [decision for _, decision in sorted((votes[-1] for votes in by_author.values() if votes), key=itemgetter(0))]


def decisions_by_text(decisions: Iterable[Decision]) -> dict[str, dict[str, list[Decision]]]:
    """Key of a text -> author -> the author's decisions on it that stand."""
    by_text: dict[str, dict[str, list[Decision]]] = {}
    for decision in standing_decisions(decisions):
        by_text.setdefault(decision.key, {}).setdefault(decision.author, []).append(decision)
    return by_text


def current_labels(decisions: Iterable[Decision]) -> pd.DataFrame:
    """What people say now: columns `key`, `concept`, `state`, `votes`, `agreement`.

    Each author has one vote, the latest that is not taken back. The majority decides; without one, or if most say that
    the text cannot be decided, the state is null.

    Returns:
        `agreement` is the share of the votes for the state; rows are sorted by key and concept
    """
    cells: dict[tuple[str, str], list[str | None]] = {}
    for decision in standing_decisions(decisions):
        cells.setdefault((decision.key, decision.concept), []).append(decision.state)
    rows = []
    for (key, concept), votes in sorted(cells.items()):
        (state, count), *others = Counter(votes).most_common(2)
        tied = bool(others) and others[0][1] == count
        rows.append(
            {
                "key": key,
                "concept": concept,
                "state": None if tied else state,
                "votes": len(votes),
                "agreement": count / len(votes),
            }
        )
    types = {"key": "str", "concept": "str", "state": "str", "votes": "int64", "agreement": "float64"}
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def disputed_cells(decisions: Iterable[Decision]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Cells on which people disagree without a majority: (key, concept) -> the authors, in the order of their votes."""
    votes: dict[tuple[str, str], list[Decision]] = {}
    for decision in standing_decisions(decisions):
        votes.setdefault((decision.key, decision.concept), []).append(decision)
    disputes = {}
    for cell, decided in votes.items():
        (_, most), *others = Counter(decision.state for decision in decided).most_common(2)
        if others and others[0][1] == most:
            disputes[cell] = tuple(decision.author for decision in decided)
    return disputes


def parse_time(text: str) -> datetime:
    """An ISO 8601 time; UTC if it names no zone.

    Raises:
        ValueError: it is none.
    """
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def time_now() -> str:
    """The time of a decision that is made now."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
