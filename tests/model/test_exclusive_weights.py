"""Masks without exclusive weights, on four weights by hand."""

import torch

from sparsecbm.model.exclusive_weights import without_exclusive
from sparsecbm.model.masks import MaskSet


def masks(food, noise, service):
    rows = {"food": food, "noise": noise, "service": service}
    return MaskSet.from_masks({name: {"layer": torch.tensor([row], dtype=torch.bool)} for name, row in rows.items()})


def test_only_weights_of_a_single_concept_are_removed():
    before = masks(food=[1, 1, 1, 0], noise=[0, 1, 1, 0], service=[0, 0, 1, 1])
    assert without_exclusive(before, ["food"]) == masks(food=[0, 1, 1, 0], noise=[0, 1, 1, 0], service=[0, 0, 1, 1])
    assert without_exclusive(before, ["noise"]) == before
    assert without_exclusive(before, before.concepts) == masks([0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 1, 0])
    assert before == masks(food=[1, 1, 1, 0], noise=[0, 1, 1, 0], service=[0, 0, 1, 1])


def test_weights_may_be_exclusive_among_other_concepts():
    """Noise and service share the last weight, which food does not keep."""
    before = masks(food=[1, 1, 0, 0], noise=[0, 1, 1, 1], service=[0, 1, 0, 1])
    assert without_exclusive(before, ["noise", "service"], ["food"]) == masks([1, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0])
    assert without_exclusive(before, ["noise", "service"]) == masks([1, 1, 0, 0], [0, 1, 0, 1], [0, 1, 0, 1])
    assert without_exclusive(before, ["food"], ["noise"]) == masks([0, 1, 0, 0], [0, 1, 1, 1], [0, 1, 0, 1])
