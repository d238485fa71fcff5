"""Evidence by text: gaps by hand and paired intervals."""

import numpy as np
import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.evaluate.evidence import (
    Evidence,
    column_gaps,
    correctness,
    gap_excess,
    gaps,
    row_gaps,
)
from sparsecbm.evaluate.pooled import Pooled

CELLS = np.array([[0.9, 0.6, 0.5], [0.7, 0.8, 0.2], [0.4, 0.4, 0.4]])


def evidence(values, ids=None, clusters=None):
    """Return evidence of two or more concepts, each [texts, masks], with the same clusters."""
    texts = len(next(iter(values.values())))
    ids = tuple(map(str, range(texts))) if ids is None else ids
    clusters = np.arange(texts) if clusters is None else clusters
    values = {name: np.asarray(v, float) for name, v in values.items()}
    return Evidence(ids, values, dict.fromkeys(values, clusters))


def random_evidence(seed, texts=80, **kinds):
    generator = np.random.default_rng(seed)
    return evidence({name: generator.integers(0, 2, (texts, 2)) for name in ("food", "noise")}, **kinds)


def test_gaps_of_rows_and_columns_by_hand():
    assert row_gaps(CELLS) == pytest.approx([0.9 - 0.55, 0.8 - 0.45, 0.0])
    assert column_gaps(CELLS) == pytest.approx([0.9 - 0.55, 0.8 - 0.5, 0.4 - 0.35])
    stacked = np.stack([CELLS, CELLS.T])
    assert row_gaps(stacked)[1] == pytest.approx(column_gaps(CELLS))


@pytest.mark.parametrize("concepts", [2, 3, 4, 6, 7, 11])
def test_equal_cells_give_exactly_0(concepts):
    assert np.all(row_gaps(np.full((concepts, concepts), 0.1 + 0.2)) == 0)


def test_a_single_concept_has_no_gap():
    assert np.isnan(row_gaps(np.array([[0.9]]))).all()


def test_correctness_by_text_and_its_table_by_hand():
    pooled = Pooled(
        tuple("abc"), {}, {"food": np.array([0, 2, -100]), "noise": np.array([1, 1, 0])}, {"food": None, "noise": None}
    )
    predicted = {"food": np.array([[0, 1], [2, 2], [0, 0]]), "noise": np.array([[0, 1], [0, 1], [0, 1]])}
    correct = correctness(pooled, predicted)
    np.testing.assert_array_equal(correct.values["food"], [[1, 0], [1, 1], [np.nan, np.nan]])
    assert correct.table() == {"food": {"food": 1.0, "noise": 0.5}, "noise": {"food": 1 / 3, "noise": 2 / 3}}


def test_a_gap_and_its_interval_by_an_exact_oracle():
    """If one column is always 0, the gap is a mean, and its standard error over clusters is known."""
    right = (np.random.default_rng(0).random(50) < 0.6).astype(float)
    by_text = np.stack([np.repeat(right, 4), np.zeros(200)], 1)  # clusters of four, all right or all wrong
    estimates = gaps(
        evidence({"food": by_text, "noise": by_text[:, ::-1]}, clusters=np.repeat(np.arange(50), 4)), 3000, seed=0
    )
    share = right.mean()
    error = np.sqrt(share * (1 - share) / 50)
    for name in ("food", "noise", "mean"):  # both concepts have the same values, and so does their mean
        low, high = estimates[name].interval
        assert estimates[name].value == pytest.approx(share, abs=1e-6)
        assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_concepts_with_equal_clusters_share_their_resamples():
    """On each text one concept gains what the other loses, so the mean gap is the same in every resample."""
    right = np.random.default_rng(0).integers(0, 2, 60)
    nothing = np.zeros(60)
    food, noise = np.stack([right, nothing], 1), np.stack([nothing, 1 - right], 1)
    estimates = gaps(evidence({"food": food, "noise": noise}), 500, seed=0)
    assert estimates["mean"].value == 0.5 and estimates["mean"].interval == [0.5, 0.5]
    assert estimates["food"].interval[1] - estimates["food"].interval[0] > 0.2


def test_excess_is_paired_by_text():
    """Two gaps differ by 1 on every text. Each gap is uncertain, but their difference is certain."""
    hits = np.random.default_rng(0).integers(0, 2, 60)
    others_wrong = evidence({"food": np.stack([hits, 0 * hits], 1), "noise": np.stack([0 * hits, hits], 1)})
    others_right = evidence({"food": np.stack([hits, 0 * hits + 1], 1), "noise": np.stack([0 * hits + 1, hits], 1)})
    estimates = gap_excess(others_wrong, others_right, 500, seed=0)
    for name in ("food", "noise", "mean"):
        assert estimates[name].value == 1 and estimates[name].interval == [1, 1]
    low, high = gaps(others_wrong, 500, seed=0)["food"].interval
    assert high - low > 0.2


def test_the_excess_over_itself_is_0_and_changes_sign_with_the_order():
    first, second = random_evidence(0), random_evidence(1)
    for estimate in gap_excess(first, first, 200, seed=0).values():
        assert estimate.value == 0 and estimate.interval == [0, 0]
    there, back = gap_excess(first, second, 200, 0)["mean"], gap_excess(second, first, 200, 0)["mean"]
    assert there.value == -back.value != 0
    assert there.interval == pytest.approx([-back.interval[1], -back.interval[0]], abs=2e-6)


def test_a_concept_without_known_states_has_no_gap():
    estimates = gaps(evidence({"food": [[1, 0]] * 4, "noise": [[np.nan, np.nan]] * 4}), 100, seed=0)
    assert estimates["food"].value == 1
    assert (
        estimates["noise"].value is None
        and estimates["mean"].value is None
        and estimates["noise"].interval == [None, None]
    )


def test_evidence_on_other_texts_is_an_error():
    first = random_evidence(0)
    with pytest.raises(DataError, match="different texts"):
        gap_excess(first, random_evidence(0, ids=tuple(map(str, range(1, 81)))), 10, 0)
    with pytest.raises(DataError, match=r"other concepts .*\['food', 'noise'\] and \['food', 'dishes'\]"):
        gap_excess(first, evidence({"food": first.values["food"], "dishes": first.values["noise"]}), 10, 0)
    unknown = first.values["noise"].copy()
    unknown[3] = np.nan
    with pytest.raises(DataError, match="gold states of 'noise'"):
        gap_excess(first, evidence({"food": first.values["food"], "noise": unknown}), 10, 0)
