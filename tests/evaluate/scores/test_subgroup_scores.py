"""Accuracies of subgroups, counted by hand."""

import numpy as np
import pandas as pd
import pytest

from sparsecbm.base.metrics import MISSING
from sparsecbm.base.params import Evaluate
from sparsecbm.evaluate.scores.subgroup_scores import score_subgroups
from sparsecbm.evaluate.variables import SplitPredictions, VariablePredictions

GOLD = np.array([0, 1, 0, 1, 0, 1, MISSING, MISSING])
PREDICTED = [0, 1, 1, 0, 0, 1, 0, 0]  # texts 2 and 3 are wrong
REGIONS = pd.Series(["north", "north", "south", "south", "south", "south", "south", "west"])


def variable(gold=GOLD, clusters=None):
    probabilities = np.eye(2)[PREDICTED]
    clusters = np.arange(len(gold)) if clusters is None else clusters
    return VariablePredictions(("no", "yes"), gold, probabilities, clusters.astype(str))


def scored(label=None, **concepts):
    predictions = SplitPredictions(label or variable(), concepts, {}, None, None)
    return score_subgroups(predictions, {"region": REGIONS}, Evaluate(bootstrap=400), 1)["region"]


def test_accuracies_are_those_of_the_texts_of_each_subgroup():
    regions = scored()
    assert {name: (s.texts, s.label.texts, s.label.accuracy) for name, s in regions.items()} == {
        "north": (2, 2, 1.0), "south": (5, 4, 0.5), "west": (1, 0, None),
    }  # fmt: skip
    assert regions["west"].label.accuracy_interval == [None, None]


def test_intervals_are_of_resampled_clusters():
    """Of four texts two are right: 0 to 1 when drawn alone; .5 always in two clusters of a right and a wrong one."""
    assert scored()["south"].label.accuracy_interval == [0.0, 1.0]
    pairs = np.array([0, 0, 1, 2, 1, 2, 3, 4])
    assert scored(variable(clusters=pairs))["south"].label.accuracy_interval == [0.5, 0.5]


def test_the_mean_is_over_the_concepts_that_the_subgroup_has():
    right = np.array(PREDICTED)
    unknown = np.full(len(GOLD), MISSING)
    concepts = scored(food=variable(), noise=variable(right), rare=variable(unknown))["south"].concepts
    assert (concepts["food"].accuracy, concepts["noise"].accuracy, concepts["rare"].accuracy) == (0.5, 1.0, None)
    assert concepts["mean"].accuracy == pytest.approx(0.75) and concepts["mean"].texts == 4 + 5


def test_no_column_gives_no_scores():
    predictions = SplitPredictions(variable(), {}, {}, None, None)
    assert score_subgroups(predictions, {}, Evaluate(), 1) == {}
