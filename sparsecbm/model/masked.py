"""The masked forward pass: several subnetworks of one backbone in one call.

Weights and inputs are shared; each routed row of a batch goes through the subnetwork of its own concept.
The blocks below the first masked one are common to all concepts: they run once, before the rows part.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from sparsecbm.base.errors import ConfigError, ModelError, unknown
from sparsecbm.model.masks import MaskSet, unpack


@dataclass(frozen=True)
class Route:
    """Which rows of a batch go through which concept's subnetwork.

    Attributes:
        batch: rows before they part
        rows: [routed], the row of the batch that each routed row is a copy of
        segments: (concept's place in the mask set, start, stop) of each run of routed rows
    """

    batch: int
    rows: Tensor
    segments: tuple[tuple[int, int, int], ...]

    @property
    def even(self) -> bool:
        """Whether all segments are of one length, so that their products can be grouped."""
        return len({stop - start for _, start, stop in self.segments}) == 1


def route_rows(batch: int, rows: Sequence[Tensor], concepts: Sequence[int]) -> Route:
    """A route for a batch: the rows, each [any], that go through each of the given concepts."""
    segments, start = [], 0
    for concept, members in zip(concepts, rows, strict=True):
        segments.append((concept, start, start + len(members)))
        start += len(members)
    return Route(batch, torch.cat(list(rows)), tuple(segments))


_route: ContextVar[Route | None] = ContextVar("route", default=None)


@contextmanager
def routed(route: Route) -> Iterator[None]:
    """Send every masked layer's rows by this route while the block runs."""
    token = _route.set(route)
    try:
        yield
    finally:
        _route.reset(token)


def current_route(where: str) -> Route:
    """The route in force.

    Raises:
        ModelError: there is none; names what was called.
    """
    route = _route.get()
    if route is None:
        raise ModelError(f"{where} was called without a route; call the model, not its backbone")
    return route


Leaves = dict[tuple[str, int], Tensor]  # (layer, concept's place in the mask set) -> [weight's shape]
_leaves: ContextVar[Leaves | None] = ContextVar("leaves", default=None)


@contextmanager
def weight_leaves() -> Iterator[Leaves]:
    """Make the masked weights that the block runs leaves of the graph, by layer and concept.

    Their gradients are dL/d(w m_k), which exist where a bit is 0 as well; the model's own weights get none.
    """
    leaves: Leaves = {}
    token = _leaves.set(leaves)
    try:
        yield leaves
    finally:
        _leaves.reset(token)


class MaskedLinear(nn.Module):
    """An `nn.Linear` or `Conv1D` whose weight is seen through the mask of each row's concept.

    The packed masks are a buffer that follows the module's device and is saved apart from the weights.
    """

    bits: Tensor  # [concepts, bytes], uint8

    def __init__(self, name: str, layer: nn.Linear | Conv1D, bits: Tensor):
        super().__init__()
        self.name = name  # in the backbone
        self.weight, self.bias = layer.weight, layer.bias
        self.input_first = isinstance(layer, Conv1D)  # Conv1D holds [in, out], nn.Linear [out, in]
        self.register_buffer("bits", bits, persistent=False)

    def mask(self, concept: int) -> Tensor:
        """Boolean mask of one concept, in the weight's shape."""
        return unpack(self.bits[concept], tuple(self.weight.shape))

    def masked_weight(self, concept: int) -> Tensor:
        """W * m_k as [out, in]."""
        weight = self.weight * self.mask(concept)
        leaves = _leaves.get()
        if leaves is not None:
            weight = leaves.setdefault((self.name, concept), weight.detach().requires_grad_())
        return weight.T if self.input_first else weight

    def forward(self, inputs: Tensor) -> Tensor:
        """Map routed rows (or their tokens, one after another), [routed, ..., in] -> [routed, ..., out]."""
        route = current_route("a masked layer")
        if len(route.segments) == 1:
            return functional.linear(inputs, self.masked_weight(route.segments[0][0]), self.bias)
        each, rest = divmod(len(inputs), len(route.rows))  # OPT lays the tokens of all rows out one after another
        if rest or not each:
            raise ModelError(f"{len(inputs)} rows reached a masked layer, {len(route.rows)} are routed")
        if inputs.is_cuda and route.even:
            weights = torch.stack([self.masked_weight(concept) for concept, _, _ in route.segments])
            return grouped_linear(inputs, weights, self.bias)
        parts = [(concept, each * start, each * stop) for concept, start, stop in route.segments]
        if torch.is_grad_enabled() or inputs.dtype != self.weight.dtype:
            return torch.cat([functional.linear(inputs[a:b], self.masked_weight(k), self.bias) for k, a, b in parts])
        return self._in_place(inputs, parts)

    def _in_place(self, inputs: Tensor, parts: list[tuple[int, int, int]]) -> Tensor:
        """The products written where they belong, which saves a copy of them all; autograd cannot follow."""
        outputs = inputs.new_empty(*inputs.shape[:-1], self.weight.shape[1 if self.input_first else 0])
        for concept, start, stop in parts:
            weight, out = self.masked_weight(concept).T, outputs[start:stop].flatten(0, -2)
            rows = inputs[start:stop].flatten(0, -2)
            if self.bias is None:
                torch.mm(rows, weight, out=out)
            else:
                torch.addmm(self.bias, rows, weight, out=out)
        return outputs


def grouped_linear(inputs: Tensor, weights: Tensor, bias: Tensor | None) -> Tensor:
    """The products of equal segments as one batched product.

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


def find_blocks(backbone: nn.Module) -> tuple[str, nn.ModuleList]:
    """The transformer blocks of a backbone, and their name in it.

    Raises:
        ModelError: the backbone has no list of blocks.
    """
    lists = [(name, module) for name, module in backbone.named_modules() if isinstance(module, nn.ModuleList)]
    outer = [(n, m) for n, m in lists if not any(n.startswith(f"{other}.") for other, _ in lists)]
    if not outer:
        raise ModelError(f"{type(backbone).__name__} has no list of blocks, so nothing in it can be pruned")
    return max(outer, key=lambda pair: len(pair[1]))


def prunable_layers(
    backbone: nn.Module, patterns: Sequence[str] = ("*",), masked_from: int = 0
) -> dict[str, nn.Module]:
    """Linear maps inside the blocks from number `masked_from` on whose names match one of the patterns.

    Args:
        patterns: shell patterns over names in the backbone, such as "*.attention.*"

    Raises:
        ConfigError: a pattern matches nothing, or there is no such block.
    """
    name, members = find_blocks(backbone)
    if not 0 <= masked_from < len(members):
        raise ConfigError(f"prune.masked_from: {masked_from} is not among the blocks 0 to {len(members) - 1}")
    found = {
        f"{name}.{number}.{inner}": module
        for number, block in enumerate(members)
        for inner, module in block.named_modules()
        if number >= masked_from and isinstance(module, nn.Linear | Conv1D | MaskedLinear)
    }
    for pattern in patterns:
        if not any(fnmatchcase(layer, pattern) for layer in found):
            raise ConfigError(f"prune.layers: {unknown('layer pattern', pattern, found)}")
    return {layer: m for layer, m in found.items() if any(fnmatchcase(layer, pattern) for pattern in patterns)}


def attach_masks(backbone: nn.Module, masks: MaskSet) -> None:
    """Put masks into a backbone: its pruned layers become `MaskedLinear`, with the same parameters and names.

    Masks that are there already are replaced.

    Raises:
        ModelError: a layer is not in the backbone, or its weight has another shape.
    """
    layers = dict(backbone.named_modules())
    name, members = find_blocks(backbone)
    for layer, shape in masks.shapes.items():
        module = layers.get(layer)
        if not isinstance(module, nn.Linear | Conv1D | MaskedLinear):
            raise ModelError(f"these masks are for another model: it has no layer {layer}")
        if tuple(module.weight.shape) != tuple(shape):
            raise ModelError(
                f"these masks are for another model: {layer} has weights {tuple(module.weight.shape)}, "
                f"its masks are for {tuple(shape)}"
            )
    fresh = not any(isinstance(module, MaskedLinear) for module in layers.values())
    for layer in masks.shapes:
        module, bits = layers[layer], masks.bits[layer]
        if isinstance(module, MaskedLinear):
            module.bits = bits.to(module.weight.device)
        elif fresh:
            parent, _, child = layer.rpartition(".")
            setattr(layers[parent], child, MaskedLinear(layer, module, bits.to(module.weight.device)))
        else:
            raise ModelError(f"the model has masks over other layers already; {layer} is not among them")
    if fresh:
        first = min(_block_number(layer, name) for layer in masks.shapes)
        for number, block in enumerate(members):
            if number >= first:
                block.register_forward_pre_hook(_Part(number == first), with_kwargs=True)


def needs_separate_passes(backbone: nn.Module) -> bool:
    """Whether concepts must go through one by one: DeBERTa maps its relative positions, which are no rows of texts."""
    return backbone.config.model_type.startswith("deberta")


def is_masked(backbone: nn.Module) -> bool:
    """Whether masks were attached."""
    return any(isinstance(module, MaskedLinear) for module in backbone.modules())


def packed_masks(backbone: nn.Module) -> dict[str, Tensor]:
    """Packed masks of each masked layer, by its name in the backbone."""
    return {name: module.bits for name, module in backbone.named_modules() if isinstance(module, MaskedLinear)}


def rows_of(value: object, rows: Tensor, batch: int) -> object:
    """What a block is given besides hidden states, for some rows of the batch.

    Masks and positions come with a row for each text, or with one for all, which broadcasts.
    """
    if isinstance(value, Tensor) and value.ndim > 2 and len(value) == batch > 1:
        return value[rows]
    if isinstance(value, tuple):
        return tuple(rows_of(part, rows, batch) for part in value)
    return value


class _Part:
    """Before a block: copy the rows of the batch as the route says; the hidden states only once, at the first."""

    def __init__(self, first: bool):
        self.first = first

    def __call__(self, block: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        route = current_route("a masked block")
        hidden = args[0] if args else kwargs["hidden_states"]
        parted = hidden[route.rows] if self.first else hidden

        def copied(value: object) -> object:
            return parted if value is hidden else rows_of(value, route.rows, route.batch)

        return tuple(copied(value) for value in args), {name: copied(value) for name, value in kwargs.items()}


def _block_number(layer: str, blocks_name: str) -> int:
    return int(layer.removeprefix(f"{blocks_name}.").split(".")[0])
