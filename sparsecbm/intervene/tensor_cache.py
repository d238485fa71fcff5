"""A folder of tensors that were computed from texts and can be computed again at any time.

Each entry is one safetensors file. Its name is a hash of all that the tensors depend on. Its metadata repeats the hash,
and holds a sha256 over the tensors and those of the texts that they were computed from. So an entry that is damaged,
or that was renamed, is not used, and an entry that holds something of a text can be found without the text.

Files are written under another name and renamed, so several processes may use one folder. Any file may be deleted at
any time. The files that were used least recently are deleted when the folder grows too large.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sparsecbm.base.errors import WriteError
from sparsecbm.base.faults import system_fault
from sparsecbm.base.files import replacing

METADATA = "cache"
FORMAT = 1
SUFFIX = ".safetensors"


class CacheWarning(UserWarning):
    """An entry of a cache cannot be used or written; what it holds is computed again."""


class TensorCache:
    """The entries of one folder, which need not exist yet.

    Args:
        max_bytes: size of all entries together, above which the least recently used ones are deleted
    """

    def __init__(self, folder: Path, max_bytes: int):
        self.folder, self.max_bytes = folder, max_bytes

    def load(self, key: str) -> dict[str, Tensor] | None:
        """Return the tensors of an entry; None if there is no valid one. An entry that is not valid gives a warning.

        Args:
            key: of `cache_key`
        """
        path = self._path(key)
        try:
            with safe_open(path, framework="pt") as file:
                description = json.loads((file.metadata() or {}).get(METADATA, "{}"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            os.utime(path)  # the time of its last use
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, ValueError, RuntimeError) as error:
            return self._ignore(path, system_fault(error) or "it is damaged")
        known = isinstance(description, dict) and description.get("format") == FORMAT
        if not known or description.get("key") != key:
            return self._ignore(path, "it is an entry of something else")
        if description.get("sha256") != _checksum(tensors):
            return self._ignore(path, "its contents do not match the sha256 that it states")
        return tensors

    def store(self, key: str, tensors: Mapping[str, Tensor], texts: Iterable[str]) -> None:
        """Write an entry, then delete the least recently used ones if the folder is too large.

        If the entry cannot be written, there is a warning and no entry.

        Args:
            texts: sha256 of each text that the tensors were computed from
        """
        entry = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        description = {"format": FORMAT, "key": key, "sha256": _checksum(entry), "texts": sorted(set(texts))}
        path = self._path(key)
        if sum(tensor.nbytes for tensor in entry.values()) > self.max_bytes:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                save_file(entry, temporary, {METADATA: json.dumps(description, sort_keys=True)})
        except (WriteError, OSError, SafetensorError) as error:
            reason = system_fault(error) or error
            warnings.warn(f"the cache {self.folder} cannot be written: {reason}", CacheWarning, stacklevel=2)
            return
        self._make_room(path)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{SUFFIX}"

    def _ignore(self, path: Path, reason: str) -> None:
        message = f"{path} is not used, and is computed again: {reason}"
        warnings.warn(message, CacheWarning, stacklevel=3)

    def _make_room(self, newest: Path) -> None:
        entries = []
        for path in self.folder.glob(f"*{SUFFIX}"):
            with suppress(OSError):  # another process deleted it
                status = path.stat()
                entries.append((status.st_mtime_ns, path, status.st_size))
        total = sum(size for _, _, size in entries)
        for _, path, size in sorted(entries):
            if total <= self.max_bytes:
                break
            if path != newest:
                with suppress(OSError):
                    path.unlink()
                total -= size


class RenewedCache(TensorCache):
    """A cache whose entries are written and never read, for results that must not depend on what is there."""

    def load(self, key: str) -> None:
        """Return nothing, so that the entry is computed and written anew."""


def cache_key(*parts: object) -> str:
    """Return a hash over plain values that JSON can hold, as hex."""
    return hashlib.sha256(json.dumps([FORMAT, *parts], sort_keys=True).encode()).hexdigest()


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
