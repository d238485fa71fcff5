"""Nested mappings under dotted names."""

from sparsecbm.base.flat import flat, flat_numbers


def test_only_numbers_stay():
    nested = {"a": {"b": 1, "c": "text", "d": [1, 2], "e": True, "f": None}, "g": 0.5}
    assert flat_numbers(nested) == {"a.b": 1.0, "g": 0.5}


def test_all_leaves_keep_their_values():
    assert flat({"a": {"b": None, "c": [1]}, "d": True}, "p.") == {"p.a.b": None, "p.a.c": [1], "p.d": True}


def test_characters_that_mlflow_rejects_become_underscores():
    assert list(flat({"food & drink, etc.": 1})) == ["food _ drink_ etc."]
