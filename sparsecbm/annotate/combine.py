"""Labels of several machines on one concept become one state, with a confidence and probabilities."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sparsecbm.annotate.group_folds import group_fold
from sparsecbm.annotate.quality import MIN_TEXTS
from sparsecbm.base.concepts import Concept
from sparsecbm.base.extras import require
from sparsecbm.base.numbers import DECIMALS

PRIORITY, DAWID_SKENE, MACE = "priority", "dawid_skene", "mace"


@dataclass(frozen=True, eq=False)
class CombinedLabels:
    """One label for each text that a machine labelled.

    Attributes:
        cells: indexed by key, sorted: `state`, `source` (the annotator, or the method that weighed several) and
            `confidence`
        probabilities: the same index, a column for each state; nan where the source gave no probabilities
    """

    cells: pd.DataFrame
    probabilities: pd.DataFrame


def combine_labels(
    labels: Mapping[str, pd.DataFrame], concept: Concept, method: str, people: pd.Series | None = None
) -> CombinedLabels:
    """Combine what machines say about one concept; deterministic to the byte.

    `priority` takes the first annotator that does not abstain. `dawid_skene` weighs annotators by confusion matrices
    that expectation maximisation finds (Dawid and Skene, 1979); labels of people count as true there. `mace` weighs
    them by how often they do not guess (Hovy et al., NAACL 2013), and knows no labels of people.

    Args:
        labels: annotator -> its table of labels (see `labels`) for this concept; the order is that of the priority
        method: `priority`, `dawid_skene` or `mace`
        people: key -> state, which `dawid_skene` measures the annotators on
    """
    tables = {name: table[table["state"].notna()].set_index("key") for name, table in labels.items()}
    given = {name: table for name, table in tables.items() if len(table)}
    if not given:
        return _empty(concept)
    if method == PRIORITY:
        return _first(given, concept)
    answers = pd.concat(
        [pd.DataFrame({"task": table.index, "worker": name, "label": table["state"]}) for name, table in given.items()],
        ignore_index=True,
    )
    answers = answers.sort_values(["task", "worker"], ignore_index=True).astype(object)
    weigh: Callable[[pd.DataFrame], pd.DataFrame]
    weigh = _mace if method == MACE else lambda answers: _dawid_skene(answers, people)
    posterior = weigh(answers).reindex(columns=list(concept.states)).fillna(0.0).sort_index()
    posterior = posterior.set_axis(posterior.index.astype("str"), axis=0).rename_axis("key")
    best = posterior.to_numpy().argmax(1)
    cells = pd.DataFrame(
        {
            "state": pd.Series(np.array(concept.states, dtype=object)[best], posterior.index, dtype="str"),
            "source": pd.Series(method, posterior.index, dtype="str"),
            "confidence": posterior.to_numpy().max(1).round(DECIMALS),
        }
    )
    return CombinedLabels(cells, posterior.round(DECIMALS))


def combine_held_out(
    labels: Mapping[str, pd.DataFrame], concept: Concept, method: str, people: pd.DataFrame
) -> CombinedLabels:
    """Combine labels without a look at what people said about the same texts, to compare the two.

    Only `dawid_skene` looks at labels of people. There, the texts of each fifth of the groups are combined with the
    labels of the others.

    Args:
        labels, concept, method: as for `combine_labels`
        people: labels of people on this concept that the combination may use: columns `key`, `state` and `group`

    Returns:
        the labels of all texts; texts in `people` have those that were held out
    """
    everything = combine_labels(labels, concept, method, people.set_index("key")["state"])
    if method != DAWID_SKENE or len(people) < MIN_TEXTS:
        return everything
    cells, probabilities = everything.cells.copy(), everything.probabilities.copy()
    folds = people["group"].map(group_fold)
    for fold in sorted(folds.unique()):
        used = people[folds != fold].set_index("key")["state"]
        held_out = cells.index.intersection(people.loc[folds == fold, "key"])
        by_others = combine_labels(labels, concept, method, used)
        cells.loc[held_out] = by_others.cells.loc[held_out]
        probabilities.loc[held_out] = by_others.probabilities.loc[held_out]
    return CombinedLabels(cells, probabilities)


def state_probabilities(labels: pd.DataFrame, concept: Concept) -> pd.DataFrame:
    """The probabilities of an annotator as numbers, [rows, states], nan in rows without them.

    Args:
        labels: rows of one concept in a table of labels
    """
    rows = [
        [np.nan] * len(concept) if pd.isna(cell) else [float(json.loads(cell).get(s, 0.0)) for s in concept.states]
        for cell in labels["probabilities"]
    ]
    return pd.DataFrame(
        np.array(rows, dtype=float).reshape(-1, len(concept)), labels.index, columns=list(concept.states)
    )


def _first(given: Mapping[str, pd.DataFrame], concept: Concept) -> CombinedLabels:
    tables = [table.assign(source=name) for name, table in given.items()]
    probabilities = pd.concat([state_probabilities(table, concept) for table in tables])
    cells = pd.concat(tables)[["state", "source", "confidence"]].astype({"source": "str"})
    first = ~cells.index.duplicated(keep="first")
    return CombinedLabels(cells[first].sort_index(), probabilities[first].sort_index())


def _dawid_skene(answers: pd.DataFrame, people: pd.Series | None) -> pd.DataFrame:
    """Posterior [tasks, states].

    Texts that only people labelled say nothing about a machine, so they are left out. So are states that people gave
    and no machine did: the library knows no probability of such a state elsewhere, and would take it for certain.
    """
    require("crowdkit")
    from crowdkit.aggregation import DawidSkene

    known = None
    if people is not None:
        known = people[people.index.isin(answers["task"]) & people.isin(answers["label"])].astype(object)
    return DawidSkene(n_iter=50, tol=1e-4).fit(answers, known if known is not None and len(known) else None).probas_


def _mace(answers: pd.DataFrame) -> pd.DataFrame:
    """Posterior [tasks, states]. One restart: with a fixed seed, the library's restarts are all the same."""
    require("crowdkit")
    from crowdkit.aggregation import MACE as Mace

    weights = Mace(n_restarts=1, random_state=0).fit_predict_proba(answers)
    return weights.div(weights.sum(1), axis=0)


def _empty(concept: Concept) -> CombinedLabels:
    key = pd.Index([], dtype="str", name="key")
    cells = pd.DataFrame({"state": "", "source": "", "confidence": 0.0}, index=key)
    cells = cells.astype({"state": "str", "source": "str", "confidence": "float64"})
    return CombinedLabels(cells, pd.DataFrame(index=key, columns=list(concept.states), dtype=float))
