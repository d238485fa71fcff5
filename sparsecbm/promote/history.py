"""The promotion history: append-only entries, and each entry holds the hash of the one before it.

The history is in the registry with the model, so everybody who shares the registry shares it. It says which version
should be the champion and which version a rollback returns to.

A restart accepts a history that is not valid: its entry holds the hash of everything before it, and the chain is
verified from there on. Nothing is deleted.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from sparsecbm.base.errors import SparseCBMError

PROMOTE = "promote"
ROLLBACK = "rollback"
REFUSE = "refuse"  # nothing moved: a gate or a fault in the registry prevented it
UNDO = "undo"  # the alias moved, the new champion did not answer, and the alias moved back
RESTART = "restart"  # a history that was not valid is accepted as it is
FIRST = "0" * 64  # the first entry holds this instead of a hash

ENTRY_TAG = "sparsecbm.history."  # followed by the number of the entry
LARGEST = 10**9 - 1  # number of an entry

Number = Annotated[int, Field(ge=1, le=LARGEST)]
VersionNumber = Annotated[int, Field(ge=0, lt=2**31)]
Aliases = tuple[VersionNumber | None, VersionNumber | None]  # versions with the aliases `champion` and `previous`
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$")]

_KEY = re.compile(re.escape(ENTRY_TAG) + r"(\d{6,9})")


class HistoryBrokenError(SparseCBMError):
    """Somebody changed the promotion history, or the registry changed without it."""


@dataclass(frozen=True)
class Entry:
    """One change of the champion, or one refusal.

    Attributes:
        number: from 1
        time: UTC, ISO 8601, by the writer's clock; the numbers decide the order, not the times
        action: promote | rollback | refuse | undo | restart
        version: the version that the entry is about; 0 without one
        before, after: versions with the aliases `champion` and `previous`; None without one
        verdict: the gates' verdict; empty if no gate ran
        reason: free text
        forced: whether the promotion went against the verdict
        by: user name
        operation: id of the operation that wrote the entry
        ledger: sha256 of the ledger behind the decision; empty without one
        earlier: hash of the previous entry; of a restart, hash of all tags before it
    """

    number: Number
    time: Time
    action: Literal["promote", "rollback", "refuse", "undo", "restart"]
    version: VersionNumber
    before: Aliases
    after: Aliases
    verdict: str
    reason: str
    forced: bool
    by: str
    operation: str
    ledger: str
    earlier: Sha256

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
            HistoryBrokenError: the text is not an entry, or not as `to_json` writes it.
        """
        try:
            entry = _ENTRY.validate_json(text, strict=True)
        except (ValidationError, UnicodeEncodeError) as error:
            raise HistoryBrokenError(f"an entry of the promotion history is unreadable: {first_fault(error)}") from None
        if entry.to_json() != text:
            raise HistoryBrokenError("an entry of the promotion history is not as it was written")
        return entry


_ENTRY = TypeAdapter(Entry)


@dataclass(frozen=True)
class History:
    """What the registry holds of the history.

    Attributes:
        entries: those that are readable, by number
        faults: entries that are unreadable, missing, misplaced or altered since the last restart; one message each
        first: number of the entry from which the chain is verified: 1, or the last restart
        notes: tags that look like entries and are none
        numbers: of all entries, the unreadable ones included
        digest: sha256 over all tags of the history
    """

    entries: tuple[Entry, ...]
    faults: tuple[str, ...]
    first: int
    notes: tuple[str, ...]
    numbers: tuple[int, ...]
    digest: str

    @property
    def last(self) -> Entry | None:
        """The last readable entry, or None."""
        return self.entries[-1] if self.entries else None


def entry_key(number: int) -> str:
    """The tag that holds an entry."""
    return f"{ENTRY_TAG}{number:06d}"


def entry_number(key: str) -> int | None:
    """The number of an entry by its tag; None for any other tag."""
    match = _KEY.fullmatch(key)
    return int(match[1]) if match and entry_key(int(match[1])) == key and int(match[1]) else None


def parse_history(tags: Mapping[str, str]) -> History:
    """Read the history from the tags of a registered model; whatever they hold, this raises nothing."""
    keys = sorted(key for key in tags if key.startswith(ENTRY_TAG))
    texts = {number: tags[key] for key in keys if (number := entry_number(key)) is not None}
    texts = dict(sorted(texts.items()))
    entries, unreadable = {}, {}
    for number, text in texts.items():
        try:
            entry = Entry.from_json(text)
        except HistoryBrokenError as error:
            unreadable[number] = f"{entry_key(number)}: {error}"
        else:
            if entry.number == number:
                entries[number] = entry
            else:
                unreadable[number] = f"{entry_key(number)} holds entry {entry.number}"
    restart = max((number for number, entry in entries.items() if entry.action == RESTART), default=0)
    faults = [fault for number, fault in unreadable.items() if number > restart]
    faults = faults or find_chain_faults([entry for number, entry in entries.items() if number >= restart])
    before = {number: text for number, text in texts.items() if number < restart}
    if restart and entries[restart].earlier != _digest(before):
        faults.append(f"an entry before entry {restart}, the restart, was altered, added or deleted")
    notes = [f"the tag {key!r} is no entry of the history and is ignored" for key in keys if entry_number(key) is None]
    return History(tuple(entries.values()), tuple(faults), restart or 1, tuple(notes), tuple(texts), _digest(texts))


def find_chain_faults(entries: Sequence[Entry]) -> list[str]:
    """Missing, misplaced and altered entries, one message each; empty if the chain is intact."""
    restarts = [position for position, entry in enumerate(entries) if entry.action == RESTART]
    entries = entries[restarts[-1] :] if restarts else entries
    number, earlier = (entries[0].number, entries[0].earlier) if restarts else (1, FIRST)
    faults = []
    for position, entry in enumerate(entries, start=number):
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
        elif entry.action == RESTART:
            stack = [number for number in reversed(entry.after) if number is not None]
    return stack


def first_fault(error: ValueError) -> str:
    """The first fault that a validation found, in a few words without the input."""
    if not isinstance(error, ValidationError):
        return "it is no valid text"
    fault = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(map(str, fault["loc"]))[:80]
    return f"{where}: {fault['msg'][:160]}" if where else fault["msg"][:160]


def _digest(texts: Mapping[int, str]) -> str:
    """sha256 over numbers and raw texts."""
    return hashlib.sha256(json.dumps(list(texts.items())).encode()).hexdigest()
