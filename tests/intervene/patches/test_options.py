"""Options of a patch: protection strengths by hand, and invalid values."""

import pytest

from sparsecbm.base.errors import ConfigError, InterventionError
from sparsecbm.intervene.patches.options import PatchOptions


def test_each_attempt_has_half_the_protection_of_the_one_before():
    default = [4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1, 0.5, 0.25]
    assert PatchOptions(4).strengths == default
    assert PatchOptions(4, protection_strength=16384).strengths == [16384, 8192, *default]
    assert PatchOptions(4, protection_strength=0.1).strengths == [0.1]


@pytest.mark.parametrize("budget", [1, 0, -4])
def test_a_budget_below_two_bits_is_an_error(budget):
    with pytest.raises(InterventionError, match=f"a budget of {budget} bits allows no patch"):
        PatchOptions(budget)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protection_strength": 0}, "the protection strength must be above 0, not 0"),
        ({"min_fixed_share": 0.0}, "the share of texts to fix must be above 0 and at most 1, not 0.0"),
        ({"min_fixed_share": 1.5}, "the share of texts to fix must be above 0 and at most 1, not 1.5"),
        ({"scope": "model"}, "unknown scope 'model'. Choices: global, layer"),
    ],
)
def test_values_out_of_range_are_an_error(changes, message):
    with pytest.raises(ConfigError, match=message):
        PatchOptions(4, **changes)
