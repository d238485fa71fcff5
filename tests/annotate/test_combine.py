"""Labels of several machines become one."""

import pandas as pd
import pytest

from sparsecbm.annotate.combine import combine_held_out, combine_labels
from sparsecbm.base.concepts import Concept
from tests.support.planted_labels import FOOD, accuracy, labels, planted


def test_priority_takes_the_first_that_does_not_abstain():
    first = labels(["bad", None, None], 0.6, '{"bad": 0.6, "good": 0.4}')
    second = labels(["good", "good", None], 0.9)
    combined = combine_labels({"llm": first, "embedding": second}, FOOD, "priority")
    assert combined.cells.to_dict("index") == {
        "k000": {"state": "bad", "source": "llm", "confidence": 0.6},
        "k001": {"state": "good", "source": "embedding", "confidence": 0.9},
    }
    assert combined.probabilities.loc["k000"].tolist() == [0.6, 0.4]
    assert combined.probabilities.loc["k001"].isna().all()
    swapped = combine_labels({"embedding": second, "llm": first}, FOOD, "priority")
    assert swapped.cells["source"].tolist() == ["embedding", "embedding"]


def test_three_equal_machines_give_the_majority():
    """By symmetry, machines of equal skill weigh the same: each text is 2 against 1, worked out by hand."""
    votes = [("bad", "bad", "good"), ("bad", "good", "bad"), ("good", "bad", "bad")] * 6
    votes += [("good", "good", "bad"), ("good", "bad", "good"), ("bad", "good", "good")] * 6
    tables = {name: labels([vote[i] for vote in votes]) for i, name in enumerate("abc")}
    for method in ("dawid_skene", "mace"):
        combined = combine_labels(tables, FOOD, method)
        assert combined.cells["state"].tolist() == ["bad"] * 18 + ["good"] * 18, method
        assert set(combined.cells["source"]) == {method}
        assert combined.probabilities.sum(axis=1).to_numpy() == pytest.approx(1)
        assert combined.cells["confidence"].tolist() == combined.probabilities.max(axis=1).tolist()


def test_dawid_skene_is_right_where_the_majority_is_wrong():
    """Two experts agree, and three machines that guess outvote them: that they guess shows in the other texts."""
    skills = {"expert": 0.95, "second expert": 0.95, "guess": 0.5, "second guess": 0.5, "third guess": 0.5}
    truth, tables = planted(400, skills)
    votes = pd.DataFrame({name: table.set_index("key")["state"] for name, table in tables.items()})
    majority = votes.mode(axis=1)[0]
    outvoted = (votes["expert"] == truth) & (votes["second expert"] == truth) & (majority != truth)
    assert outvoted.sum() > 20 and accuracy(majority, truth) < 0.9
    found = combine_labels(tables, FOOD, "dawid_skene").cells["state"]
    assert accuracy(found, truth) > 0.93 and accuracy(found[outvoted[found.index]], truth) == 1


def test_labels_of_people_show_dawid_skene_a_machine_that_swaps_the_states():
    truth, tables = planted(100, {"swaps": 0.0})
    people = truth.iloc[:20]
    found = combine_labels(tables, FOOD, "dawid_skene", people).cells["state"]
    assert accuracy(found, truth) == 1
    alone = combine_labels(tables, FOOD, "dawid_skene").cells["state"]
    assert accuracy(alone, truth) == 0


def test_a_state_that_people_alone_gave_changes_no_other_text():
    """One text of 100 is `unknown` to people, and no machine has ever said so."""
    truth, tables = planted(100, {"good": 0.95, "fair": 0.85, "poor": 0.75})
    concept = Concept("food", ("bad", "good", "unknown"))
    people = truth.iloc[:20]
    without = combine_labels(tables, concept, "dawid_skene", people.iloc[1:])
    people = pd.concat([pd.Series({"k000": "unknown"}), people.iloc[1:]])
    combined = combine_labels(tables, concept, "dawid_skene", people)
    assert combined.cells.equals(without.cells) and accuracy(combined.cells["state"], truth) > 0.9
    assert combined.probabilities["unknown"].tolist() == [0.0] * 100


@pytest.mark.parametrize("method", ["priority", "dawid_skene", "mace"])
def test_a_second_run_gives_the_same_numbers_in_any_order_of_rows(method):
    _, tables = planted(80, {"a": 0.9, "b": 0.7, "c": 0.6})
    shuffled = {name: table.sample(frac=1, random_state=3) for name, table in tables.items()}
    one, two = (combine_labels(each, FOOD, method) for each in (tables, tables))
    pd.testing.assert_frame_equal(one.cells, two.cells, check_exact=True)
    pd.testing.assert_frame_equal(one.probabilities, two.probabilities, check_exact=True)
    other = combine_labels(shuffled, FOOD, method)
    pd.testing.assert_frame_equal(other.cells, one.cells, check_exact=True)


@pytest.mark.parametrize("method", ["priority", "dawid_skene", "mace"])
def test_a_state_that_nobody_gave_has_no_probability(method):
    concept = Concept("food", ("bad", "good", "unknown"))
    combined = combine_labels({"a": labels(["bad", "good"]), "b": labels(["bad", "good"])}, concept, method)
    assert combined.cells["state"].tolist() == ["bad", "good"]
    assert list(combined.probabilities) == ["bad", "good", "unknown"]
    if method != "priority":
        assert combined.probabilities["unknown"].tolist() == [0, 0]


@pytest.mark.parametrize("method", ["priority", "dawid_skene", "mace"])
def test_machines_that_all_abstain_give_no_labels(method):
    combined = combine_labels({"a": labels([None]), "b": labels([])}, FOOD, method, pd.Series({"k000": "bad"}))
    assert combined.cells.empty and combined.probabilities.empty and list(combined.probabilities) == ["bad", "good"]


def test_dawid_skene_gets_no_credit_for_labels_that_it_was_given():
    """A machine that guesses: given the labels of people, the combination repeats them; held out, it guesses, too."""
    truth, tables = planted(200, {"guess": 0.5})
    people = pd.DataFrame({"key": truth.index, "state": truth.to_numpy(), "group": truth.index})
    given = combine_labels(tables, FOOD, "dawid_skene", truth).cells["state"]
    assert accuracy(given, truth) == 1
    held_out = combine_held_out(tables, FOOD, "dawid_skene", people)
    assert 0.4 < accuracy(held_out.cells["state"], truth) < 0.6
    assert (held_out.probabilities.idxmax(axis=1) == held_out.cells["state"]).all()


def test_methods_that_do_not_look_at_people_stay_the_same():
    truth, tables = planted(40, {"a": 0.9, "b": 0.6})
    people = pd.DataFrame({"key": truth.index, "state": truth.to_numpy(), "group": "one"})
    held_out, plain = combine_held_out(tables, FOOD, "priority", people), combine_labels(tables, FOOD, "priority")
    pd.testing.assert_frame_equal(held_out.cells, plain.cells)
