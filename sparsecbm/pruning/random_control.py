"""Matched random control: masks with the same densities and overlaps as chosen ones, over different weights."""

import zlib
from math import prod

import numpy as np
import torch

from sparsecbm.model.masks import MaskSet, pack, unpack


def matched_random(masks: MaskSet, seed: int) -> MaskSet:
    """Random masks that match a mask set in every count.

    The weights of a layer are shuffled, with one shuffle for all concepts. Each layer keeps its density for each
    concept, its number of core and of exclusive weights, and the overlap of every pair and larger group of concepts.
    Only the choice of weights is random. The overlap must match: the more masks differ, the more the heads and weights
    trained under them differ, so a control with less overlap would have larger gaps for that reason alone.

    This is the control for masks that are chosen weight by weight. The shuffle destroys a pattern such as 2:4, and
    whole heads and neurons.

    Args:
        seed: decides the shuffle of a layer together with the layer's name, whatever other layers there are
    """
    bits = {}
    for layer, rows in masks.bits.items():
        size = prod(masks.shapes[layer])
        order = np.random.default_rng([seed, zlib.crc32(layer.encode())]).permutation(size)
        shuffled = [pack(unpack(row.cpu(), (size,))[torch.from_numpy(order)]) for row in rows]
        bits[layer] = torch.stack(shuffled).to(rows.device)
    return MaskSet(masks.concepts, masks.shapes, bits)
