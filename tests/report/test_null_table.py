"""The table of real concepts beside concepts without meaning."""

from sparsecbm.report.null_table import null_table


def estimate(value):
    return {"value": value, "interval": [value - 0.05, value + 0.05]}


def by_measure(**values):
    return {measure: {n: estimate(v + shift) for n, v in values.items()} for measure, shift in SHIFTS.items()}


SHIFTS = {"swap": 0.0, "probe": 0.1, "ablation": 0.2}
CHOSEN = {
    "texts": 30,
    "density_by_concept": {"food": 0.25},
    "swap": {"gap": {"food": estimate(0.5)}},
    "probe": {"gap": {"food": estimate(0.25)}},
    "ablation": {"selectivity": {"food": estimate(0.125)}},
}
NULLS = {
    "chosen": {"word and": {name: estimate(0.1) for name in SHIFTS}},
    "rank_p": {name: {"food": 0.5} for name in SHIFTS},
}


def test_without_a_control_the_own_figures_are_shown():
    table = null_table({"chosen": CHOSEN, "nulls": NULLS})
    assert table.title.endswith("own mask against others")
    assert table.rows[0][:4] == ("food", "0.500", "0.450 to 0.550", "0.500")
    assert table.rows[0][4] == "0.250" and table.rows[0][7] == "0.125"
    assert table.rows[1][:4] == ("word and (means nothing)", "0.100", "0.050 to 0.150", "")


def test_with_a_control_the_figures_over_random_masks_are_shown():
    record = {
        "chosen": CHOSEN,
        "excess": by_measure(food=0.5, mean=0.5),
        "nulls": {**NULLS, "excess": by_measure(**{"word and": 0.1})},
    }
    table = null_table(record)
    assert table.title.endswith("more than under random masks")
    assert [row[1] for row in table.rows] == ["0.500", "0.100"]
    assert [row[4] for row in table.rows] == ["0.600", "0.200"]
