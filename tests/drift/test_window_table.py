"""New texts in a table, with and without annotated columns, and every fault of a cell."""

import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.drift.window_table import read_window
from tests.support.tiny_models import CONCEPTS


def table(tmp_path, content, name="new.csv"):
    path = tmp_path / name
    path.write_text(content)
    return path


def test_columns_of_concepts_and_label_are_annotations(tmp_path):
    path = table(tmp_path, "text,food,rating,price\nthe food was good,positive ,3.0,9\nwe came again,,,8\n")
    window = read_window(path, CONCEPTS)
    assert window.texts == ["the food was good", "we came again"]
    assert {name: gold.tolist() for name, gold in window.gold.items()} == {"label": [2, -100], "food": [1, -100]}


def test_the_header_tells_the_separator(tmp_path):
    window = read_window(table(tmp_path, "text;food;price\nthe food, it was good;positive;9,50\n"), CONCEPTS)
    assert window.texts == ["the food, it was good"] and window.gold["food"].tolist() == [1]


def test_the_names_of_the_pipeline_are_known_too(tmp_path):
    path = table(tmp_path, '{"body": "a", "concept.noise": "loud", "label": "1"}\n', "new.jsonl")
    window = read_window(path, CONCEPTS, "body")
    assert {name: gold.tolist() for name, gold in window.gold.items()} == {"label": [0], "noise": [0]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("body\na\n", "has no column 'text'; it has body; name the column of the texts by --column"),
        ("text,food\na,Positive\n  ,Positive\n", "row 2: column 'text' holds no text; remove the row"),
        ("text,food\na,Positive\nb,Great\n", "row 2: unknown state of 'food' 'Great'"),
    ],
)
def test_a_fault_names_the_file_the_row_and_the_column(tmp_path, content, message):
    path = table(tmp_path, content)
    with pytest.raises(DataError, match=r"new\.csv") as error:
        read_window(path, CONCEPTS)
    assert message in str(error.value)


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"new.txt ends in none of .csv"):
        read_window(table(tmp_path, "a\n", "new.txt"), CONCEPTS)
    with pytest.raises(DataError, match=r"gone.csv is no file; name one that ends in .csv"):
        read_window(tmp_path / "gone.csv", CONCEPTS)
