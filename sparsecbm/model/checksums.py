"""Checksums of models and masks in memory. They tell which model gave a result, or which one a correction fits."""

import hashlib
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from sparsecbm.model.cbm import ConceptBottleneck

# Hashing all weights takes a while, but a patch must be applied at once. So a checksum is kept until the memory address
# or the version counter of a tensor changes.
_Versions = tuple[tuple[int, int], ...]
_cache: WeakKeyDictionary[ConceptBottleneck, tuple[_Versions, str]] = WeakKeyDictionary()


def weights_checksum(model: ConceptBottleneck) -> str:
    """sha256 over the names, shapes and values of all weights, as hex. Masks do not count."""
    state = model.state_dict()
    versions = tuple((tensor.data_ptr(), tensor._version) for tensor in state.values())
    known = _cache.get(model)
    if known is None or known[0] != versions:
        digest = hashlib.sha256()
        for name in sorted(state):
            digest.update(f"{name} {tuple(state[name].shape)} {state[name].dtype}".encode())
            digest.update(_to_bytes(state[name]))
        known = _cache[model] = versions, digest.hexdigest()
    return known[1]


def model_checksum(model: ConceptBottleneck) -> str:
    """sha256 over all weights and all masks in force, as hex."""
    masks = "dense" if model.masks is None else model.masks.content_hash()
    return hashlib.sha256(f"{weights_checksum(model)} {masks}".encode()).hexdigest()


def text_checksum(text: str) -> str:
    """sha256 of a text, as hex. With it, a patch identifies the texts it was made for without containing them."""
    return hashlib.sha256(text.encode()).hexdigest()


def _to_bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
