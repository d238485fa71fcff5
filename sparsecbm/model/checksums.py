"""Which model gave a result: checksums of what is in memory, whatever file it came from."""

import hashlib

import torch
from torch import Tensor

from sparsecbm.model.cbm import SparseCBM


def weights_checksum(model: SparseCBM) -> str:
    """sha256 over the names, shapes and values of all weights, as hex; masks have no part in it."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(_raw(tensor))
    return digest.hexdigest()


def model_checksum(model: SparseCBM) -> str:
    """sha256 over all weights and all masks in force, as hex."""
    masks = "dense" if model.masks is None else model.masks.content_hash()
    return hashlib.sha256(f"{weights_checksum(model)} {masks}".encode()).hexdigest()


def _raw(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
