"""A disk without space (ENOSPC): the message names the file and the fault, and nothing half-written is left."""

import errno
import io
import os
import resource
from pathlib import Path

import pytest

from sparsecbm.base import json_lines
from sparsecbm.base.errors import DataError, WriteError
from sparsecbm.base.files import read_json, write_json
from sparsecbm.base.json_lines import append_json_lines, read_json_lines
from tests.support.explained_model import with_means

FULL = "No space left on device (compare `df` and `df -i`)"


def full(*paths):
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *paths)


class FullFile(io.FileIO):
    """A file on a disk with space for some bytes: like the system, it writes what fits, and then fails."""

    space = 0

    def write(self, data):
        count = min(len(data), type(self).space)
        if not count:
            raise full()
        type(self).space -= count
        return super().write(bytes(data[:count]))


def open_on_full_disk(path, mode="r", buffering=-1, *options, **named):
    """Do as `open` does, where files that are written have the space of `FullFile`."""
    if "r" in mode:
        return open(path, mode, buffering, *options, **named)
    file = FullFile(path, mode.replace("b", ""))
    if buffering == 0:
        return file
    return io.BufferedRandom(file) if "+" in mode else io.BufferedWriter(file)


@pytest.fixture
def space(monkeypatch):
    """Return a function that leaves so many bytes of space to files that are opened from now on."""

    def leave(size):
        monkeypatch.setattr(FullFile, "space", size)
        monkeypatch.setattr(io, "open", open_on_full_disk)
        monkeypatch.setattr(json_lines, "open", open_on_full_disk, raising=False)

    return leave


def entries(folder):
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("size", [0, 1, 10])
@pytest.mark.parametrize("old", [{"a": 1}, None])
def test_a_write_without_space_keeps_the_old_file_and_leaves_no_other(tmp_path, space, monkeypatch, size, old):
    path = tmp_path / "file.json"
    if old:
        write_json(path, old)
    before = entries(tmp_path)
    space(size)
    with pytest.raises(WriteError) as caught:
        write_json(path, {"a": "new " * 10})
    monkeypatch.undo()
    assert str(caught.value) == f"could not write {path}: {FULL}; nothing was changed"
    assert entries(tmp_path) == before and (not old or read_json(path) == old)


def test_the_same_write_succeeds_with_space(tmp_path, space, monkeypatch):
    space(1000)
    write_json(tmp_path / "file.json", {"a": "new " * 10})
    monkeypatch.undo()
    assert read_json(tmp_path / "file.json") == {"a": "new " * 10}


@pytest.mark.parametrize(
    ("call", "name"), [("mkdir", ""), ("open", "/lock"), ("open", "/new"), ("chmod", "/new"), ("replace", "/new")]
)
def test_every_step_of_a_replacement_may_lack_space(tmp_path, monkeypatch, call, name):
    """A folder that cannot grow, or a disk without inodes, fails before or after the contents are written."""
    path = tmp_path / "file.json"
    write_json(path, {"a": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(getattr(os, call), name))
        with pytest.raises(WriteError) as caught:
            write_json(path, {"a": 2})
    assert str(caught.value) == f"could not write {path}: {FULL}; nothing was changed"
    assert entries(tmp_path) == ["file.json"] and read_json(path) == {"a": 1}
    write_json(path, {"a": 2})
    assert read_json(path) == {"a": 2}


def failing(function, name):
    """Return a function that finds no space for an entry of a work folder, and else does its work."""

    def call(path, *arguments, **options):
        if str(path).endswith(f".partial{name}"):
            raise full(str(path))
        return function(path, *arguments, **options)

    return call


RECORDS = [{"n": number, "text": "x" * 20} for number in range(3)]


@pytest.mark.parametrize("size", [0, 1, 40, 41, 50, 122])  # a line has 41 bytes, the three have 123
def test_records_are_appended_all_or_not_at_all(tmp_path, space, monkeypatch, size):
    path = tmp_path / "journal.jsonl"
    append_json_lines(path, [{"n": -1}])
    before = path.read_bytes()
    space(size)
    with pytest.raises(DataError) as caught:
        append_json_lines(path, RECORDS)
    monkeypatch.undo()
    assert str(caught.value) == f"{path} cannot be written: {FULL}"
    assert path.read_bytes() == before
    append_json_lines(path, RECORDS)  # with space again, none is there twice
    assert read_json_lines(path) == [{"n": -1}, *RECORDS]


def test_records_fit_into_exactly_their_size(tmp_path, space, monkeypatch):
    path = tmp_path / "journal.jsonl"
    space(123)
    append_json_lines(path, RECORDS)
    monkeypatch.undo()
    assert read_json_lines(path) == RECORDS


def test_records_that_do_not_reach_the_disk_are_taken_back(tmp_path, monkeypatch):
    """A file system that finds its space later, as over a network, says so when the file is synchronised."""
    path = tmp_path / "journal.jsonl"
    append_json_lines(path, RECORDS[:1])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(full()))
        with pytest.raises(DataError, match="No space left on device"):
            append_json_lines(path, RECORDS[1:])
    assert read_json_lines(path) == RECORDS[:1]
    append_json_lines(path, RECORDS[1:])
    assert read_json_lines(path) == RECORDS


def test_the_system_itself_cuts_a_write_and_nothing_of_it_stays(tmp_path):
    """The limit of a file's size is met in the middle of the second record."""
    path = tmp_path / "journal.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, hard))
    try:
        with pytest.raises(DataError, match="File too large"):
            append_json_lines(path, RECORDS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b""
    append_json_lines(path, RECORDS)
    assert read_json_lines(path) == RECORDS


def test_a_command_tells_which_file_found_no_space(model, tmp_path, sparsecbm, monkeypatch):
    with_means(model).save_pretrained(tmp_path / "model")
    arguments = ("predict", tmp_path / "model", "--text", "the food was good", "--output", tmp_path / "out" / "a.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing(os.replace, "/new"))
        code, _, errors = sparsecbm(*arguments)
    assert (code, errors) == (1, f"error: could not write {tmp_path}/out/a.jsonl: {FULL}; nothing was changed\n")
    assert entries(tmp_path / "out") == []
    assert sparsecbm(*arguments)[0] == 0 and entries(tmp_path / "out") == ["a.jsonl"]
    assert Path(arguments[-1]).stat().st_size > 0
