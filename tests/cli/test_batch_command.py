"""`sparsecbm batch` from a user's point of view; tests/batch has the details."""

import pandas as pd
import pytest

from tests.support.missing_packages import run_without
from tests.support.tiny_models import tiny_model


@pytest.fixture(scope="module")
def folder(backbone, tmp_path_factory):
    path = tmp_path_factory.mktemp("batch-command") / "model"
    tiny_model(backbone).save_pretrained(path)
    return path


def test_a_table_becomes_a_folder_and_a_second_call_does_nothing(folder, tmp_path, sparsecbm):
    (tmp_path / "in.jsonl").write_text('{"body": "the food was good", "n": 7}\n{"body": ""}\n')
    arguments = ("batch", folder, tmp_path / "in.jsonl", tmp_path / "out", "--column", "body", "--id", "n")
    quarantined = f"1 row(s) cannot be predicted; {tmp_path}/out/quarantine.parquet says why\n"
    done = f"1 of 2 rows predicted, in 1 part(s) of {tmp_path}/out\n"
    assert sparsecbm(*arguments) == (0, done + quarantined, "")
    (row,) = pd.read_parquet(tmp_path / "out" / "predictions").to_dict("records")
    assert (row["file"], row["row"], row["id"], row["text"]) == ("in.jsonl", 1, "7", "the food was good")
    assert sparsecbm(*arguments) == (0, f"{done}1 part(s) were there already\n{quarantined}", "")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere.csv", "out"], 1, "error: nowhere.csv does not exist; name a file, a folder, or a data set"),
        (["in.jsonl", "out"], 1, "error: no row can be predicted: all 1 are in"),
        (["in.jsonl", "out", "--workers", "0"], 2, "--workers"),
        (["in.jsonl", "out", "--explain", "long"], 1, "error: unknown kind of explanation 'long'"),
        (["in.jsonl"], 2, "Missing argument"),
        (["in.jsonl", "out", "--engine", "spark"], 1, "error: --engine: unknown engine 'spark'"),
    ],
)
def test_wrong_use_is_one_message(folder, tmp_path, arguments, code, message, sparsecbm, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").write_text('{"body": "the food was good"}\n')
    result, _, errors = sparsecbm("batch", folder, *arguments)
    assert result == code and message in errors and "Traceback" not in errors


def test_an_engine_that_is_not_installed_is_named_with_its_extra(folder, tmp_path):
    (tmp_path / "in.jsonl").write_text('"bad"\n')
    result = run_without({"ray"}, ["batch", folder, "in.jsonl", "out", "--engine", "ray"], cwd=tmp_path)
    message = "error: this command needs Ray, which is not installed; pip install 'sparsecbm[ray]'\n"
    assert (result.returncode, result.stdout, result.stderr) == (1, "", message)
