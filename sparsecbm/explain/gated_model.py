"""Passes of one text in which each row runs with its own choice of a concept's heads and neurons.

Each head and neuron has a gate, a factor of its output: 1 leaves it as it is, 0 removes it. Outputs of units reach the
rest of the model only through the next map, so a gate of 0 has the effect of zeros in all weights of the unit.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sparsecbm.base.errors import ModelError
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.compact import unfold
from sparsecbm.model.masked import find_blocks
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.onednn import use_onednn
from sparsecbm.model.pooling import pool
from sparsecbm.model.routing import route_rows, routed
from sparsecbm.model.units import Units, find_units_for

BATCH_TOKENS = 768  # in one pass; larger passes do not fit into CPU caches


@dataclass(frozen=True)
class KeptUnit:
    """A unit of which a concept keeps at least one weight.

    Attributes:
        kind: head | neuron
        block, index: number of the block, and of the unit in it, from 0
    """

    kind: str
    block: int
    index: int


class GatedModel:
    """A copy of a masked model with gates; the model itself stays as it is. Patches in force when it is made count.

    Attributes:
        units: concept -> its units, of all layers with masks

    Raises:
        ModelError: the model has no masks, is compact, or the units of its family are not known.
    """

    def __init__(self, model: ConceptBottleneck):
        masks, groups = _masks_of(model), _groups_of(model)
        self._model = unfold(model)
        self._gates = torch.empty(0)
        self._neuron_inputs: dict[int, Tensor] | None = None
        self.units: dict[str, tuple[KeptUnit, ...]] = {}
        prefix, blocks = find_blocks(self._model.backbone)
        for concept, name in enumerate(model.concept_set.names):
            kept = dict(masks[name])
            units: list[KeptUnit] = []
            for group in groups:
                indices = _kept_units(group, kept)
                last = group.parts[-1]
                gate_of_column = torch.full((last.start + group.count * last.width,), -1)
                for index in indices:
                    start = last.start + index * last.width
                    gate_of_column[start : start + last.width] = len(units)
                    units.append(KeptUnit(group.kind, group.block, index))
                inner = last.layer.removeprefix(f"{prefix}.{group.block}.")
                layer = blocks[group.block].branches[concept].get_submodule(inner)
                layer.register_forward_pre_hook(self._hook(group, gate_of_column))
            self.units[name] = tuple(units)

    def logits(self, concept: str, ids: Tensor, gates: Tensor) -> Tensor:
        """Logits of a concept for one text, [rows, states], each row with its own gates.

        Args:
            ids: token ids of the text, [1, tokens]
            gates: in the order of the concept's units, [rows, units]
        """
        count = max(1, BATCH_TOKENS // max(1, ids.shape[1]))
        with use_onednn(self._model.backbone):
            return torch.cat([self._pass(concept, ids, part) for part in gates.split(count)])

    def activations(self, concept: str, ids: Tensor, gates: Tensor) -> dict[int, Tensor]:
        """Activations of the neurons of each block with masks, block -> [tokens, neurons], in one row of gates."""
        with self._recorded() as inputs, torch.no_grad():
            self.logits(concept, ids, gates[None])
        return {block: values.reshape(ids.shape[1], -1) for block, values in inputs.items()}

    def _pass(self, concept: str, ids: Tensor, gates: Tensor) -> Tensor:
        self._gates = torch.cat([gates, gates.new_ones(len(gates), 1)], dim=1)  # the last one is for all other columns
        rows = torch.zeros(len(gates), dtype=torch.long, device=ids.device)
        mask = torch.ones_like(ids)
        number = self._model.concept_set.names.index(concept)
        with routed(route_rows(1, [rows], [number])):  # blocks below the masks run for one row only
            states = self._model.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled = pool(states, mask.expand(len(gates), -1), self._model.settings.pooling)
        logits: Tensor = self._model.concept_heads.head(concept)(pooled)
        return logits

    def _hook(
        self, group: Units, gate_of_column: Tensor
    ) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
        """A forward pre-hook of the map after the units; columns of no unit have the gate -1, the last one."""

        def hook(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            if self._neuron_inputs is not None and group.kind == "neuron":
                self._neuron_inputs[group.block] = inputs[0].detach()
            gates = self._gates[:, gate_of_column.to(self._gates.device)]
            rows = inputs[0].reshape(len(gates), -1, inputs[0].shape[-1])  # OPT flattens rows and tokens into one axis
            return ((rows * gates[:, None]).view(inputs[0].shape), *inputs[1:])

        return hook

    @contextmanager
    def _recorded(self) -> Iterator[dict[int, Tensor]]:
        self._neuron_inputs = inputs = {}
        try:
            yield inputs
        finally:
            self._neuron_inputs = None


def _masks_of(model: ConceptBottleneck) -> MaskSet:
    if not model.has_bottleneck:
        raise ModelError("a model of mode `standard` has no concepts, so there are no subnetworks to search")
    if model.masks is None:
        raise ModelError(
            "the model has no masks, because it is dense or compact, so there are no subnetworks to search for their "
            "smallest set of heads and neurons; take a masked model, such as models/sparse"
        )
    return model.masks


def _groups_of(model: ConceptBottleneck) -> list[Units]:
    """The heads and neurons of each block that have masks."""
    groups = find_units_for(model.backbone, "the smallest set of them cannot be searched")
    masked = model.masks
    assert masked is not None
    return [group for group in groups if any(layer in masked.shapes for layer in group.layers)]


def _kept_units(group: Units, masks: Mapping[str, Tensor]) -> list[int]:
    """The units of which a concept's masks keep a weight."""
    masked = replace(group, parts=tuple(part for part in group.parts if part.layer in masks))
    kept: list[int] = masked.sums(masks).nonzero().flatten().tolist()
    return kept
