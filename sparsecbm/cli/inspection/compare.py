"""Compares two models: files, settings, concepts, weights, masks, label head and predictions.

Concepts and layers are matched by name; their order does not matter.
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
    """A value in the first model (a) and in the second (b); None if a model lacks it."""

    a: Any
    b: Any


@dataclass(frozen=True)
class ValueDifference:
    """Number of differing values, of all values, and the largest absolute difference; None if it is not finite."""

    differing: int
    values: int
    largest: float | None


@dataclass(frozen=True)
class MaskDifference:
    """Two masks of one concept: differing bits, all bits, Jaccard, and the share of weights that each keeps."""

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
class VariableDifference:
    """How the predictions of one variable (a concept or the label) differ.

    Attributes:
        differing: number of texts with another predicted state
        largest: largest change of a probability, over all texts
        changes: state in the first model -> another state in the second -> number of texts
    """

    differing: int
    largest: float
    changes: dict[str, dict[str, int]]


@dataclass(frozen=True)
class PredictionDifference:
    """How predictions for the same texts differ, for variables with equal states in both models.

    Attributes:
        texts: number of texts
        differing: number of texts in which the label or a concept differs
        label: None if the label classes differ
    """

    texts: int
    differing: int
    label: VariableDifference | None
    concepts: dict[str, VariableDifference]


@dataclass(frozen=True)
class Comparison:
    """What differs between two model folders.

    Attributes:
        files: sha256 of each differing file; empty if the folders are equal, byte for byte
        settings: differing settings, including the label's name; those of the backbone start with `backbone.`
        concepts: differing states, by concept and `label`
        unmatched: layers that only one model has, or whose shapes differ: shape by parameter
        layers: number of compared layers: of the backbone, and heads of concepts with equal states
        weights: the compared layers that differ
        masks: by concept, if a model has masks; a layer without masks keeps every weight
        label_head: V of concepts with equal states, and b; None unless both models have equal label classes
        hard_head: the same for the label heads of hard concepts
        predictions: None without texts
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
    """Compare two model folders, and their predictions for texts.

    Raises:
        ModelError: a folder holds no model, or a file was altered.
    """
    a, b = SparseCBM.from_pretrained(folder_a), SparseCBM.from_pretrained(folder_b)
    layers_a, layers_b = _layers(a, b), _layers(b, a)
    unmatched = _differing(_shapes(layers_a), _shapes(layers_b))
    weights = {name: compare_values(layers_a[name], layers_b[name]) for name in layers_a if name not in unmatched}
    return Comparison(
        files=_differing(compute_checksums(Path(folder_a)), compute_checksums(Path(folder_b))),
        settings=_differing(_settings(a), _settings(b)),
        concepts=_differing(_states(a), _states(b)),
        unmatched=unmatched,
        layers=len(weights),
        weights={name: difference for name, difference in weights.items() if difference.differing},
        masks=compare_masks(a, b),
        label_head=compare_label_heads(a, b, "label_head"),
        hard_head=compare_label_heads(a, b, "hard_head"),
        predictions=compare_predictions(a, b, texts) if texts else None,
    )


@torch.no_grad()
def compare_values(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> ValueDifference:
    """Compare tensors with equal names and shapes."""
    gaps = torch.cat([(a[name].float() - b[name].float()).abs().reshape(-1).cpu() for name in a])
    largest = float(gaps.max())
    return ValueDifference(int(gaps.ne(0).sum()), len(gaps), largest if math.isfinite(largest) else None)


def compare_masks(a: SparseCBM, b: SparseCBM) -> dict[str, MaskDifference]:
    """Compare the masks of every concept that both models have; empty if both are dense.

    A layer with masks in only one model keeps every weight in the other. A layer whose weights have different shapes is
    left out.
    """
    shapes = {
        layer: shape for masks in (a.masks, b.masks) if masks is not None for layer, shape in masks.shapes.items()
    }
    layers = [layer for layer in shapes if all(_has_weight(model, layer, shapes[layer]) for model in (a, b))]
    differences = {}
    for name in _shared_concepts(a, b) if layers else ():
        pairs = [
            (_bits(a.masks, name, layer, shapes[layer]), _bits(b.masks, name, layer, shapes[layer])) for layer in layers
        ]
        bits = sum(prod(shapes[layer]) for layer in layers)
        kept = Sides(sum(count(x) for x, _ in pairs) / bits, sum(count(y) for _, y in pairs) / bits)
        both, either = sum(count(x & y) for x, y in pairs), sum(count(x | y) for x, y in pairs)
        differences[name] = MaskDifference(either - both, bits, both / either if either else 1.0, kept)
    return differences


def compare_label_heads(a: SparseCBM, b: SparseCBM, which: str) -> LabelHeadDifference | None:
    """Compare b, and V_k of every concept with equal states; None unless both models have the head and equal classes.

    Args:
        which: label_head | hard_head
    """
    heads = [getattr(model, which, None) for model in (a, b)]
    if None in heads or a.concept_set.label.states != b.concept_set.label.states:
        return None
    names = _shared_concepts(a, b, same_states=True)
    V = {name: compare_values(*({"V": head.V(name)} for head in heads)) for name in names}
    return LabelHeadDifference(V, compare_values(*({"b": head.linear.bias} for head in heads)))


def compare_predictions(a: SparseCBM, b: SparseCBM, texts: Sequence[str]) -> PredictionDifference:
    """Let both models predict the same texts, and compare the variables with equal states."""
    pairs = list(zip(a.predict(texts), b.predict(texts), strict=True))
    variables = {}
    if a.concept_set.label.states == b.concept_set.label.states:
        variables["label"] = [(x.label, y.label) for x, y in pairs]
    for name in _shared_concepts(a, b, same_states=True) if a.has_bottleneck and b.has_bottleneck else ():
        variables[name] = [(x.concepts[name], y.concepts[name]) for x, y in pairs]
    different = [any(pair[i][0].state != pair[i][1].state for pair in variables.values()) for i in range(len(texts))]
    differences = {name: _compare_variable(pairs) for name, pairs in variables.items()}
    return PredictionDifference(len(texts), sum(different), differences.pop("label", None), differences)


def _compare_variable(pairs: list[tuple[StatePrediction, StatePrediction]]) -> VariableDifference:
    changes: dict[str, dict[str, int]] = {}
    largest = 0.0
    for x, y in pairs:
        largest = max(largest, *(abs(x.probabilities[state] - y.probabilities[state]) for state in x.probabilities))
        if x.state != y.state:
            row = changes.setdefault(x.state, {})
            row[y.state] = row.get(y.state, 0) + 1
    return VariableDifference(sum(sum(row.values()) for row in changes.values()), largest, changes)


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Sides]:
    """Keys whose values differ, or that one side lacks."""
    return {key: Sides(a.get(key), b.get(key)) for key in (dict(a) | dict(b)) if a.get(key) != b.get(key)}


def _settings(model: SparseCBM) -> dict[str, Any]:
    config = {"label": model.concept_set.label.name, **model.config()}
    return {f"backbone.{key}": value for key, value in config.pop("backbone").items()} | config


def _states(model: SparseCBM) -> dict[str, list[str]]:
    """States by concept, and the label classes as `label`, which is not a valid concept name."""
    return {c.name: list(c.states) for c in model.concept_set} | {"label": list(model.concept_set.label.states)}


def _shared_concepts(a: SparseCBM, b: SparseCBM, same_states: bool = False) -> list[str]:
    """Names of the concepts that both models have."""
    concepts_b = {concept.name: concept for concept in b.concept_set}
    return [c.name for c in a.concept_set if c.name in concepts_b and (not same_states or c == concepts_b[c.name])]


def _layers(model: SparseCBM, other: SparseCBM) -> dict[str, dict[str, Tensor]]:
    """Layer -> parameter -> values: the backbone, and the heads whose outputs have equal states in both models."""
    layers: dict[str, dict[str, Tensor]] = {}
    for name, values in model.backbone.state_dict().items():
        layer, _, parameter = name.rpartition(".")
        layers.setdefault(layer, {})[parameter] = values
    bottlenecks = model.has_bottleneck + other.has_bottleneck
    if bottlenecks == 2:
        for name in _shared_concepts(model, other, same_states=True):
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
    """Packed mask of a layer; all ones if the model has no mask for it."""
    if masks is None or layer not in masks.shapes:
        return pack(torch.ones(shape, dtype=torch.bool))
    return masks[concept].bits[layer].cpu()
