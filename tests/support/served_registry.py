"""A registry whose versions are tiny model folders; registering one runs no pipeline."""

import shutil
from pathlib import Path

from mlflow import MlflowClient

from sparsecbm.base.files import content_hash, sha256_file, write_text
from sparsecbm.model.storage import CHECKSUMS
from sparsecbm.promote.registry import CHAMPION, KIND, KIND_TAG, MODEL_TAG, VERSION_TAG, Registry
from sparsecbm.serve.alias import Alias
from tests.support.served_model import Folder

NAME = "tiny"


class ServedRegistry:
    """An MLflow database with one registered model.

    Args:
        database: a copy of the migrated one
        files: folder of the files of the versions
    """

    def __init__(self, database: Path, files: Path) -> None:
        self.uri = f"sqlite:///{database}"
        self.files = files
        self.registry = Registry(MlflowClient(self.uri), NAME)
        self.registry.create()
        self.alias = Alias(self.registry, CHAMPION)

    def register(self, folder: Folder) -> int:
        """Register a model folder with its patches, and return its number."""
        target = self.files / f"{len(self.registry.version_numbers())}"
        shutil.copytree(folder.model, target / "artifacts" / "model")
        shutil.copytree(folder.patches, target / "artifacts" / "patches")
        write_text(target / "MLmodel", "flavors: {python_function: {model_code_path: entry.py}}\n")
        tags = {
            KIND_TAG: KIND,
            VERSION_TAG: content_hash(target),
            MODEL_TAG: sha256_file(folder.model / CHECKSUMS),
        }
        version = self.registry.client.create_model_version(NAME, str(target), tags=tags)
        return int(version.version)

    def promote(self, number: int | None) -> None:
        """Move the champion's alias; None removes it."""
        self.registry.set_alias(CHAMPION, number)

    def model_files(self, number: int) -> Path:
        """The model folder of a version."""
        return self.files / str(number - 1) / "artifacts" / "model"
