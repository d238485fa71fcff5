"""A whole model and variants of it that each lack one unit, in one batch.

The output of a head or a neuron reaches the rest of the model only through its columns of the next map. So zeros in the
input of that map have the same effect as zeros in all weights of the unit. Rows of one batch go through different
variants, in a copy of the backbone that shares the parameters, and the model itself is never changed.

A variant differs from the whole model only from its unit on, so everything below is computed once. What all concepts
share is computed once for all: blocks below the first masked one, and every block of a dense model.
"""

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sparsecbm.base.errors import ConfigError, ModelError, unknown
from sparsecbm.model.branches import BranchedBlock, join_outputs
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masked import find_blocks, first_masked_block
from sparsecbm.model.pooling import pool
from sparsecbm.model.routing import BlockOutput, remove_row_splitter, route_rows, routed, run_rows
from sparsecbm.model.units import LayerPart, find_units_for

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
    """A whole model, and a variant without each of its units.

    Args:
        concepts: whose subnetworks run
        kinds: kinds of units to ablate: block | head | ffn
        first: number of the first block whose units are ablated

    Attributes:
        units: the unit that each variant lacks, in the order of the blocks

    Raises:
        ModelError: the model has no bottleneck, is compact, or the units of its family are not known.
        ConfigError: unknown concept or kind; names the choices.
    """

    def __init__(self, model: ConceptBottleneck, concepts: Sequence[str], kinds: Sequence[str] = KINDS, first: int = 0):
        if not model.has_bottleneck:
            raise ModelError("a model of mode `standard` predicts no concepts, so no unit can carry one")
        if model.masked and model.masks is None:
            raise ModelError("a compact model cannot be ablated; ablate the masked model that it was made from")
        for kind in kinds:
            if kind not in KINDS:
                raise ConfigError(unknown("kind of unit", kind, KINDS))
        outputs = _unit_outputs(model)
        self._heads = {model.concept_set[name].name: model.concept_heads.head(name) for name in concepts}
        self._pooling = model.settings.pooling
        units = [
            _block_units(number, heads.count, kinds if number >= first else ())
            for number, (heads, _) in enumerate(outputs)
        ]
        self.units = tuple(unit for block_units in units for unit in block_units)
        shared = {id(part): part for part in (*model.backbone.parameters(), *model.backbone.buffers())}
        self._backbone = copy.deepcopy(model.backbone, shared).eval()
        layers = dict(self._backbone.named_modules())
        _, blocks = find_blocks(self._backbone)
        masked = [model.concept_set.names.index(name) for name in concepts] if model.masked else None
        first_masked = first_masked_block(self._backbone)
        layout = _Layout(1, 1)
        for number, (block_units, outs) in enumerate(zip(units, outputs, strict=True)):
            split = masked if number >= first_masked else None
            remove_row_splitter(blocks[number])  # the variant block splits the rows instead
            blocks[number] = _VariantBlock(blocks[number], layout, len(block_units), split)
            layout = _Layout(1 if split is None else len(split), layout.variants + len(block_units))
            for out in outs:
                cut = _Cut(layout.variants, [out.columns(unit) for unit in block_units])
                layers[out.part.layer].register_forward_pre_hook(cut)

    @torch.inference_mode()
    def logits(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Logits by concept, [1 + units, batch, states], the whole model first; ids and mask are [batch, tokens]."""
        states = self._backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled = pool(states, mask.repeat(len(states) // len(mask), 1), self._pooling)
        parts = pooled.view(-1, 1 + len(self.units), len(mask), pooled.shape[-1])  # [concepts, or 1 if dense, ...]
        parts = parts.expand(len(self._heads), -1, -1, -1)
        return {name: head(part) for (name, head), part in zip(self._heads.items(), parts, strict=True)}


@dataclass(frozen=True)
class _UnitOutput:
    """Where the outputs of the units of one kind enter the rest of the model: columns of the next map."""

    kind: str  # head | ffn
    part: LayerPart
    count: int

    def columns(self, unit: Unit) -> slice | None:
        """Inputs of the map that come from a unit of the block; None if none do."""
        if unit.kind not in ("block", self.kind):
            return None
        first, count = (0, self.count) if unit.head is None else (unit.head, 1)
        start = self.part.start + first * self.part.width
        return slice(start, start + count * self.part.width)


def _unit_outputs(model: ConceptBottleneck) -> list[tuple[_UnitOutput, _UnitOutput]]:
    """The outputs of the heads and of the neurons, block by block."""
    groups = find_units_for(model.backbone, "they cannot be ablated")
    kinds = {"head": "head", "neuron": "ffn"}
    outputs = [_UnitOutput(kinds[group.kind], group.parts[-1], group.count) for group in groups]
    return list(zip(outputs[::2], outputs[1::2], strict=True))


def _block_units(block: int, heads: int, kinds: Sequence[str]) -> list[Unit]:
    units = [Unit("block", block), Unit("ffn", block), *(Unit("head", block, head) for head in range(heads))]
    return [unit for unit in units if unit.kind in kinds]


class _Cut:
    """A forward pre-hook of the map after the units: it zeroes the outputs of the units that new variants lack.

    Args:
        variants: number of variants so far, the whole model and the new ones among them
        columns: for each new variant, the inputs of the map that it lacks; None if it lacks none of them
    """

    def __init__(self, variants: int, columns: list[slice | None]):
        self.variants, self.columns = variants, columns

    def __call__(self, layer: nn.Module, args: tuple) -> tuple:
        inputs = args[0].clone(memory_format=torch.contiguous_format)
        parts = inputs.view(self.variants, -1, inputs.shape[-1])  # OPT flattens rows and tokens into one axis
        for variant, columns in enumerate(self.columns, self.variants - len(self.columns)):
            if columns is not None:
                parts[variant, :, columns] = 0
        return (inputs, *args[1:])


@dataclass(frozen=True)
class _Layout:
    """How many copies of the batch lie one after another: variants for each of the concepts."""

    concepts: int
    variants: int


class _VariantBlock(BranchedBlock):
    """A block that runs on all variants. Before it, the whole model forks into the variants without a unit of it.

    Rows lie concept by concept, then variant by variant, each with the whole batch; variant 0 is the whole model.

    Args:
        block: the block, which all variants share
        layout: of the rows that come in
        new: how many variants begin here
        concepts: indices in the mask set of the concepts that go through their own subnetworks; None if the block has
            no masks, so that one pass serves all concepts
    """

    def __init__(self, block: nn.Module, layout: _Layout, new: int, concepts: Sequence[int] | None):
        super().__init__([block])
        self.layout, self.new, self.concepts = layout, new, concepts

    def forward(self, hidden: Tensor, *args: object, **kwargs: object) -> BlockOutput:
        """Hidden states in the layout -> the same with the new variants, and concept by concept if there are masks."""
        batch = len(hidden) // (self.layout.concepts * self.layout.variants)
        parts = hidden.split(self.layout.variants * batch)
        concepts = [None] if self.concepts is None else self.concepts
        if len(parts) < len(concepts):  # the first masked block: concepts part here
            parts = parts * len(concepts)
        rows = torch.arange((self.layout.variants + self.new) * batch, device=hidden.device) % batch
        outputs = []
        for concept, states in zip(concepts, parts, strict=True):
            states = torch.cat([states, states[:batch].repeat(self.new, 1, 1)])
            with nullcontext() if concept is None else routed(route_rows(batch, [rows], [concept])):
                outputs.append(run_rows(self.branches[0], states, rows, batch, args, kwargs))
        return join_outputs(outputs)
