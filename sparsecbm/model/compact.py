"""Models for inference in which each concept has blocks of its own: cut out of structured masks, or multiplied out.

A dropped head or neuron has zeros where it is read: its output, which a bias would otherwise make a constant, is
multiplied by nothing. So its rows, its biases and its columns can go, and every product gets smaller. Embeddings,
the blocks below the first masked one, norms and whatever no mask cuts exist once and are shared by the concepts.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from sparsecbm.base.errors import ModelError
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masked import MaskedLinear, current_route, find_blocks, is_masked, needs_separate_passes, rows_of
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.units import Part, find_units, output_axis, select_pruned_units


class CompactModel(ConceptBottleneck):
    """A `ConceptBottleneck` for inference whose concepts read through dense networks of their own; `compact` makes it.

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
        fork = find_blocks(self.backbone)[1][-1]
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


def compact(model: ConceptBottleneck) -> CompactModel:
    """Cut each concept's subnetwork out of a model with structured masks.

    Raises:
        ModelError: the model has no masks, they are not of whole heads and neurons (names the first layer), or the
            units of its backbone's family are not known.
    """
    masks = _masks_of(model)
    units = select_pruned_units(find_units(model.backbone), masks.shapes)
    kept = []
    for mask in masks:
        try:
            kept.append({group: group.kept(mask) for group in units})
        except ModelError as error:
            raise ModelError(f"concept {mask.name!r}: {error}") from None

    def cut(block: nn.Module, number: int, place: int) -> None:
        for group in (group for group in units if group.block == number):
            for inner, layer in _masked_layers(block):
                parts = [part for part in group.parts if part.layer == layer.name]
                if parts:
                    _replace(block, inner, _smaller(layer, parts, kept[place][group]))
            if group.kind == "head":
                _tell_heads(block, model.backbone.config.model_type, int(kept[place][group].sum()))

    return _forked(model, cut)


def unfold(model: ConceptBottleneck) -> CompactModel:
    """Multiply each concept's masks into weights of its own, whatever the granularity.

    The same products as those of the masked model, but no bits to unpack in each of them. It takes the memory of the
    masked blocks once a concept.

    Raises:
        ModelError: the model has no masks, or it is a DeBERTa, whose blocks take more than rows of texts.
    """
    _masks_of(model)
    if needs_separate_passes(model.backbone):
        raise ModelError(f"a backbone of family {model.backbone.config.model_type!r} cannot be unfolded")

    def multiply(block: nn.Module, number: int, place: int) -> None:
        for inner, layer in _masked_layers(block):
            _replace(block, inner, _linear(layer.masked_weight(place), layer.bias))

    return _forked(model, multiply)


def _masks_of(model: ConceptBottleneck) -> MaskSet:
    if model.masks is None:
        raise ModelError("the model has no masks; prune it first")
    return model.masks


@torch.no_grad()
def _forked(model: ConceptBottleneck, change: Callable[[nn.Module, int, int], None]) -> CompactModel:
    """A model in which every concept has blocks of its own.

    Args:
        change: replaces the masked layers of a block, given the block, its number and the concept's place
    """
    backbone = copy.deepcopy(model.backbone).eval().requires_grad_(False)
    # Blocks of one number share a cache's place, so concepts would read each other's keys; nothing is generated here.
    backbone.config.use_cache = False
    _, members = find_blocks(backbone)
    first = next(number for number, block in enumerate(members) if is_masked(block))
    stacks = []
    for place in range(len(model.concept_set)):
        stacks.append([])
        for number in range(first, len(members)):
            # The copy has the parameters of the original: what the masks leave alone exists once.
            shared = {id(parameter): parameter for parameter in members[number].parameters()}
            block = copy.deepcopy(members[number], {**shared, id(backbone.config): backbone.config})
            block._forward_pre_hooks.clear()  # what makes a masked block part its rows
            change(block, number, place)
            stacks[-1].append(block)
    del members[first:]
    members.append(Fork(stacks))
    forked = CompactModel(backbone, model.tokenizer, model.concept_set, model.settings, model.means)
    forked.concept_heads = copy.deepcopy(model.concept_heads).requires_grad_(False)
    forked.label_head = copy.deepcopy(model.label_head).requires_grad_(False)
    return forked.eval()


def _masked_layers(block: nn.Module) -> list[tuple[str, MaskedLinear]]:
    return [(inner, layer) for inner, layer in block.named_modules() if isinstance(layer, MaskedLinear)]


def _replace(block: nn.Module, inner: str, layer: nn.Module) -> None:
    parent, _, child = inner.rpartition(".")
    setattr(block.get_submodule(parent), child, layer)


def _smaller(layer: MaskedLinear, parts: Sequence[Part], kept: Tensor) -> nn.Linear:
    """The rows or columns of a masked layer that belong to the units kept.

    Args:
        parts: the units' parts of this layer: more than one where maps lie side by side
        kept: boolean, [units]
    """
    axis, outputs = parts[0].axis, output_axis(layer)
    indices = torch.cat([part.indices(kept) for part in parts]).to(layer.weight.device)
    weight = layer.weight.index_select(axis, indices)
    weight = weight if outputs == 0 else weight.T  # [out, in]
    if axis != outputs:
        return _linear(weight, layer.bias)
    # A map to few outputs is faster if its inputs lie apart in memory: 1.2 times in large batches, twice in small.
    return _linear(weight.T.contiguous().T, None if layer.bias is None else layer.bias[indices])


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """nn.Linear of given weights, [out, in] and [out], which it does not copy."""
    linear = nn.Linear(*reversed(weight.shape), bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:  # one that is whole stays the parameter that others have, too
        linear.bias = bias if isinstance(bias, nn.Parameter) else nn.Parameter(bias, requires_grad=False)
    return linear


def _tell_heads(block: nn.Module, family: str, heads: int) -> None:
    """Tell an attention how many heads are left where its forward pass asks; others see it by their maps' width."""
    if family == "opt":
        block.self_attn.num_heads = heads
    if family == "gpt2":
        block.attn.split_size = heads * block.attn.head_dim


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
