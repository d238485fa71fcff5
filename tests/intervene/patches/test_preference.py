"""The order of preference among searches, by hand, and what it spares unseen texts."""

import numpy as np
import pytest

from sparsecbm.intervene.patches.bits import toggled
from sparsecbm.intervene.patches.options import PatchOptions
from sparsecbm.intervene.patches.preference import Outcome, rank
from sparsecbm.intervene.patches.protection import protect
from sparsecbm.intervene.patches.search import search
from sparsecbm.intervene.reference import predict_concept_logits, predict_reference
from tests.support.tiny_tables import annotated

UNREACHED = Outcome(reached=False, margin=-0.1, harmed=0, bits=2)
FURTHER = Outcome(reached=False, margin=-0.4, harmed=0, bits=2)
HARMFUL = Outcome(reached=True, margin=0.1, harmed=9, bits=8)
MILD = Outcome(reached=True, margin=0.1, harmed=3, bits=32)
HARMLESS = Outcome(reached=True, margin=0.1, harmed=0, bits=200)
BEST_FIRST = {
    0: [HARMLESS, MILD, HARMFUL, UNREACHED, FURTHER],
    3: [MILD, HARMLESS, HARMFUL, UNREACHED, FURTHER],  # three harmed texts are as good as none, and 32 bits are fewer
    9: [HARMFUL, MILD, HARMLESS, UNREACHED, FURTHER],
}


@pytest.mark.parametrize(("tolerated", "expected"), BEST_FIRST.items())
def test_repaired_comes_first_then_harm_and_then_few_bits(tolerated, expected):
    outcomes = [FURTHER, HARMLESS, UNREACHED, HARMFUL, MILD]
    assert sorted(outcomes, key=lambda outcome: rank(outcome, tolerated)) == expected


def test_each_budget_is_a_quarter_of_the_one_before():
    assert PatchOptions(530).budgets == [530, 132, 32, 8]
    assert PatchOptions(40).budgets == [40, 10]
    assert PatchOptions(31).budgets == [31]


def count_harmed(model, reference, flips):
    with toggled(model, "food", flips):
        logits, _ = predict_concept_logits(model, "food", reference.texts.tolist())
    return int((reference.correct("food") & (logits.argmax(-1) != reference.gold["food"])).sum())


def test_fewer_bits_are_taken_where_they_harm_fewer_texts(lively, monkeypatch):
    """Control: the search with the whole budget alone takes more bits, and harms more texts, seen and unseen."""
    seen, unseen = (predict_reference(lively, annotated(number, seed)) for number, seed in ((60, 5), (100, 77)))
    protection = protect(lively, seen, "food")
    figures = {"compared": np.zeros(3, int), "alone": np.zeros(3, int)}
    for row in np.flatnonzero(seen.incorrect("food"))[:6]:
        of_row = {}
        for name in figures:
            with monkeypatch.context() as patch:
                if name == "alone":
                    patch.setattr(PatchOptions, "budgets", property(lambda options: [options.budget]))
                result = search(
                    lively, "food", [seen.texts[row]], [int(seen.gold["food"][row])], PatchOptions(200), protection
                )
            assert result.reached
            harmed = [count_harmed(lively, reference, result.flipped) for reference in (seen, unseen)]
            of_row[name] = np.array([result.bits, *harmed])
            figures[name] += of_row[name]
        assert of_row["compared"][1] <= of_row["alone"][1]
    assert (figures["compared"] < figures["alone"]).all(), figures
