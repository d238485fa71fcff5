"""The files of a version: downloaded and checked before anything in them is loaded or run."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sparsecbm.base.errors import ModelError
from sparsecbm.base.files import content_hash, read_json, write_json
from sparsecbm.base.params import read_yaml
from sparsecbm.promote.registry import VERSION_TAG, Registry

META = "registered_model_meta"  # MLflow adds this file to a download
PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib", ".dill", ".npy", ".npz", ".pyc", ".so", ".ckpt")
EXAMPLE = "The ramen was superb, though you could hardly hear yourself think."
SCRIPT = Path(__file__).with_name("predict_version.py")


class AlteredError(ModelError):
    """A version differs from what was registered, or holds a file that must not be loaded."""


class FetchError(ModelError):
    """The files of a version cannot be downloaded; another attempt may succeed."""


class UnreadableError(ModelError):
    """A version does not load, or does not predict."""


@dataclass(frozen=True)
class VersionPredictions:
    """What a version predicts, in a process of its own.

    Attributes:
        label: {states: [states], probabilities: [texts][states]}
        concepts: concept -> the same
        latency_ms: median over single texts; None if nothing was timed
        size_mb: size of the model folder
    """

    label: dict
    concepts: dict[str, dict]
    latency_ms: float | None
    size_mb: float


@contextmanager
def fetched_version(registry: Registry, number: int) -> Iterator[Path]:
    """Download and check the files of a version; the folder exists while the block runs.

    Raises:
        AlteredError: a file was added, removed or altered since the registration, or is a pickle.
        FetchError: the files cannot be downloaded.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    version = registry.version(number)
    with tempfile.TemporaryDirectory(prefix="sparsecbm-version-") as folder:
        try:
            # A `models:/` address would go to the registry that is set for the whole process.
            path = download_artifacts(registry.source(number), dst_path=folder, tracking_uri=registry.tracking_uri)
        except (MlflowException, OSError) as error:
            raise FetchError(f"the files of version {number} cannot be downloaded: {error}") from error
        path = Path(path)
        (path / META).unlink(missing_ok=True)
        faults = find_pickles(path)
        if content_hash(path) != version.tags.get(VERSION_TAG):
            faults.append("its files are not those that were registered: their sha256 differs from its tag")
        if faults:
            raise AlteredError(f"version {number} of {registry.name!r} must not be loaded: {'; '.join(faults)}")
        yield path


def find_pickles(folder: Path) -> list[str]:
    """Files that a loader might unpickle or run, found by name and by their first bytes; one message each."""
    faults = []
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        name = path.relative_to(folder).as_posix()
        with open(path, "rb") as file:
            start = file.read(9)
        # A safetensors file begins with an eight-byte length, which may look like a pickle protocol.
        safetensors = path.suffix in (".safetensors", ".patch") and start[8:] == b"{"
        pickle_protocol = start[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
        if (pickle_protocol and not safetensors) or start.startswith(b"PK\x03\x04") or path.suffix in PICKLES:
            faults.append(f"{name} is or may be a pickle")
    mlmodel = folder / "MLmodel"
    flavour = read_yaml(mlmodel).get("flavors", {}).get("python_function", {}) if mlmodel.is_file() else {}
    if not flavour.get("model_code_path"):
        faults.append("its MLmodel names no model code, so MLflow would load a pickle")
    return faults


def predict_in_subprocess(
    folder: Path, texts: list[str], threads: int, seconds: int, timed: int = 0, turns: Path | None = None
) -> VersionPredictions:
    """Let a version predict in a process of its own, with the code that the version carries.

    Args:
        threads: of the process
        seconds: time limit
        timed: number of texts that are predicted one by one to measure the latency
        turns: a lock file shared by versions that run at once, so that each is timed alone

    Raises:
        UnreadableError: the version does not load or predict, or exceeds the time limit.
    """
    with tempfile.TemporaryDirectory(prefix="sparsecbm-predict-") as scratch:
        input_file, output_file = Path(scratch) / "texts.json", Path(scratch) / "predictions.json"
        write_json(input_file, texts)
        paths = (SCRIPT, folder, input_file, output_file)
        command = [sys.executable, "-P", *map(str, paths), str(timed), str(turns or Path(scratch) / "turns")]
        try:
            result = subprocess.run(
                command, cwd=scratch, env=_environment(threads), timeout=seconds,
                capture_output=True, text=True, errors="replace", check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise UnreadableError(f"the model took longer than {seconds} s (promote.seconds)") from None
        if result.returncode != 0:
            last_line = (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1]
            raise UnreadableError(f"the model does not load and predict: {last_line}")
        predictions = read_json(output_file)
    files = (folder / "artifacts" / "model").rglob("*")
    return VersionPredictions(**predictions, size_mb=sum(file.stat().st_size for file in files if file.is_file()) / 1e6)


def _environment(threads: int) -> dict[str, str]:
    """The same number of threads for every version; no hub, no telemetry, no compiled files next to the code.

    Waiting threads sleep: if another process uses one of their cores, spinning threads take twice the time.
    """
    fixed = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    fixed["OMP_WAIT_POLICY"] = "PASSIVE"
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_LOGGING_LEVEL": "ERROR", "HF_HUB_OFFLINE": "1"}
    return {**os.environ, **fixed, **quiet, "PYTHONDONTWRITEBYTECODE": "1"}
