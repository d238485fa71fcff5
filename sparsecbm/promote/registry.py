"""A registered model of MLflow: its versions, the aliases `champion` and `previous`, and the record among its tags."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.promote.history import Entry

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
PREVIOUS = "previous"
KIND_TAG = "sparsecbm.kind"
KIND = "concept bottleneck text classifier"
VERSION_TAG = "sparsecbm.version.sha256"  # over all files of the version
MODEL_TAG = "sparsecbm.model.sha256"  # of the model's own checksums
VERDICT_TAG = "sparsecbm.verdict"
REASONS_TAG = "sparsecbm.verdict.reasons"
ENTRY_TAG = "sparsecbm.history."
SPLIT_TAG = "sparsecbm.split.sha256"  # of the held-out split that goes with its training data
INTENT_TAG = "sparsecbm.intent"

Result = TypeVar("Result")


class RegistryError(SparseCBMError):
    """The registry lacks what was asked for, or holds something else."""


@dataclass(frozen=True)
class Version:
    """A version of the registered model."""

    number: int
    run_id: str
    tags: dict[str, str]


class Registry:
    """All that promotion reads and writes, by one name. A method that writes makes one write, so none is half done."""

    def __init__(self, client: "MlflowClient", name: str) -> None:
        self.client = client
        self.name = name

    @property
    def tracking_uri(self) -> str:
        """The server or database that holds it."""
        return self.client.tracking_uri

    def source(self, number: int) -> str:
        """Where the files of a version lie."""
        return self.client.get_model_version_download_uri(self.name, str(number))

    def exists(self) -> bool:
        """Whether anything was registered by the name."""
        return self._or_none(lambda: self.client.get_registered_model(self.name)) is not None

    def create(self) -> None:
        """Make the name known; what is there stays."""
        if not self.exists():
            self.client.create_registered_model(self.name, tags={KIND_TAG: KIND})

    def alias(self, alias: str) -> int | None:
        """The version that an alias points to; None where it points nowhere."""
        found = self._model().aliases.get(alias)
        return None if found is None else int(found)

    def aliases(self) -> tuple[int | None, int | None]:
        """`champion` and `previous`, as they are at one moment."""
        found = self._model().aliases
        return tuple(int(found[alias]) if alias in found else None for alias in (CHAMPION, PREVIOUS))

    def point(self, alias: str, number: int | None) -> None:
        """Let an alias point to a version, or nowhere."""
        if number is None:
            self._or_none(lambda: self.client.delete_registered_model_alias(self.name, alias))
        else:
            self.client.set_registered_model_alias(self.name, alias, str(number))

    def version(self, number: int) -> Version:
        """A version of this project's making.

        Raises:
            RegistryError: it does not exist, was deleted, or is a model of another kind.
        """
        found = self._or_none(lambda: self.client.get_model_version(self.name, str(number)))
        if found is None:
            known = ", ".join(map(str, self.numbers())) or "none"
            raise RegistryError(f"model {self.name!r} has no version {number}; it has: {known}")
        if found.tags.get(KIND_TAG) != KIND:
            raise RegistryError(
                f"version {number} of model {self.name!r} is of another kind: it has no tag {KIND_TAG}. "
                "Set promote.model in params.yaml to another name"
            )
        return Version(number, found.run_id, dict(found.tags))

    def has(self, number: int) -> bool:
        """Whether a version exists still."""
        return self._or_none(lambda: self.client.get_model_version(self.name, str(number))) is not None

    def numbers(self) -> list[int]:
        """All versions, in order."""
        return sorted(int(each.version) for each in self.client.search_model_versions(f"name = '{self.name}'"))

    def find(self, tag: str, value: str) -> Version | None:
        """The newest version with a tag of this value."""
        found = [
            int(each.version)
            for each in self.client.search_model_versions(f"name = '{self.name}'")
            if each.tags.get(KIND_TAG) == KIND and each.tags.get(tag) == value
        ]
        return self.version(max(found)) if found else None

    def tag(self, number: int, tags: dict[str, str]) -> None:
        """Set tags of a version."""
        for key, value in tags.items():
            self.client.set_model_version_tag(self.name, str(number), key, value)

    def entries(self) -> list[Entry]:
        """The record, in the order of its numbers.

        Raises:
            HistoryBrokenError: an entry cannot be read.
        """
        tags = self._model().tags
        return [Entry.from_json(tags[key]) for key in sorted(tags) if key.startswith(ENTRY_TAG)]

    def append(self, entry: Entry) -> None:
        """Add an entry to the record."""
        key = f"{ENTRY_TAG}{entry.number:06d}"
        if key in self._model().tags:
            raise RegistryError(f"entry {entry.number} of the record was written by another meanwhile; try again")
        self.client.set_registered_model_tag(self.name, key, entry.to_json())

    def intent(self) -> dict | None:
        """What an operation that has not ended meant to do."""
        found = self._model().tags.get(INTENT_TAG)
        return json.loads(found) if found else None

    def intend(self, intent: dict | None) -> None:
        """Note what is about to be done; None when it is done."""
        if intent is None:
            self.client.delete_registered_model_tag(self.name, INTENT_TAG)
        else:
            self.client.set_registered_model_tag(self.name, INTENT_TAG, json.dumps(intent, sort_keys=True))

    def _model(self):
        found = self._or_none(lambda: self.client.get_registered_model(self.name))
        if found is None:
            raise RegistryError(
                f"the registry has no model {self.name!r}; `sparsecbm promote` registers what `sparsecbm run` trained"
            )
        return found

    @staticmethod
    def _or_none(ask: Callable[[], Result]) -> Result | None:
        """The answer, or None where MLflow says that there is no such thing."""
        from mlflow.exceptions import MlflowException

        try:
            return ask()
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
