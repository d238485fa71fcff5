"""A registered model whose alias is served: which version it names, and its files."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sparsecbm.base.errors import ConfigError
from sparsecbm.promote.artifacts import fetched_version
from sparsecbm.promote.registry import MODEL_TAG, Registry, RegistryError
from sparsecbm.serve.snapshot import Snapshot, load_snapshot
from sparsecbm.track.store import connect, translated_errors

PREFIX = "models:/"
_ADDRESS = re.compile(r"models:/([^/@]+)@([^/@]+)")


@dataclass(frozen=True)
class Alias:
    """An alias of a registered model."""

    registry: Registry
    alias: str

    @classmethod
    def open(cls, address: str) -> "Alias":
        """Open the registry of MLFLOW_TRACKING_URI, or of the workspace, for an address `models:/NAME@ALIAS`.

        Raises:
            ConfigError: the address has another form, or there is neither a server nor a workspace.
            TrackingUnavailableError: the registry does not answer.
        """
        parts = _ADDRESS.fullmatch(address)
        if parts is None:
            raise ConfigError(f"{address} names no alias; write models:/NAME@ALIAS, such as models:/sparsecbm@champion")
        return cls(Registry(connect(), parts[1]), parts[2])

    @property
    def address(self) -> str:
        """As MLflow writes it."""
        return f"{PREFIX}{self.registry.name}@{self.alias}"

    def number(self) -> int:
        """The version that the alias names.

        Raises:
            RegistryError: there is no such model or alias.
            TrackingUnavailableError: the registry does not answer.
        """
        with translated_errors(self.registry.tracking_uri):
            number = self.registry.alias(self.alias)
        if number is None:
            raise RegistryError(f"{self.address} names no version; `sparsecbm promote` makes a champion")
        return number

    @contextmanager
    def fetched(self, number: int) -> Iterator[Path]:
        """Download a version and verify all its files; the folder with its model and patches exists in the block.

        Raises:
            AlteredError: a file was added, removed or altered since the registration, or is a pickle.
            RegistryError: it does not exist, or is a model of another kind.
            FetchError, TrackingUnavailableError: the registry does not answer.
        """
        with ExitStack() as files:
            with translated_errors(self.registry.tracking_uri):
                folder = files.enter_context(fetched_version(self.registry, number))
            yield folder / "artifacts"

    def load(self, number: int) -> Snapshot:
        """Download a version, verify all its files and load its model. None of the code that it carries runs.

        Raises:
            ModelError, InterventionError: it must not or cannot be loaded.
            RegistryError, FetchError, TrackingUnavailableError: as `fetched`.
        """
        with self.fetched(number) as artifacts:
            return self.load_fetched(number, artifacts)

    def load_fetched(self, number: int, artifacts: Path) -> Snapshot:
        """Load the model of a version from the folder that `fetched` gives.

        Raises:
            ModelError, InterventionError: it must not or cannot be loaded.
            RegistryError, TrackingUnavailableError: the registry does not answer.
        """
        with translated_errors(self.registry.tracking_uri):
            expected = self.registry.version(number).tags.get(MODEL_TAG)
        return load_snapshot(artifacts / "model", self.registry.name, number, artifacts / "patches", expected)
