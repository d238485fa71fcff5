"""Anchors of the history: hashes of entries kept outside of it, so that its last entry cannot change unnoticed.

Each entry's hash is a tag of the version that the entry is about. The hash of the last entry that a workspace wrote is
also in a file of the workspace, outside the registry: whoever can write to the registry alone cannot replace the
history without contradicting this file.
"""

from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from sparsecbm.base.files import write_json
from sparsecbm.promote.history import Entry, History, Number, Sha256, entry_key
from sparsecbm.promote.registry import Registry


class _Anchor(TypedDict):
    model: str
    number: Number
    sha256: Sha256


_ANCHOR = TypeAdapter(_Anchor)


def find_anchor_faults(registry: Registry, history: History) -> list[str]:
    """Entries that versions or this workspace remember otherwise, one message each."""
    hashes = {entry.number: entry.hash for entry in history.entries}
    faults = []
    for version, number, remembered in registry.entry_hashes():
        if number not in hashes and number > max(history.numbers, default=0):
            faults.append(f"entry {number} is missing, although version {version} holds its hash")
        elif history.first <= number and hashes.get(number) not in (remembered, None):
            faults.append(f"entry {number} was altered: version {version} holds another hash of it")
    path = anchor_file(registry)
    if path is not None and path.exists():
        faults += _file_faults(path, hashes)
    return faults


def anchor(registry: Registry, entry: Entry) -> None:
    """Remember the hash of the last entry in the version that it is about, and in this workspace.

    Raises:
        DataError: the file cannot be written.
    """
    if entry.version and registry.has_version(entry.version):
        registry.tag_version(entry.version, {entry_key(entry.number): entry.hash})
    path = anchor_file(registry)
    if path is not None:
        write_json(path, {"model": registry.name, "number": entry.number, "sha256": entry.hash})


def anchor_file(registry: Registry) -> Path | None:
    """The file in which this workspace remembers the last entry that it wrote; None without a workspace."""
    return registry.anchors / f"{registry.identity()}.json" if registry.anchors else None


def _file_faults(path: Path, hashes: dict[int, str]) -> list[str]:
    try:
        remembered = _ANCHOR.validate_json(path.read_bytes(), strict=True)
    except (ValidationError, OSError):
        return [f"{path} does not hold the number and the hash of an entry"]
    number, sha256 = remembered["number"], remembered["sha256"]
    if number not in hashes:
        return [f"entry {number} is missing, although {path} holds its hash"]
    if hashes[number] != sha256:
        return [f"entry {number} was altered: {path} holds another hash of it"]
    return []
