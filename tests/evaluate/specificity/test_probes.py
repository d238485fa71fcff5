"""Probes on planted features."""

import numpy as np
import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.evaluate.evidence import gaps
from sparsecbm.evaluate.pooled import Pooled
from sparsecbm.evaluate.specificity.probes import probe, sample
from tests.support.tiny_tables import annotated

STATES = {"food": 3, "noise": 2}


def planted(texts, seed, shuffled=False):
    """Return features: under its own mask, each state of a concept has a direction; all else is noise."""
    generator = np.random.default_rng(seed)
    gold = {name: generator.integers(0, states, texts) for name, states in STATES.items()}
    features = {}
    for name, states in STATES.items():
        directions = np.linalg.qr(np.random.default_rng(len(name)).normal(size=(20, 20)))[0][:states]
        features[name] = (generator.normal(size=(texts, 20)) + 8 * directions[gold[name]]).astype(np.float32)
    if shuffled:
        gold = {name: generator.permutation(values) for name, values in gold.items()}
    ids = tuple(map(str, range(texts)))
    return Pooled(ids, features, gold, dict.fromkeys(STATES, np.arange(texts)))


def test_a_probe_finds_a_state_under_the_mask_of_its_concept_only():
    cells = probe(planted(600, 0), planted(600, 1)).cells()
    assert np.diagonal(cells) == pytest.approx([1, 1], abs=0.005)
    # Without information, accuracy is 1/3 or 1/2 for 3 or 2 states, within four standard errors.
    assert cells[0, 1] == pytest.approx(1 / 3, abs=4 * np.sqrt(2 / 9 / 600))
    assert cells[1, 0] == pytest.approx(1 / 2, abs=4 * np.sqrt(1 / 4 / 600))


def test_shuffled_states_leave_no_gap():
    """Features and probes are the same, but the states are independent of the texts."""
    gap = gaps(probe(planted(600, 0, shuffled=True), planted(600, 1, shuffled=True)), 500, seed=0)["mean"]
    assert gap.interval[0] < 0 < gap.interval[1]
    assert abs(gap.value) < 0.08


def test_the_scale_of_a_feature_does_not_matter():
    training, evaluated = planted(300, 0), planted(300, 1)
    before = probe(training, evaluated)
    for pooled in (training, evaluated):
        for features in pooled.texts.values():
            features *= np.float32(2.0) ** np.arange(-10, 10)
    after = probe(training, evaluated)
    for name in STATES:
        np.testing.assert_array_equal(after.values[name], before.values[name])


def test_texts_without_a_state_count_neither_for_fit_nor_for_score():
    training, evaluated = planted(300, 0), planted(300, 1)
    lies = planted(300, 0)
    training.gold["food"][:150] = -100
    for mask in training.texts:  # the features of texts without a state have no effect
        lies.texts[mask][:150] = 0
    lies.gold["food"][:150] = -100
    evaluated.gold["food"][:50] = -100
    correct = probe(training, evaluated).values["food"]
    assert np.isnan(correct[:50]).all() and np.isfinite(correct[50:]).all()
    np.testing.assert_array_equal(probe(lies, evaluated).values["food"], correct)


def test_a_single_state_is_always_predicted_and_no_state_is_an_error():
    training, evaluated = planted(60, 0), planted(60, 1)
    training.gold["noise"][:] = 1
    cells = probe(training, evaluated).cells()
    assert cells[1].tolist() == [evaluated.gold["noise"].mean()] * 2
    training.gold["noise"][:] = -100
    with pytest.raises(DataError, match="no training text of the probes has a state for concept 'noise'"):
        probe(training, evaluated)


def test_the_sample_depends_on_the_seed():
    frame = annotated(50, seed=0)
    ids = [sample(frame, 20, seed)["id"].tolist() for seed in (1, 1, 2)]
    assert len(set(ids[0])) == 20 and ids[0] == ids[1] != ids[2]
    assert sorted(sample(frame, 1000, 1)["id"]) == sorted(frame["id"])
    with pytest.raises(DataError, match="at least one training text, not 0"):
        sample(frame, 0, 1)
