"""Models for inference in which each concept has blocks of its own.

`compact` cuts them out of structured masks; `unfold` multiplies masks of any kind into copies of the weights.

The next map has zeros for the output of a dropped head or neuron, so that output does not matter, bias or not. Its
rows, biases and columns can be removed, which makes every product smaller. The concepts share everything that no mask
cuts: embeddings, norms, and the blocks below the first masked one.
"""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.model.backbone import build_backbone, plain_config
from sparsecbm.model.branches import ConceptBlock
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masked import MaskedLinear, find_blocks, first_masked_block, needs_separate_passes
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.routing import remove_row_splitter
from sparsecbm.model.storage import load, save
from sparsecbm.model.units import LayerPart, find_units, output_axis, select_pruned_units


class CompactModel(ConceptBottleneck):
    """A `ConceptBottleneck` for inference that gives each concept a dense network of its own; `compact` makes it.

    `logits`, `predict` and the forward pass are those of the masked model. The compact model is a snapshot: later
    changes of the masked model do not change it. It takes no masks.

    Attributes:
        cut: the masks that it was cut out by, from which a masked model can be made again
    """

    cut: MaskSet | None = None

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
        """Load a masked model and cut it: whole heads and neurons if its masks drop these, or else single weights.

        Raises:
            ModelError: the folder is missing, incomplete or altered, or its model has no masks.
        """
        masked: ConceptBottleneck = load(Path(path))
        return compact(masked, cls) if is_structured(masked) else unfold(masked, cls)

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
    """Cut each concept's subnetwork out of a model with structured masks.

    Args:
        model_class: class of the model that is returned

    Raises:
        ModelError: the model has no masks, a mask cuts through a head or neuron (the message names the first such
            layer), or the units of the backbone's family are not known.
    """
    masks = _masks_of(model)
    units = select_pruned_units(find_units(model.backbone), masks.shapes)
    kept = []
    for mask in masks:
        try:
            kept.append({group: group.kept(mask) for group in units})
        except ModelError as error:
            raise ModelError(f"concept {mask.name!r}: {error}") from None

    def cut(block: nn.Module, number: int, concept: int) -> None:
        for group in (group for group in units if group.block == number):
            for inner, layer in _masked_layers(block):
                parts = [part for part in group.parts if part.layer == layer.name]
                if parts:
                    _replace(block, inner, _smaller(layer, parts, kept[concept][group]))
            if group.kind == "head":
                _set_heads(block, model.backbone.config.model_type, int(kept[concept][group].sum()))

    return _branched(model, cut, model_class)


def is_structured(model: ConceptBottleneck) -> bool:
    """Whether every mask keeps or drops whole heads and neurons of the backbone, so that `compact` can cut them out."""
    masks = model.masks
    if masks is None:
        return False
    try:
        units = select_pruned_units(find_units(model.backbone), masks.shapes)
        for mask in masks:
            for group in units:
                group.kept(mask)
    except (ConfigError, ModelError):  # masks over parts of units, a cut unit, or an unknown model family
        return False
    return True


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
        for inner, layer in _masked_layers(block):
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
        for value, mask in zip(values, model.cut, strict=True):
            _put_back(whole, value, mask[layer].T if input_first else mask[layer])
    masked.load_state_dict(state)
    masked.masks = model.cut
    return masked.eval()


def _name_in_branch(name: str, prefix: str, concept: int) -> str:
    """The name that a weight of a block has in the branch of a concept."""
    number, dot, inner = name.removeprefix(prefix).partition(".")
    return f"{prefix}{number}.branches.{concept}{dot}{inner}"


def _put_back(whole: Tensor, values: Tensor, mask: Tensor) -> None:
    """Write the weights, [out, in], or biases, [out], of one concept to where they were before they were cut."""
    rows, columns = mask.any(1), mask.any(0)
    if whole.ndim == 1:
        whole[rows if len(values) < len(whole) else slice(None)] = values
    elif values.shape == whole.shape:
        whole[mask] = values[mask]
    elif values.numel():
        whole[rows.nonzero(), columns.nonzero().T] = values


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


def _masked_layers(block: nn.Module) -> list[tuple[str, MaskedLinear]]:
    return [(inner, layer) for inner, layer in block.named_modules() if isinstance(layer, MaskedLinear)]


def _replace(block: nn.Module, inner: str, layer: nn.Module) -> None:
    parent, _, child = inner.rpartition(".")
    setattr(block.get_submodule(parent), child, layer)


def _smaller(layer: MaskedLinear, parts: Sequence[LayerPart], kept: Tensor) -> nn.Linear:
    """The rows or columns of a masked layer that belong to kept units.

    Args:
        parts: the units' parts of this layer; more than one if it holds several maps side by side
        kept: boolean, [units]
    """
    axis, outputs = parts[0].axis, output_axis(layer)
    indices = torch.cat([part.indices(kept) for part in parts]).to(layer.weight.device)
    weight = layer.weight.index_select(axis, indices)
    weight = weight if outputs == 0 else weight.T  # [out, in]
    if axis != outputs:
        return _linear(weight, layer.bias)
    # A map to few outputs is faster with a transposed weight: 1.2 times in large batches, twice in small ones.
    return _linear(weight.T.contiguous().T, None if layer.bias is None else layer.bias[indices])


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
