"""A version's files, fetched and looked at before anything in them is loaded or run."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sparsecbm.base.errors import ModelError
from sparsecbm.base.files import read_json, write_json
from sparsecbm.base.params import read_yaml
from sparsecbm.pipeline.keys import content_hash
from sparsecbm.promote.registry import VERSION_TAG, Registry

META = "registered_model_meta"  # MLflow adds it to what it fetches
PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib", ".dill", ".npy", ".npz", ".pyc", ".so", ".ckpt")
EXAMPLE = "The ramen was superb, though you could hardly hear yourself think."
SCRIPT = Path(__file__).with_name("predict_version.py")


class AlteredError(ModelError):
    """A version is not what was registered, or holds what must not be loaded."""


class UnreadableError(ModelError):
    """A version does not load, or fails to read a text."""


@dataclass(frozen=True)
class VersionPredictions:
    """What a version read, in a process of its own.

    Attributes:
        label: {states: [states], probabilities: [texts][states]}
        concepts: concept -> the same
        latency_ms: median of single texts; None where none was timed
        size_mb: of its model folder
    """

    label: dict
    concepts: dict[str, dict]
    latency_ms: float | None
    size_mb: float


@contextmanager
def fetched(registry: Registry, number: int) -> Iterator[Path]:
    """A version's files in a folder that lasts as long as the block, after a look at them.

    Raises:
        AlteredError: a file was added, lost or altered since it was registered, or is a pickle.
        ModelError: the files cannot be fetched.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    version = registry.version(number)
    with tempfile.TemporaryDirectory(prefix="sparsecbm-version-") as folder:
        try:
            # Not by `models:/`, which MLflow resolves in the registry that the whole process has set.
            path = download_artifacts(registry.source(number), dst_path=folder, tracking_uri=registry.tracking_uri)
        except (MlflowException, OSError) as error:
            raise ModelError(f"the files of version {number} cannot be fetched: {error}") from error
        path = Path(path)
        (path / META).unlink(missing_ok=True)
        faults = pickles(path)
        if content_hash(path) != version.tags.get(VERSION_TAG):
            faults.append("its files are not those that were registered: their sha256 differs from its tag")
        if faults:
            raise AlteredError(f"version {number} of {registry.name!r} must not be loaded: {'; '.join(faults)}")
        yield path


def pickles(folder: Path) -> list[str]:
    """Files that loading might unpickle or run besides the code that belongs there, by name and by first bytes."""
    found = []
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        name = path.relative_to(folder).as_posix()
        with open(path, "rb") as file:
            start = file.read(9)
        # Safetensors begin with eight bytes of a length, which may be any.
        header = path.suffix in (".safetensors", ".patch") and start[8:] == b"{"
        protocol = start[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
        if (protocol and not header) or start.startswith(b"PK\x03\x04") or path.suffix in PICKLES:
            found.append(f"{name} is or may be a pickle")
    described = folder / "MLmodel"
    flavour = read_yaml(described).get("flavors", {}).get("python_function", {}) if described.is_file() else {}
    if not flavour.get("model_code_path"):
        found.append("its MLmodel names no model code, so that a pickle would be loaded")
    return found


def predict_in_subprocess(
    folder: Path, texts: list[str], threads: int, seconds: int, timed: int = 0, turns: Path | None = None
) -> VersionPredictions:
    """Let a version read texts in a process of its own, with the code that it carries.

    Args:
        timed: how many texts are read one by one for the latency
        turns: a file that versions which read at once share, so that each is timed alone

    Raises:
        UnreadableError: it does not load or read, or takes longer than `seconds`.
    """
    with tempfile.TemporaryDirectory(prefix="sparsecbm-read-") as scratch:
        given, out = Path(scratch) / "texts.json", Path(scratch) / "read.json"
        write_json(given, texts)
        paths = (SCRIPT, folder, given, out)
        command = [sys.executable, "-P", *map(str, paths), str(timed), str(turns or Path(scratch) / "turns")]
        try:
            result = subprocess.run(
                command, cwd=scratch, env=_environment(threads), timeout=seconds,
                capture_output=True, text=True, errors="replace", check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise UnreadableError(f"the model took longer than {seconds} s (promote.seconds)") from None
        if result.returncode != 0:
            last = (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1]
            raise UnreadableError(f"the model does not load and read: {last}")
        plain = read_json(out)
    files = (folder / "artifacts" / "model").rglob("*")
    return VersionPredictions(**plain, size_mb=sum(file.stat().st_size for file in files if file.is_file()) / 1e6)


def _environment(threads: int) -> dict[str, str]:
    """The same threads for all who are compared, nothing from a hub, no news, no files beside the code.

    Threads that wait sleep: where another process has one of their cores, spinning doubles the time.
    """
    fixed = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    fixed["OMP_WAIT_POLICY"] = "PASSIVE"
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_LOGGING_LEVEL": "ERROR", "HF_HUB_OFFLINE": "1"}
    return {**os.environ, **fixed, **quiet, "PYTHONDONTWRITEBYTECODE": "1"}
