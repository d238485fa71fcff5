"""Models for inference in which each concept has blocks of its own.

`unfold` multiplies each mask into a copy of the weights. `compact` also cuts out the heads and neurons of which a mask
keeps no weight.

The next map has zeros for the output of a dropped head or neuron, so that output does not matter, bias or not. Its
rows, biases and columns can be removed, which makes every product smaller. The concepts share everything that no mask
cuts: embeddings, norms, and the blocks below the first masked one.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.model.backbone import build_backbone, plain_config
from sparsecbm.model.branches import ConceptBlock
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masked import MaskedLinear, find_blocks, first_masked_block, masked_layers, needs_separate_passes
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.routing import remove_row_splitter
from sparsecbm.model.storage import load, save
from sparsecbm.model.units import LayerPart, Units, find_units, output_axis, select_pruned_units


@dataclass(frozen=True)
class Cut:
    """What is left of a layer for one concept.

    Attributes:
        outputs: whether outputs were cut, and not inputs
        indices: of what is left, in ascending order
    """

    outputs: bool
    indices: Tensor


class CompactModel(ConceptBottleneck):
    """A `ConceptBottleneck` for inference that gives each concept a dense network of its own; `compact` makes it.

    `logits`, `predict` and the forward pass are those of the masked model. The compact model is a snapshot: later
    changes of the masked model do not change it. It takes no masks.

    Attributes:
        cut: the masks that it was cut out by, from which a masked model can be made again
        cuts: for each concept, layer -> what is left of it; layers that were not cut are missing
    """

    cut: MaskSet | None = None
    cuts: Sequence[Mapping[str, Cut]] = ()

    @property
    def masked(self) -> bool:
        """True: each concept has a subnetwork of its own."""
        return True

    @property
    def masks(self) -> None:
        """None: the weights that the masks drop are gone."""
        return None

    @masks.setter
    def masks(self, masks: object) -> None:
        raise ModelError("a compact model takes no masks; give them to the masked model and compact it again")

    def save_pretrained(self, path: str | Path) -> None:
        """Save as the masked model that it was cut out of, without the weights that no mask keeps, which become zero.

        Every command and `SparseCBM.from_pretrained` read the folder; `CompactModel.from_pretrained` cuts it again.

        Raises:
            WriteError: something else than a model is at `path`, or writing failed.
        """
        save(to_masked(self), Path(path))

    @classmethod
    def from_pretrained(cls, path: str | Path) -> Self:
        """Load a masked model and cut it: heads and neurons if its masks drop some, or else single weights.

        Raises:
            ModelError: the folder is missing, incomplete or altered, or its model has no masks.
        """
        masked: ConceptBottleneck = load(Path(path))
        return unfold(masked, cls) if weights_after_cut(masked) is None else compact(masked, cls)

    def parameters_by_concept(self) -> dict[str, int]:
        """Parameters of each concept's network, shared ones included and heads excluded."""
        blocks = concept_blocks(self.backbone)
        shared = _count(self.backbone) - _count(nn.ModuleList(blocks))
        return {
            name: shared + _count(nn.ModuleList(block.branches[index] for block in blocks))
            for index, name in enumerate(self.concept_set.names)
        }


Compact = TypeVar("Compact", bound=CompactModel)


def concept_blocks(backbone: nn.Module) -> list[ConceptBlock]:
    """The blocks of a compact backbone that have one version for each concept; empty for other backbones."""
    return [block for block in find_blocks(backbone)[1] if isinstance(block, ConceptBlock)]


def compact(model: ConceptBottleneck, model_class: type[Compact] = CompactModel) -> Compact:  # type: ignore[assignment]
    """Cut each concept's subnetwork out of a model, without the heads and neurons of which its mask keeps no weight.

    What is left of a mask is multiplied into the weights.

    Args:
        model_class: class of the model that is returned

    Raises:
        ModelError: the model has no masks, no mask drops a whole head or neuron, or the units of the backbone's family
            are not known.
        ConfigError: the masks are over parts of units.
    """
    kept = _kept_units(model, _masks_of(model))
    if _all_kept(kept):
        raise ModelError(
            "no mask drops a whole head or neuron, so there is nothing to cut out; prune with granularity `structured` "
            "or `hierarchical`"
        )
    cuts: list[dict[str, Cut]] = [{} for _ in kept]

    def cut(block: nn.Module, number: int, concept: int) -> None:
        for group in (group for group in kept[concept] if group.block == number):
            for inner, layer in masked_layers(block).items():
                parts = [part for part in group.parts if part.layer == layer.name]
                if parts:
                    cuts[concept][layer.name] = what_is_left = _cut(layer, parts, kept[concept][group])
                    _replace(block, inner, _smaller(layer, concept, what_is_left))
            if group.kind == "head":
                _set_heads(block, model.backbone.config.model_type, int(kept[concept][group].sum()))

    small = _branched(model, cut, model_class)
    small.cuts = cuts
    return small


def weights_after_cut(model: ConceptBottleneck) -> int | None:
    """Masked weights that all concepts together have left after `compact`; None if there is nothing to cut out."""
    if model.masks is None:
        return None
    try:
        kept = _kept_units(model, model.masks)
    except (ConfigError, ModelError):  # masks over parts of units, or an unknown model family
        return None
    if _all_kept(kept):
        return None
    weights = {layer: torch.empty(shape, device="meta") for layer, shape in model.masks.shapes.items()}
    return sum(int(used.sum()) * group.weights(weights) for of_concept in kept for group, used in of_concept.items())


def _all_kept(kept: Sequence[Mapping[Units, Tensor]]) -> bool:
    return all(bool(used.all()) for of_concept in kept for used in of_concept.values())


def _kept_units(model: ConceptBottleneck, masks: MaskSet) -> list[dict[Units, Tensor]]:
    """For each concept, the units of which its mask keeps a weight; the first one of a block if it keeps none."""
    units = select_pruned_units(find_units(model.backbone), masks.shapes)
    kept = [{group: group.used(mask) for group in units} for mask in masks]
    for used in (used for of_concept in kept for used in of_concept.values() if not used.any()):
        used[0] = True  # transformers cannot run an attention without heads; the weights of this one are zero
    return kept


def unfold(model: ConceptBottleneck, model_class: type[Compact] = CompactModel) -> Compact:  # type: ignore[assignment]
    """Multiply each concept's masks, of any granularity, into weights of its own.

    The products are those of the masked model, but no bits have to be unpacked for each of them. It takes the memory
    of the masked blocks once for each concept.

    Args:
        model_class: class of the model that is returned

    Raises:
        ModelError: the model has no masks, or it is a DeBERTa, whose linear maps take more than rows of texts.
    """
    _masks_of(model)
    if needs_separate_passes(model.backbone):
        raise ModelError(f"a backbone of family {model.backbone.config.model_type!r} cannot be unfolded")

    def multiply(block: nn.Module, number: int, concept: int) -> None:
        for inner, layer in masked_layers(block).items():
            _replace(block, inner, _linear(layer.masked_weight(concept), layer.bias))

    return _branched(model, multiply, model_class)


@torch.no_grad()
def to_masked(model: CompactModel) -> ConceptBottleneck:
    """The masked model that a compact one was cut out of; weights and biases that no concept keeps are zero.

    Raises:
        ModelError: the model was not made by `compact` or `unfold`.
    """
    if model.cut is None:
        raise ModelError("this compact model was not made by compact() or unfold(), so its masks are not known")
    with torch.random.fork_rng([]):  # the weights of a new backbone are random until they are replaced
        backbone = build_backbone(plain_config(model.backbone.config))
        masked = ConceptBottleneck(backbone, model.tokenizer, model.concept_set, model.settings, model.means)
        if model.hard_head is not None:
            masked.add_hard_head()
    prefix, _ = find_blocks(model.backbone)
    stored, state = model.state_dict(), masked.state_dict()
    for name, tensor in state.items():
        branches = [_name_in_branch(name, f"backbone.{prefix}.", number) for number in range(len(model.concept_set))]
        values = [stored[branch] for branch in branches if branch in stored] or [stored[name]]
        layer, _, kind = name.removeprefix("backbone.").rpartition(".")
        if layer not in model.cut.shapes:
            tensor.copy_(values[0])
            continue
        tensor.zero_()
        input_first = isinstance(backbone.get_submodule(layer), Conv1D)  # its weight is [in, out]
        whole = tensor.T if input_first and kind == "weight" else tensor
        cuts = [of_concept.get(layer) for of_concept in model.cuts] or [None] * len(values)
        for value, mask, cut in zip(values, model.cut, cuts, strict=True):
            _put_back(whole, value, mask[layer].T if input_first else mask[layer], cut)
    masked.load_state_dict(state)
    masked.masks = model.cut
    return masked.eval()


def _name_in_branch(name: str, prefix: str, concept: int) -> str:
    """The name that a weight of a block has in the branch of a concept."""
    number, dot, inner = name.removeprefix(prefix).partition(".")
    return f"{prefix}{number}.branches.{concept}{dot}{inner}"


def _put_back(whole: Tensor, values: Tensor, mask: Tensor, cut: Cut | None) -> None:
    """Write the weights, [out, in], or biases, [out], of one concept to where they were before they were cut."""
    if cut is not None and (whole.ndim == 2 or cut.outputs):
        axis = 0 if cut.outputs else 1
        before = whole if whole.ndim == 1 else torch.zeros_like(whole)
        values = before.index_copy(axis, cut.indices.to(whole.device), values)
    if whole.ndim == 1:
        whole.copy_(values)
    else:
        whole[mask] = values[mask]


def _masks_of(model: ConceptBottleneck) -> MaskSet:
    if model.masks is None:
        raise ModelError("the model has no masks; prune it first")
    return model.masks


@torch.no_grad()
def _branched(
    model: ConceptBottleneck, change: Callable[[nn.Module, int, int], None], model_class: type[Compact]
) -> Compact:
    """A model in which every concept has blocks of its own.

    Args:
        change: replaces the masked layers of a block, given the block, its number and the index of the concept
    """
    backbone = copy.deepcopy(model.backbone).eval().requires_grad_(False)
    # All branches of a block would share one entry in a cache of keys and values; nothing is generated here.
    backbone.config.use_cache = False
    _, blocks = find_blocks(backbone)
    first = first_masked_block(backbone)
    for number in range(first, len(blocks)):
        # Branches keep the parameters of the block, so what no mask cuts exists once.
        shared = {id(parameter): parameter for parameter in blocks[number].parameters()}
        branches = []
        for concept in range(len(model.concept_set)):
            branch = copy.deepcopy(blocks[number], {**shared, id(backbone.config): backbone.config})
            remove_row_splitter(branch)
            change(branch, number, concept)
            branches.append(branch)
        blocks[number] = ConceptBlock(branches, number == first)
    branched = model_class(backbone, model.tokenizer, model.concept_set, model.settings, model.means)
    for name in ("concept_heads", "label_head", "hard_head"):
        head = copy.deepcopy(getattr(model, name))
        setattr(branched, name, head if head is None else head.requires_grad_(False))
    branched.cut = model.masks
    return branched.eval()


def _replace(block: nn.Module, inner: str, layer: nn.Module) -> None:
    parent, _, child = inner.rpartition(".")
    setattr(block.get_submodule(parent), child, layer)


def _cut(layer: MaskedLinear, parts: Sequence[LayerPart], kept: Tensor) -> Cut:
    """The rows or columns of a masked layer that belong to kept units.

    Args:
        parts: the units' parts of this layer; more than one if it holds several maps side by side
        kept: boolean, [units]
    """
    indices = torch.cat([part.indices(kept) for part in parts]).to(layer.weight.device)
    return Cut(parts[0].axis == output_axis(layer), indices)


def _smaller(layer: MaskedLinear, concept: int, cut: Cut) -> nn.Linear:
    """What is left of a masked layer for one concept, with the mask in its weights."""
    weight = layer.masked_weight(concept).index_select(0 if cut.outputs else 1, cut.indices)
    if not cut.outputs:
        return _linear(weight, layer.bias)
    # A map to few outputs is faster with a transposed weight: 1.2 times in large batches, twice in small ones.
    return _linear(weight.T.contiguous().T, None if layer.bias is None else layer.bias[cut.indices])


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """An nn.Linear that holds the given weight, [out, in], and bias, [out], without copying them."""
    outputs, inputs = weight.shape
    linear = nn.Linear(inputs, outputs, bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:  # an uncut bias stays the parameter that the other concepts share
        linear.bias = bias if isinstance(bias, nn.Parameter) else nn.Parameter(bias, requires_grad=False)
    return linear


def _set_heads(block: Any, family: str, heads: int) -> None:
    """Set the number of heads in attentions that store it; others derive it from the width of their maps."""
    if family == "opt":
        block.self_attn.num_heads = heads
    if family == "gpt2":
        block.attn.split_size = heads * block.attn.head_dim


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
