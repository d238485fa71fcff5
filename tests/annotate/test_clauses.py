"""Where a text is divided into clauses."""

import pytest

from sparsecbm.annotate.clauses import split_clauses, split_texts


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("Good food. Bad service!", ["Good food.", "Bad service!"]),
        ("Good food, but the waiter was rude.", ["Good food", "but the waiter was rude."]),
        ("Fine dishes though very loud", ["Fine dishes", "though very loud"]),
        ("Bread, soup and wine", ["Bread, soup and wine"]),
        ("It was quiet, and the food was cold", ["It was quiet", "and the food was cold"]),
        ("one\n\ntwo; three", ["one", "two;", "three"]),
        ("Es war gut. 好吃。太吵！", ["Es war gut.", "好吃。", "太吵！"]),
        ("It cost 4.50 in all.", ["It cost 4.50 in all."]),
        ("Nice ... ! ?", ["Nice ..."]),
        ("?!", ["?!"]),
        ("  ", ["  "]),
    ],
)
def test_a_text_is_divided_where_a_thought_ends(text, clauses):
    assert split_clauses(text) == clauses


def test_each_clause_of_several_texts_has_an_owner():
    clauses, owners = split_texts(["Good food. Rude waiter.", "?!", "bad service; loud"])
    assert clauses == ["Good food.", "Rude waiter.", "?!", "bad service;", "loud"]
    assert owners.tolist() == [0, 0, 1, 2, 2]
