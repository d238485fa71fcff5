"""Random masks to compare chosen ones with: everything is as before, but for which weights it befalls."""

import zlib
from math import prod

import numpy as np
import torch

from sparsecbm.model.masks import MaskSet, pack, unpack


def matched_random(masks: MaskSet, seed: int) -> MaskSet:
    """Random masks that match a mask set in every number.

    The weights of a layer are shuffled, one shuffle for all concepts. So each layer keeps its density for each
    concept, its number of core and of exclusive weights, and the overlap of every pair and larger group of concepts;
    chance alone decides which weights it is that they keep. How far masks differ makes heads and weights that are
    trained under them differ, so a control that overlapped less would have larger gaps for that reason alone.

    This is the control of masks that are chosen weight by weight: a pattern such as 2:4, or whole heads and
    neurons, does not survive the shuffle.

    Args:
        seed: with a layer's name it decides the shuffle of that layer, whatever other layers there are
    """
    bits = {}
    for layer, rows in masks.bits.items():
        size = prod(masks.shapes[layer])
        order = np.random.default_rng([seed, zlib.crc32(layer.encode())]).permutation(size)
        shuffled = [pack(unpack(row.cpu(), (size,))[torch.from_numpy(order)]) for row in rows]
        bits[layer] = torch.stack(shuffled).to(rows.device)
    return MaskSet(masks.concepts, masks.shapes, bits)
