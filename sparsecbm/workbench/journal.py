"""Who did what on the page: an append-only file of JSON lines, each with the hash of the line before it."""

import fcntl
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sparsecbm.base.errors import DataError
from sparsecbm.base.faults import system_fault
from sparsecbm.base.json_lines import append_json_lines, read_json_lines

FIRST = "0" * 64  # the first entry holds this instead of a hash


@dataclass(frozen=True)
class VerifiedJournal:
    """All lines of a journal, and whether they are what was written.

    Attributes:
        entries: the oldest first
        fault: where the chain is broken; empty if it is whole
        last: hash of the last entry; no entry holds it, so the end of a whole chain may have been cut
    """

    entries: tuple[dict[str, Any], ...]
    fault: str
    last: str


class Journal:
    """The journal of one workspace."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> list[dict[str, Any]]:
        """All entries, the oldest first.

        Raises:
            DataError: a line was changed, removed or put in; names it.
        """
        journal = self.verified()
        if journal.fault:
            raise DataError(journal.fault)
        return list(journal.entries)

    def verified(self) -> VerifiedJournal:
        """All entries, whole or not.

        Raises:
            DataError: a line is no JSON.
        """
        earlier, fault = FIRST, ""
        records = read_json_lines(self.path)
        for number, record in enumerate(records, start=1):
            if record.get("earlier") != earlier and not fault:
                fault = f"{self.path}, line {number} does not follow the line before it; somebody changed it"
            earlier = _hash(record)
        return VerifiedJournal(tuple(records), fault, earlier)

    def append(self, action: str, by: str, **facts: Any) -> dict[str, Any]:
        """Add an entry; it is on disk when the function returns. Two processes take turns.

        Raises:
            DataError: the file cannot be written, or is not what was written.
        """
        return self._append(action, by, facts, once=False)

    def append_once(self, action: str, by: str, **facts: Any) -> dict[str, Any]:
        """As `append`, but an entry that says the same is returned instead, if there is one.

        Raises:
            DataError: as `append`.
        """
        return self._append(action, by, facts, once=True)

    def _append(self, action: str, by: str, facts: dict[str, Any], once: bool) -> dict[str, Any]:
        said = {"action": action, "by": by, **facts}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path.with_suffix(".lock"), "ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                entries = self.entries()
                for entry in entries if once else ():
                    if said.items() <= entry.items():
                        return entry
                number, at = len(entries) + 1, datetime.now(UTC).isoformat(timespec="seconds")
                earlier = _hash(entries[-1]) if entries else FIRST
                entry = {"number": number, "at": at, **said, "earlier": earlier}
                append_json_lines(self.path, [entry])
        except OSError as error:
            raise DataError(f"{self.path} cannot be written: {system_fault(error)}") from None
        return entry


def _hash(entry: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entry, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
