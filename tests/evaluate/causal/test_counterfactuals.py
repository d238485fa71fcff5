"""Counterfactual pairs of a family by hand, and of the released data."""

from pathlib import Path

import pandas as pd
import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.base.params import CebabSource, RestaurantsSource, Split
from sparsecbm.data.blanks import fill_blanks
from sparsecbm.data.ingest import ingest
from sparsecbm.data.sources.cebab import CONCEPTS as CEBAB
from sparsecbm.evaluate.causal.counterfactuals import counterfactual_pairs
from tests.support.tiny_models import CONCEPTS

SHARES = Split(validation=0.1, test=0.2)


def table(*rows, **changes) -> pd.DataFrame:
    """Return a table of rows (group, edit type, food, noise), all annotated by people."""
    frame = pd.DataFrame(rows, columns=["group", "edit_type", "concept.food", "concept.noise"])
    return frame.assign(**{"source.food": "human", "source.noise": "human"} | changes)


def collect_pairs(frame):
    pairs = counterfactual_pairs(frame, CONCEPTS)
    columns = (pairs.base, pairs.counterfactual, pairs.concept, pairs.before, pairs.after, pairs.group)
    return set(zip(*(column.tolist() for column in columns), strict=True))


FAMILY = [
    ("a", None, "Positive", "loud"),
    ("a", "food", "Negative", "loud"),
    ("a", "food", "unknown", "loud"),
    ("a", "noise", "Positive", "quiet"),
]


def test_pairs_of_a_family_by_hand():
    """An original pairs with each edit, and two food edits pair. Edits of food and noise differ in two concepts."""
    assert collect_pairs(table(*FAMILY)) == {
        (0, 1, "food", "Positive", "Negative", "a"),
        (1, 0, "food", "Negative", "Positive", "a"),
        (0, 2, "food", "Positive", "unknown", "a"),
        (2, 0, "food", "unknown", "Positive", "a"),
        (1, 2, "food", "Negative", "unknown", "a"),
        (2, 1, "food", "unknown", "Negative", "a"),
        (0, 3, "noise", "loud", "quiet", "a"),
        (3, 0, "noise", "quiet", "loud", "a"),
    }


def test_groups_do_not_mix_and_rows_may_lie_anywhere():
    other = [("b", "noise", "Positive", "loud"), ("b", None, "Positive", "quiet")]
    frame = table(FAMILY[1], other[0], FAMILY[0], other[1]).set_axis([7, 7, 3, 3])
    assert collect_pairs(frame) == {
        (0, 2, "food", "Negative", "Positive", "a"),
        (2, 0, "food", "Positive", "Negative", "a"),
        (1, 3, "noise", "loud", "quiet", "b"),
        (3, 1, "noise", "quiet", "loud", "b"),
    }


@pytest.mark.parametrize(
    ("second", "source"),
    [
        (("a", "food", "Positive", "quiet"), "human"),  # an edit of food that changed noise instead
        (("a", "food", None, "loud"), "human"),  # the new state of food is unknown
        (("a", "food", "unknown", "loud"), "blank"),  # an empty cell that became `unknown`
        (("a", "typo", "Negative", "loud"), "human"),  # no concept was edited
        (("a", None, "Negative", "loud"), "human"),  # two originals
        (("b", "food", "Negative", "loud"), "human"),  # another group
    ],
)
def test_some_rows_make_no_pair(second, source):
    frame = table(FAMILY[0], second, **{"source.food": ["human", source]})
    with pytest.raises(DataError, match="no counterfactual pair"):
        counterfactual_pairs(frame, CONCEPTS)


def test_a_selection_applies_to_all_columns():
    pairs = counterfactual_pairs(table(*FAMILY), CONCEPTS)
    quiet = pairs.where(pairs.after == "quiet")
    assert len(pairs) == 8 and len(quiet) == 1
    assert (quiet.base[0], quiet.counterfactual[0], quiet.concept[0], quiet.before[0]) == (0, 3, "noise", "loud")


def test_the_error_names_an_absent_column():
    with pytest.raises(DataError, match=r"dev\.parquet has no column 'edit_type'"):
        counterfactual_pairs(table(*FAMILY).drop(columns="edit_type"), CONCEPTS, "dev.parquet")


@pytest.mark.parametrize("blank", ["unknown", "leave_out"])
def test_cebab_dev_has_3898_pairs(shared_data, blank):
    source = CebabSource(name="cebab", path=str(shared_data / "cebab"))
    splits, _ = ingest(source, SHARES, 0, shared_data)
    dev = fill_blanks(splits["dev"], CEBAB, blank)
    pairs = counterfactual_pairs(dev, CEBAB)
    assert len(pairs) == 3898
    assert pd.Series(pairs.concept).value_counts().to_dict() == {
        "food": 1300, "service": 1052, "ambiance": 848, "noise": 698
    }  # fmt: skip


def test_every_edit_of_the_embedded_data_makes_two_pairs_with_its_original():
    source = RestaurantsSource(name="restaurants", path="data/restaurants")
    splits, _ = ingest(source, SHARES, 0, Path(__file__).parents[3])
    test = fill_blanks(splits["test"], CEBAB, "unknown")
    pairs = counterfactual_pairs(test, CEBAB)
    original = test["edit_type"].isna().to_numpy()
    assert original[pairs.base].sum() == original[pairs.counterfactual].sum() == 359
    assert (test["text"].to_numpy()[pairs.base] != test["text"].to_numpy()[pairs.counterfactual]).all()
