"""What machines say about cells, and the orders that follow from it, worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from sparsecbm.annotate.labels import label_table
from sparsecbm.annotate.review.machine_opinion import label_suspicion, machine_opinion
from sparsecbm.annotate.review.order import (
    CONTESTED,
    SURE,
    SUSPICIOUS,
    UNSURE,
    order_at_random,
    order_by_turns,
    order_by_worth,
    texts_at_random,
)
from sparsecbm.base.concepts import Concept

FOOD = Concept("food", ("bad", "good"))


def table(**rows):
    """Return a table of labels from key = (state, confidence, probabilities as JSON)."""
    cells = [
        {"key": key, "concept": "food", "state": s, "confidence": c, "probabilities": p, "definition": "", "model": "m"}
        for key, (s, c, p) in rows.items()
    ]
    return label_table([{**cell, "prompt": ""} for cell in cells])


def test_the_opinion_is_the_mean_of_the_machines_that_gave_a_label():
    first = table(a=("bad", 0.9, '{"bad": 0.9, "good": 0.1}'), b=("good", 0.6, None), c=(None, None, None))
    second = table(a=("good", None, '{"bad": 1, "good": 3}'), b=(None, None, None), d=("bad", None, None))
    opinion = machine_opinion({"first": first, "second": second}, ["a", "b", "c", "d"], FOOD)
    np.testing.assert_allclose(opinion.probabilities, [[0.575, 0.425], [0.4, 0.6], [np.nan, np.nan], [1, 0]])
    entropies = [-sum(p * math.log2(p) for p in (q, 1 - q)) for q in (0.575, 0.6, 0.9, 0.25)]
    np.testing.assert_allclose(opinion.margin, [0.15, 0.2, np.nan, 1], atol=1e-12)
    divergence = entropies[0] - (entropies[2] + entropies[3]) / 2
    np.testing.assert_allclose(opinion.disagreement, [divergence, 0, 0, 0], atol=1e-12)


def test_without_machines_there_is_no_opinion():
    opinion = machine_opinion({}, ["a"], FOOD)
    assert np.isnan(opinion.probabilities).all() and np.isnan(opinion.margin).all()


def test_suspicion_is_the_lead_of_another_state():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [np.nan, np.nan]])
    suspicion = label_suspicion(probabilities, pd.Series(["good", "bad", None, "bad"]), FOOD)
    np.testing.assert_allclose(suspicion, [0.8, -0.8, np.nan, np.nan])


def cells(**rows):
    """Return a table of cells from key = (margin, disagreement, suspicion, labelled, group)."""
    columns = ["margin", "disagreement", "suspicion", "labelled", "group"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("key").reset_index()
    return table.assign(concept="food", label="1")


def test_unsure_cells_come_first_then_contested_then_suspicious_ones():
    table = cells(
        sure=(0.9, 0.0, np.nan, False, "1"),
        suspicious=(0.8, 0.0, 0.6, True, "2"),
        trusted=(0.1, 0.0, 0.4, True, "3"),
        contested=(0.8, 0.2, np.nan, False, "4"),
        unsure=(0.3, 0.0, np.nan, False, "5"),
        abstained=(np.nan, 0.0, np.nan, False, "6"),
        surer=(0.95, 0.0, np.nan, False, "7"),
    )
    ordered = order_by_worth(table)
    assert ordered["key"].tolist() == ["abstained", "unsure", "contested", "suspicious", "sure", "surer"]
    assert ordered["reason"].tolist() == [UNSURE, UNSURE, CONTESTED, SUSPICIOUS, SURE, SURE]


def test_the_second_cell_of_a_group_counts_half():
    alike = {"a": (0.01, 0.0, np.nan, False, "1"), "b": (0.02, 0.0, np.nan, False, "1")}
    others = {"c": (0.4, 0.0, np.nan, False, "2"), "d": (0.5, 0.0, np.nan, False, "3")}
    assert order_by_worth(cells(**alike, **others))["key"].tolist() == ["a", "c", "d", "b"]
    alone = {key: (*row[:4], key) for key, row in (alike | others).items()}
    assert order_by_worth(cells(**alone))["key"].tolist() == ["a", "b", "c", "d"]


def test_concepts_take_turns_within_a_part():
    food = cells(a=(0.1, 0.0, np.nan, False, "1"), b=(0.2, 0.0, np.nan, False, "2"), c=(0.9, 0.0, np.nan, False, "3"))
    noise = cells(d=(0.3, 0.0, np.nan, False, "4"), e=(0.7, 0.0, np.nan, False, "5")).assign(concept="noise")
    ordered = order_by_worth(pd.concat([food, noise], ignore_index=True))
    assert ordered["key"].tolist() == ["a", "d", "b", "e", "c"]
    assert ordered["reason"].tolist() == [UNSURE] * 4 + [SURE]


def grid():
    """Return 24 texts of two concepts: two labels in groups of three, and one labelled text."""
    rows = [
        {"key": f"k{n:02}", "concept": concept, "label": str(n % 2), "group": f"g{n // 3}", "labelled": n == 5}
        for n in range(24)
        for concept in ("food", "noise")
    ]
    return pd.DataFrame(rows)


def test_groups_and_labels_take_turns():
    table = grid()
    ordered = order_by_turns(table, seed=1)
    keys = ordered["key"].drop_duplicates()
    assert sorted(keys) == sorted(set(table["key"]) - {"k05"}) and len(ordered) == 46
    assert (ordered["key"].iloc[::2].to_numpy() == ordered["key"].iloc[1::2].to_numpy()).all(), "a text stays whole"
    numbers = keys.map(lambda key: int(key[1:])).to_numpy()
    assert len(set(numbers[:8] // 3)) == 8 and len(set(numbers[8:16] // 3)) == 8, "each group has its turn"
    labels = numbers[:8] % 2
    rarer = min((labels == 0).sum(), (labels == 1).sum())
    assert rarer >= 2 and all(set(labels[2 * n : 2 * n + 2]) == {0, 1} for n in range(rarer)), "and so has each label"
    assert order_by_turns(table, seed=2)["key"].tolist() != ordered["key"].tolist()


def test_a_random_order_depends_on_the_seed_and_not_on_other_texts():
    table = grid()
    keys = order_at_random(table, seed=1)["key"].drop_duplicates().tolist()
    assert sorted(keys) == sorted(set(table["key"]) - {"k05"})
    fewer = order_at_random(table[table["key"] != keys[3]], seed=1)["key"].drop_duplicates().tolist()
    assert fewer == [key for key in keys if key != keys[3]]
    assert order_at_random(table, seed=2)["key"].drop_duplicates().tolist() != keys != sorted(keys)


def test_texts_are_in_the_order_in_which_a_review_at_random_asks_for_them():
    table = grid()
    texts = table.drop_duplicates("key")[["key", "label"]]
    ordered = texts_at_random(texts, seed=1)
    assert ordered["key"].drop_duplicates().tolist() != texts["key"].tolist()
    asked = order_at_random(table, seed=1)["key"].drop_duplicates().tolist()
    assert [key for key in ordered["key"] if key != "k05"] == asked
    assert dict(zip(ordered["key"], ordered["label"], strict=True)) == dict(
        zip(texts["key"], texts["label"], strict=True)
    )


def test_random_order_hits_every_label_alike():
    keys = [f"{n:x}" for n in range(2000)]
    table = pd.DataFrame({"key": keys, "concept": "food", "labelled": False})
    first = [int(key, 16) for key in order_at_random(table, seed=7)["key"].head(500)]
    assert np.mean(first) == pytest.approx(1000, abs=80)  # three standard errors
