"""Masks: which weights of the backbone belong to each concept, at one bit for each weight and concept.

Mask of concept k: m_k in {0,1}^|W|; its subnetwork is f(x; W * m_k) (Tan et al., arXiv 2312.15033).
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sparsecbm.base.errors import ConfigError, ModelError, unknown
from sparsecbm.base.files import replacing
from sparsecbm.base.outputs import check_output, tensors_with
from sparsecbm.base.rich import Rich
from sparsecbm.base.terminal_text import one_line

METADATA = "masks"  # the entry of a mask file's metadata
WEIGHTS = "weights"  # in this entry: the checksum of the weights, in the file of a mask that is shared alone
_KEYS = ("concepts", "shapes")
_MOST = 2**22  # rows or columns of a weight
_BIT_VALUES = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8)


def pack(mask: Tensor) -> Tensor:
    """Bits of a boolean tensor of any shape, [ceil(elements / 8)], uint8; the first element is the highest bit."""
    flat = mask.reshape(-1)
    padded = torch.nn.functional.pad(flat.to(torch.uint8), (0, -len(flat) % 8))
    return (padded.view(-1, 8) * _BIT_VALUES.to(mask.device)).sum(-1, dtype=torch.uint8)


def unpack(bits: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Inverse of `pack`: a boolean tensor of the given shape."""
    words = _WORDS.to(bits.device).index_select(0, bits.reshape(-1).int())
    return words.view(torch.bool)[: prod(shape)].view(shape)


def unpack_like(bits: Tensor, weight: Tensor) -> Tensor:
    """As `unpack`, but ones and zeros in the type and shape of a weight. The tensor is new, so it may be changed."""
    words = _NUMBERS.to(weight).index_select(0, bits.reshape(-1).int())
    return words.view(-1)[: weight.numel()].view(weight.shape)


def count(bits: Tensor) -> int:
    """Number of ones among packed bits. The padding bits are zero."""
    return int(torch.bincount(bits.reshape(-1).int(), minlength=256).cpu() @ _ONES)


# The eight booleans of each byte as one word: one look-up for a byte is six times as fast as eight shifts.
_WORDS = (torch.arange(256, dtype=torch.uint8).unsqueeze(1) & _BIT_VALUES).ne(0).view(torch.int64).squeeze(1)
_NUMBERS = _WORDS.unsqueeze(1).view(torch.bool).float()  # the same as numbers, [256, 8]
_ONES = torch.tensor([bin(byte).count("1") for byte in range(256)])


class ConceptMask(Mapping[str, Tensor], Rich):
    """The mask of one concept: layer name -> boolean tensor of the weight's shape."""

    def __init__(self, name: str, bits: dict[str, Tensor], shapes: dict[str, tuple[int, ...]]):
        self.name = name
        self.bits = bits  # layer -> [bytes], uint8
        self.shapes = shapes

    def __getitem__(self, layer: str) -> Tensor:
        if layer not in self.shapes:
            raise ConfigError(unknown("pruned layer", layer, self.shapes))
        return unpack(self.bits[layer], self.shapes[layer])

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def __eq__(self, other: object) -> bool:
        """Whether both keep the same weights of the same layers. Names of concepts do not matter."""
        if not isinstance(other, ConceptMask):
            return NotImplemented
        return self.shapes == other.shapes and all(torch.equal(self.bits[name], other.bits[name]) for name in self)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        size = sum(prod(shape) for shape in self.shapes.values())
        kept = f"{self.weights:,} of {size:,} weights ({self.density:.1%}) in {len(self.shapes)} layers"
        return f"<{type(self).__name__} {one_line(self.name)}: keeps {kept}>"

    @property
    def weights(self) -> int:
        """Weights kept."""
        return sum(count(bits) for bits in self.bits.values())

    @property
    def density(self) -> float:
        """Share of weights kept."""
        return self.weights / sum(prod(shape) for shape in self.shapes.values())

    def density_by_layer(self) -> dict[str, float]:
        """Share of weights kept in each layer."""
        return {layer: count(bits) / prod(self.shapes[layer]) for layer, bits in self.bits.items()}


@dataclass(frozen=True, eq=False)
class MaskSet(Rich):
    """The masks of all concepts over the same pruned layers.

    Attributes:
        concepts: names, in order
        shapes: shape of each pruned layer's weight, by the layer's name in the backbone
        bits: packed masks by layer, [concepts, bytes], uint8
    """

    concepts: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]
    bits: dict[str, Tensor]

    def __post_init__(self) -> None:
        if not self.shapes:
            raise ModelError("a mask set without layers would leave the model dense; give at least one layer")
        for layer, shape in self.shapes.items():
            expected = (len(self.concepts), -(-prod(shape) // 8))
            if tuple(self.bits[layer].shape) != expected or self.bits[layer].dtype != torch.uint8:
                raise ModelError(
                    f"the masks of layer {layer} have {tuple(self.bits[layer].shape)} bytes, not {expected}"
                )

    def __repr__(self) -> str:
        shares = ", ".join(f"{one_line(name)} {share:.1%}" for name, share in self.density().items())
        return f"<{type(self).__name__}: of {self.size:,} weights in {len(self.shapes)} layers, {shares} are kept>"

    @classmethod
    def dense(cls, concepts: tuple[str, ...], shapes: dict[str, tuple[int, ...]]) -> "MaskSet":
        """Masks that keep every weight."""
        full = {layer: torch.ones(shape, dtype=torch.bool) for layer, shape in shapes.items()}
        return cls.from_masks(dict.fromkeys(concepts, full))

    @classmethod
    def from_masks(cls, masks: Mapping[str, Mapping[str, Tensor]]) -> "MaskSet":
        """Masks from boolean tensors by concept and layer. All concepts have the same layers."""
        concepts = tuple(masks)
        shapes = {layer: tuple(mask.shape) for layer, mask in masks[concepts[0]].items()}
        for name in concepts:
            if {layer: tuple(mask.shape) for layer, mask in masks[name].items()} != shapes:
                raise ModelError(f"the masks of {name!r} and {concepts[0]!r} are not for the same layers")
        bits = {layer: torch.stack([pack(masks[name][layer]) for name in concepts]) for layer in shapes}
        return cls(concepts, shapes, bits)

    def __getitem__(self, name: str) -> ConceptMask:
        if name not in self.concepts:
            raise ConfigError(unknown("concept", name, self.concepts))
        row = self.concepts.index(name)
        return ConceptMask(name, {layer: bits[row] for layer, bits in self.bits.items()}, self.shapes)

    def __iter__(self) -> Iterator[ConceptMask]:
        return (self[name] for name in self.concepts)

    def __len__(self) -> int:
        return len(self.concepts)

    def __eq__(self, other: object) -> bool:
        """Whether concepts, layers and bits are the same. The device does not matter."""
        if not isinstance(other, MaskSet):
            return NotImplemented
        return self.content_hash() == other.content_hash()

    def __hash__(self) -> int:
        return hash(self.content_hash())

    @property
    def size(self) -> int:
        """Number of weights in the masked layers."""
        return sum(prod(shape) for shape in self.shapes.values())

    def replaced(self, name: str, masks: Mapping[str, Tensor]) -> "MaskSet":
        """A new set in which one concept has other masks for some or all of the layers."""
        row = self.concepts.index(self[name].name)
        bits = dict(self.bits)
        for layer, mask in masks.items():
            if tuple(mask.shape) != self.shapes.get(layer):
                raise ModelError(
                    unknown("pruned layer", layer, self.shapes)
                    if layer not in self.shapes
                    else f"layer {layer} has weights {self.shapes[layer]}, its mask is {tuple(mask.shape)}"
                )
            bits[layer] = bits[layer].clone()
            bits[layer][row] = pack(mask).to(bits[layer].device)
        return MaskSet(self.concepts, self.shapes, bits)

    def of(self, names: Sequence[str]) -> "MaskSet":
        """The masks of some concepts, in this order.

        Raises:
            ConfigError: unknown concept; the message lists the choices.
        """
        rows = [self.concepts.index(self[name].name) for name in names]
        return MaskSet(tuple(names), self.shapes, {layer: bits[rows] for layer, bits in self.bits.items()})

    def density(self) -> dict[str, float]:
        """Share of weights kept, by concept."""
        return {mask.name: mask.density for mask in self}

    def core(self) -> ConceptMask:
        """Weights that every concept keeps."""
        return self._combine("core", lambda bits: _reduce(torch.bitwise_and, bits))

    def union(self) -> ConceptMask:
        """Weights that at least one concept keeps."""
        return self._combine("union", lambda bits: _reduce(torch.bitwise_or, bits))

    def exclusive(self, name: str) -> ConceptMask:
        """Weights that this concept alone keeps."""
        index = self.concepts.index(self[name].name)

        def exclude(bits: Tensor) -> Tensor:
            other_bits = [row for number, row in enumerate(bits) if number != index]
            return bits[index] & ~_reduce(torch.bitwise_or, other_bits) if other_bits else bits[index]

        return self._combine(name, exclude)

    def _combine(self, name: str, combine: Callable[[Tensor], Tensor]) -> ConceptMask:
        return ConceptMask(name, {layer: combine(bits) for layer, bits in self.bits.items()}, self.shapes)

    def content_hash(self) -> str:
        """sha256 over names, shapes and bits, as hex."""
        digest = hashlib.sha256(json.dumps(self._description(), sort_keys=True).encode())
        for layer in sorted(self.bits):
            digest.update(self.bits[layer].cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _description(self) -> dict[str, Any]:
        return {"concepts": list(self.concepts), "shapes": {k: list(self.shapes[k]) for k in sorted(self.shapes)}}

    def save(self, path: Path, weights: str | None = None) -> None:
        """Write one safetensors file: the packed bits, with names, shapes and content hash as metadata.

        Args:
            weights: checksum of the weights that the masks belong to; None where these lie beside the file

        Raises:
            WriteError: another kind of file, or a folder, is there, or writing failed.
        """
        check_output(path, tensors_with(METADATA), "masks")
        # One entry only, since safetensors writes several in an order that changes from run to run.
        description = {**self._description(), "sha256": self.content_hash()}
        if weights is not None:
            description[WEIGHTS] = weights
        metadata = {METADATA: json.dumps(description, sort_keys=True)}
        with replacing(path) as temporary:
            save_file({layer: bits.cpu().contiguous() for layer, bits in self.bits.items()}, temporary, metadata)

    @classmethod
    def load(cls, path: Path) -> "MaskSet":
        """Read a file that `save` wrote.

        Raises:
            ModelError: the file is missing or unreadable, or its bits are not those that were saved.
        """
        path = Path(path)
        if not path.is_file():
            raise ModelError(f"{path} does not exist")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                bits = {layer: file.get_tensor(layer) for layer in file.keys()}  # noqa: SIM118 (no mapping)
            description = json.loads(metadata[METADATA])
            masks = cls(*_described(description, bits.keys()), bits)
        except (SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
            raise ModelError(f"{path} is not a mask file: {error}; restore the file") from error
        except ModelError as error:
            raise ModelError(f"{path}: {error}; restore the file") from None
        if masks.content_hash() != description.get("sha256"):
            raise ModelError(f"{path} was altered: its bits do not match the sha256 in it; restore the file")
        return masks


def _described(description: Any, stored: Collection[str]) -> tuple[tuple[str, ...], dict[str, tuple[int, ...]]]:
    """Concepts and shapes in the metadata of a mask file.

    Args:
        stored: the layers whose bits the file holds

    Raises:
        ValueError: the metadata has another form, or describes other layers.
    """
    concepts, shapes = (description.get(key) if isinstance(description, dict) else None for key in _KEYS)
    if not isinstance(concepts, list) or not all(isinstance(name, str) for name in concepts):
        raise ValueError("its metadata has no list of concepts")
    if not concepts or len(set(concepts)) < len(concepts):
        raise ValueError("its metadata must name each concept once")
    if not isinstance(shapes, dict) or shapes.keys() != stored:
        raise ValueError("its metadata does not give a shape for each layer in it")
    for layer, shape in shapes.items():
        sizes = shape if isinstance(shape, list) else []
        if len(sizes) != 2 or not all(type(size) is int and 0 < size <= _MOST for size in sizes):
            raise ValueError(f"the shape of {layer} in its metadata is not that of a matrix")
    return tuple(concepts), {layer: tuple(shape) for layer, shape in shapes.items()}


def _reduce(operation: Callable[[Tensor, Tensor], Tensor], rows: Tensor | list[Tensor]) -> Tensor:
    result = rows[0].clone()
    for row in rows[1:]:
        result = operation(result, row)
    return result
