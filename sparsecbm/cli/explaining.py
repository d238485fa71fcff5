"""Explanations of texts by a saved model, for `sparsecbm explain`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.files import sha256_file
from sparsecbm.explain.explainer import WITH_SUFFICIENT, ExplainOptions, explain
from sparsecbm.explain.explanation import Explanation
from sparsecbm.explain.methods import DEFAULT_METHOD, METHODS
from sparsecbm.explain.variants import KINDS
from sparsecbm.model.storage import CHECKSUMS, load

CHUNK = 8  # texts that are explained before the first of them is yielded


def explain_texts(
    folder: Path,
    texts: Sequence[str],
    concepts: Sequence[str] | None = None,
    states: Mapping[str, str] | None = None,
    method: str = DEFAULT_METHOD,
    parts: bool = False,
) -> Iterator[Explanation]:
    """Explain texts, in order.

    Args:
        concepts, states, method: as in `ExplainOptions`
        parts: whether to search the smallest set of heads and neurons that keeps each prediction

    Raises:
        ConfigError: an unknown concept, state or method; the message lists the choices.
        ModelError: the folder holds no model, a file was altered, the model has no concepts, or its parts cannot be
            searched.
    """
    if method not in METHODS:  # checked first, since loading a model takes time
        raise ConfigError(unknown("attribution method", method, METHODS))
    model = load(folder)
    checksum = sha256_file(Path(folder) / CHECKSUMS)
    units = WITH_SUFFICIENT if parts else KINDS
    options = ExplainOptions(concepts or None, states or {}, method, units=units)
    for start in range(0, len(texts), CHUNK):
        chunk = texts[start : start + CHUNK]
        yield from explain(model, chunk, options, folder=checksum)
