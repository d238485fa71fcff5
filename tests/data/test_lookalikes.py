import pandas as pd
import pytest

from sparsecbm.data.lookalikes import (
    are_classes,
    fold_lookalikes,
    group_lookalikes,
    normal_form,
    plainest,
    show_lookalikes,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Positive", "pOSITIVE "), ("very good", "very\u00a0 good"), ("très", "tre\u0300s"), ("good", "ｇｏｏｄ"),
        ("good", "go\u200bod"), ("good", "\ufeffgo\u00adod"), ("Straße", "STRASSE"), ("1", "1.0"), ("1", "+1"),
        ("0.5", ".50"), ("0,5", "0.5"), ("-0", "0"), ("01", "1"), ("1e3", "1000"), ("TRUE", "true"), ("True", "1"),
        ("false", "0.0"), ("so-so", "so\u2013so"), ("don't", "don\u2019t"), ("very good", "very_good"),
        ("good", "Good."), ("good", '"good"'), ("1", "\u0661"), ("1000", "1,000"), ("good", "g\u043e\u043ed"),
        ("\u0130yi", "iyi"), (str(10**30), f"{10**30}.0"),
    ],
)  # fmt: skip
def test_spellings_that_a_person_takes_for_one_have_one_form(one, other):
    assert normal_form(one) == normal_form(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("good", "goods"), ("1", "10"), ("1", "-1"), ("yes", "no"), ("1.5", "15"), ("1:30", "90"), ("2**60", "2**61"),
     (str(2**60), str(2**60 + 1)), ("1e99999999", "1e99999998"), ("a_b", "ab"), (str(10**30), str(10**30 + 1)),
     ("1", "1,000"), ("0,500", "500"), ("A", "A+"), ("C", "C#"), ("-", "--"), ("yes", "yes?"), ("...", "")],
)  # fmt: skip
def test_other_states_have_another_form(one, other):
    assert normal_form(one) != normal_form(other)


def test_groups_name_the_most_frequent_spelling_first_and_escape_what_nobody_sees():
    cells = pd.Series(["good", "Good", "good", "bad", None, "tre\u0300s", "très", "ok", "o\u200bk"])
    groups = group_lookalikes(cells)
    assert groups == [["good", "Good"], ["ok", "o\u200bk"], ["très", "tre\u0300s"]]
    assert groups[0][0] == plainest(groups[0]) == "good"
    assert show_lookalikes(["good", "Good"]) == "'good', 'Good'"
    assert show_lookalikes(["ok", "o\u200bk"]) == "'ok', 'o\\u200bk'"
    assert show_lookalikes(["good", "g\u043eod"]) == "'good', 'g\\u043eod'"
    assert show_lookalikes(["tre\u0300s", "très"]) == "'tre\\u0300s', 'tr\\xe8s'"
    assert plainest(["3.0", "3"]) == "3" and plainest(["TRUE", "1", "true"]) == "true"


def test_cells_become_the_named_state_that_they_look_like():
    cells = pd.Series(["good", "GOOD ", "bad", "awful", None, "1.0"])
    folded = fold_lookalikes(cells, ["good", "Bad", "1"])
    assert folded.tolist()[:4] == ["good", "good", "Bad", "awful"] and folded.tolist()[5] == "1"
    # Two named states that look alike keep their spellings, and a third spelling belongs to neither.
    kept = fold_lookalikes(cells, ["good", "Good"])
    assert kept.tolist()[:2] == ["good", "GOOD "]


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        ([f"{n / 1000:.3f}" for n in range(80)], False),
        ([f"{n % 57}" for n in range(80)], False),
        ([f"remark {n}" for n in range(12)], False),
        ([f"{n % 30}" for n in range(140)], False),
        ([f"{n % 30}" for n in range(150)], True),
        ([f"{n % 5}" for n in range(80)], True),
        (["a", "b", "c"], True),  # too few rows to tell
        ([f"{n % 5}" for n in range(10)], True),
    ],
)
def test_values_that_hardly_repeat_are_no_classes(cells, classes):
    assert are_classes(pd.Series(cells)) == classes
