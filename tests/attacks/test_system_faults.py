"""Faults of the system under a command or a store: each is one message, and what was there before stays whole.

`docs/operations.md` has a table of all such faults with their outcomes, and names the tests of the others.
"""

import multiprocessing
import os
import resource
import socket
import sqlite3
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from sparsecbm.annotate.human_labels import Decision, append_decisions, read_decisions
from sparsecbm.annotate.labels import label_table, read_labels, write_labels
from sparsecbm.annotate.llm import cache as llm_cache
from sparsecbm.annotate.llm.cache import AnswerCache, Cost
from sparsecbm.annotate.llm.question import Cell, Question
from sparsecbm.annotate.review import leases
from sparsecbm.annotate.review.leases import Leases
from sparsecbm.base.errors import DataError, SparseCBMError
from sparsecbm.base.fault_boundary import describe
from sparsecbm.base.files import read_parquet, write_parquet
from sparsecbm.batch.answers import load_answerer
from sparsecbm.drift.windows import Window, read_windows, remember_window
from sparsecbm.intervene.memory.store import Memory
from sparsecbm.track.probe import TrackingUnavailableError, probe
from tests.support.explained_model import with_means
from tests.support.tiny_models import random_masks

FORK = multiprocessing.get_context("fork")
LONG = "a reason " * 2000  # more than the limit of a file below


@contextmanager
def limited(kind, value):
    """Lower a limit of this process while the block runs."""
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


@pytest.fixture
def folder(model, tmp_path):
    """Return the folder of a small masked model, with texts in a file and in a table next to it."""
    with_means(model).masks = random_masks(model)
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "texts.txt").write_text("the food was good\nslow service\n")
    (tmp_path / "texts.csv").write_text("text\nthe food was good\nslow service\n")
    return tmp_path / "model"


def decision(key):
    return Decision(key, "food", "Positive", "ann", "2026-01-01T00:00:00Z")


def labels(rows):
    row = {"concept": "food", "state": "Positive", "definition": "d", "model": LONG, "prompt": ""}
    return label_table([{**row, "key": f"{number:016x}", "model": os.urandom(20).hex()} for number in range(rows)])


def keep_decision(path, large):
    append_decisions(path, [decision(LONG if large else "k")])
    return lambda: [each.key for each in read_decisions(path)]


def keep_labels(path, large):
    write_labels(path, labels(5000 if large else 1))
    return lambda: len(read_labels(path))


def keep_window(path, large):
    remember_window(path, Window(LONG if large else "t", "m", 500, ()))
    return lambda: [each.table for each in read_windows(path)]


def keep_answer(path, large):
    with AnswerCache(path) as cache:
        number = cache.begin("m", Question("k", "text", int(large), ()), 10)
        cells = [(f"{LONG if large else ''}d", Cell("Positive", None))] * (20 if large else 1)
        cache.finish(number, Cost(1, 1, None, 0.1), cells)

    def read():
        with AnswerCache(path) as cache:
            return list(cache.cells("m", "", "k"))

    return read


@pytest.mark.parametrize("keep", [keep_decision, keep_labels, keep_window, keep_answer])
def test_on_a_full_disk_a_store_keeps_what_it_has(tmp_path, keep):
    path = tmp_path / "store"
    read = keep(path, False)
    before = read()
    limit = 16384 if keep is not keep_answer else path.stat().st_size + 8192
    with limited(resource.RLIMIT_FSIZE, limit), pytest.raises(SparseCBMError, match=str(path)):
        keep(path, True)
    assert read() == before
    keep(path, True)  # with space again, the same write goes on
    assert read() != before
    assert [entry for entry in os.listdir(tmp_path) if entry.endswith(".partial")] == []


@pytest.mark.parametrize("text", ["a new text"])
def test_on_a_full_disk_no_correction_is_lost(folder, model, tmp_path, text):
    memory = Memory(tmp_path / "kept")
    memory.add(model, "the food was good", "food", "Positive")
    before = memory.corrections()
    with limited(resource.RLIMIT_FSIZE, 100), pytest.raises(SparseCBMError):
        memory.add(model, text, "food", "Negative")
    assert Memory(tmp_path / "kept").corrections() == before
    memory.add(model, text, "food", "Negative")
    assert len(memory) == 2


COMMANDS = (
    ("predict", "{model}", "--file", "{texts}", "--output", "{out}"),
    ("explain", "{model}", "--text", "the food was good", "--json", "{out}"),
    ("memory", "add", "{model}", "{out}", "--text", "the food was good", "--set", "food=Positive"),
    ("export", "{model}", "--output", "{out}"),
    ("batch", "{model}", "{table}", "{out}"),
)
WITHOUT_EXPORT = [command for command in COMMANDS if command[0] != "export"]


def arguments(command, folder, out):
    texts = {name: folder.parent / file for name, file in (("texts", "texts.txt"), ("table", "texts.csv"))}
    paths = {"model": folder, "out": out, **texts}
    return [argument.format(**paths) for argument in command]


@pytest.mark.parametrize("command", WITHOUT_EXPORT, ids=lambda command: command[0])
def test_a_full_disk_is_one_message_of_a_command(folder, tmp_path, sparsecbm, command):
    out = tmp_path / "out"
    with limited(resource.RLIMIT_FSIZE, 10):
        code, _, errors = sparsecbm(*arguments(command, folder, out))
    assert code == 1 and "File too large" in errors and "not foreseen" not in errors
    assert not out.is_file() and not (out / "index.json").exists()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_folder_that_cannot_be_written_is_one_message(folder, sparsecbm, command):
    """Nobody can create anything in /proc, not even root."""
    code, _, errors = sparsecbm(*arguments(command, folder, "/proc/out"))
    assert code == 1 and "/proc" in errors and "not foreseen" not in errors
    assert errors.count("error: ") == 1


@pytest.mark.parametrize("command", WITHOUT_EXPORT, ids=lambda command: command[0])
def test_too_few_file_descriptors_are_one_message(folder, tmp_path, sparsecbm, command):
    assert sparsecbm(*arguments(command, folder, tmp_path / "before"))[0] == 0  # it is imported now
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    with limited(resource.RLIMIT_NOFILE, lowest):  # no further file can be opened
        code, _, errors = sparsecbm(*arguments(command, folder, tmp_path / "out"))
    assert code == 1 and "Too many open files" in errors and "not foreseen" not in errors
    assert sparsecbm(*arguments(command, folder, tmp_path / "out"))[0] == 0


@pytest.mark.parametrize("command", [COMMANDS[0], COMMANDS[-1]], ids=lambda command: command[0])
def test_with_any_number_of_files_a_command_is_done_or_one_message_and_leaves_nothing_half_done(
    folder, tmp_path, sparsecbm, command
):
    whole = tmp_path / "whole"
    assert sparsecbm(*arguments(command, folder, whole))[0] == 0
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    codes = []
    for spare in range(10):
        load_answerer.cache_clear()  # so that `batch` reads the model again
        out = tmp_path / f"with-{spare}"
        with limited(resource.RLIMIT_NOFILE, lowest + spare):
            code, _, errors = sparsecbm(*arguments(command, folder, out))
        codes.append(code)
        if code:
            assert code == 1 and "Too many open files" in errors and "not foreseen" not in errors, spare
        assert not list(tmp_path.rglob("*.partial")), spare
        assert code or contents(out) == contents(whole), spare
        assert sparsecbm(*arguments(command, folder, out))[0] == 0  # with enough files, the same call goes on
        assert contents(out) == contents(whole), spare
    assert codes[0] == 1 and codes[-1] == 0  # too few, and enough


def contents(path):
    """Return path -> bytes of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def test_torch_without_memory_is_one_message():
    with pytest.raises(RuntimeError) as error:
        torch.empty(1 << 52)
    message = describe(error.value)
    assert message.startswith("not enough memory: ") and message.endswith("; use a smaller input or model")
    assert "not foreseen" not in message and "\n" not in message
    assert "not foreseen" in describe(RuntimeError("something else"))


def test_a_table_that_memory_cannot_hold_leaves_the_old_one(tmp_path):
    path = tmp_path / "table.parquet"
    write_parquet(path, pd.DataFrame({"a": [1.0]}))

    def child():
        frame = pd.DataFrame({"a": np.random.default_rng(0).random(8_000_000)})
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (16 << 20),) * 2)
        try:
            write_parquet(path, pd.concat([frame] * 8))
        except Exception as error:
            os._exit(3 if describe(error).startswith("not enough memory") else 4)
        os._exit(0)

    process = FORK.Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == 3
    assert read_parquet(path)["a"].tolist() == [1.0]


def test_answers_that_another_process_holds_are_not_thrown_away(tmp_path, monkeypatch):
    monkeypatch.setattr(llm_cache, "_WAIT", 0.1)
    path = tmp_path / "llm.sqlite"
    keep_answer(path, False)
    holder = sqlite3.connect(path)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DataError, match=r"database is locked\); another process uses it; wait until that ends"):
        AnswerCache(path)
    holder.rollback()
    holder.close()
    assert keep_answer(path, False)() == [(0, "d")]


def test_a_tracking_server_that_never_answers_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as listener:  # it accepts, and says nothing
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(TrackingUnavailableError, match="does not answer"):
            probe(address, 1)


@pytest.mark.parametrize("command", [("promote",), ("rollback",), ("history",), ("status", "--json")])
def test_a_registry_that_is_gone_is_one_message(tiny_workspace, monkeypatch, sparsecbm, command):
    monkeypatch.chdir(tiny_workspace.root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    code, _, errors = sparsecbm(*command)
    assert code == 1 and errors.startswith("error: MLflow at http://127.0.0.1:9 does not answer")


def test_a_lease_ends_although_the_clock_went_back(tmp_path, monkeypatch):
    held = Leases(tmp_path / "leases.json")
    now = [1_000_000.0]
    monkeypatch.setattr(leases.time, "time", lambda: now[0])
    assert held.take("k", "ann") and not held.take("k", "bob")
    now[0] -= 86_400
    assert held.take("k", "bob")
