"""The table of heads and neurons."""

from sparsecbm.report.part_table import part_table


def part(index, effect, words=()):
    return {"block": 3, "index": index, "exclusive": 0.25, "effect": effect, "interval": [0.5, 1.5], "words": words}


PARTS = {"food": {"heads": [part(1, 1.0), part(0, 0.5)], "neurons": [part(7, 0.75, ["fish", "meat"])]}}


def test_rows_are_as_many_as_asked_for():
    table = part_table(PARTS, heads=1, neurons=1)
    assert table.rows == (
        ("food", "head 3.1", "", "1.000", "0.500 to 1.500", "25%"),
        ("food", "neuron 3.7", "fish, meat", "0.750", "0.500 to 1.500", "25%"),
    )
    assert [row[1] for row in part_table(PARTS).rows] == ["head 3.1", "head 3.0", "neuron 3.7"]
