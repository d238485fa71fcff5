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
