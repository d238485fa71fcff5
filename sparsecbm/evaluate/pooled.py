"""A table as a model's subnetworks see it: every text, pooled under the mask of every concept.

The swap matrix and the probe matrix both need it, so one pass over the texts serves both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sparsecbm.base.errors import ModelError
from sparsecbm.evaluate.variables import clusters_of
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.train.examples import build_examples
from sparsecbm.train.pooled import pooled_under_masks


@dataclass(frozen=True, eq=False)
class Pooled:
    """Texts of one table under every mask, with the gold states.

    Attributes:
        ids: of the texts
        texts: name of the mask's concept -> [texts, hidden], float32
        gold: concept -> [texts], int64; -100 where unknown
        clusters: concept -> [texts]; texts of one cluster are not independent evidence
    """

    ids: tuple[str, ...]
    texts: dict[str, np.ndarray]
    gold: dict[str, np.ndarray]
    clusters: dict[str, np.ndarray]


def pooled_texts(
    model: ConceptBottleneck, frame: pd.DataFrame, batch_size: int = 32, concepts: Sequence[str] | None = None
) -> Pooled:
    """Pool the texts of an annotated table under every mask. Each batch goes through all masks in one call.

    Args:
        concepts: names of the concepts whose masks are used; by default all

    Raises:
        ModelError: the model has no masks.
    """
    if not model.masked:
        raise ModelError("the model is dense: it has no masks to compare; prune it, or give masks to `with_masks`")
    data = build_examples(frame, model)
    pooled = pooled_under_masks(model, data, concepts, batch_size)
    return Pooled(
        tuple(frame["id"].astype(str)),
        {name: texts.numpy() for name, texts in pooled.items()},
        {name: gold.numpy() for name, gold in data.concepts.items()},
        {name: clusters_of(frame, name) for name in model.concept_set.names},
    )
