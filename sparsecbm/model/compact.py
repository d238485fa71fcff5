"""A structured model cut out: each concept's subnetwork as smaller dense blocks, with the same outputs.

A dropped head or neuron has zeros where it is read: its output, which a bias would otherwise make a constant, is
multiplied by nothing. So its rows, its biases and its columns can go, and every product gets smaller. Embeddings,
the blocks below the first masked one, norms and whatever no mask cuts exist once and are shared by the concepts.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sparsecbm.errors import ModelError
from sparsecbm.model.cbm import SparseCBM
from sparsecbm.model.masked import MaskedLinear, blocks, current_route, rows_of
from sparsecbm.model.units import Units, output_axis, units_among, units_of


class CompactModel(SparseCBM):
    """A `SparseCBM` for inference whose concepts read through small dense networks of their own.

    `logits`, `predict` and the forward pass are those of the masked model. It is a snapshot: later changes of the
    masked model do not reach it. It has no masks any more and is not saved: save the masked model, and compact it
    again once it is loaded.
    """

    @property
    def masked(self) -> bool:
        """True: each concept reads through a subnetwork of its own."""
        return True

    @property
    def masks(self) -> None:
        """None: what the masks dropped is not there any more."""
        return None

    @masks.setter
    def masks(self, masks: object) -> None:
        raise ModelError("a compact model takes no masks; give them to the masked model and compact it again")

    def save_pretrained(self, path: object) -> None:
        """Compact models are not saved.

        Raises:
            ModelError: always.
        """
        raise ModelError("a compact model is not saved; save the masked model, and call compact() after loading it")

    def parameters_by_concept(self) -> dict[str, int]:
        """Parameters of the network that each concept reads through, shared ones included, heads left out."""
        fork = blocks(self.backbone)[1][-1]
        shared = _count(self.backbone) - _count(fork)
        return {n: shared + _count(stack) for n, stack in zip(self.concept_set.names, fork.stacks, strict=True)}


class Fork(nn.Module):
    """The blocks from the first masked one on: each concept's rows go through its own stack of them.

    It stands in the list of blocks as the last one, so that the forward pass of transformers runs it.
    """

    def __init__(self, stacks: list[list[nn.Module]]):
        super().__init__()
        self.stacks = nn.ModuleList(nn.ModuleList(stack) for stack in stacks)  # in the concepts' order

    def forward(self, hidden: Tensor, *args: object, **kwargs: object) -> Tensor:
        """Hidden states of the batch, [batch, tokens, hidden] -> of the routed rows, [routed, tokens, hidden]."""
        route = current_route("a compact backbone")
        parts = []
        for concept, start, stop in route.segments:
            rows = route.rows[start:stop]
            own = tuple(rows_of(value, rows, route.batch) for value in args)
            named = {name: rows_of(value, rows, route.batch) for name, value in kwargs.items()}
            part = hidden[rows]
            for block in self.stacks[concept]:
                part = block(part, *own, **named)
            parts.append(part)
        return torch.cat(parts)


@torch.no_grad()
def compact(model: SparseCBM) -> CompactModel:
    """Cut each concept's subnetwork out of a model with structured masks.

    Raises:
        ModelError: the model has no masks, they are not of whole heads and neurons (names the first layer), or the
            units of its backbone's family are not known.
    """
    masks = model.masks
    if masks is None:
        raise ModelError("the model has no masks to cut along; prune it with granularity `structured` first")
    units = units_among(units_of(model.backbone), masks.shapes)
    backbone = copy.deepcopy(model.backbone).eval().requires_grad_(False)
    # Blocks of one number share a cache's place, so concepts would read each other's keys; nothing is generated here.
    backbone.config.use_cache = False
    name, members = blocks(backbone)
    first = min(group.block for group in units)
    stacks = []
    for mask in masks:
        try:
            kept = {group: group.kept(mask) for group in units}
        except ModelError as error:
            raise ModelError(f"concept {mask.name!r}: {error}") from None
        stacks.append([_cut(backbone, name, number, kept) for number in range(first, len(members))])
    del members[first:]
    members.append(Fork(stacks))
    compacted = CompactModel(backbone, model.tokenizer, model.concept_set, model.settings, model.means)
    compacted.concept_heads = copy.deepcopy(model.concept_heads).requires_grad_(False)
    compacted.label_head = copy.deepcopy(model.label_head).requires_grad_(False)
    return compacted.eval()


def _cut(backbone: nn.Module, blocks_name: str, number: int, kept: Mapping[Units, Tensor]) -> nn.Module:
    """One block of one concept: the parameters of the backbone's block, those of cut layers apart."""
    block = backbone.get_submodule(f"{blocks_name}.{number}")
    shared = {id(p): p for p in block.parameters()}
    block = copy.deepcopy(block, {**shared, id(backbone.config): backbone.config})
    block._forward_pre_hooks.clear()  # what makes a masked block part its rows
    groups = [group for group in kept if group.block == number]
    for group in groups:
        for layer in group.layers:
            inner = layer.removeprefix(f"{blocks_name}.{number}.")
            parent, _, child = inner.rpartition(".")
            setattr(block.get_submodule(parent), child, _smaller(block.get_submodule(inner), layer, group, kept[group]))
        if group.kind == "head":
            _tell_heads(block, backbone.config.model_type, int(kept[group].sum()))
    return block


def _smaller(layer: MaskedLinear, name: str, group: Units, kept: Tensor) -> nn.Linear:
    """The rows or columns of a masked layer that belong to the units kept, as nn.Linear."""
    parts = [part for part in group.parts if part.layer == name]  # more than one where maps lie side by side
    axis, outputs = parts[0].axis, output_axis(layer)
    indices = torch.cat([part.indices(kept) for part in parts]).to(layer.weight.device)
    weight, bias = layer.weight.index_select(axis, indices), layer.bias
    if bias is not None and axis == outputs:
        bias = bias.index_select(0, indices)
    weight = weight.T.contiguous() if outputs == 1 else weight
    smaller = nn.Linear(*reversed(weight.shape), bias=bias is not None, device="meta")
    smaller.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        smaller.bias = nn.Parameter(bias, requires_grad=False)
    return smaller


def _tell_heads(block: nn.Module, family: str, heads: int) -> None:
    """Tell an attention how many heads are left where its forward pass asks; the others see it by their maps' width."""
    if family == "opt":
        block.self_attn.num_heads = heads
    if family == "gpt2":
        block.attn.split_size = heads * block.attn.head_dim


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
