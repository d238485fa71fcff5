"""Who learns from whom in cross-fitting."""

import warnings

import numpy as np

from sparsecbm.annotate.learning.cross_fit import FOLDS, cross_fit

KNOWN = np.arange(0, 40, 2)  # every second of 40 texts is labelled
STATES = np.tile([0, 1], 10)
GROUPS = np.repeat(np.arange(10), 2)  # two labelled texts a group


def test_no_labelled_text_is_predicted_by_a_model_that_learnt_from_its_group():
    def groups_learnt(learn: np.ndarray) -> np.ndarray:
        """For each text, whether the model that predicts it learnt from its group."""
        result = np.full((40, 1), np.nan)
        result[KNOWN, 0] = np.isin(GROUPS, GROUPS[learn])
        return result

    result = cross_fit(groups_learnt, KNOWN, STATES, GROUPS, seed=0)
    assert result[KNOWN, 0].tolist() == [0.0] * 20
    # with a group a text, texts that share a group are learnt from: what the test above would find
    apart = cross_fit(groups_learnt, KNOWN, STATES, np.arange(20), seed=0)
    assert apart[KNOWN, 0].sum() > 0


def test_unlabelled_texts_are_predicted_from_all_labels():
    sizes = []

    def number_learnt(learn: np.ndarray) -> np.ndarray:
        sizes.append(len(learn))
        return np.full((40, 1), float(len(learn)))

    result = cross_fit(number_learnt, KNOWN, STATES, GROUPS, seed=0)
    assert set(result[1::2, 0]) == {20.0}
    assert set(result[KNOWN, 0]) == {16.0}
    assert sizes == [20] + [16] * FOLDS


def test_folds_repeat_with_the_seed():
    def learnt(learn: np.ndarray) -> np.ndarray:
        return np.full((40, 1), float(learn.sum()))

    first, second, other = (cross_fit(learnt, KNOWN, STATES, GROUPS, seed) for seed in (1, 1, 2))
    assert first.tolist() == second.tolist()
    assert first.tolist() != other.tolist()


def test_states_that_are_rarer_than_folds_are_no_trouble():
    states = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    sizes = []

    def number_learnt(learn: np.ndarray) -> np.ndarray:
        sizes.append(len(learn))
        return np.zeros((10, 1))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cross_fit(number_learnt, np.arange(10), states, np.arange(10), seed=0)
    assert len(sizes) == 1 + 4  # four folds: no state has more labels
    assert sum(10 - size for size in sizes) == 10  # each label is held out once
