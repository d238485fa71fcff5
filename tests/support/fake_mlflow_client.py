"""An in-memory double of the MLflow registry with the calls of `Registry`, for tests of thousands of steps."""

from types import SimpleNamespace

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from sparsecbm.promote.registry import KIND, KIND_TAG


class FakeClient:
    """A registry in one process; no call fails."""

    tracking_uri = "memory://"

    def __init__(self):
        self.models = {}

    def create_registered_model(self, name, tags=None):
        self.models[name] = SimpleNamespace(
            aliases={}, tags=dict(tags or {}), versions={}, made=0, creation_timestamp=len(self.models)
        )

    def create_model_version(self, name, source="", run_id="", tags=None, description=""):
        model = self.models[name]
        model.made += 1
        version = SimpleNamespace(version=str(model.made), run_id=run_id, tags=dict(tags or {KIND_TAG: KIND}))
        model.versions[model.made] = version
        return version

    def delete_model_version(self, name, version):
        del self._model(name).versions[int(version)]
        model = self._model(name)  # MLflow drops the aliases of a deleted version
        model.aliases = {alias: number for alias, number in model.aliases.items() if number != str(version)}

    def get_registered_model(self, name):
        model = self._model(name)
        return SimpleNamespace(
            aliases=dict(model.aliases), tags=dict(model.tags), creation_timestamp=model.creation_timestamp
        )

    def search_registered_models(self, max_results):
        return [SimpleNamespace(name=name) for name in sorted(self.models)[:max_results]]

    def get_model_version(self, name, version):
        if int(version) not in self._model(name).versions:
            raise MlflowException(f"no version {version}", RESOURCE_DOES_NOT_EXIST)
        return self._model(name).versions[int(version)]

    def search_model_versions(self, _filter):
        return [version for model in self.models.values() for version in model.versions.values()]

    def set_registered_model_alias(self, name, alias, version):
        self.get_model_version(name, version)
        self._model(name).aliases[alias] = str(version)

    def delete_registered_model_alias(self, name, alias):
        self._model(name).aliases.pop(alias, None)

    def set_registered_model_tag(self, name, key, value):
        self._model(name).tags[key] = value

    def delete_registered_model_tag(self, name, key):
        del self._model(name).tags[key]

    def set_model_version_tag(self, name, version, key, value):
        self.get_model_version(name, version).tags[key] = value

    def _model(self, name):
        if name not in self.models:
            raise MlflowException(f"no model {name}", RESOURCE_DOES_NOT_EXIST)
        return self.models[name]
