"""Who can read a text on the page that compares: the model that answers, with a patch or without, or another model.

A reader is a snapshot that nobody changes. Another model is loaded when it is first chosen, and only one is kept.
"""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.files import sha256_file
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.model.storage import CHECKSUMS
from sparsecbm.serve.snapshot import Snapshot, load_snapshot
from sparsecbm.workbench.patch_jobs import APPROVED

ANSWERING, FOLDER, PATCH, CHAMPION = "", "folder:", "patch:", "champion"


@dataclass(frozen=True)
class Choice:
    """A reader that the page offers."""

    key: str
    title: str


@dataclass(frozen=True, eq=False)
class Reader:
    """A snapshot, and the patches in force when it reads.

    Attributes:
        answering: whether it is the model that answers all other pages
    """

    key: str
    snapshot: Snapshot
    patches: tuple[str, ...] = ()

    @property
    def answering(self) -> bool:
        """Whether it reads as all other pages do."""
        return self.key == ANSWERING


class Readers:
    """The readers of one workspace.

    Args:
        model: folder of the model that answers
    """

    def __init__(self, workspace: Workspace, model: Path) -> None:
        self._workspace, self._model = workspace, model
        self._lock = asyncio.Lock()
        self._kept: tuple[tuple[str, str], Snapshot] | None = None  # key and version, and the model

    def choices(self) -> list[Choice]:
        """All readers, the model that answers first."""
        folders = sorted(path.parent for path in (self._workspace.root / "models").glob(f"*/{CHECKSUMS}"))
        others = [folder for folder in folders if folder.resolve() != self._model.resolve()]
        return [
            Choice(ANSWERING, "the model that answers"),
            *(Choice(PATCH + path.stem, _title(path)) for path in self._approved()),
            *(Choice(FOLDER + folder.name, f"models/{folder.name}") for folder in others),
            *([Choice(CHAMPION, "the champion of the registry")] if self._has_registry() else []),
        ]

    async def open(self, key: str, current: Snapshot) -> Reader:
        """A reader by its key.

        Args:
            current: the model that answers

        Raises:
            ConfigError: there is no such reader.
            SparseCBMError: the model or the patch cannot be loaded.
        """
        keys = [choice.key for choice in self.choices()]
        if key not in keys:
            raise ConfigError(unknown("reader", key, keys[1:] or ["none but the model that answers"]))
        if key == ANSWERING:
            return Reader(key, current)
        if key.startswith(PATCH):
            path = next(path for path in self._approved() if PATCH + path.stem == key)
            patch = await asyncio.to_thread(MaskPatch.load, path)
            return Reader(key, replace(current, patches=MappingProxyType({patch.id: patch})), (patch.id,))
        async with self._lock:
            return Reader(key, await asyncio.to_thread(self._load, key))

    def _load(self, key: str) -> Snapshot:
        if key == CHAMPION:
            from sparsecbm.promote.service import PromotionService  # needs MLflow, and a model folder does not
            from sparsecbm.serve.alias import Alias

            registry = PromotionService.open(self._workspace, load_params(self._workspace.params)).registry
            alias = Alias(registry, CHAMPION)
            number = alias.number()
            return self._keep(key, str(number)) or self._kept_now(key, str(number), alias.load(number))
        folder = self._workspace.root / "models" / key.removeprefix(FOLDER)
        sha256 = sha256_file(folder / CHECKSUMS)
        return self._keep(key, sha256) or self._kept_now(key, sha256, load_snapshot(folder, folder.name))

    def _keep(self, key: str, version: str) -> Snapshot | None:
        """The model that is kept if it is this one; another one is let go, before a further one takes memory."""
        if self._kept is not None and self._kept[0] != (key, version):
            self._kept = None
        return None if self._kept is None else self._kept[1]

    def _kept_now(self, key: str, version: str, snapshot: Snapshot) -> Snapshot:
        self._kept = (key, version), snapshot
        return snapshot

    def _approved(self) -> list[Path]:
        return sorted((self._workspace.patch_requests / APPROVED).glob("*.patch"))

    def _has_registry(self) -> bool:
        return (self._workspace.state / "promotion" / "anchors").is_dir()


def _title(path: Path) -> str:
    patch = MaskPatch.load(path)
    return f"with patch {path.stem}: {patch.concept} as {patch.state}"
