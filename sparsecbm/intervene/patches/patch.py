"""A mask patch: the flipped bits of one concept's mask, and all that a person needs to judge and undo them.

On disk it is one safetensors file. The positions of the bits are int32 tensors. Everything else is JSON in its
metadata, under one key, because safetensors writes several keys in an order that changes from run to run.
"""

import hashlib
import json
from dataclasses import asdict, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, ValidationError, computed_field
from pydantic.dataclasses import dataclass
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sparsecbm.base.errors import InterventionError
from sparsecbm.base.faults import system_fault
from sparsecbm.base.files import replacing
from sparsecbm.base.outputs import check_output, tensors_with
from sparsecbm.base.published import PUBLISHED, published_form
from sparsecbm.base.rich import Rich
from sparsecbm.base.terminal_text import one_line
from sparsecbm.intervene.patches.side_effects import SideEffects
from sparsecbm.intervene.stored import check_sha256, explain_invalid, parse_record
from sparsecbm.model.hub import fetch_file, parse_address
from sparsecbm.model.prediction import StatePrediction

METADATA = "patch"
HUB_FILE = "patch.safetensors"  # in a repository
FORMAT = 1
_KINDS = ("dropped", "grown")


@dataclass(frozen=True, config=PUBLISHED)
class BitsByLayer:
    """Number of flipped bits of each layer."""

    dropped: dict[str, int]
    grown: dict[str, int]


@dataclass(frozen=True, config=PUBLISHED)
class MaskPatch(Rich):
    """Bits of one concept's mask to flip. The published form holds their number in each layer, not their positions.

    Attributes:
        concept: whose mask
        state: that the texts should get
        dropped: positions in the flattened weight of each layer whose bits go from 1 to 0, in order
        grown: those whose bits go from 0 to 1
        before, after: prediction of each text
        author, note: who made it, and why
        parent: id of the patch that must be in force for this one to make sense; None if none must
    """

    concept: str
    state: str
    texts: Annotated[tuple[str, ...], Field(description="sha256 of each text that it was made for")]
    dropped: Annotated[dict[str, tuple[int, ...]], Field(exclude=True)]
    grown: Annotated[dict[str, tuple[int, ...]], Field(exclude=True)]
    weights: Annotated[str, Field(description="checksum of the weights that it fits")]
    mask: Annotated[str, Field(description="checksum of the concept's mask that it fits, without any patch")]
    size: Annotated[int, Field(description="bits of that mask")]
    before: tuple[StatePrediction, ...] = ()
    after: tuple[StatePrediction, ...] = ()
    made: Annotated[dict[str, Any], Field(description="options that it was made with")] = field(default_factory=dict)
    side_effects: Annotated[
        SideEffects | None, Field(description="on a reference; null if it was made without one")
    ] = None
    author: str = ""
    note: str = ""
    parent: str | None = None

    def __repr__(self) -> str:
        flips = f"flips {self.bits:,} of {self.size:,} bits for {len(self.texts)} text(s)"
        aim = f"{one_line(self.concept)} becomes {one_line(self.state)}"
        return f"<{type(self).__name__} {self.id[:12]}: {aim}, {flips}>"

    @property
    def flipped(self) -> dict[str, tuple[int, ...]]:
        """All flipped bits by layer, dropped ones first."""
        layers = sorted(self.dropped.keys() | self.grown.keys())
        return {layer: (*self.dropped.get(layer, ()), *self.grown.get(layer, ())) for layer in layers}

    @computed_field(description="version of the file format")  # type: ignore[prop-decorator]
    @property
    def format(self) -> int:
        """Version of the file format."""
        return FORMAT

    @computed_field  # type: ignore[prop-decorator]
    @property
    def bits(self) -> int:
        """Number of flipped bits."""
        return sum(len(positions) for positions in self.flipped.values())

    @computed_field  # type: ignore[prop-decorator]
    @property
    def share(self) -> Annotated[float, Field(ge=0, le=1)]:
        """Share of the mask's bits that are flipped."""
        return self.bits / self.size

    @computed_field  # type: ignore[prop-decorator]
    @property
    def by_layer(self) -> BitsByLayer:
        """Number of flipped bits of each layer."""
        counts = ({layer: len(positions) for layer, positions in self._positions(kind).items()} for kind in _KINDS)
        return BitsByLayer(*counts)

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def id(self) -> str:
        """sha256 over everything in it, as hex."""
        plain = {**self._description(), "flips": [self._positions(kind) for kind in _KINDS]}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the published form, as `sparsecbm/schemas/patch.schema.json` describes it."""
        return published_form(self)

    def _description(self) -> dict[str, Any]:
        plain = asdict(self)
        for kind in _KINDS:
            del plain[kind]
        # Through JSON, so that a saved patch and a loaded one have the same description in every detail.
        return json.loads(json.dumps({"format": FORMAT, **plain}))

    def _positions(self, kind: str) -> dict[str, list[int]]:
        return {layer: list(positions) for layer, positions in sorted(getattr(self, kind).items())}

    def save(self, path: str | Path) -> None:
        """Write one file; it appears whole or not at all.

        Raises:
            WriteError: another kind of file, or a folder, is there, or writing failed.
        """
        check_patch_output(Path(path))
        metadata = {METADATA: json.dumps({**self._description(), "id": self.id}, sort_keys=True)}
        tensors = {
            f"{kind}/{layer}": torch.tensor(positions, dtype=torch.int32)
            for kind in _KINDS
            for layer, positions in self._positions(kind).items()
        }
        with replacing(Path(path)) as temporary:
            save_file(tensors, temporary, metadata)

    @classmethod
    def load(cls, path: str | Path) -> "MaskPatch":
        """Read a file that `save` wrote, or that of a repository `name@revision` on a hub.

        Raises:
            InterventionError: the file is missing, truncated or altered, or is not a patch.
            ModelError: the hub has no such repository, revision or patch, or cannot be reached.
        """
        address = parse_address(path)
        path = Path(path) if address is None else fetch_file(address, HUB_FILE, "patch")
        if not path.exists():
            raise InterventionError(f"{path} does not exist")
        if not path.is_file():
            raise InterventionError(f"{path} is no file, so it holds no patch")
        metadata, positions = _read_file(path)
        plain = parse_record(metadata, path)
        stated_id, version = plain.pop("id", None), plain.pop("format", None)
        if version != FORMAT:
            raise InterventionError(f"{path} has patch format {version}; this version reads format {FORMAT}")
        try:
            patch = cls(**{**plain, **positions})
        except ValidationError as error:
            raise InterventionError(f"{path} is not a complete patch: {explain_invalid(error)}") from None
        check_sha256((*patch.texts, *([patch.parent] if patch.parent else [])), "each text and the parent", path)
        check_sha256((patch.weights, patch.mask), "weights and mask", path)
        if not 0 < patch.bits <= patch.size:
            raise InterventionError(f"{path} is not a complete patch: it flips {patch.bits} of {patch.size} bits")
        if patch.id != stated_id:
            raise InterventionError(f"{path} was altered: its contents do not match the sha256 that it states")
        return patch


def _read_file(path: Path) -> tuple[str, dict[str, dict[str, tuple[int, ...]]]]:
    """Return the metadata of a patch file, and the positions by kind and layer."""
    positions: dict[str, dict[str, tuple[int, ...]]] = {kind: {} for kind in _KINDS}
    try:
        with safe_open(path, framework="pt") as file:
            metadata = (file.metadata() or {}).get(METADATA)
            for name in file.keys():  # noqa: SIM118 (no mapping)
                kind, _, layer = name.partition("/")
                tensor = file.get_tensor(name)
                if kind not in _KINDS or tensor.dtype != torch.int32 or tensor.ndim != 1 or (tensor < 0).any():
                    raise InterventionError(f"{path} is not a complete patch: {name[:80]!r} holds no positions of bits")
                positions[kind][layer] = tuple(tensor.tolist())
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError) as error:
        reason = system_fault(error) or str(error)
        raise InterventionError(f"{path} is not a complete patch: {reason}") from error
    if metadata is None:
        raise InterventionError(f"{path} is not a patch: it has no description")
    return metadata, positions


def check_patch_output(path: Path) -> None:
    """Check that a patch may be written to a path, before it is searched for.

    Raises:
        WriteError: another kind of file, or a folder, is there.
    """
    check_output(path, tensors_with(METADATA), "a patch")
