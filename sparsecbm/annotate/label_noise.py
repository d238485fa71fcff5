"""Which labels are probably wrong: they contradict what a judge thinks, by more than its own errors explain.

Confident learning (Northcutt, Jiang, Chuang, JAIR 2021), by cleanlab. A judge never learnt from the labels that it
judges.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import Field
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from sparsecbm.annotate.group_folds import group_fold
from sparsecbm.base.concepts import Concept
from sparsecbm.base.extras import require
from sparsecbm.base.form import Form
from sparsecbm.base.numbers import Number
from sparsecbm.train.reproducible import one_blas_thread

MIN_CELLS = 50  # fewer say nothing about noise
MAX_WORDS = 20_000
WORDS = "words"  # the judge that knows the words of the texts only


class Suspect(Form):
    """A label that is probably wrong."""

    id: str
    split: str
    text: str
    state: str
    source: str
    judged: str = Field(description="the state that the judge finds most probable")
    probability: Number = Field(description="the judge's probability of the state that the text has")


class NoiseEstimate(Form):
    """Labels of one kind of source on one concept, as a judge sees them."""

    cells: int
    judge: str = Field(description="`words`, a logistic regression on words, or `machines`")
    judge_accuracy: Number = Field(description="how often the judge agrees with the labels")
    wrong_share: Number = Field(description="estimated share of wrong labels")
    suspects: list[Suspect] = Field(description="the most suspicious labels, the worst first")


@dataclass(frozen=True, eq=False)
class JudgedCells:
    """Labels and what a judge thinks of them.

    Attributes:
        rows: `id`, `split`, `text`, `state` and `source` of each cell
        probabilities: [cells, states], of the judge
        judge: its name
    """

    rows: pd.DataFrame
    probabilities: np.ndarray
    judge: str


def estimate_noise(cells: JudgedCells, concept: Concept, listed: int) -> NoiseEstimate | None:
    """Estimate the share of wrong labels, and list the most suspicious ones.

    Args:
        listed: the most labels in the list

    Returns:
        None if there are fewer than `MIN_CELLS` labels, or a single state
    """
    given = cells.rows["state"].map(concept.index).to_numpy()
    present = np.unique(given)
    if len(given) < MIN_CELLS or len(present) < 2:
        return None
    require("cleanlab")
    from cleanlab.count import num_label_issues
    from cleanlab.filter import find_label_issues

    probabilities = np.clip(cells.probabilities[:, present], 1e-9, None)
    probabilities /= probabilities.sum(1, keepdims=True)
    labels = np.searchsorted(present, given)
    wrong = num_label_issues(labels, probabilities, estimation_method="off_diagonal")
    ranked = find_label_issues(labels, probabilities, return_indices_ranked_by="normalized_margin", n_jobs=1)
    judged = probabilities.argmax(1)
    return NoiseEstimate(
        cells=len(given),
        judge=cells.judge,
        judge_accuracy=float((judged == labels).mean()),
        wrong_share=wrong / len(given),
        suspects=[
            Suspect(
                **cells.rows.iloc[i][["id", "split", "text", "state", "source"]].to_dict(),
                judged=concept.states[present[judged[i]]],
                probability=probabilities[i, labels[i]],
            )
            for i in ranked[:listed]
        ],
    )


@one_blas_thread
def judge_by_words(texts: Sequence[str], states: Sequence[str], groups: Sequence[str], concept: Concept) -> np.ndarray:
    """Probabilities of each text's states by a logistic regression on its words that learnt from other groups.

    Returns:
        [texts, states]; a state that no text of the other groups has gets 0
    """
    gold = np.array([concept.index(state) for state in states])
    folds = np.array([group_fold(group) for group in groups])
    probabilities = np.full((len(gold), len(concept)), 1 / len(concept))
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=MAX_WORDS, token_pattern=r"\w+")
    try:
        features = words.fit_transform(texts)
    except ValueError:  # no text has a word
        return probabilities
    for fold in np.unique(folds):
        learn, judged = folds != fold, folds == fold
        if len(np.unique(gold[learn])) < 2:
            continue
        model = LogisticRegression(C=10.0, max_iter=1000).fit(features[learn], gold[learn])
        probabilities[judged] = 0.0
        probabilities[np.ix_(judged, model.classes_)] = model.predict_proba(features[judged])
    return probabilities
