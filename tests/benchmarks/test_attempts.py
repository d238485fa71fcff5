"""Figures over a few patch attempts, counted by hand."""

from benchmarks.attempts import summarise_attempts


def result(bits, harmed, right=100, near_fixed=0, near_harmed=0):
    return {"bits": bits, "harmed": harmed, "right": right, "near_fixed": near_fixed, "near_harmed": near_harmed}


def attempt(protected, signed):
    costs = {"seconds": 1.5, "seconds_bill_per_1000": 9.0, "bytes": 2000, "seconds_on": 0.004, "seconds_off": 0.001}
    random_attempt = costs | {"random": [False, True]} if protected else {}
    return {
        "protected": protected,
        "signed": signed,
        "published": result(2, 0),
        "iterated": result(4, 0),
    } | random_attempt


FIRST = {"1": {"attempts": [attempt(result(10, 1, near_fixed=3), result(4, 5)), attempt(None, result(6, 0))]}}
SECOND = {"1": {"attempts": [attempt(result(30, 2, near_harmed=1), None), attempt(result(20, 0), result(8, 1))]}}


def test_the_summary_covers_two_models():
    summary = summarise_attempts([FIRST, SECOND])
    assert summary["attempts"] == 4
    assert summary["protected"] == {
        "reached": 0.75,
        "repaired": 0.5,  # the first attempt of the second model harms 2 of 100
        "repaired_parts": [0.5, 0.5],
        "median_bits": 20,
        "harm": 0.01,  # 3 of 300
        "near_fixed": 3,
        "near_harmed": 1,
    }
    assert (summary["signed"]["reached"], summary["signed"]["repaired"], summary["signed"]["harm"]) == (0.75, 0.5, 0.02)
    assert summary["random"] == {"draws": 6, "reached": 0.5}
    assert summary["costs"]["seconds"] == [1.5, 1.5, 1.5] and summary["costs"]["seconds_handling"] == [0.004] * 3


def test_the_summary_of_one_model_has_a_part_for_each_seed():
    summary = summarise_attempts([{"1": FIRST["1"], "2": SECOND["1"], "3": {"attempts": [attempt(None, None)]}}])
    assert summary["protected"]["repaired_parts"] == [0.5, 0.5, 0.0] and summary["protected"]["repaired"] == 0.4


def test_a_strategy_that_reaches_nothing_has_neither_bits_nor_harm():
    nothing = {"1": {"attempts": [attempt(result(10, 1), None)]}}
    signed = summarise_attempts([nothing])["signed"]
    assert (signed["reached"], signed["repaired"], signed["median_bits"], signed["harm"]) == (0, 0, None, None)


def test_strategies_that_some_attempts_lack_are_left_out():
    with_memory = {**attempt(result(10, 1), None), "memory": result(0, 0)}
    assert summarise_attempts([{"1": {"attempts": [with_memory]}}])["memory"]["repaired"] == 1
    both = {"1": {"attempts": [with_memory, attempt(result(10, 1), None)]}}
    assert "memory" not in summarise_attempts([both])
