"""What a file of another tool holds, checked against the texts and concepts of a workspace."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from sparsecbm.annotate.human_labels import Decision, parse_time, standing_decisions
from sparsecbm.annotate.labelled_texts import LabelledTexts
from sparsecbm.annotate.labels import text_key
from sparsecbm.base.errors import DataError, unknown
from sparsecbm.data.blanks import UNKNOWN
from sparsecbm.data.lookalikes import state_meant

CANNOT_DECIDE = "?"  # stands for a state in files; no concept has such a state
MAX_LISTED = 10


@dataclass(frozen=True)
class ExchangedRow:
    """The decisions of one person on one text, as a file holds them.

    Attributes:
        where: the row or task, for messages
        key: of the text; empty if the file names the text alone
        text: empty if the file names the key alone
        author: empty if the file names none
        at: ISO 8601 time; empty if the file names none
        states: concept -> state, or `CANNOT_DECIDE`
        empty: the concepts whose cells are empty; none where a file has no cells
    """

    where: str
    key: str
    text: str
    author: str
    at: str
    states: dict[str, str]
    empty: tuple[str, ...] = ()


@dataclass(frozen=True)
class Import:
    """What an import adds.

    Attributes:
        added: the new decisions
        known: number of decisions that the workspace has already
        older: number of decisions that their author has replaced since
        empty: number of empty cells in rows with an author
        silent: whether all concepts of these cells have the state `unknown`
    """

    added: list[Decision]
    known: int
    older: int
    empty: int = 0
    silent: bool = False


def check_rows(rows: Sequence[ExchangedRow], texts: LabelledTexts, author: str, now: str) -> list[Decision]:
    """The decisions of a file. A state may be written in another way that looks alike, such as in capitals.

    Args:
        author: of rows that name none; may be empty
        now: time of rows that name none

    Raises:
        DataError: a row has an unknown text, concept or state, no author, or a time that is none. The message lists
            the first faults.
    """
    by_key = dict(zip(texts.frame["key"], texts.frame["text"], strict=True))
    faults: list[str] = []
    decisions = []
    meant = {concept.name: state_meant((*concept.states, CANNOT_DECIDE)) for concept in texts.concepts}
    for row in rows:
        if not row.states:
            continue
        # Spreadsheets write the first letter of a cell as a capital.
        states = {name: meant[name](state) if name in meant else state for name, state in row.states.items()}
        row = replace(row, states=states)
        key = _key(row, by_key)
        row_faults = [*_text_faults(row, by_key), *_state_faults(row, texts), *_signature_faults(row, author)]
        faults += [f"{row.where}: {fault}" for fault in row_faults]
        if not row_faults:
            decisions += [
                Decision(key, concept, None if state == CANNOT_DECIDE else state, row.author or author, row.at or now)
                for concept, state in row.states.items()
            ]
    if faults:
        more = [f"  and {len(faults) - MAX_LISTED} more"] if len(faults) > MAX_LISTED else []
        lines = "\n".join([f"  {fault}" for fault in faults[:MAX_LISTED]] + more)
        raise DataError(f"nothing was imported, since the file has {len(faults)} fault(s):\n{lines}")
    return decisions


def compare(imported: Sequence[Decision], existing: Sequence[Decision]) -> Import:
    """Which decisions of a file are new. A decision is known if its author's decision on the cell is the same now."""
    standing = {(d.key, d.concept, d.author): d for d in standing_decisions(existing)}
    added, known, older = [], 0, 0
    for decision in imported:
        cell = (decision.key, decision.concept, decision.author)
        present = standing.get(cell)
        if present is not None and present.state == decision.state:
            known += 1
        elif present is not None and parse_time(decision.at) < parse_time(present.at):
            older += 1
        else:
            added.append(decision)
            standing[cell] = decision
    return Import(added, known, older)


def count_empty(rows: Sequence[ExchangedRow], texts: LabelledTexts, author: str, result: Import) -> Import:
    """An import with the number of empty cells in rows with an author.

    Args:
        author: of rows that name none and hold a state; may be empty
    """
    states = {concept.name: concept.states for concept in texts.concepts}
    signed = [row for row in rows if row.author or (author and row.states)]
    empty = [name for row in signed for name in row.empty if name in states]
    return replace(result, empty=len(empty), silent=all(UNKNOWN in states[name] for name in empty))


def _key(row: ExchangedRow, known: Container[str]) -> str:
    """The key of a row's text. A spreadsheet may take a key for a number, so the text counts if the key is unknown."""
    return row.key if row.key in known or not row.text else text_key(row.text)


def _text_faults(row: ExchangedRow, by_key: dict[str, str]) -> list[str]:
    if not (row.key or row.text):
        return ["it has neither a key nor a text"]
    key = _key(row, by_key)
    if key not in by_key:
        return [f"the text {_shortened(row.key or row.text)!r} is not among the texts of this workspace"]
    if key == row.key and row.text and _plain(row.text) != _plain(by_key[key]):
        return [f"its text is not the text of the key {key}; a decision on a changed text counts for nothing"]
    return []


def _state_faults(row: ExchangedRow, texts: LabelledTexts) -> list[str]:
    states = {concept.name: tuple(concept.states) for concept in texts.concepts}
    faults = []
    for concept, state in row.states.items():
        if concept not in states:
            faults.append(unknown("concept", concept, states))
        elif state != CANNOT_DECIDE and state not in states[concept]:
            faults.append(unknown(f"state of {concept!r}", state, (*states[concept], CANNOT_DECIDE)))
    return faults


def _signature_faults(row: ExchangedRow, author: str) -> list[str]:
    faults = [] if row.author or author else ["it names no author; give one by --author"]
    try:
        parse_time(row.at or "2000-01-01")
    except ValueError:
        faults.append(f"{row.at!r} is no ISO 8601 time")
    return faults


def _plain(text: str) -> str:
    """A text without what programs change on the way: line ends, and blanks in a row."""
    return " ".join(text.split())


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."
