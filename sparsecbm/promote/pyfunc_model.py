"""A saved model as MLflow's pyfunc: texts in; label, probabilities, concepts and confidence out.

MLflow creates it by running `pyfunc_entry.py` (models from code), so nothing is pickled. A version carries a copy of
this package, so it still loads after the project has changed.
"""

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR
from mlflow.pyfunc import PythonModel, PythonModelContext

from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import ConfigError, SparseCBMError
from sparsecbm.promote.answer_row import answer_row
from sparsecbm.promote.request_limits import LARGE, RequestLimits, chunks, is_served, is_unicode, release_memory
from sparsecbm.promote.request_options import Options, parse_options, patch_files, select_patches

if TYPE_CHECKING:
    from sparsecbm.intervene.patches.patch import MaskPatch

_log = logging.getLogger(__name__)
# A full explanation holds a copy of the masked blocks for each concept, so requests make them one after another.
_explaining = threading.Lock()


class PyfuncModel(PythonModel):
    """The model behind `mlflow.pyfunc.load_model` and `mlflow models serve`."""

    # Without it MLflow warns that type hints state no signature; `register.py` states the signature.
    _skip_type_hint_validation = True

    def load_context(self, context: PythonModelContext) -> None:
        """Verify the checksums of the version's model folder and load it."""
        self.model = SparseCBM.from_pretrained(context.artifacts["model"])
        self.limits = RequestLimits.from_environment(os.environ)
        self.patch_files = patch_files(Path(context.artifacts["patches"])) if "patches" in context.artifacts else []

    def predict(self, context, model_input, params=None) -> pd.DataFrame:
        """One row for each text: `label`, `confidence`, `probabilities`, `concepts`, and `explanation` on request.

        Many threads may call it at once: what a request asks for is kept in the context of its thread.

        Raises:
            MlflowException: an option or the input is invalid, or too large to be served (HTTP 400); or the model fails
                (HTTP 500), and the log of the server says how.
        """
        texts: Sequence[str] = ()
        try:
            options = parse_options((params or {}).get("options", "{}"))
            texts = input_texts(model_input)
            if is_served():
                self.limits.check(texts, options.explain == "full")
            return pd.DataFrame(self.rows(texts, options))
        except SparseCBMError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        except Exception as error:
            if not is_served():
                raise
            _log.exception("a request failed")
            message = "the model failed to answer; the log of the server says why"
            raise MlflowException(message, error_code=INTERNAL_ERROR) from error
        finally:
            if len(texts) > LARGE and is_served():
                release_memory()

    def rows(self, texts: list[str], options: Options) -> list[dict]:
        """Predictions in plain form, under the options of a request."""
        predictions, explanations = [], []
        with self._under(options) as model:
            for part in chunks(texts):
                predictions += model.predict(part)
                explanations += self._explanations(model, part, options.explain)
        return [
            answer_row(prediction, explanation, options.top_k)
            for prediction, explanation in zip(predictions, explanations, strict=True)
        ]

    @contextmanager
    def _under(self, options: Options) -> Iterator[SparseCBM]:
        """The model under the patches and edits of a request; both are undone afterwards."""
        with ExitStack() as stack:
            if options.patches:
                from sparsecbm.intervene.patches.stack import patched

                stack.enter_context(patched(self.model, *self._load_patches(options.patches)))
            if options.edits:
                from sparsecbm.intervene.edits import edited

                stack.enter_context(edited(self.model, options.edits))
            yield self.model

    def _load_patches(self, prefixes: Sequence[str]) -> list["MaskPatch"]:
        """The patches whose ids begin with the prefixes."""
        from sparsecbm.intervene.patches.patch import MaskPatch

        return select_patches({patch.id: patch for patch in map(MaskPatch.load, self.patch_files)}, prefixes)

    @staticmethod
    def _explanations(model: SparseCBM, texts: Sequence[str], kind: str) -> list[dict | None]:
        if kind == "none":
            return [None] * len(texts)
        if kind == "full":
            with _explaining:
                return [explanation.to_dict() for explanation in model.explain(list(texts))]
        from sparsecbm.explain.contributions import compute_contributions

        return [contribution.to_dict() for contribution in compute_contributions(model, texts)]


def input_texts(model_input: pd.DataFrame | Sequence[str]) -> list[str]:
    """The column `text` of a table, or a list of texts.

    Raises:
        ConfigError: there is no such column, or a value is not a text; names the row.
    """
    if isinstance(model_input, pd.DataFrame):
        if "text" not in model_input:
            raise ConfigError(f"the input has no column 'text'; it has {', '.join(map(str, model_input)) or 'none'}")
        model_input = model_input["text"]
    texts = list(model_input)
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise ConfigError(f"row {number} of the input is not a text but {repr(text)[:60]}")
        if not is_unicode(text):
            raise ConfigError(f"row {number} of the input holds half of a surrogate pair, which is no character")
    return texts
