"""Changes of a model that hold in one context only: edited concepts, and flipped bits of masks.

A context is that of `contextvars`: a thread, or an asyncio task. A forward pass asks for the changes of its own
context, so a block that edits or patches a model changes nothing for others that use the same model at the same time.
The model itself, with its weights and masks, is never written to.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

ConceptLogits = dict[str, Tensor]


class Owner:
    """The model that changes belong to. Copies of its parts keep the owner; a copy of the whole model has its own."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "Owner":
        return self


@dataclass(frozen=True, eq=False)
class LogitEdit:
    """Replaces the logits of concepts, [batch, states] by concept, as soon as the heads have computed them."""

    replace: Callable[[ConceptLogits], ConceptLogits]


@dataclass(frozen=True, eq=False)
class BitFlips:
    """Flips bits of one concept's mask.

    Attributes:
        concept: index of the concept in the mask set
        layers: layer -> (indices of bytes, each once; the value that each byte is xored with)
        patch: the patch that these bits belong to; None for flips without a record
    """

    concept: int
    layers: Mapping[str, tuple[Tensor, Tensor]]
    patch: Any = None

    def apply(self, layer: str, bits: Tensor) -> Tensor:
        """The packed masks of a layer, [concepts, bytes], after the flips; a new tensor."""
        indices, values = (part.to(bits.device) for part in self.layers[layer])
        with torch.inference_mode(False):  # the result may take part in a computation that has gradients
            flipped = bits.clone()
            flipped[self.concept, indices] ^= values
        return flipped


@dataclass(frozen=True, eq=False)
class Changes:
    """All changes of one model in one context, oldest first. They are never altered, only replaced."""

    entries: tuple[LogitEdit | BitFlips, ...] = ()
    # Layer -> (its own masks, its masks under these changes), so that bits are flipped once and not in every pass.
    _flipped: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @property
    def patches(self) -> tuple[Any, ...]:
        """Patches in force, oldest first."""
        return tuple(entry.patch for entry in self.entries if isinstance(entry, BitFlips) and entry.patch is not None)

    @property
    def flips_bits(self) -> bool:
        """Whether any mask is changed."""
        return any(isinstance(entry, BitFlips) for entry in self.entries)

    def bits(self, layer: str, own_bits: Tensor) -> Tensor:
        """The packed masks in force in a layer, [concepts, bytes], given those that the model itself has."""
        if not self.flips_bits:  # nothing is kept, since `NO_CHANGES` lives longer than any model
            return own_bits
        known = self._flipped.get(layer)
        if known is not None and known[0] is own_bits:
            return known[1]
        bits = own_bits
        for entry in self.entries:
            if isinstance(entry, BitFlips) and layer in entry.layers:
                bits = entry.apply(layer, bits)
        self._flipped[layer] = own_bits, bits
        return bits

    def edit(self, logits: ConceptLogits) -> ConceptLogits:
        """The logits after all edits; where two set the same concept, the later one counts."""
        for entry in self.entries:
            if isinstance(entry, LogitEdit):
                logits = entry.replace(logits)
        return logits


NO_CHANGES = Changes()
_changes: ContextVar[Mapping[Owner, Changes]] = ContextVar("changes", default={})  # noqa: B039 (never altered)


def changes_of(owner: Owner) -> Changes:
    """The changes of a model in this context."""
    return _changes.get().get(owner, NO_CHANGES)


@contextmanager
def changed(owner: Owner, entry: LogitEdit | BitFlips) -> Iterator[None]:
    """Add a change to this context while the block runs. Blocks may end in any order."""
    _replace(owner, (*changes_of(owner).entries, entry))
    try:
        yield
    finally:
        drop_change(owner, entry)


def drop_change(owner: Owner, entry: LogitEdit | BitFlips) -> None:
    """End a change of this context before its block ends; does nothing if it has ended."""
    _replace(owner, tuple(other for other in changes_of(owner).entries if other is not entry))


def _replace(owner: Owner, entries: tuple[LogitEdit | BitFlips, ...]) -> None:
    others = {other: changes for other, changes in _changes.get().items() if other is not owner}
    _changes.set({**others, owner: Changes(entries)} if entries else others)
