"""The index of a store: every correction, with the sha256 of its files.

Names of files are not taken from the index: they follow from the id of a correction, which follows from its contents.
So an index that somebody else wrote can name nothing outside the store.
"""

import hashlib
import json
from dataclasses import asdict
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, computed_field
from pydantic.dataclasses import dataclass

from sparsecbm.base.errors import InterventionError
from sparsecbm.base.faults import system_fault
from sparsecbm.base.files import write_json
from sparsecbm.base.published import PUBLISHED
from sparsecbm.intervene.stored import check_sha256, explain_invalid, parse_record

FORMAT = 1
INDEX = "index.json"
DENSE = "dense"  # the mask of a correction for a model without masks


@dataclass(frozen=True, config=PUBLISHED)
class Correction:
    """One entry of the store. The published form leaves out the checksums.

    Attributes:
        concept, state: what was set, and to what
        weights, mask: checksums of the model's weights and of the concept's mask; the text's vector has a meaning for
            these only. `mask` is `DENSE` for a model without masks
        author, note: who made it, and why
    """

    concept: str
    state: str
    text: Annotated[str, Field(description="sha256 of the corrected text")]
    weights: Annotated[str, Field(exclude=True)]
    mask: Annotated[str, Field(exclude=True)]
    patch: Annotated[str | None, Field(description="id of the mask patch; null for a concept edit")] = None
    author: str = ""
    note: str = ""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def kind(self) -> Literal["edit", "patch"]:
        """Whether it is a concept edit or a mask patch."""
        return "edit" if self.patch is None else "patch"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def id(self) -> str:
        """sha256 over everything in it, as hex."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@plain_dataclass(frozen=True)
class Entry:
    """A correction, and the sha256 of its files by name."""

    correction: Correction
    files: dict[str, str]


def vector_file(correction: Correction) -> str:
    """Name of the file with the vector of a correction's text."""
    return f"{correction.id}.safetensors"


def patch_file(correction: Correction) -> str:
    """Name of the file with the patch of a correction."""
    return f"{correction.id}.patch"


def read_index(folder: Path) -> dict[str, Entry]:
    """Return the corrections of a store by id, oldest first; none if the store has no index yet.

    Raises:
        InterventionError: the index cannot be read, has another format, or lists anything but corrections with the
            files that follow from their ids; names the file.
    """
    path = folder / INDEX
    try:
        plain = parse_record(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InterventionError(f"{path} cannot be read: {system_fault(error) or error}") from None
    if plain.get("format") != FORMAT:
        raise InterventionError(f"{path} has format {plain.get('format')}; this version reads format {FORMAT}")
    if not isinstance(plain.get("corrections"), list):
        raise InterventionError(f"{path} is not an index of corrections: it lists none")
    entries = [_entry(value, number, path) for number, value in enumerate(plain["corrections"], start=1)]
    return {entry.correction.id: entry for entry in entries}


def write_index(folder: Path, index: dict[str, Entry]) -> None:
    """Write the index of a store; it appears whole or not at all."""
    write_json(folder / INDEX, {"format": FORMAT, "corrections": [asdict(entry) for entry in index.values()]})


def _entry(value: Any, number: int, path: Path) -> Entry:
    where = f"{path} is not an index of corrections: entry {number}"
    if not isinstance(value, dict) or set(value) != {"correction", "files"}:
        raise InterventionError(f"{where} must hold the keys correction and files")
    plain, files = value["correction"], value["files"]
    if not isinstance(plain, dict) or not isinstance(files, dict):
        raise InterventionError(f"{where} must hold two objects")
    try:
        correction = Correction(**plain)
    except ValidationError as error:
        raise InterventionError(f"{where}: {explain_invalid(error)}") from None
    expected = {vector_file(correction)} | ({patch_file(correction)} if correction.patch else set())
    if set(files) != expected:
        raise InterventionError(
            f"{where} lists the files {', '.join(files)[:200] or 'none'}, but its own are {', '.join(sorted(expected))}"
        )
    check_sha256(files.values(), "the checksum of a file", path)
    check_sha256((correction.text, correction.weights), "text and weights of a correction", path)
    check_sha256([correction.patch] if correction.patch else [], "the patch of a correction", path)
    check_sha256([correction.mask] if correction.mask != DENSE else [], "the mask of a correction", path)
    return Entry(correction, files)
