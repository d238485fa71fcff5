from sparsecbm.report.score_tables import subgroup_table
from sparsecbm.report.tables import MAX_ROWS, Table, figure_tables, matrix_table, number


def test_cells_format_numbers_and_missing_values():
    assert [number(value) for value in (None, [None, None], 0.12345, 1234, True, [0.1, 0.25], "as it is")] == [
        "–", "–", "0.123", "1,234", "yes", "0.100 to 0.250", "as it is",
    ]  # fmt: skip


def test_a_matrix_has_gaps_where_a_row_lacks_a_column():
    table = matrix_table("t", "corner", {"a": {"x": 0.5, "y": None}, "b": {"y": 1.0}})
    assert table == Table("t", ("corner", "x", "y"), (("a", "0.500", "–"), ("b", "–", "1.000")))


def test_nested_figures_become_rows_named_by_their_path():
    nested = {
        "by_method": {
            "a": {"delete": {"value": 0.1, "win_rate": 0.5}, "mask": {"value": 0.2, "win_rate": None}},
            "b": {"delete": {"value": 0.4, "win_rate": 0.9}, "steps": 16},
        },
        "texts": 60,
        "points": [{"at": 1, "found": 0.5}, {"at": 2, "found": 0.25}],
        "curve": [0.1, 0.2, 0.3, 0.4, 0.5],
        "nothing": {},
    }
    first, second, third = (
        ("a", "delete", "0.100", "0.500"),
        ("a", "mask", "0.200", "–"),
        ("b", "delete", "0.400", "0.900"),
    )
    assert figure_tables(nested) == [
        Table("Figures", ("", "value"), (("texts", "60"),)),
        Table("By method", ("", "", "value", "win rate"), (first, second, third), 2),
        Table("By method", ("", "steps"), (("b", "16"),)),
        Table("Points", ("", "at", "found"), (("1", "1", "0.500"), ("2", "2", "0.250"))),
    ]
    assert figure_tables({}) == []


def test_long_cells_are_formatted_as_prose():
    assert Table("t", ("a", "b"), (("x", "0.5"), ("y", "a sentence that is too long for a figure"))).prose == {1}


def test_a_table_of_many_figures_shows_the_first_rows_and_says_how_many_there_are():
    (table,) = figure_tables({"effects": {f"c{i}": {"1": i / 1000} for i in range(1200)}})
    assert table.title == f"Effects: the first {MAX_ROWS} of 1,200 rows; the stage's file in metrics/ has all"
    assert [table.rows[0], table.rows[-1]] == [("c0", "0.000"), (f"c{MAX_ROWS - 1}", f"{(MAX_ROWS - 1) / 1000:.3f}")]
    (few,) = figure_tables({"effects": {f"c{i}": {"1": 0.5} for i in range(MAX_ROWS)}})
    assert (few.title, len(few.rows)) == ("Effects", MAX_ROWS)


def test_subgroups_come_with_the_worst_label_first():
    def scores(texts, accuracy):
        figures = {"texts": texts, "accuracy": accuracy, "accuracy_interval": [0.25, 0.75]}
        return {"texts": texts, "label": figures, "concepts": {"mean": figures}}

    regions = {"north": scores(4, 0.75), "south": scores(5, 0.5), "west": scores(1, None)}
    table = subgroup_table({"region": regions})
    assert [row[:4] for row in table.rows] == [
        ("region", "south", "5", "0.500"), ("region", "north", "4", "0.750"), ("region", "west", "1", "–"),
    ]  # fmt: skip
    assert table.rows[0][4] == "0.250 to 0.750"
