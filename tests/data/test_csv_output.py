import pytest

from sparsecbm.data.csv_output import csv_text


@pytest.mark.parametrize("text", ['=HYPERLINK("http://x")', "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_text_is_no_formula(text):
    lines = csv_text([{text: "a", "b": text, "c": -0.5}]).replace('"', "")
    assert "'" + text.replace('"', "") in lines.split("\n")[0] and lines.count("'" + text.replace('"', "")) == 2
    assert ",-0.5" in lines


def test_other_cells_stay_as_they_are():
    rows = [{"text": "good = better - best", "value": -1.5, "n": None}]
    assert csv_text(rows) == "text,value,n\ngood = better - best,-1.5,\n"
