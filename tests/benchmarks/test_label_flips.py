"""Flips of concept labels: their rate, their confidence, and shares that move with them; gains by hand."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.label_flips import flip_labels, with_soft_shares
from benchmarks.paired_gains import paired, summarise
from tests.support.tiny_models import CONCEPTS
from tests.support.tiny_tables import annotated

STATES = ("Negative", "Positive", "unknown")


def test_the_share_of_flips_is_the_rate_and_falls_with_confidence():
    frame = annotated(2000, 1)
    flipped = flip_labels(frame, CONCEPTS, 0.2, seed=3)
    for name in CONCEPTS.names:
        wrong = flipped[f"concept.{name}"] != frame[f"concept.{name}"]
        confidence = flipped[f"confidence.{name}"]
        assert wrong.mean() == pytest.approx(0.2, abs=0.03)
        assert confidence.min() >= 0.6 and confidence.mean() == pytest.approx(0.8, abs=0.01)
        sure = confidence > 0.9  # chances of 0 to .1
        assert wrong[sure].mean() == pytest.approx(0.05, abs=0.03)
        assert (~wrong[~sure]).mean() == pytest.approx(0.75, abs=0.03)  # chances of .1 to .4
    pd.testing.assert_frame_equal(flipped[["text", "label"]], frame[["text", "label"]])
    again, other = flip_labels(frame, CONCEPTS, 0.2, seed=3), flip_labels(frame, CONCEPTS, 0.2, seed=4)
    assert again.equals(flipped) and not other["concept.food"].equals(flipped["concept.food"])


def test_every_other_state_is_as_likely_and_an_empty_cell_stays_empty():
    frame = annotated(3000, 1)
    frame.loc[::3, "concept.food"] = None
    flipped = flip_labels(frame, CONCEPTS, 0.4, seed=1)
    assert flipped["concept.food"][::3].isna().all()
    negative = flipped[(frame["concept.food"] == "Negative") & (flipped["concept.food"] != "Negative")]
    assert (negative["concept.food"] == "Positive").mean() == pytest.approx(0.5, abs=0.07)


def test_shares_of_votes_move_with_the_label():
    votes = {"share.food.Negative": 0.1, "share.food.Positive": 0.6, "share.food.unknown": 0.3}
    frame = annotated(200, 1).assign(**votes, **{"concept.food": "Positive"})
    flipped = flip_labels(frame, CONCEPTS, 0.4, seed=1)
    for state, expected in (("Negative", [0.6, 0.1, 0.3]), ("Positive", [0.1, 0.6, 0.3]), ("unknown", [0.1, 0.3, 0.6])):
        rows = flipped[flipped["concept.food"] == state]
        assert len(rows) > 10
        np.testing.assert_allclose(rows[list(votes)], np.tile(expected, (len(rows), 1)))


def test_soft_shares_by_hand():
    """A label of confidence .7 leaves .15 to each of two other states; votes are softened likewise."""
    frame = annotated(2, 1).assign(**{"confidence.food": 0.7, "confidence.noise": [0.9, 0.5]})
    frame["concept.food"], frame["concept.noise"] = ["Positive", None], ["loud", "quiet"]
    soft = with_soft_shares(frame, CONCEPTS)
    food = soft[[f"share.food.{state}" for state in STATES]].to_numpy()
    np.testing.assert_allclose(food[0], [0.15, 0.7, 0.15])
    assert np.isnan(food[1]).all()
    np.testing.assert_allclose(soft[["share.noise.loud", "share.noise.quiet"]], [[0.9, 0.1], [0.5, 0.5]])
    voted = frame.assign(**dict(zip((f"share.food.{state}" for state in STATES), (0.2, 0.8, 0.0), strict=True)))
    shares = with_soft_shares(voted, CONCEPTS)[[f"share.food.{state}" for state in STATES]].to_numpy()[0]
    np.testing.assert_allclose(shares, [0.7 * 0.2 + 0.3 * 0.4, 0.7 * 0.8 + 0.3 * 0.1, 0.3 * 0.5])
    assert shares.sum() == pytest.approx(1)


def test_gains_are_paired_by_seed():
    arm = {
        "1": {"concepts": 0.7, "label": 0.5},
        "2": {"concepts": 0.8, "label": 0.5},
        "4": {"concepts": 0.9, "label": 0},
    }
    against = {"1": {"concepts": 0.6, "label": 0.5}, "2": {"concepts": 0.5, "label": 0.4}}
    entry = summarise(arm, against)
    assert entry["seeds"] == 3 and entry["concepts"]["mean"] == pytest.approx(0.8)
    # Gains .1 and .3: mean .2, standard error .1, and Student's t of one degree of freedom is 12.706.
    assert entry["concepts"]["gain"]["value"] == pytest.approx(0.2)
    assert entry["concepts"]["gain"]["interval"] == pytest.approx([0.2 - 1.2706, 0.2 + 1.2706], abs=1e-3)
    assert "gain" not in summarise(arm)["label"] and paired([0.1]) == {"value": 0.1}
