"""`export.json` of an exported model: what is in the folder, and what it was measured to do."""

import json
from pathlib import Path
from typing import Any

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import DataError, ModelError, WriteError
from sparsecbm.base.files import read_json_object, sha256_file
from sparsecbm.base.outputs import EXPORT

FORMAT = 1
TOKENIZER = "tokenizer.json"
GRAPHS = {"onnx": "model.onnx", "openvino": "model.xml"}  # by engine; OpenVINO keeps the weights in `model.bin`
_KEYS = {"engine", "files", "format", "max_length", "pad", "precision", "truncation", "vocabulary"}


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an exported model, after the checksum of every file is verified.

    Raises:
        ModelError: the folder is missing, or holds no exported model, one of another format, or altered files.
    """
    folder = Path(folder)
    if not (folder / EXPORT).is_file():
        raise ModelError(f"{folder} holds no exported model: it has no {EXPORT}; `sparsecbm export` writes one")
    try:
        manifest = read_json_object(folder / EXPORT)
        fits = manifest.get("format") == FORMAT and manifest.keys() >= _KEYS and manifest["engine"] in GRAPHS
        if not fits:
            raise ModelError(f"{folder / EXPORT} is not of format {FORMAT}; export it again with this version")
        ConceptSet.from_dict(manifest["vocabulary"])
        altered = [name for name, digest in manifest["files"].items() if _sha256(folder / name) != digest]
    except DataError as error:
        raise ModelError(str(error)) from None
    if altered:
        raise ModelError(f"{folder}: {', '.join(sorted(altered))} is missing or was altered; export the model again")
    return manifest


def check_export_folder(path: Path) -> None:
    """Check that a folder holds an exported model and nothing else, so that another one may replace it.

    Raises:
        WriteError: it does not.
    """
    try:
        listed = {*json.loads((path / EXPORT).read_text(encoding="utf-8"))["files"], EXPORT}
    except (OSError, ValueError, KeyError, TypeError):
        raise WriteError(path, "it is not empty and no exported model; name a new folder") from None
    others = sorted({file.name for file in path.iterdir()} - listed)
    if others:
        raise WriteError(path, f"it holds {others[0]} besides the exported model; move that away")


def _sha256(file: Path) -> str | None:
    return sha256_file(file) if file.is_file() else None
