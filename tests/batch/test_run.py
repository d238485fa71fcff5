"""A batch gives each row once, whoever does it and however often it is interrupted."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pyarrow.parquet
import pytest

from sparsecbm import BatchOptions, SparseCBM, predict_batch
from sparsecbm.base.engines import serial_engine
from sparsecbm.base.errors import ConfigError, DataError, InterventionError, ModelError, WriteError
from sparsecbm.base.files import read_json, sha256_file
from sparsecbm.batch import run
from sparsecbm.batch.answers import load_answerer
from sparsecbm.batch.run import prepare_batch, run_batch
from sparsecbm.explain.explanation import Explanation
from sparsecbm.intervene.memory.recall import predict_with_corrections
from sparsecbm.intervene.memory.store import Memory
from sparsecbm.model.execution import Execution, prediction_copy
from tests.support.explained_model import with_means
from tests.support.patches import food_state, other_food_state, patch_by_hand
from tests.support.tiny_models import WORDS, tiny_model, with_large_weights

BAD = {3: "", 8: "caf\xe9"}  # row -> a text that cannot be predicted
NAMED = BatchOptions(id_column="key")


@pytest.fixture(scope="module")
def model_folder(backbone, tmp_path_factory):
    path = tmp_path_factory.mktemp("batch") / "model"
    with_means(with_large_weights(tiny_model(backbone))).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def texts():
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(22)]


@pytest.fixture
def source(texts, tmp_path):
    cells = {number: BAD.get(number, text) for number, text in enumerate(texts, start=1)}
    lines = "".join(f"k{number},{cell}\n" for number, cell in cells.items())
    path = tmp_path / "in.csv"
    path.write_bytes(f"key,text\n{lines}".encode("latin-1"))
    return path


@pytest.fixture(autouse=True)
def four_rows_a_part(monkeypatch):
    """Divide the 22 rows into six parts."""
    monkeypatch.setattr(run, "ROWS", 4)


@pytest.fixture(autouse=True)
def fresh_model():
    load_answerer.cache_clear()


def answers(output):
    """Return the rows of all parts, as plain values."""
    parts = sorted((output / "predictions").glob("*.parquet"))
    return [row for part in parts for row in pyarrow.parquet.read_table(part).to_pylist()]


def files(output):
    """Return path -> sha256 of all files below a folder."""
    return {str(file.relative_to(output)): sha256_file(file) for file in output.rglob("*") if file.is_file()}


def test_each_row_has_the_prediction_of_its_text_or_a_reason(model_folder, source, texts, tmp_path):
    summary = predict_batch(model_folder, source, tmp_path / "out", NAMED)
    assert summary == run.BatchSummary(rows=22, predicted=20, quarantined=2, parts=6, new_parts=6)
    rows = answers(tmp_path / "out")
    assert [row["row"] for row in rows] == [number for number in range(1, 23) if number not in BAD]
    assert [row["id"] for row in rows] == [f"k{row['row']}" for row in rows]
    model = prediction_copy(SparseCBM.from_pretrained(model_folder), Execution(precision="auto"))
    for row in rows:
        expected = model.predict(texts[row["row"] - 1]).to_dict()
        assert {key: row[key] for key in ("text", "label", "file")} == {
            "text": expected["text"], "label": expected["label"], "file": "in.csv",
        }  # fmt: skip
        assert row["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-2)
        assert {name: concept["state"] for name, concept in row["concepts"].items()} == {
            name: concept["state"] for name, concept in expected["concepts"].items()
        }
        assert row["confidence"] == max(row["probabilities"].values())
    failing = pd.read_parquet(tmp_path / "out" / "quarantine.parquet").to_dict("records")
    assert failing == [
        {"file": "in.csv", "row": 3, "id": "k3", "reason": "the text is empty", "content": ""},
        {"file": "in.csv", "row": 8, "id": "k8", "reason": "byte 0xE9 at character 4 is not UTF-8",
         "content": "caf\ufffd"},
    ]  # fmt: skip


def test_the_manifest_says_what_was_done_and_lists_each_file(model_folder, source, tmp_path):
    predict_batch(model_folder, source, tmp_path / "out", NAMED)
    manifest = read_json(tmp_path / "out" / "manifest.json")
    assert [part["rows"] for part in manifest["parts"]] == [3, 3, 4, 4, 4, 2]
    assert manifest["quarantine"]["rows"] == 2
    assert manifest["plan"]["input"]["rows"] == 22
    assert manifest["plan"]["model"]["sha256"] == sha256_file(model_folder / "checksums.json")
    listed = {entry["name"]: entry["sha256"] for entry in [*manifest["parts"], manifest["quarantine"]]}
    assert listed == {name: digest for name, digest in files(tmp_path / "out").items() if name != "manifest.json"}
    assert str(tmp_path) not in (tmp_path / "out" / "manifest.json").read_text()


def test_two_workers_write_the_same_bytes_as_one(model_folder, source, tmp_path):
    predict_batch(model_folder, source, tmp_path / "one", NAMED)
    predict_batch(model_folder, source, tmp_path / "two", NAMED, workers=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")


@pytest.mark.parametrize(
    ("where", "after", "workers"), [pytest.param("between", 3, 2, marks=pytest.mark.slow), ("writing", 4, 1)]
)
def test_a_killed_batch_goes_on_with_what_is_missing(where, after, workers, model_folder, source, tmp_path):
    options = NAMED if where == "between" else BatchOptions()
    arguments = [where, after, workers, model_folder, source, tmp_path / "out"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    killed = subprocess.run(
        [sys.executable, "-m", "tests.batch.interrupted", *map(str, arguments)], cwd=tmp_path, env=environment,
        capture_output=True, text=True,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    if where == "between":
        workers_left = [int(number) for number in (tmp_path / "workers").read_text().split()]
        assert len(workers_left) >= 2
        deadline = time.monotonic() + 30
        while any(map(psutil.pid_exists, workers_left)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(map(psutil.pid_exists, workers_left))
    finished = set((tmp_path / "out" / "predictions").glob("*.parquet"))
    assert 0 < len(finished) <= 6 and not (tmp_path / "out" / "manifest.json").exists()
    kept = {file: file.stat().st_mtime_ns for file in finished}
    summary = predict_batch(model_folder, source, tmp_path / "out", options)
    assert summary.new_parts == 6 - len(finished) and summary.predicted == 20
    assert {file: file.stat().st_mtime_ns for file in finished} == kept
    predict_batch(model_folder, source, tmp_path / "whole", options)
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    again = predict_batch(model_folder, source, tmp_path / "out", options)
    assert (again.new_parts, again.predicted) == (0, 20)


def test_an_unfinished_batch_of_something_else_is_not_touched(model_folder, source, tmp_path):
    class StopError(Exception):
        pass

    def stopping(work, parts):
        part = next(iter(parts))
        yield part, work(part)
        raise StopError

    with pytest.raises(StopError):
        run_batch(prepare_batch(model_folder, source, tmp_path / "out", NAMED), stopping)
    before = files(tmp_path / "out")
    with pytest.raises(ConfigError) as caught:
        predict_batch(model_folder, source, tmp_path / "out", BatchOptions(id_column="key", explain="short"))
    assert str(caught.value) == (
        f"{tmp_path}/out holds a batch of something else:\n"
        '  options.explain: "none" there, "short" now\n'
        "Name another folder; or remove this one to start anew"
    )
    assert files(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda source, _: source.write_text("key,text\nk1,bad\n"), "input.rows: 22 there, 1 now"),
        (lambda _, model: with_large_weights(model).save_pretrained(model.folder), "model.sha256: "),
    ],
)
def test_a_finished_batch_of_something_else_is_not_touched(change, message, model, model_folder, source, tmp_path):
    model.folder = tmp_path / "model"
    SparseCBM.from_pretrained(model_folder).save_pretrained(model.folder)
    predict_batch(model.folder, source, tmp_path / "out", NAMED)
    change(source, model)
    with pytest.raises(ConfigError, match=message):
        predict_batch(model.folder, source, tmp_path / "out", NAMED)


def test_a_file_that_was_altered_afterwards_is_noticed(model_folder, source, tmp_path):
    predict_batch(model_folder, source, tmp_path / "out", NAMED)
    (tmp_path / "out" / "predictions" / "part-000002.parquet").unlink()
    with pytest.raises(DataError, match=r"part-000002.parquet is missing or was altered; remove .*/out and start anew"):
        predict_batch(model_folder, source, tmp_path / "out", NAMED)


def test_an_input_that_changes_meanwhile_is_an_error(model_folder, source, tmp_path):
    batch = prepare_batch(model_folder, source, tmp_path / "out", NAMED)
    source.write_text(source.read_text("latin-1").replace("k22", "k23"))
    with pytest.raises(DataError, match="changed while it was read"):
        run_batch(batch, serial_engine())
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_two_calls_at_once_are_refused(model_folder, source, tmp_path):
    batch = prepare_batch(model_folder, source, tmp_path / "out", NAMED)

    def twice(_, parts):
        with pytest.raises(WriteError, match="another process works in it"):
            run_batch(batch, serial_engine())
        yield from ()

    with pytest.raises(FileNotFoundError):  # the outer one has done nothing
        run_batch(batch, twice)


def test_other_files_are_not_replaced(model_folder, source, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    for output, error, message in (
        (tmp_path / "full", WriteError, "it is not empty and holds no batch"),
        (source, WriteError, "it is no folder"),
        (model_folder / "out", WriteError, "is a model folder"),
        (tmp_path / "full" / "out", ConfigError, "is inside the input"),
    ):
        given = tmp_path / "full" if output.name == "out" and output.parent.name == "full" else source
        with pytest.raises(error, match=message):
            predict_batch(model_folder, given, output)


def test_an_input_without_a_text_is_an_error(model_folder, tmp_path):
    (tmp_path / "a.csv").write_text("text,n\n,1\n,2\n")
    with pytest.raises(DataError, match=r"no row can be predicted: all 2 are in .*quarantine.parquet"):
        predict_batch(model_folder, tmp_path / "a.csv", tmp_path / "out")
    assert len(pd.read_parquet(tmp_path / "out" / "quarantine.parquet")) == 2
    (tmp_path / "b.csv").write_text("text\n")
    with pytest.raises(DataError, match=r"b.csv has no rows"):
        predict_batch(model_folder, tmp_path / "b.csv", tmp_path / "out2")
    assert not (tmp_path / "out2").exists()


def test_a_text_on_which_the_model_fails_is_quarantined_alone(model_folder, source, tmp_path, monkeypatch):
    batch = prepare_batch(model_folder, source, tmp_path / "out", NAMED)
    answerer = load_answerer(batch.settings)

    def fragile(texts):
        if any(text == bad for text in texts):
            raise RuntimeError("no such token\ntrace")
        rows = [dict(row) for row in answerer.answer(texts)]
        for row in rows:
            row["confidence"] = float("nan") if row["text"] == strange else row["confidence"]
        return rows

    bad, strange = [row["text"] for row in _rows(batch)][10:12]
    monkeypatch.setattr("sparsecbm.batch.parts.load_answerer", lambda _: type(answerer)(answerer.columns, fragile))
    summary = run_batch(batch, serial_engine())
    failing = pd.read_parquet(tmp_path / "out" / "quarantine.parquet").set_index("content")["reason"]
    assert failing[bad] == "the model fails on this text: no such token"
    assert failing[strange] == "the model's probabilities are no numbers"
    assert (summary.predicted, summary.quarantined) == (18, 4)
    monkeypatch.setattr(
        "sparsecbm.batch.parts.load_answerer", lambda _: type(answerer)(answerer.columns, lambda texts: 1 / 0)
    )
    with pytest.raises(ZeroDivisionError):  # it is no text's fault
        run_batch(prepare_batch(model_folder, source, tmp_path / "out2", NAMED), serial_engine())


def _rows(batch):
    return [row._asdict() for row in batch.source.rows()]


def test_short_and_full_explanations(model_folder, source, texts, tmp_path):
    (tmp_path / "few.csv").write_text("text\nthe food was good\nbad\n")
    predict_batch(model_folder, tmp_path / "few.csv", tmp_path / "short", BatchOptions(explain="short"))
    predict_batch(model_folder, tmp_path / "few.csv", tmp_path / "full", BatchOptions(explain="full"))
    model = SparseCBM.from_pretrained(model_folder)
    short, full = answers(tmp_path / "short"), answers(tmp_path / "full")
    for brief, whole in zip(short, full, strict=True):
        contributions = json.loads(brief["explanation"])
        assert contributions["label"] == brief["label"]
        for name, end in contributions["end"].items():
            steps = sum(step[name] for step in contributions["steps"].values())
            assert contributions["start"][name] + steps == pytest.approx(end, abs=1e-4)
        explanation = Explanation.from_dict(json.loads(whole["explanation"]))
        assert explanation.label.state == whole["label"] == model.predict(whole["text"]).label.state
        assert explanation.origin.folder == sha256_file(model_folder / "checksums.json")


def test_patches_and_corrections_act(model_folder, tmp_path):
    model, text = SparseCBM.from_pretrained(model_folder), "the food was good"
    (tmp_path / "few.csv").write_text(f"text\n{text}\nslow service\n")
    layer = next(iter(model.masks["food"]))
    patch = patch_by_hand(model, {layer: tuple(range(60))})
    patch.save(tmp_path / "a.patch")
    options = BatchOptions(patches=(tmp_path / "a.patch",), precision="float32")
    predict_batch(model_folder, tmp_path / "few.csv", tmp_path / "patched", options)
    row = answers(tmp_path / "patched")[0]
    probabilities = model.with_patches(patch).predict(text).concepts["food"].probabilities
    assert row["concepts"]["food"]["probabilities"] == pytest.approx(probabilities, abs=1e-5)
    assert row["concepts"]["food"]["probabilities"] != pytest.approx(
        model.predict(text).concepts["food"].probabilities, abs=1e-4
    )

    memory, state = Memory(tmp_path / "store"), other_food_state(model, text)
    correction = memory.add(model, text, "food", state)
    options = BatchOptions(corrections=tmp_path / "store", threshold=0.9999)
    predict_batch(model_folder, tmp_path / "few.csv", tmp_path / "corrected", options)
    acted, other = answers(tmp_path / "corrected")
    expected, _ = predict_with_corrections(model, memory, [text, "slow service"], 0.9999)
    assert acted["concepts"]["food"]["state"] == state != food_state(model, text)
    assert (acted["label"], acted["label_before"]) == (expected.after.label.state, expected.before.label.state)
    assert [(each["concept"], each["state"], each["id"]) for each in acted["corrections"]] == [
        ("food", state, correction.id)
    ]
    assert other["corrections"] == [] and other["label"] == other["label_before"]


def test_a_black_box_has_a_label_alone(backbone, tmp_path):
    tiny_model(backbone, mode="standard").save_pretrained(tmp_path / "model")
    (tmp_path / "few.csv").write_text("text\nthe food was good\n")
    predict_batch(tmp_path / "model", tmp_path / "few.csv", tmp_path / "out")
    (row,) = answers(tmp_path / "out")
    assert set(row) == {"file", "row", "id", "text", "label", "confidence", "probabilities"}
    with pytest.raises(ConfigError, match="nothing to explain"):
        predict_batch(tmp_path / "model", tmp_path / "few.csv", tmp_path / "o", BatchOptions(explain="full"))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"explain": "fool"}, ConfigError, "unknown kind of explanation 'fool'. Did you mean 'full'"),
        ({"precision": "int8"}, ConfigError, "unknown precision 'int8'"),
        ({"precision": "bf16", "explain": "full"}, ConfigError, "computed in float32"),
        ({"threshold": 0.5}, ConfigError, "go together"),
        ({"corrections": Path("nowhere"), "threshold": 0.5}, InterventionError, "holds no corrections"),
        ({"corrections": Path("nowhere"), "threshold": 0.5, "explain": "full"}, ConfigError, "leave out either"),
        ({"patches": (Path("nowhere.patch"),)}, InterventionError, "nowhere.patch"),
        ({"column": "body"}, DataError, "has no column 'body'"),
    ],
)
def test_a_wrong_option_is_one_error(options, error, message, model_folder, source, tmp_path):
    with pytest.raises(error, match=message):
        predict_batch(model_folder, source, tmp_path / "out", BatchOptions(**options))
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_missing_or_changes_is_an_error(model_folder, source, tmp_path):
    with pytest.raises(ModelError, match="none holds no model"):
        predict_batch(tmp_path / "none", source, tmp_path / "out")
    SparseCBM.from_pretrained(model_folder).save_pretrained(tmp_path / "model")
    batch = prepare_batch(tmp_path / "model", source, tmp_path / "out", NAMED)
    (tmp_path / "model" / "checksums.json").write_text("{}")
    with pytest.raises(ModelError, match="is another model than when this batch began"):
        run_batch(batch, serial_engine())


def test_no_worker_is_an_error(model_folder, source, tmp_path):
    with pytest.raises(ConfigError, match="at least 1, not 0"):
        predict_batch(model_folder, source, tmp_path / "out", workers=0)
