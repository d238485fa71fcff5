"""Explanations by a model in a folder."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.files import sha256_file
from sparsecbm.explain.explainer import ExplainOptions, explain
from sparsecbm.explain.explanation import Explanation
from sparsecbm.explain.methods import METHODS
from sparsecbm.model.storage import CHECKSUMS

CHUNK = 8  # texts that are explained before the first of them is given


def explain_texts(
    folder: Path,
    texts: Sequence[str],
    concepts: Sequence[str] | None = None,
    states: Mapping[str, str] | None = None,
    method: str = "integrated_gradients",
) -> Iterator[Explanation]:
    """Explanations of texts, in order.

    Args:
        concepts, states, method: as in `ExplainOptions`

    Raises:
        ConfigError: unknown concept, state or method; names the choices.
        ModelError: no model there, an altered file, or a model without concepts.
    """
    if method not in METHODS:  # before the model is loaded, which takes time
        raise ConfigError(unknown("attribution method", method, METHODS))
    model = SparseCBM.from_pretrained(folder)
    checksum = sha256_file(Path(folder) / CHECKSUMS)
    options = ExplainOptions(concepts or None, states or {}, method)
    for start in range(0, len(texts), CHUNK):
        part = texts[start : start + CHUNK]
        yield from explain(model, part, options, folder=checksum)
