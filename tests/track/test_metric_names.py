"""Names of metrics in MLflow."""

from sparsecbm.base.flat import flat_numbers
from sparsecbm.track.metric_names import grouped_numbers


def test_the_group_is_the_part_before_the_slash():
    assert grouped_numbers("evaluate", {"concepts": {"food/drink": {"accuracy": 1}}}) == {
        "evaluate/concepts.food_drink.accuracy": 1.0
    }


def test_deeply_nested_numbers_are_left_out():
    nested = {"chosen": {"swap": {"gap": {"food": {"value": 0.5}}, "matrix": {"food": {"noise": {"value": 0.25}}}}}}
    assert grouped_numbers("prune", nested) == {"prune/chosen.swap.gap.food.value": 0.5}
    assert flat_numbers(nested)["chosen.swap.matrix.food.noise.value"] == 0.25


def test_dots_in_the_name_of_a_concept_hide_no_metric_and_splits_are_parts_of_the_group():
    nested = {"concepts": {"e.g. price vs. quality, etc.": {"accuracy": 0.5}}}
    assert grouped_numbers("evaluate", nested, "dev/2") == {
        "evaluate/dev_2/concepts.e.g. price vs. quality_ etc..accuracy": 0.5
    }
    assert grouped_numbers("prune", {"chosen": {"layers": {"a.b": {"density": 1}}, "density": 2}}) == {
        "prune/chosen.density": 2.0
    }
    (name,) = grouped_numbers("evaluate", nested, "s" * 300)
    assert len(name) <= 250 and name.startswith("evaluate/sssssssss") and name.endswith("accuracy")
