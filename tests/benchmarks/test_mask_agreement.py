"""Overlaps of masks between models, by hand."""

import sys
from pathlib import Path

import pytest
import torch


@pytest.fixture
def module(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "benchmarks"), *sys.path])
    import mask_agreement

    return mask_agreement


def masks(**bits: str) -> dict[str, torch.Tensor]:
    return {name: torch.tensor([bit == "1" for bit in row]) for name, row in bits.items()}


def test_overlaps_of_one_and_of_two_concepts(module):
    first, second = masks(food="1100", noise="1010"), masks(food="1001", noise="1010")
    # food: 1 of 3; noise: 2 of 2; food and noise: 1100 with 1010 is 1 of 3, 1010 with 1001 is 1 of 3
    assert module.agreement([first, second]) == {"same": 0.6667, "other": 0.3333, "chance": 0.3333}
    assert module.agreement([first, first])["same"] == 1


def test_a_weight_that_two_concepts_keep_is_not_exclusive(module):
    kept = module.exclusive(masks(food="1100", noise="1010"))
    assert {name: mask.int().tolist() for name, mask in kept.items()} == {"food": [0, 1, 0, 0], "noise": [0, 0, 1, 0]}
