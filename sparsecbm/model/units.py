"""Units of a transformer block that can be dropped as a whole: attention heads and FFN neurons.

A unit owns rows of the maps before it and columns of the map after it, and no other unit uses them. Without the unit,
the block is a smaller dense block. Each weight of a block's maps belongs to one head or one neuron. With grouped
queries, a unit is a key/value head with all query heads that use it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.model.masked import LinearMap, MaskedLinear, find_blocks, get_map


@dataclass(frozen=True)
class LayerPart:
    """The part of one layer that units own: unit i has indices `start + i * width` to `start + (i + 1) * width`.

    Attributes:
        layer: its name in the backbone
        axis: of the indices, in the weight as it is stored: nn.Linear [out, in], Conv1D [in, out]
        start: first index of the first unit
        width: number of indices of one unit
    """

    layer: str
    axis: int
    start: int
    width: int

    def split(self, tensor: Tensor, count: int) -> Tensor:
        """The values of each unit in a tensor of the weight's shape, [units, values]."""
        run = tensor.narrow(self.axis, self.start, count * self.width)
        return run.movedim(self.axis, 0).reshape(count, -1)

    def indices(self, kept: Tensor) -> Tensor:
        """Ascending indices along the axis of the kept units (boolean, [units])."""
        return self.start + kept.repeat_interleave(self.width).nonzero().squeeze(1)


@dataclass(frozen=True)
class Units:
    """The units of one kind in one block.

    Attributes:
        kind: head | neuron
        block: number of the block, from 0
        count: number of units
        parts: the parts of layers that they own
    """

    kind: str
    block: int
    count: int
    parts: tuple[LayerPart, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, each of them once."""
        return tuple(dict.fromkeys(part.layer for part in self.parts))

    def sums(self, values: Mapping[str, Tensor]) -> Tensor:
        """Sum of each unit's values, [units], float64; `values` has one value for each weight of a layer."""
        sums = [part.split(values[part.layer], self.count).double().sum(1) for part in self.parts]
        return sum(sums[1:], sums[0])

    def weights(self, values: Mapping[str, Tensor]) -> int:
        """Number of weights of one unit; `values` has tensors of the weights' shapes."""
        return sum(part.split(values[part.layer], self.count).shape[1] for part in self.parts)

    def kept(self, masks: Mapping[str, Tensor]) -> Tensor:
        """Which units boolean masks keep, [units].

        Raises:
            ModelError: a mask cuts through a unit; names the first such layer.
        """
        kept = self.parts[0].split(masks[self.parts[0].layer], self.count).all(1)
        for part in self.parts:
            bits = part.split(masks[part.layer], self.count)
            whole = bits.all(1)
            if not torch.equal(whole, bits.any(1)) or not torch.equal(whole, kept):
                raise ModelError(
                    f"the mask of layer {part.layer} does not keep or drop whole {self.kind}s "
                    f"of block {self.block}; prune with granularity `structured`"
                )
        return kept

    def used(self, masks: Mapping[str, Tensor]) -> Tensor:
        """Units of which boolean masks keep any weight, [units]."""
        parts = [part.split(masks[part.layer], self.count).any(1) for part in self.parts]
        return torch.stack(parts).any(0)

    def masks(self, kept: Tensor, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
        """Boolean masks of the layers that keep the given units (boolean, [units]), in the weights' shapes."""
        masks = {layer: torch.zeros(tuple(shapes[layer]), dtype=torch.bool) for layer in self.layers}
        for part in self.parts:
            masks[part.layer].index_fill_(part.axis, part.indices(kept), True)
        return masks


@dataclass(frozen=True)
class _Family:
    """Names, within a block, of the maps before and after its heads and its neurons.

    A layer that is named three times holds three maps side by side.
    """

    into_heads: tuple[str, ...]
    out_of_heads: str
    into_neurons: tuple[str, ...]
    out_of_neurons: str


_BERT = _Family(
    ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attention.output.dense",
    ("intermediate.dense",),
    "output.dense",
)
_LLAMA = _Family(
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attn.o_proj",
    ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.down_proj",
)
_FAMILIES = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": _BERT,
    "distilbert": _Family(
        ("attention.q_lin", "attention.k_lin", "attention.v_lin"), "attention.out_lin", ("ffn.lin1",), "ffn.lin2"
    ),
    "modernbert": _Family(("attn.Wqkv",) * 3, "attn.Wo", ("mlp.Wi",) * 2, "mlp.Wo"),
    "opt": _Family(("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), "self_attn.out_proj", ("fc1",), "fc2"),
    "gpt2": _Family(("attn.c_attn",) * 3, "attn.c_proj", ("mlp.c_fc",), "mlp.c_proj"),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen3": _LLAMA,
    "gemma3_text": _LLAMA,
}


def find_units(backbone: PreTrainedModel) -> tuple[Units, ...]:
    """Heads and neurons of every block, in order, of a backbone with or without masks.

    Raises:
        ModelError: the units of the backbone's family are not known.
    """
    config = backbone.config
    if config.model_type not in _FAMILIES:
        raise ModelError(
            f"the heads and neurons of {config.model_type!r} are not known, so it cannot be pruned with granularity "
            f"`structured` or made compact; this works for {', '.join(_FAMILIES)}"
        )
    family = _FAMILIES[config.model_type]
    name, blocks = find_blocks(backbone)
    heads: int = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    units = []
    for number, block in enumerate(blocks):
        prefix = f"{name}.{number}."
        last = get_map(block, family.out_of_neurons)
        neurons = last.weight.shape[1 - output_axis(last)]
        for kind, count, into, out in (
            ("head", heads, family.into_heads, family.out_of_heads),
            ("neuron", neurons, family.into_neurons, family.out_of_neurons),
        ):
            units.append(Units(kind, number, count, tuple(_parts(block, prefix, count, into, out))))
    return tuple(units)


def find_units_for(backbone: PreTrainedModel, purpose: str) -> tuple[Units, ...]:
    """`find_units`, with a message that says what cannot be done without them.

    Args:
        purpose: such as "they cannot be ablated"

    Raises:
        ModelError: the units of the backbone's family are not known.
    """
    try:
        return find_units(backbone)
    except ModelError:
        family = backbone.config.model_type
        raise ModelError(f"the heads and neurons of {family!r} are not known, so {purpose}") from None


def select_pruned_units(units: Sequence[Units], layers: Collection[str]) -> tuple[Units, ...]:
    """The units whose layers are pruned.

    Raises:
        ConfigError: some layers of a unit are pruned and others are not, or a pruned layer belongs to no unit.
    """
    pruned = tuple(group for group in units if any(layer in layers for layer in group.layers))
    for group in pruned:
        for layer in group.layers:
            if layer not in layers:
                raise ConfigError(
                    f"prune.layers: whole {group.kind}s of block {group.block} cannot be dropped, since {layer} is not "
                    f"among the pruned layers; name all of {', '.join(group.layers)} or none"
                )
    owned = {layer for group in pruned for layer in group.layers}
    for layer in layers:
        if layer not in owned:
            raise ConfigError(f"prune.layers: {layer} belongs to no head or neuron; leave it out")
    return pruned


def output_axis(layer: LinearMap) -> int:
    """Axis of the outputs in a map's weight: 0 for nn.Linear, 1 for Conv1D, masked or not."""
    return int(isinstance(layer, Conv1D) or (isinstance(layer, MaskedLinear) and layer.input_first))


def _parts(block: nn.Module, prefix: str, count: int, into: tuple[str, ...], out: str) -> list[LayerPart]:
    parts = []
    for position, inner in enumerate(into):
        layer = get_map(block, inner)
        axis = output_axis(layer)
        size = layer.weight.shape[axis] // into.count(inner)
        parts.append(LayerPart(prefix + inner, axis, into[:position].count(inner) * size, size // count))
    layer = get_map(block, out)
    axis = 1 - output_axis(layer)
    return [*parts, LayerPart(prefix + out, axis, 0, layer.weight.shape[axis] // count)]
