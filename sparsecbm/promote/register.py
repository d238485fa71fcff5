"""Registers the model of a finished run as a version, with its own code, checksums, card and lineage; no pickle."""

import hashlib
import importlib.metadata
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import sparsecbm
from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import ConfigError
from sparsecbm.base.files import content_hash, sha256_file
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.display.model_card import card_text
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.patches.stack import patched_copy
from sparsecbm.model.storage import CHECKSUMS, verify_checksums
from sparsecbm.model.storage import load as load_model
from sparsecbm.promote.artifacts import EXAMPLE
from sparsecbm.promote.judging import held_out_split
from sparsecbm.promote.registry import (
    CHAMPION,
    KIND,
    KIND_TAG,
    MODEL_TAG,
    PATCHED_TAG,
    PATCHES_TAG,
    SPLIT_TAG,
    VERSION_TAG,
    Registry,
    Version,
)
from sparsecbm.track.lineage import LOCK_TAG
from sparsecbm.track.record import recorded_run
from sparsecbm.track.store import Store

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

RUN_TAGS = ("git.commit", "git.dirty", "data.sha256", "prefect.flow_run_id")
ARTIFACTS = ("metrics", "reports", "patches")  # folders that go with the model, if they exist
# What a prediction needs; the tools of the pipeline are left out.
REQUIRED = (
    "torch", "transformers", "safetensors", "numpy", "pandas", "pyarrow", "scipy", "scikit-learn", "threadpoolctl",
    "pydantic", "ruamel.yaml", "captum", "jinja2", "filelock", "mlflow",
)  # fmt: skip


def register(
    workspace: Workspace, params: Params, store: Store, registry: Registry, patches: Sequence[MaskPatch] = ()
) -> Version:
    """Register this workspace's model and return its version; the same `dvc.lock` and patches give the same version.

    Args:
        patches: to be made permanent in the registered copy; the model of the workspace stays as it is

    Raises:
        ConfigError: MLflow has no record of the run.
        ModelError: the model folder is missing or altered.
        RegistryError: the name belongs to models of another kind.
        InterventionError: a patch belongs to another model, or collides with another patch.
    """
    run = recorded_run(store, workspace)
    if run is None:
        raise ConfigError("MLflow has no record of this run; `sparsecbm run` or `sparsecbm track` writes it")
    registry.create()
    _check_kind(registry)
    origin = _origin(run.data.tags[LOCK_TAG], patches)
    known = registry.find_version(*next(iter(origin.items())))
    if known is not None:
        return known
    model = model_folder(workspace, params)
    verify_checksums(model)
    with tempfile.TemporaryDirectory(prefix="sparsecbm-register-") as scratch:
        folder = Path(scratch) / "model"
        if patches:
            patched_copy(SparseCBM.from_pretrained(model), *patches).save_pretrained(Path(scratch) / "patched")
            model = Path(scratch) / "patched"
        # Patches beside a patched model fit the masks that it had before.
        names = [name for name in ARTIFACTS if not (patches and name == "patches")]
        save_pyfunc(folder, _copy_artifacts(workspace, model, names, Path(scratch) / "artifacts"))
        tags = {
            KIND_TAG: KIND,
            MODEL_TAG: sha256_file(model / CHECKSUMS),
            VERSION_TAG: content_hash(folder),
            SPLIT_TAG: held_out_split(workspace)[1],
            **{name: run.data.tags[name] for name in RUN_TAGS if name in run.data.tags},
            **origin,
        }
        name = f"registered-{tags[VERSION_TAG][:12]}"
        store.client.log_artifacts(run.info.run_id, str(folder), name)
        source = f"{run.info.artifact_uri}/{name}"
        card = card_text(load_model(model))
    version = registry.client.create_model_version(
        registry.name, source, run.info.run_id, tags=tags, description=card.strip()
    )
    return registry.version(int(version.version))


def _origin(lock: str, patches: Sequence[MaskPatch]) -> dict[str, str]:
    """Tags that say what a version was made of; the first of them tells it from all others."""
    if not patches:
        return {LOCK_TAG: lock}
    ids = sorted(patch.id for patch in patches)
    patched = hashlib.sha256(" ".join((lock, *ids)).encode()).hexdigest()
    return {PATCHED_TAG: patched, PATCHES_TAG: " ".join(identity[:12] for identity in ids)}


def model_folder(workspace: Workspace, params: Params) -> Path:
    """The folder to register: the sparse model, or the dense one for a black box."""
    return workspace.dense if params.model.mode == "standard" else workspace.sparse


def save_pyfunc(folder: Path, artifacts: dict[str, Path]) -> None:
    """Save a model folder and its artifacts as MLflow's pyfunc, with this package's code and an input example."""
    import pandas as pd
    from mlflow.pyfunc import save_model

    save_model(
        path=str(folder),
        python_model=str(Path(__file__).with_name("pyfunc_entry.py")),
        artifacts={name: str(path) for name, path in artifacts.items()},
        code_paths=[str(Path(sparsecbm.__file__).parent)],
        signature=_signature(),
        input_example=(pd.DataFrame({"text": [EXAMPLE]}), {"options": "{}"}),
        pip_requirements=_requirements(),
    )
    for compiled in folder.rglob("__pycache__"):
        shutil.rmtree(compiled)


def _signature() -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType, Map, Object, Property

    probabilities = Map(DataType.double)
    prediction = Object(
        [
            Property("state", DataType.string),
            Property("confidence", DataType.double),
            Property("probabilities", probabilities),
        ]
    )
    outputs = [
        ColSpec(DataType.string, "label"),
        ColSpec(DataType.double, "confidence"),
        ColSpec(probabilities, "probabilities"),
        ColSpec(Map(prediction), "concepts"),
        ColSpec(AnyType(), "explanation", required=False),
    ]
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string, "text")]),
        outputs=Schema(outputs),
        params=ParamSchema([ParamSpec("options", DataType.string, "{}")]),
    )


def _requirements() -> list[str]:
    """The packages that serving needs, with the versions installed here."""
    requirements = []
    for name in REQUIRED:
        try:
            requirements.append(f"{name}=={importlib.metadata.version(name).partition('+')[0]}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return requirements


def _copy_artifacts(workspace: Workspace, model: Path, names: Sequence[str], folder: Path) -> dict[str, Path]:
    """Copy the model and its artifacts, each under its name in the version."""
    sources = {"model": model, **{name: workspace.root / name for name in names}}
    return {
        name: Path(shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns(workspace.promotion_page.name)))
        for name, source in sources.items()
        if source.is_dir() and any(source.rglob("*"))
    }


def _check_kind(registry: Registry) -> None:
    champion = registry.alias(CHAMPION)
    newest = registry.version_numbers()[-1:]
    for number in [champion, *newest] if champion else newest:
        registry.version(number)  # raises for a model of another kind
