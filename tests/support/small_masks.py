"""Masks and scores of tiny models, of which some can be computed by hand."""

from collections.abc import Iterable

import torch

from sparsecbm.model.masked import prunable_layers
from sparsecbm.model.masks import MaskSet

QUERY, KEY = "encoder.layer.1.attention.self.query", "encoder.layer.1.attention.self.key"  # weights [16, 16]
INTO, OUT = "encoder.layer.0.intermediate.dense", "encoder.layer.0.output.dense"  # weights [32, 16] and [16, 32]


def first_rows(**rows: dict[str, int]) -> MaskSet:
    """Return masks that keep the first rows of [16, 16] weights: concept -> layer -> number of rows."""
    row_numbers = torch.arange(16).unsqueeze(1).expand(16, 16)
    return MaskSet.from_masks(
        {concept: {layer: row_numbers < count for layer, count in layers.items()} for concept, layers in rows.items()}
    )


def whole_neurons(**kept: Iterable[int]) -> MaskSet:
    """Return masks that keep whole neurons of the first block: concept -> neurons, 0 to 31."""
    masks = {}
    for concept, neurons in kept.items():
        rows = torch.zeros(32, 16, dtype=torch.bool)
        rows[list(neurons)] = True
        masks[concept] = {INTO: rows, OUT: rows.T.clone()}
    return MaskSet.from_masks(masks)


def dense_masks(model):
    """Return masks that keep every weight of a model."""
    shapes = {layer: tuple(m.weight.shape) for layer, m in prunable_layers(model.backbone).items()}
    return MaskSet.dense(model.concept_set.names, shapes)


def random_scores(model, seed=0):
    """Return a random score for every weight and concept of a masked model."""
    draw = torch.Generator().manual_seed(seed)
    return {
        name: {layer: torch.randn(shape, generator=draw) for layer, shape in model.masks.shapes.items()}
        for name in model.concept_set.names
    }
