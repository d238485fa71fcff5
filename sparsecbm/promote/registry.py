"""A registered model of MLflow: versions, the aliases `champion` and `previous`, and the promotion history as tags."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.promote.history import Entry, History, HistoryBrokenError, entry_key, entry_number, parse_history
from sparsecbm.promote.intent import Intent

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel

CHAMPION = "champion"
PREVIOUS = "previous"
KIND_TAG = "sparsecbm.kind"
KIND = "concept bottleneck text classifier"
VERSION_TAG = "sparsecbm.version.sha256"  # over all files of the version
MODEL_TAG = "sparsecbm.model.sha256"  # of the model's own checksums
VERDICT_TAG = "sparsecbm.verdict"
REASONS_TAG = "sparsecbm.verdict.reasons"
SPLIT_TAG = "sparsecbm.split.sha256"  # of the held-out split that belongs to the training data
PATCHED_TAG = "sparsecbm.patched.sha256"  # of the run and the patches that a version with patched masks was made of
PATCHES_TAG = "sparsecbm.patches"  # the beginnings of their ids
INTENT_TAG = "sparsecbm.intent"
VERSION_DIGITS = 9
MAX_LISTED = 10  # registered models that a message names

Result = TypeVar("Result")


class RegistryError(SparseCBMError):
    """The registry lacks the requested model or version, or holds a model of another kind."""


@dataclass(frozen=True)
class Version:
    """A version of the registered model."""

    number: int
    run_id: str
    tags: dict[str, str]


class Registry:
    """Everything that promotion reads and writes under one model name. Each writing method makes exactly one write.

    Args:
        anchors: folder of this workspace for the last entry that it wrote of each history; None keeps none
    """

    def __init__(self, client: "MlflowClient", name: str, anchors: Path | None = None) -> None:
        self.client = client
        self.name = name
        self.anchors = anchors

    @property
    def tracking_uri(self) -> str:
        """The server or database that holds the registry."""
        return self.client.tracking_uri

    def identity(self) -> str:
        """What distinguishes this registered model from every other one, however the registry is addressed.

        MLflow keeps the time of creation, in milliseconds, and never changes it.
        """
        return sha256(f"{self.name} {self._model().creation_timestamp}".encode()).hexdigest()[:16]

    def source(self, number: int) -> str:
        """Address of the files of a version."""
        return self.client.get_model_version_download_uri(self.name, str(number))

    def exists(self) -> bool:
        """Whether the model name is registered."""
        return self._or_none(lambda: self.client.get_registered_model(self.name)) is not None

    def create(self) -> None:
        """Register the model name, unless it exists."""
        if not self.exists():
            self.client.create_registered_model(self.name, tags={KIND_TAG: KIND})

    def alias(self, alias: str) -> int | None:
        """The version with an alias, or None."""
        return self._aliased(self._model().aliases, alias)

    def aliases(self) -> tuple[int | None, int | None]:
        """The versions with the aliases `champion` and `previous`, read at one moment."""
        aliases = self._model().aliases
        return self._aliased(aliases, CHAMPION), self._aliased(aliases, PREVIOUS)

    def set_alias(self, alias: str, number: int | None) -> None:
        """Move an alias to a version; None removes it."""
        if number is None:
            self._or_none(lambda: self.client.delete_registered_model_alias(self.name, alias))
        else:
            self.client.set_registered_model_alias(self.name, alias, str(number))

    def version(self, number: int) -> Version:
        """A version that this project registered.

        Raises:
            RegistryError: it does not exist, was deleted, or is a model of another kind.
        """
        version = self._or_none(lambda: self.client.get_model_version(self.name, str(number)))
        if version is None:
            known = ", ".join(map(str, self.version_numbers())) or "none"
            raise RegistryError(f"model {self.name!r} has no version {number}; it has: {known}")
        if version.tags.get(KIND_TAG) != KIND:
            raise RegistryError(
                f"version {number} of model {self.name!r} is of another kind: it has no tag {KIND_TAG}. "
                "Set promote.model in params.yaml to another name"
            )
        return Version(number, version.run_id, dict(version.tags))

    def has_version(self, number: int) -> bool:
        """Whether a version exists."""
        return self._or_none(lambda: self.client.get_model_version(self.name, str(number))) is not None

    def version_numbers(self) -> list[int]:
        """The numbers of all versions, sorted."""
        return sorted(int(version.version) for version in self.client.search_model_versions(f"name = '{self.name}'"))

    def find_version(self, tag: str, value: str) -> Version | None:
        """The newest version that carries a tag with this value."""
        numbers = [
            int(version.version)
            for version in self.client.search_model_versions(f"name = '{self.name}'")
            if version.tags.get(KIND_TAG) == KIND and version.tags.get(tag) == value
        ]
        return self.version(max(numbers)) if numbers else None

    def tag_version(self, number: int, tags: dict[str, str]) -> None:
        """Set tags of a version."""
        for key, value in tags.items():
            self.client.set_model_version_tag(self.name, str(number), key, value)

    def history(self) -> History:
        """The promotion history with its faults; whatever the tags hold, it is no error."""
        return parse_history(self._model().tags)

    def entries(self) -> list[Entry]:
        """The promotion history, in the order of its numbers.

        Raises:
            HistoryBrokenError: an entry is unreadable, missing, misplaced or altered.
        """
        history = self.history()
        if history.faults:
            raise HistoryBrokenError("; ".join(history.faults))
        return list(history.entries)

    def append_entry(self, entry: Entry) -> None:
        """Append an entry to the promotion history.

        Raises:
            RegistryError: another process has just written an entry with this number.
        """
        key = entry_key(entry.number)
        if key in self._model().tags:
            raise RegistryError(f"another process has just written entry {entry.number} of the history; try again")
        self.client.set_registered_model_tag(self.name, key, entry.to_json())

    def entry_hashes(self) -> list[tuple[int, int, str]]:
        """(version, number of an entry, its hash) for each entry that a version vouches for."""
        return sorted(
            (int(version.version), number, str(value))
            for version in self.client.search_model_versions(f"name = '{self.name}'")
            for key, value in version.tags.items()
            if (number := entry_number(key)) is not None
        )

    def intent(self) -> Intent | None:
        """The intent of an unfinished operation, or None.

        Raises:
            IntentUnreadableError: the registry holds something else in its place.
        """
        text = self._model().tags.get(INTENT_TAG)
        return Intent.from_json(text) if text else None

    def set_intent(self, intent: Intent | None) -> None:
        """Store the intent of an operation before it starts; None clears it at the end."""
        if intent is None:
            self._or_none(lambda: self.client.delete_registered_model_tag(self.name, INTENT_TAG))
        else:
            self.client.set_registered_model_tag(self.name, INTENT_TAG, intent.to_json())

    def _aliased(self, aliases: dict[str, str], alias: str) -> int | None:
        number = aliases.get(alias)
        if number is None:
            return None
        if not str(number).isdecimal() or len(str(number)) > VERSION_DIGITS:
            raise RegistryError(
                f"the alias {alias!r} of model {self.name!r} names no version; set it to a version in MLflow"
            )
        return int(number)

    def _model(self) -> "RegisteredModel":
        model = self._or_none(lambda: self.client.get_registered_model(self.name))
        if model is None:
            others = [each.name for each in self.client.search_registered_models(max_results=MAX_LISTED)]
            has = f" (it has {', '.join(others)})" if others else ""
            raise RegistryError(
                f"the registry has no model {self.name!r}{has}; `sparsecbm promote` registers what `sparsecbm run` "
                "trained"
            )
        return model

    @staticmethod
    def _or_none(call: Callable[[], Result]) -> Result | None:
        """The result of a call to MLflow, or None if MLflow knows no such object."""
        from mlflow.exceptions import MlflowException

        try:
            return call()
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
