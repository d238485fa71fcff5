"""Nested figures under dotted names."""

from sparsecbm.base.flat import flat, flat_numbers, grouped_numbers


def test_only_numbers_stay():
    nested = {"a": {"b": 1, "c": "text", "d": [1, 2], "e": True, "f": None}, "g": 0.5}
    assert flat_numbers(nested) == {"a.b": 1.0, "g": 0.5}


def test_all_leaves_stay_with_their_kind():
    assert flat({"a": {"b": None, "c": [1]}, "d": True}, "p.") == {"p.a.b": None, "p.a.c": [1], "p.d": True}


def test_characters_that_mlflow_refuses_become_underscores():
    assert list(flat({"food & drink, etc.": 1})) == ["food _ drink_ etc."]


def test_a_group_stands_before_the_one_slash_that_no_key_can_add():
    assert grouped_numbers("evaluate", {"concepts": {"food/drink": {"accuracy": 1}}}) == {
        "evaluate/concepts.food_drink.accuracy": 1.0
    }


def test_figures_that_lie_deep_are_left_to_the_artifact():
    nested = {"chosen": {"swap": {"gap": {"food": {"value": 0.5}}, "matrix": {"food": {"noise": {"value": 0.25}}}}}}
    assert grouped_numbers("prune", nested) == {"prune/chosen.swap.gap.food.value": 0.5}
    assert flat_numbers(nested)["chosen.swap.matrix.food.noise.value"] == 0.25
