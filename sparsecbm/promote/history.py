"""The record of promotions: append-only entries, each holding the hash of the one before it.

The record lies in the registry beside what it tells of, so that all who share the registry share it. From it follow the
champion that ought to be, and what a rollback goes back to.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from sparsecbm.base.errors import SparseCBMError

PROMOTE = "promote"
ROLLBACK = "rollback"
REFUSE = "refuse"  # nothing moved: the gates, or a fault in the registry, stood against it
UNDO = "undo"  # the alias had moved, the model did not answer by it, and it moved back
FIRST = "0" * 64  # what the first entry holds in the place of a hash


class HistoryBrokenError(SparseCBMError):
    """The record was tampered with, or the registry moved without it."""


@dataclass(frozen=True)
class Entry:
    """One thing that happened to the champion, or was refused.

    Attributes:
        number: from 1
        time: UTC, ISO 8601, as the clock of its writer said; the order is that of the numbers
        action: promote | rollback | refuse | undo
        version: which version it was about
        before, after: the aliases `champion` and `previous`; versions, None where there was none
        verdict: of the gates, empty where none was asked
        reason: why, in words
        forced: whether it went against the verdict
        by: who
        operation: the id of the operation that wrote it
        ledger: sha256 of the ledger that it rests on, empty where there is none
        earlier: hash of the entry before it
    """

    number: int
    time: str
    action: str
    version: int
    before: tuple[int | None, int | None]
    after: tuple[int | None, int | None]
    verdict: str
    reason: str
    forced: bool
    by: str
    operation: str
    ledger: str
    earlier: str

    @property
    def hash(self) -> str:
        """sha256 over everything in it."""
        return hashlib.sha256(self.to_json().encode("utf-8")).hexdigest()

    def to_json(self) -> str:
        """One line, whose bytes depend on the content alone."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Entry":
        """Inverse of `to_json`.

        Raises:
            HistoryBrokenError: it is no entry.
        """
        try:
            plain = json.loads(text)
            return cls(**{**plain, "before": tuple(plain["before"]), "after": tuple(plain["after"])})
        except (ValueError, TypeError, KeyError) as error:
            raise HistoryBrokenError(f"an entry of the record cannot be read ({error}): {text[:80]}") from None


def faults(entries: Sequence[Entry]) -> list[str]:
    """What is wrong with the chain: an entry that is missing, out of place or altered; empty if all is well."""
    found, earlier = [], FIRST
    for place, entry in enumerate(entries, start=1):
        if entry.number != place:
            found.append(f"entry {place} is missing: number {entry.number} stands in its place")
            break
        if entry.earlier != earlier:
            found.append(f"entry {place - 1 or 1} was altered: entry {place} holds another hash of what was before it")
        earlier = entry.hash
    return found


def clock_jumps(entries: Sequence[Entry]) -> list[str]:
    """Entries that are older than the one before them, by the clock; their order in the chain counts."""
    return [
        f"entry {later.number} ({later.time}) is older than entry {entry.number} ({entry.time}): a clock went back"
        for entry, later in pairwise(entries)
        if later.time < entry.time
    ]


def champions(entries: Iterable[Entry]) -> list[int]:
    """Versions that were promoted and not rolled back from, the champion last: what a rollback goes back along."""
    stack: list[int] = []
    for entry in entries:
        if entry.action == PROMOTE:
            stack.append(entry.version)
        elif entry.action == ROLLBACK:
            while stack and stack[-1] != entry.version:
                stack.pop()
    return stack
