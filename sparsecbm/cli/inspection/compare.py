"""What differs between two models, by name: files, settings, concepts, weights, masks, label head, and predictions.

Things of one name are compared, whatever their order: a concept with its namesake, a layer with its namesake.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sparsecbm.api import SparseCBM
from sparsecbm.model.masks import MaskSet, count, pack
from sparsecbm.model.prediction import StatePrediction
from sparsecbm.model.storage import compute_checksums


@dataclass(frozen=True)
class Sides:
    """One thing as it is in the first model (a) and in the second (b); None where a model does not have it."""

    a: Any
    b: Any


@dataclass(frozen=True)
class ValueDifference:
    """How many of so many values differ, and the largest absolute difference; None if that is not finite."""

    differing: int
    values: int
    largest: float | None


@dataclass(frozen=True)
class MaskDifference:
    """Two masks of one concept: bits that differ, Jaccard, and the share of weights that each keeps."""

    differing: int
    bits: int
    jaccard: float
    density: Sides


@dataclass(frozen=True)
class LabelHeadDifference:
    """Two label heads: V_k by concept, [classes, states], and b, [classes]."""

    V: dict[str, ValueDifference]
    b: ValueDifference


@dataclass(frozen=True)
class ReadingDifference:
    """How the readings of one variable (a concept or the label) differ.

    Attributes:
        differing: texts that are read as another state
        largest: largest change of a probability, whether the state changed or not
        changes: state in the first model -> state in the second -> texts, where they differ
    """

    differing: int
    largest: float
    changes: dict[str, dict[str, int]]


@dataclass(frozen=True)
class PredictionDifference:
    """How predictions for the same texts differ, for what both models read with the same states; else None.

    Attributes:
        texts: how many were read
        differing: texts whose label or any concept differs
    """

    texts: int
    differing: int
    label: ReadingDifference | None
    concepts: dict[str, ReadingDifference]


@dataclass(frozen=True)
class Comparison:
    """What differs between two model folders.

    Attributes:
        files: sha256 of each file that differs; empty if the folders are the same to the byte
        settings: that differ, the label's name among them; those of the backbone start with `backbone.`
        concepts: states of each concept, and of `label`, that differ
        unmatched: layers that one model alone has, or whose shapes differ: shape by parameter
        layers: how many layers could be compared: of the backbone, and heads of concepts with the same states
        weights: of these, the layers that differ
        masks: by concept, if a model has masks; a layer without them counts as keeping every weight
        label_head: None unless both have one with the same classes; V of concepts with the same states
        hard_head: the same of the label heads for hard concepts
        predictions: None if no texts were given
    """

    files: dict[str, Sides]
    settings: dict[str, Sides]
    concepts: dict[str, Sides]
    unmatched: dict[str, Sides]
    layers: int
    weights: dict[str, ValueDifference]
    masks: dict[str, MaskDifference]
    label_head: LabelHeadDifference | None
    hard_head: LabelHeadDifference | None
    predictions: PredictionDifference | None


def compare_models(folder_a: Path, folder_b: Path, texts: Sequence[str] = ()) -> Comparison:
    """Compare two model folders, and what they read in the given texts.

    Raises:
        ModelError: a folder holds no model, or was altered.
    """
    a, b = SparseCBM.from_pretrained(folder_a), SparseCBM.from_pretrained(folder_b)
    ours, theirs = _layers(a, b), _layers(b, a)
    unmatched = _differing(_shapes(ours), _shapes(theirs))
    weights = {name: difference(ours[name], theirs[name]) for name in ours if name not in unmatched}
    return Comparison(
        files=_differing(compute_checksums(Path(folder_a)), compute_checksums(Path(folder_b))),
        settings=_differing(_settings(a), _settings(b)),
        concepts=_differing(_states(a), _states(b)),
        unmatched=unmatched,
        layers=len(weights),
        weights={name: found for name, found in weights.items() if found.differing},
        masks=compare_masks(a, b),
        label_head=compare_label_heads(a, b, "label_head"),
        hard_head=compare_label_heads(a, b, "hard_head"),
        predictions=compare_predictions(a, b, texts) if texts else None,
    )


@torch.no_grad()
def difference(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> ValueDifference:
    """Compare the tensors of two layers, of equal names and shapes."""
    gaps = torch.cat([(a[name].float() - b[name].float()).abs().reshape(-1).cpu() for name in a])
    largest = float(gaps.max())
    return ValueDifference(int(gaps.ne(0).sum()), len(gaps), largest if math.isfinite(largest) else None)


def compare_masks(a: SparseCBM, b: SparseCBM) -> dict[str, MaskDifference]:
    """Compare the masks of every concept that both models have; empty if both are dense.

    A layer that has masks in only one model counts in the other as keeping every weight. A layer whose weight has not
    the same shape in both is left out.
    """
    ours, theirs = a.masks, b.masks
    shapes = {layer: shape for masks in (ours, theirs) if masks is not None for layer, shape in masks.shapes.items()}
    layers = [layer for layer in shapes if all(_has_weight(model, layer, shapes[layer]) for model in (a, b))]
    found = {}
    for name in _shared(a, b) if layers else ():
        pairs = [
            (_bits(ours, name, layer, shapes[layer]), _bits(theirs, name, layer, shapes[layer])) for layer in layers
        ]
        bits = sum(prod(shapes[layer]) for layer in layers)
        kept = Sides(sum(count(x) for x, _ in pairs) / bits, sum(count(y) for _, y in pairs) / bits)
        both, either = sum(count(x & y) for x, y in pairs), sum(count(x | y) for x, y in pairs)
        found[name] = MaskDifference(either - both, bits, both / either if either else 1.0, kept)
    return found


def compare_label_heads(a: SparseCBM, b: SparseCBM, which: str) -> LabelHeadDifference | None:
    """Compare V_k of every concept that both models have with the same states, and b; None without two such heads.

    Args:
        which: label_head | hard_head
    """
    heads = [getattr(model, which, None) for model in (a, b)]
    if None in heads or a.concept_set.label.states != b.concept_set.label.states:
        return None
    V = {name: difference(*({"V": head.V(name)} for head in heads)) for name in _shared(a, b, same_states=True)}
    return LabelHeadDifference(V, difference(*({"b": head.linear.bias} for head in heads)))


def compare_predictions(a: SparseCBM, b: SparseCBM, texts: Sequence[str]) -> PredictionDifference:
    """Let both models read the same texts, and compare what they read with the same states."""
    pairs = list(zip(a.predict(texts), b.predict(texts), strict=True))
    variables = {}
    if a.concept_set.label.states == b.concept_set.label.states:
        variables["label"] = [(x.label, y.label) for x, y in pairs]
    for name in _shared(a, b, same_states=True) if a.has_bottleneck and b.has_bottleneck else ():
        variables[name] = [(x.concepts[name], y.concepts[name]) for x, y in pairs]
    different = [any(read[i][0].state != read[i][1].state for read in variables.values()) for i in range(len(texts))]
    found = {name: _compare_readings(read) for name, read in variables.items()}
    return PredictionDifference(len(texts), sum(different), found.pop("label", None), found)


def _compare_readings(pairs: list[tuple[StatePrediction, StatePrediction]]) -> ReadingDifference:
    changes: dict[str, dict[str, int]] = {}
    largest = 0.0
    for x, y in pairs:
        largest = max(largest, *(abs(x.probabilities[state] - y.probabilities[state]) for state in x.probabilities))
        if x.state != y.state:
            row = changes.setdefault(x.state, {})
            row[y.state] = row.get(y.state, 0) + 1
    return ReadingDifference(sum(sum(row.values()) for row in changes.values()), largest, changes)


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Sides]:
    """Keys whose values differ, or that one side does not have."""
    return {key: Sides(a.get(key), b.get(key)) for key in (dict(a) | dict(b)) if a.get(key) != b.get(key)}


def _settings(model: SparseCBM) -> dict[str, Any]:
    config = {"label": model.concept_set.label.name, **model.config()}
    return {f"backbone.{key}": value for key, value in config.pop("backbone").items()} | config


def _states(model: SparseCBM) -> dict[str, list[str]]:
    """States by concept, and the label's classes as `label`: no concept may have that name."""
    return {c.name: list(c.states) for c in model.concept_set} | {"label": list(model.concept_set.label.states)}


def _shared(a: SparseCBM, b: SparseCBM, same_states: bool = False) -> list[str]:
    """Names of the concepts of both models."""
    others = {concept.name: concept for concept in b.concept_set}
    return [c.name for c in a.concept_set if c.name in others and (not same_states or c == others[c.name])]


def _layers(model: SparseCBM, other: SparseCBM) -> dict[str, dict[str, Tensor]]:
    """Layer -> parameter -> values: the backbone, and the heads whose outputs mean the same in both models."""
    layers: dict[str, dict[str, Tensor]] = {}
    for name, values in model.backbone.state_dict().items():
        layer, _, parameter = name.rpartition(".")
        layers.setdefault(layer, {})[parameter] = values
    bottlenecks = model.has_bottleneck + other.has_bottleneck
    if bottlenecks == 2:
        for name in _shared(model, other, same_states=True):
            layers[f"concept_heads.{name}"] = model.concept_heads.head(name).state_dict()
    if bottlenecks == 0 and model.concept_set.label.states == other.concept_set.label.states:
        layers["direct_head"] = model.direct_head.state_dict()
    return layers


def _shapes(layers: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, list[int]]]:
    return {layer: {name: list(values.shape) for name, values in inner.items()} for layer, inner in layers.items()}


def _has_weight(model: SparseCBM, layer: str, shape: tuple[int, ...]) -> bool:
    weight = model.backbone.state_dict().get(f"{layer}.weight")
    return weight is not None and tuple(weight.shape) == shape


def _bits(masks: MaskSet | None, concept: str, layer: str, shape: tuple[int, ...]) -> Tensor:
    """Packed mask of a layer; all ones where a model has none."""
    if masks is None or layer not in masks.shapes:
        return pack(torch.ones(shape, dtype=torch.bool))
    return masks[concept].bits[layer].cpu()
