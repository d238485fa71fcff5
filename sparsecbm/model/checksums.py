"""Which model, and which masks of it, gave a result or fit a correction: checksums of what is in memory."""

import hashlib
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from sparsecbm.model.cbm import ConceptBottleneck

# Hashing all weights takes a while, and a patch must go on and off at once: what was hashed is known again by where
# its memory is and how often it was written to.
_Seen = tuple[tuple[int, int], ...]
_known: WeakKeyDictionary[ConceptBottleneck, tuple[_Seen, str]] = WeakKeyDictionary()


def weights_checksum(model: ConceptBottleneck) -> str:
    """sha256 over the names, shapes and values of all weights, as hex; masks have no part in it."""
    state = model.state_dict()
    seen = tuple((tensor.data_ptr(), tensor._version) for tensor in state.values())
    if model not in _known or _known[model][0] != seen:
        digest = hashlib.sha256()
        for name in sorted(state):
            digest.update(f"{name} {tuple(state[name].shape)} {state[name].dtype}".encode())
            digest.update(_raw(state[name]))
        _known[model] = seen, digest.hexdigest()
    return _known[model][1]


def model_checksum(model: ConceptBottleneck) -> str:
    """sha256 over all weights and all masks in force, as hex."""
    masks = "dense" if model.masks is None else model.masks.content_hash()
    return hashlib.sha256(f"{weights_checksum(model)} {masks}".encode()).hexdigest()


def text_checksum(text: str) -> str:
    """sha256 of a text, as hex: a patch tells which texts it was made for without showing them."""
    return hashlib.sha256(text.encode()).hexdigest()


def _raw(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
