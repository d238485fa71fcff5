"""Tables of masks: what is measured again, and which rows are measured together."""

import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
ROWS = {"first": [], "second": ["prune.sparsity=0.5"], "control": ["prune.control=true"]}


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Return a function that measures rows with fake results, and returns the names of the rows that it measured."""
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])  # where the benchmarks import each other from
    import mask_rows

    monkeypatch.setattr(mask_rows, "RESULTS", tmp_path)
    monkeypatch.setattr(mask_rows, "annotated", lambda params: ({}, None))
    monkeypatch.setattr(mask_rows, "dense_model", lambda params, frames, concept_set: None)

    def run(*arguments: str, together=()) -> list[str]:
        names, shown = [], []

        def measure(params, dense, frames, folder):
            names.append(folder.name)
            return {"sparsity": params.prune.sparsity}

        parsed = mask_rows.rows_parser("rows", ROWS).parse_args(["--seeds", "1", *arguments])
        show = lambda seed, name, row: shown.append((name, row["sparsity"]))  # noqa: E731
        mask_rows.measure_rows("rows", ROWS, parsed, measure, show, together)
        assert all(sparsity == (0.5 if name == "second" else 0.75) for name, sparsity in shown)
        return names

    return run


def test_only_rows_without_a_result_of_the_same_settings_are_measured(measured, tmp_path):
    assert measured("--rows", "second") == ["second"]
    assert measured() == ["first", "control"]
    assert measured() == []
    assert measured("--set", "prune.epochs=3", "--rows", "first") == ["first"]
    assert measured() == ["first"]  # its result has other settings now
    assert json.loads((tmp_path / "rows-restaurants.json").read_text())["1"]["second"]["sparsity"] == 0.5


def test_rows_that_need_each_other_are_measured_together(measured):
    pair = ("first", "control")
    assert measured("--rows", "control", together=pair) == ["first", "control"]
    assert measured("--rows", "second", together=pair) == ["second"]
    assert measured(together=pair) == []
    assert measured("--set", "prune.epochs=3", "--rows", "first", together=pair) == ["first", "control"]


def test_results_are_named_by_their_source(measured, tmp_path):
    (tmp_path / "cebab").mkdir()
    measured("--rows", "first")
    assert measured("--rows", "first", "--data", str(tmp_path / "cebab")) == ["first"]
    assert {path.name for path in tmp_path.glob("*.json")} == {"rows-restaurants.json", "rows-cebab.json"}
