"""A saved model as MLflow's pyfunc: texts in; label, probabilities, concepts and confidence out.

MLflow finds it by `serving.py` (models from code), so that nothing is pickled. The version carries this package as it
was, so that it still loads when the project has gone on.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel

from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import ConfigError, SparseCBMError, unknown
from sparsecbm.promote.request_options import Options, parse_options

PATCHES = (".patch", ".safetensors")


class PyfuncModel(PythonModel):
    """What `mlflow.pyfunc.load_model` and `mlflow models serve` run."""

    # Else MLflow warns whoever loads it that type hints state no signature; ours is stated where the model is saved.
    _skip_type_hint_validation = True

    def load_context(self, context) -> None:
        """Load the model folder of the version; its checksums are verified first."""
        self.model = SparseCBM.from_pretrained(context.artifacts["model"])
        folder = Path(context.artifacts["patches"]) if "patches" in context.artifacts else None
        self.patch_files = sorted(file for file in folder.rglob("*") if file.suffix in PATCHES) if folder else []

    def predict(self, context, model_input, params=None) -> pd.DataFrame:
        """One row a text: `label`, `confidence`, `probabilities`, `concepts`, and `explanation` on demand.

        Raises:
            MlflowException: options that are refused, as a fault of the caller (HTTP 400).
        """
        try:
            options = parse_options((params or {}).get("options", "{}"))
            return pd.DataFrame(self.rows(texts_of(model_input), options))
        except SparseCBMError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error

    def rows(self, texts: list[str], options: Options) -> list[dict]:
        """What is read in each text, under the options."""
        with self._changed(options) as model:
            rows = [prediction.to_dict() for prediction in model.predict(texts)]
            explanations = self._explanations(model, texts, options.explain)
        for row, explanation in zip(rows, explanations, strict=True):
            del row["text"]
            if options.top_k is not None:
                ranked = sorted(row["probabilities"].items(), key=lambda item: -item[1])
                row["probabilities"] = dict(ranked[: options.top_k])
            if explanation is not None:
                row["explanation"] = explanation
        return rows

    @contextmanager
    def _changed(self, options: Options) -> Iterator[SparseCBM]:
        """The model under the patches and edits that were asked for; afterwards it is as it was."""
        with ExitStack() as stack:
            if options.patches:
                from sparsecbm.intervene.patches.stack import patched

                stack.enter_context(patched(self.model, *map(self._patch, options.patches)))
            if options.edits:
                from sparsecbm.intervene.edits import edited

                stack.enter_context(edited(self.model, options.edits))
            yield self.model

    def _patch(self, start: str):
        from sparsecbm.intervene.patches.patch import MaskPatch

        known = {patch.id: patch for patch in map(MaskPatch.load, self.patch_files)}
        found = [patch for identity, patch in known.items() if identity.startswith(start)]
        if len(found) != 1:
            raise ConfigError(unknown("patch", start, known or ["this version carries none"]))
        return found[0]

    @staticmethod
    def _explanations(model: SparseCBM, texts: Sequence[str], kind: str) -> list[dict | None]:
        if kind == "none":
            return [None] * len(texts)
        if kind == "full":
            return [explanation.to_dict() for explanation in model.explain(list(texts))]
        from sparsecbm.explain.contributions import contributions

        return [each.to_dict() for each in contributions(model, texts)]


def texts_of(model_input) -> list[str]:
    """The column `text` of a table, or a list of texts.

    Raises:
        ConfigError: there is no such column, or something in it is no text.
    """
    if isinstance(model_input, pd.DataFrame):
        if "text" not in model_input:
            raise ConfigError(f"the input has no column 'text'; it has {', '.join(map(str, model_input)) or 'none'}")
        model_input = model_input["text"]
    texts = list(model_input)
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise ConfigError(f"row {number} of the input holds no text but {text!r}")
    return texts
