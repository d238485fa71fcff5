"""A model beside itself without each of its units, in one batch, while the model stays as it is.

All that a head has to say passes through its columns of the map that leads out of the heads, and so for neurons: zeros
in the input of that map equal zeros in all weights of the unit. So nothing is ever written into the model; rows of one
batch go through different variants of it, in a copy of the backbone's structure that shares the parameters.

A variant parts from the whole where its unit is. What lies below is computed once; below the first block with masks,
and everywhere in a dense model, it is computed once for all concepts, too.
"""

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sparsecbm.base.errors import ConfigError, ModelError, unknown
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masked import find_blocks, is_masked, route_rows, routed, rows_of
from sparsecbm.model.pooling import pool
from sparsecbm.model.units import Part, find_units

KINDS = ("block", "head", "ffn")


@dataclass(frozen=True)
class Unit:
    """A part of the backbone: a whole block, one of its heads, or its feed-forward part (ffn); numbers from 0."""

    kind: str
    block: int
    head: int | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.block}" + ("" if self.head is None else f".{self.head}")


class Variants:
    """A model whole and without each of its units.

    Args:
        concepts: whose subnetworks are read
        kinds: of the units that are ablated: block | head | ffn
        first: number of the first block whose units are ablated

    Attributes:
        units: what the variants go without, in the order of the blocks

    Raises:
        ModelError: the model has no bottleneck, is a compact one, or the units of its family are not known.
        ConfigError: unknown concept or kind; names the choices.
    """

    def __init__(self, model: ConceptBottleneck, concepts: Sequence[str], kinds: Sequence[str] = KINDS, first: int = 0):
        if not model.has_bottleneck:
            raise ModelError("a model of mode `standard` reads no concepts, so no unit can carry one")
        if model.masked and model.masks is None:
            raise ModelError("a compact model cannot be ablated; ablate the masked model that it was made of")
        for kind in kinds:
            if kind not in KINDS:
                raise ConfigError(unknown("kind of unit", kind, KINDS))
        outs = _outs(model)
        self._heads = {model.concept_set[name].name: model.concept_heads.head(name) for name in concepts}
        self._pooling = model.settings.pooling
        shared = {id(part): part for part in (*model.backbone.parameters(), *model.backbone.buffers())}
        self._backbone = copy.deepcopy(model.backbone, shared).eval()
        layers = dict(self._backbone.named_modules())
        of_block = [
            _units(number, heads.count, kinds if number >= first else ()) for number, (heads, _) in enumerate(outs)
        ]
        self.units = tuple(unit for units in of_block for unit in units)
        rows = 1
        for units, (heads, neurons) in zip(of_block, outs, strict=True):
            rows += len(units)
            layers[heads.part.layer].register_forward_pre_hook(_Cut(rows, [heads.columns(unit) for unit in units]))
            layers[neurons.part.layer].register_forward_pre_hook(_Cut(rows, [neurons.columns(unit) for unit in units]))
        _, members = find_blocks(self._backbone)
        places = [model.concept_set.names.index(name) for name in concepts] if model.masked else None
        forking = _Forking(list(members), [len(units) for units in of_block], places)
        del members[:]
        members.append(forking)  # so the forward pass of transformers runs it, whatever comes before and after

    @torch.inference_mode()
    def logits(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Logits by concept, [1 + units, batch, states], the whole first; ids and mask are [batch, tokens]."""
        states = self._backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled = pool(states, mask.repeat(len(states) // len(mask), 1), self._pooling)
        parts = pooled.view(-1, 1 + len(self.units), len(mask), pooled.shape[-1])  # [concepts, or 1 if dense, ...]
        parts = parts.expand(len(self._heads), -1, -1, -1)
        return {name: head(part) for (name, head), part in zip(self._heads.items(), parts, strict=True)}


def first_masked(members: Sequence[nn.Module]) -> int:
    """Number of the first block that has masks; of blocks if none has."""
    return next((number for number, block in enumerate(members) if is_masked(block)), len(members))


@dataclass(frozen=True)
class _Out:
    """How the units of one kind reach the rest of the model: the columns of the map that leads out of them."""

    kind: str  # head | ffn
    part: Part
    count: int

    def columns(self, unit: Unit) -> slice | None:
        """Inputs of the map that are gone without a unit of the block; None if none are."""
        if unit.kind not in ("block", self.kind):
            return None
        first, count = (0, self.count) if unit.head is None else (unit.head, 1)
        start = self.part.start + first * self.part.width
        return slice(start, start + count * self.part.width)


def _outs(model: ConceptBottleneck) -> list[tuple[_Out, _Out]]:
    """Those of the heads and of the neurons, block by block."""
    try:
        groups = find_units(model.backbone)
    except ModelError:
        family = model.backbone.config.model_type
        raise ModelError(f"the heads and neurons of {family!r} are not known, so they cannot be ablated") from None
    kinds = {"head": "head", "neuron": "ffn"}
    outs = [_Out(kinds[group.kind], group.parts[-1], group.count) for group in groups]
    return list(zip(outs[::2], outs[1::2], strict=True))


def _units(block: int, heads: int, kinds: Sequence[str]) -> list[Unit]:
    every = [Unit("block", block), Unit("ffn", block), *(Unit("head", block, head) for head in range(heads))]
    return [unit for unit in every if unit.kind in kinds]


class _Cut:
    """Before the map that leads out of units: nothing comes from those that the newest variants go without.

    Args:
        variants: how many there are by now, the whole among them
        columns: of each of the newest; None where it keeps them all
    """

    def __init__(self, variants: int, columns: list[slice | None]):
        self.variants, self.columns = variants, columns

    def __call__(self, layer: nn.Module, args: tuple) -> tuple:
        inputs = args[0].clone(memory_format=torch.contiguous_format)
        parts = inputs.view(self.variants, -1, inputs.shape[-1])  # OPT lays the tokens of all rows out in one axis
        for place, columns in enumerate(self.columns, self.variants - len(self.columns)):
            if columns is not None:
                parts[place, :, columns] = 0
        return (inputs, *args[1:])


class _Forking(nn.Module):
    """The blocks of a backbone. Before each, the whole forks off the variants without a unit of that block.

    Rows lie variant by variant, each with the whole batch; variant 0 is the whole.
    """

    def __init__(self, members: list[nn.Module], variants: list[int], places: list[int] | None):
        super().__init__()
        for block in members:
            block._forward_pre_hooks.clear()  # what makes a masked block part its rows
        self.members = nn.ModuleList(members)
        self.variants = variants  # of each block
        self.places = places  # of the concepts in the mask set; None if nothing is masked
        self.first = first_masked(members)

    def forward(self, hidden: Tensor, *args: object, **kwargs: object) -> Tensor:
        """From hidden states of the batch to those of all variants, concept after concept if there are masks."""
        batch = len(hidden)

        def through(states: Tensor, numbers: range, place: int | None) -> Tensor:
            for number in numbers:
                states = torch.cat([states, states[:batch].repeat(self.variants[number], 1, 1)])
                rows = torch.arange(len(states), device=states.device) % batch
                own = [rows_of(value, rows, batch) for value in args]
                named = {name: rows_of(value, rows, batch) for name, value in kwargs.items()}
                with nullcontext() if place is None else routed(route_rows(batch, [rows], [place])):
                    states = self.members[number](states, *own, **named)
            return states

        common = through(hidden, range(self.first), None)
        if self.places is None:
            return common
        return torch.cat([through(common, range(self.first, len(self.members)), place) for place in self.places])
