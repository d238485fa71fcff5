"""Which figures vary enough to be shown."""

from sparsecbm.report.variation import densities_vary, overlaps_vary, shares_vary
from tests.support.report_inputs import LAYERS


def test_equal_shares_do_not_vary():
    assert not shares_vary(LAYERS, "density") and shares_vary(LAYERS, "exclusive")
    for noise, vary in ((0.161, False), (0.159, True), (0.249, False), (0.251, True)):
        assert shares_vary({"a.0.b": {"density": {"food": 0.2, "noise": noise}}}, "density") == vary
    assert not shares_vary({"a.0.b": {"density": {"food": 0.0, "noise": 0.0}}}, "density")


def test_equal_overlaps_do_not_vary():
    def overlap(*shares):
        return {"pairs": {"a": {str(number): {"jaccard": share} for number, share in enumerate(shares)}}}

    assert overlaps_vary(overlap(0.5, 0.39)) and not overlaps_vary(overlap(0.55, 0.55, 0.56))
    assert not overlaps_vary(overlap(0.4)), "two masks have one overlap"
    assert not overlaps_vary({"pairs": {}}), "a single mask has none"


def test_densities_that_the_sparsity_makes_equal_do_not_vary():
    assert not densities_vary({"food": 0.25, "noise": 0.2501}) and not densities_vary({"food": 0.25})
    assert densities_vary({"food": 0.25, "noise": 0.21}), "noise has not earned weights of its own"
