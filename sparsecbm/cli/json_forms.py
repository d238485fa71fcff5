"""The JSON that `sparsecbm intervene`, `patch` and `memory` print; its schemas are in `sparsecbm/schemas/`."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from sparsecbm.base.published import PUBLISHED

if TYPE_CHECKING:
    from sparsecbm.intervene.patches.patch import MaskPatch


@dataclass(frozen=True, config=PUBLISHED)
class PatchRow:
    """One file of `sparsecbm patch list --json`."""

    id: str
    file: str
    concept: str
    state: str
    texts: int
    bits: int
    parent: str | None
    author: str
    note: str

    @classmethod
    def of_file(cls, file: str, patch: "MaskPatch") -> "PatchRow":
        """Describe a patch that was loaded from a file."""
        return cls(
            patch.id, file, patch.concept, patch.state, len(patch.texts), patch.bits, patch.parent, patch.author,
            patch.note,
        )  # fmt: skip


@dataclass(frozen=True, config=PUBLISHED)
class WrittenModel:
    """The model that `sparsecbm patch apply --json` and `patch revert --json` wrote."""

    model: str
    checksum: str
    masks: Annotated[str, Field(description="checksum of all its masks")]
