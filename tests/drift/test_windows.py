"""The last windows in a file: two running trigger, and the same table twice is one window."""

import json

import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.drift.windows import KEPT, Window, read_windows, remember_window, triggers


def window(table="a", model="m", drifted=("rates: food",)):
    return Window(table, model, 200, tuple(drifted))


def test_a_figure_triggers_if_it_drifts_in_each_of_the_last_windows():
    food, both, noise = window("a"), window("b", drifted=("kernel: food", "rates: food")), window("c", drifted=())
    assert triggers([food], 2) == []
    assert triggers([food, both], 2) == ["rates: food"]
    assert triggers([food, both, noise], 2) == []
    assert triggers([food, noise, both], 2) == []
    assert triggers([both], 1) == ["kernel: food", "rates: food"]


def test_two_windows_with_different_figures_trigger_nothing():
    assert triggers([window("a"), window("b", drifted=("kernel: food",))], 2) == []


def test_windows_are_kept_by_model_and_the_same_table_takes_its_own_place(tmp_path):
    path = tmp_path / "state" / "windows.json"
    assert remember_window(path, window("a")) == [window("a")]
    assert remember_window(path, window("b", model="other")) == [window("b", model="other")]
    assert remember_window(path, window("a", drifted=())) == [window("a", drifted=())]
    assert remember_window(path, window("c")) == [window("a", drifted=()), window("c")]
    assert read_windows(path) == [window("a", drifted=()), window("b", model="other"), window("c")]


def test_old_windows_are_dropped(tmp_path):
    path = tmp_path / "windows.json"
    whole = [window(str(index)) for index in range(KEPT)]
    path.write_text(json.dumps({"windows": [vars(each) for each in whole]}))
    kept = remember_window(path, window("new"))
    assert (len(kept), kept[0].table, kept[-1].table) == (KEPT, "1", "new")


@pytest.mark.parametrize("content", ['{"windows": [{"table": "a"}]}', '{"windows": 3}', "{}"])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "windows.json").write_text(content)
    with pytest.raises(DataError, match=r"windows\.json is damaged; remove it"):
        read_windows(tmp_path / "windows.json")


def test_no_file_holds_no_windows(tmp_path):
    assert read_windows(tmp_path / "windows.json") == []
