"""A mask patch: the flipped bits of one concept's mask, and all that is needed to judge and to undo them.

On disk it is one safetensors file: positions of the bits as int32, and everything else as JSON in its metadata, under
one key, since safetensors writes several in an order that changes from run to run.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sparsecbm.base.errors import InterventionError
from sparsecbm.base.files import replacing
from sparsecbm.model.prediction import StatePrediction

METADATA = "patch"
FORMAT = 1
_KINDS = ("dropped", "grown")


@dataclass(frozen=True)
class MaskPatch:
    """Bits of one concept's mask to flip.

    Attributes:
        concept: whose mask
        state: how the texts are to be read
        texts: sha256 of each text that it was made for
        dropped: places in the flattened weight of each layer whose bits go from 1 to 0, in order
        grown: those whose bits go from 0 to 1
        weights: checksum of the weights that it fits
        mask: checksum of the concept's mask that it fits, without any patch
        size: bits of that mask
        before, after: how each text read
        made: how it was made: budget, margin, scope, protection
        side_effects: its bill on a reference, as `Bill.to_dict` gives it; None if nobody asked for one
        author, note: who made it, and why
        parent: id of the patch that must be in force for this one to make sense; None if none must
    """

    concept: str
    state: str
    texts: tuple[str, ...]
    dropped: dict[str, tuple[int, ...]]
    grown: dict[str, tuple[int, ...]]
    weights: str
    mask: str
    size: int
    before: tuple[StatePrediction, ...] = ()
    after: tuple[StatePrediction, ...] = ()
    made: dict = field(default_factory=dict)
    side_effects: dict | None = None
    author: str = ""
    note: str = ""
    parent: str | None = None

    @property
    def flipped(self) -> dict[str, tuple[int, ...]]:
        """All flipped bits by layer, dropped ones first."""
        layers = sorted(self.dropped.keys() | self.grown.keys())
        return {layer: (*self.dropped.get(layer, ()), *self.grown.get(layer, ())) for layer in layers}

    @property
    def bits(self) -> int:
        """How many bits it flips."""
        return sum(len(positions) for positions in self.flipped.values())

    @property
    def share(self) -> float:
        """Share of the mask's bits that it flips."""
        return self.bits / self.size

    @cached_property
    def id(self) -> str:
        """sha256 over everything in it, as hex."""
        plain = {**self._description(), "flips": [self._flips(kind) for kind in _KINDS]}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict:
        """Plain form without the positions: how many bits each layer loses and gains stands in their place."""
        counts = {kind: {layer: len(p) for layer, p in self._flips(kind).items()} for kind in _KINDS}
        return {"id": self.id, **self._description(), "bits": self.bits, "share": self.share, "by_layer": counts}

    def _description(self) -> dict:
        plain = asdict(self)
        for kind in _KINDS:
            del plain[kind]
        # Through JSON, so that what was saved and what is read back are the same in every detail.
        return json.loads(json.dumps({"format": FORMAT, **plain}))

    def _flips(self, kind: str) -> dict[str, list[int]]:
        return {layer: list(positions) for layer, positions in sorted(getattr(self, kind).items())}

    def save(self, path: Path) -> None:
        """Write one file; it appears whole or not at all."""
        metadata = {METADATA: json.dumps({**self._description(), "id": self.id}, sort_keys=True)}
        tensors = {
            f"{kind}/{layer}": torch.tensor(positions, dtype=torch.int32)
            for kind in _KINDS
            for layer, positions in self._flips(kind).items()
        }
        with replacing(Path(path)) as temporary:
            save_file(tensors, temporary, metadata)

    @classmethod
    def load(cls, path: Path) -> "MaskPatch":
        """Read what `save` wrote.

        Raises:
            InterventionError: the file is missing, truncated or no patch, or something in it was altered.
        """
        path = Path(path)
        if not path.is_file():
            raise InterventionError(f"{path} does not exist")
        try:
            with safe_open(path, framework="pt") as file:
                plain = json.loads((file.metadata() or {})[METADATA])
                tensors = {name: tuple(file.get_tensor(name).tolist()) for name in file.keys()}  # noqa: SIM118
            stated, version = plain.pop("id"), plain.pop("format")
            for kind in _KINDS:
                plain[kind] = {n.partition("/")[2]: p for n, p in tensors.items() if n.partition("/")[0] == kind}
            for name in ("before", "after"):
                plain[name] = tuple(StatePrediction(**reading) for reading in plain[name])
            patch = cls(**{**plain, "texts": tuple(plain["texts"])})
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InterventionError(f"{path} is no patch, or a part of one: {error}") from error
        if version != FORMAT:
            raise InterventionError(f"{path} has patch format {version}; this version reads {FORMAT}")
        if patch.id != stated:
            raise InterventionError(f"{path} was altered: its contents do not have the sha256 that it states")
        return patch
