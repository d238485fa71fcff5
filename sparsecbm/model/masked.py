"""The masked forward pass: several subnetworks of one backbone in one call.

The subnetworks share weights and inputs. Each routed row of a batch goes through the subnetwork of its own concept.
Blocks below the first masked one are the same for all concepts and run once, before rows are copied for each concept.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from sparsecbm.base.errors import ConfigError, ModelError, unknown
from sparsecbm.model.in_context import Owner, changes_of
from sparsecbm.model.masks import MaskSet, unpack, unpack_like
from sparsecbm.model.routing import RowSplitter, current_route

CallRecorder = Callable[["MaskedLinear", Tensor, Tensor], Tensor]  # layer, input, output -> the output to go on with
_recorder: ContextVar[CallRecorder | None] = ContextVar("recorder", default=None)
Leaves = dict[tuple[str, int], Tensor]  # (layer, index of the concept in the mask set) -> [weight's shape]
_leaves: ContextVar[Leaves | None] = ContextVar("leaves", default=None)


@contextmanager
def weight_leaves() -> Iterator[Leaves]:
    """Make the masked weights leaves of the graph while the block runs, and collect them by layer and concept.

    Their gradients are dL/d(w m_k), which also exist where a bit is 0. The model's own weights get no gradient.
    """
    leaves: Leaves = {}
    token = _leaves.set(leaves)
    try:
        yield leaves
    finally:
        _leaves.reset(token)


@contextmanager
def call_recorder(record: CallRecorder) -> Iterator[None]:
    """Pass the input and the output of every call of a masked layer to a function while the block runs."""
    token = _recorder.set(record)
    try:
        yield
    finally:
        _recorder.reset(token)


class MaskedLinear(nn.Module):
    """An `nn.Linear` or `Conv1D` that applies the mask of each row's concept to its weight.

    The packed masks are a buffer: they follow the module's device. They are saved in a file of their own. They are
    never written to, only replaced, so a mask set that was taken from a model stays as it is.
    """

    own_bits: Tensor  # [concepts, bytes], uint8

    def __init__(self, name: str, layer: nn.Linear | Conv1D, bits: Tensor, owner: Owner):
        super().__init__()
        self.name = name  # full name of the layer in the backbone
        self.owner = owner
        self.weight, self.bias = layer.weight, layer.bias
        self.input_first = isinstance(layer, Conv1D)  # Conv1D holds [in, out], nn.Linear [out, in]
        self.register_buffer("own_bits", bits, persistent=False)

    @property
    def bits(self) -> Tensor:
        """Packed masks in force in this context, patches included, [concepts, bytes], uint8."""
        return changes_of(self.owner).bits(self.name, self.own_bits)

    def mask(self, concept: int) -> Tensor:
        """Boolean mask of one concept, in the weight's shape."""
        return unpack(self.bits[concept], tuple(self.weight.shape))

    def masked_weight(self, concept: int) -> Tensor:
        """W * m_k as [out, in]."""
        leaves, mask = _leaves.get(), unpack_like(self.bits[concept], self.weight)
        if leaves is None and self.weight.requires_grad and torch.is_grad_enabled():
            weight = self.weight * mask
        else:
            weight = mask.mul_(self.weight.detach())  # another tensor of this size would take half of the time
        if leaves is not None:
            weight = leaves.setdefault((self.name, concept), weight.requires_grad_())
        return weight.T if self.input_first else weight

    def forward(self, inputs: Tensor) -> Tensor:
        """Map routed rows, or their tokens in one axis, [routed, ..., in] -> [routed, ..., out].

        Raises:
            ModelError: there is no route, or the inputs are not those of the routed rows.
        """
        outputs, record = self._map(inputs), _recorder.get()
        return outputs if record is None else record(self, inputs, outputs)

    def _map(self, inputs: Tensor) -> Tensor:
        route = current_route("a masked layer")
        if len(route.segments) == 1:
            return functional.linear(inputs, self.masked_weight(route.segments[0][0]), self.bias)
        tokens, rest = divmod(len(inputs), len(route.rows))  # OPT flattens rows and tokens into one axis
        if rest or not tokens:
            raise ModelError(f"a masked layer received {len(inputs)} rows, but {len(route.rows)} are routed")
        if inputs.is_cuda and route.even:
            weights = torch.stack([self.masked_weight(concept) for concept, _, _ in route.segments])
            return grouped_linear(inputs, weights, self.bias)
        parts = [(concept, tokens * start, tokens * stop) for concept, start, stop in route.segments]
        if torch.is_grad_enabled() or inputs.dtype != self.weight.dtype:
            return torch.cat([functional.linear(inputs[a:b], self.masked_weight(k), self.bias) for k, a, b in parts])
        return self._multiply_into_output(inputs, parts)

    def _multiply_into_output(self, inputs: Tensor, parts: list[tuple[int, int, int]]) -> Tensor:
        """Write each product into its part of the output, which saves a copy; autograd cannot follow this."""
        outputs = inputs.new_empty(*inputs.shape[:-1], self.weight.shape[1 if self.input_first else 0])
        for concept, start, stop in parts:
            weight, out = self.masked_weight(concept).T, outputs[start:stop].flatten(0, -2)
            rows = inputs[start:stop].flatten(0, -2)
            if self.bias is None:
                torch.mm(rows, weight, out=out)
            else:
                torch.addmm(self.bias, rows, weight, out=out)
        return outputs


LinearMap = nn.Linear | Conv1D | MaskedLinear


def grouped_linear(inputs: Tensor, weights: Tensor, bias: Tensor | None) -> Tensor:
    """Multiply segments of equal length in one batched product.

    Args:
        inputs: [routed, ..., in]
        weights: [segments, out, in]
        bias: [out]

    Returns:
        [routed, ..., out]
    """
    flat = inputs.reshape(len(weights), -1, inputs.shape[-1])
    product = torch.bmm(flat, weights.transpose(1, 2))
    if bias is not None:
        product = product + bias
    return product.reshape(*inputs.shape[:-1], weights.shape[1])


def get_map(module: nn.Module, name: str) -> LinearMap:
    """A linear map by its name in a module."""
    layer = module.get_submodule(name)
    assert isinstance(layer, LinearMap)
    return layer


def find_blocks(backbone: nn.Module) -> tuple[str, nn.ModuleList]:
    """The name of the list of transformer blocks in a backbone, and the list.

    Raises:
        ModelError: the backbone has no list of blocks.
    """
    lists = [(name, module) for name, module in backbone.named_modules() if isinstance(module, nn.ModuleList)]
    outer = [(n, m) for n, m in lists if not any(n.startswith(f"{other}.") for other, _ in lists)]
    if not outer:
        raise ModelError(f"{type(backbone).__name__} has no list of blocks, so nothing in it can be pruned")
    return max(outer, key=lambda pair: len(pair[1]))


def prunable_layers(
    backbone: nn.Module, patterns: Sequence[str] = ("*",), masked_from: int = 0, key: str = "prune.layers"
) -> dict[str, LinearMap]:
    """Linear maps in the blocks from number `masked_from` on whose names match one of the patterns.

    Args:
        patterns: shell patterns over names in the backbone, such as "*.attention.*"
        key: the parameter that the patterns come from, for messages

    Raises:
        ConfigError: a pattern matches nothing, or there is no such block.
    """
    prefix, blocks = find_blocks(backbone)
    if not 0 <= masked_from < len(blocks):
        raise ConfigError(f"prune.masked_from: {masked_from} is not among the blocks 0 to {len(blocks) - 1}")
    layers = {
        f"{prefix}.{number}.{inner}": module
        for number, block in enumerate(blocks)
        for inner, module in block.named_modules()
        if number >= masked_from and isinstance(module, LinearMap)
    }
    if not layers:
        raise ConfigError(
            "model.backbone: its blocks have no linear maps that could have masks; take one of the families that "
            "docs/backbones.md lists"
        )
    for pattern in patterns:
        if not any(fnmatchcase(layer, pattern) for layer in layers):
            raise ConfigError(f"{key}: {unknown('layer pattern', pattern, layers)}")
    return {layer: m for layer, m in layers.items() if any(fnmatchcase(layer, pattern) for pattern in patterns)}


def attach_masks(backbone: nn.Module, masks: MaskSet, owner: Owner) -> None:
    """Put masks into a backbone: its pruned layers become `MaskedLinear`, with the same parameters and names.

    If the backbone has masks over these layers, they are replaced.

    Args:
        owner: the model that the backbone belongs to

    Raises:
        ModelError: a layer is not in the backbone, its weight has another shape, or the backbone has masks over other
            layers; then nothing is changed.
    """
    layers = dict(backbone.named_modules())
    prefix, blocks = find_blocks(backbone)
    for layer, shape in masks.shapes.items():
        module = layers.get(layer)
        if not isinstance(module, LinearMap) or not layer.startswith(f"{prefix}."):
            raise ModelError(f"these masks are for another model: it has no layer {layer} in its blocks")
        if tuple(module.weight.shape) != tuple(shape):
            raise ModelError(
                f"these masks are for another model: {layer} has weights {tuple(module.weight.shape)}, "
                f"its masks are for {tuple(shape)}"
            )
    masked = {name for name, module in layers.items() if isinstance(module, MaskedLinear)}
    unmatched = sorted(masked ^ masks.shapes.keys()) if masked else []
    if unmatched:
        raise ModelError(
            f"the model has masks over other layers already: {unmatched[0]} is among one of the two sets alone; give "
            "masks over the same layers, or load the dense model"
        )
    for layer in masks.shapes:
        module, bits = layers[layer], masks.bits[layer]
        if isinstance(module, MaskedLinear):
            module.own_bits = bits.to(module.weight.device)
        else:
            parent, _, child = layer.rpartition(".")
            setattr(layers[parent], child, MaskedLinear(layer, module, bits.to(module.weight.device), owner))
    if not masked:
        first = min(block_number(layer, prefix) for layer in masks.shapes)
        for number, block in enumerate(blocks):
            if number >= first:
                RowSplitter(block, number == first)


def needs_separate_passes(backbone: PreTrainedModel) -> bool:
    """Whether concepts must run one by one: DeBERTa's linear maps also map relative positions, which have no rows."""
    return backbone.config.model_type.startswith("deberta")


def is_masked(module: nn.Module) -> bool:
    """Whether a backbone or a block has masks."""
    return any(isinstance(inner, MaskedLinear) for inner in module.modules())


def first_masked_block(backbone: nn.Module) -> int:
    """Number of the first block that has masks; the number of blocks if none has."""
    _, blocks = find_blocks(backbone)
    return next((number for number, block in enumerate(blocks) if is_masked(block)), len(blocks))


def masked_layers(backbone: nn.Module) -> dict[str, MaskedLinear]:
    """The layers with masks by name, in the order of the backbone; none if it is dense."""
    return {name: module for name, module in backbone.named_modules() if isinstance(module, MaskedLinear)}


def packed_masks(backbone: nn.Module) -> dict[str, Tensor]:
    """Packed masks of each masked layer, by its name in the backbone."""
    return {name: layer.bits for name, layer in masked_layers(backbone).items()}


def block_number(layer: str, prefix: str) -> int:
    """Number of the block that holds a layer; the prefix is the name of the list of blocks."""
    return int(layer.removeprefix(f"{prefix}.").split(".")[0])
