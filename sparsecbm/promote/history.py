"""The promotion history: append-only entries, and each entry holds the hash of the one before it.

The history is in the registry with the model, so everybody who shares the registry shares it. It says which version
should be the champion and which version a rollback returns to.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from sparsecbm.base.errors import SparseCBMError

PROMOTE = "promote"
ROLLBACK = "rollback"
REFUSE = "refuse"  # nothing moved: a gate or a fault in the registry prevented it
UNDO = "undo"  # the alias moved, the new champion did not answer, and the alias moved back
FIRST = "0" * 64  # the first entry holds this instead of a hash


class HistoryBrokenError(SparseCBMError):
    """Somebody changed the promotion history, or the registry changed without it."""


@dataclass(frozen=True)
class Entry:
    """One change of the champion, or one refusal.

    Attributes:
        number: from 1
        time: UTC, ISO 8601, by the writer's clock; the numbers decide the order, not the times
        action: promote | rollback | refuse | undo
        version: the version that the entry is about
        before, after: versions with the aliases `champion` and `previous`; None without one
        verdict: the gates' verdict; empty if no gate ran
        reason: free text
        forced: whether the promotion went against the verdict
        by: user name
        operation: id of the operation that wrote the entry
        ledger: sha256 of the ledger behind the decision; empty without one
        earlier: hash of the previous entry
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
        """sha256 over the whole entry."""
        return hashlib.sha256(self.to_json().encode("utf-8")).hexdigest()

    def to_json(self) -> str:
        """One line; its bytes depend on the content alone."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Entry":
        """Inverse of `to_json`.

        Raises:
            HistoryBrokenError: the text is not an entry.
        """
        try:
            plain = json.loads(text)
            return cls(**{**plain, "before": tuple(plain["before"]), "after": tuple(plain["after"])})
        except (ValueError, TypeError, KeyError) as error:
            message = f"an entry of the promotion history is unreadable ({error}): {text[:80]}"
            raise HistoryBrokenError(message) from None


def find_chain_faults(entries: Sequence[Entry]) -> list[str]:
    """Missing, misplaced and altered entries, one message each; empty if the chain is intact."""
    faults, earlier = [], FIRST
    for position, entry in enumerate(entries, start=1):
        if entry.number != position:
            faults.append(f"entry {position} is missing: entry {entry.number} follows")
            break
        if entry.earlier != earlier:
            faults.append(f"entry {position - 1 or 1} was altered: entry {position} holds another hash of it")
        earlier = entry.hash
    return faults


def find_clock_jumps(entries: Sequence[Entry]) -> list[str]:
    """Entries with an earlier time than the entry before them, one message each; their order stays valid."""
    return [
        f"entry {later.number} ({later.time}) is older than entry {entry.number} ({entry.time}): a clock went back"
        for entry, later in pairwise(entries)
        if later.time < entry.time
    ]


def champion_stack(entries: Iterable[Entry]) -> list[int]:
    """Promoted versions that no rollback has left, the present champion last; a rollback walks this list back."""
    stack: list[int] = []
    for entry in entries:
        if entry.action == PROMOTE:
            stack.append(entry.version)
        elif entry.action == ROLLBACK:
            while stack and stack[-1] != entry.version:
                stack.pop()
    return stack
