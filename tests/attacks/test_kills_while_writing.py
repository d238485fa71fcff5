"""A process that is killed between any two system calls of a write loses nothing and leaves nothing for ever.

A child process writes and ends itself, as a kill would, before the n-th call that changes the file system. n runs until
the child ends by itself. Then the folder must hold the old or the new version, whole, and the next use clears the rest.
"""

import multiprocessing
import os
import shutil
import stat
from pathlib import Path

import pytest

from sparsecbm.api import SparseCBM
from sparsecbm.base import replacement
from sparsecbm.base.errors import WriteError
from sparsecbm.base.files import recover, replacing_folder, write_text
from sparsecbm.model.storage import compute_checksums

CALLS = ("mkdir", "rename", "replace", "open", "unlink", "rmdir", "chmod", "close")
FORK = multiprocessing.get_context("fork")


def write_folder(path, text):
    with replacing_folder(path) as folder:
        for name in ("a", "b"):
            write_text(folder / name, text)


def killed_before(call_number, write, *arguments):
    """Run `write` in a child that is killed before the n-th call; return whether it was killed."""

    def child():
        calls = 0

        def counted(original):
            def call(*args, **kwargs):
                nonlocal calls
                calls += 1
                if calls == call_number:
                    os._exit(77)
                return original(*args, **kwargs)

            return call

        for name in CALLS:
            setattr(os, name, counted(getattr(os, name)))
        write(*arguments)
        os._exit(0)

    process = FORK.Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode in (0, 77)
    return process.exitcode == 77


def contents(path):
    return {file.name: file.read_text() for file in path.iterdir()} if path.exists() else {}


def hidden(folder):
    return [entry.name for entry in folder.iterdir() if entry.name.startswith(".")]


OLD, NEW = {"a": "old", "b": "old"}, {"a": "new", "b": "new"}


@pytest.mark.parametrize("first", [{}, OLD], ids=["nothing there", "a folder there"])
def test_a_folder_is_whole_whenever_its_writer_is_killed(tmp_path, first):
    seen, path = set(), tmp_path / "out" / "folder"
    for number in range(1, 500):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        if first:
            write_folder(path, "old")
        killed = killed_before(number, write_folder, path, "new")
        before = str(contents(path))
        recover(path)
        assert contents(path) in (first, NEW)
        assert not path.parent.exists() or hidden(path.parent) == []
        seen.add((before == "{}", contents(path) == NEW))
        if not killed:
            break
    assert not killed and number > 20
    # It was killed both before and after the new version was there and, between the two renames, with nothing there.
    assert (False, True) in seen and (True, False) in seen and (not first or (False, False) in seen)


def test_a_model_is_loaded_after_a_kill_between_the_two_renames(model, tmp_path):
    model.means = {"activations": {}, "label_share": {}, "concept_shares": {}}
    model.save_pretrained(tmp_path / "model")
    checksums = compute_checksums(tmp_path / "model")
    work = tmp_path / ".model.0123abcd.partial"  # what is left by such a kill
    shutil.copytree(tmp_path / "model", work / replacement.NEW)
    (work / replacement.LOCK).touch()
    os.rename(tmp_path / "model", work / replacement.OLD)
    SparseCBM.from_pretrained(tmp_path / "model")
    assert compute_checksums(tmp_path / "model") == checksums
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_a_file_is_whole_whenever_its_writer_is_killed(tmp_path):
    path, seen = tmp_path / "file", set()
    for number in range(1, 200):
        path.write_text("old")
        killed = killed_before(number, write_text, path, "new")
        seen.add(path.read_text())
        write_text(path, "next")  # clears what is left
        assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
        if not killed:
            break
    assert not killed and seen == {"old", "new"}


def test_a_work_folder_in_use_is_left_alone(tmp_path):
    path = tmp_path / "folder"
    with replacing_folder(path) as folder:
        (folder / "a").write_text("new")
        recover(path)
        assert len(hidden(tmp_path)) == 1
        write_folder(path, "other")  # another writer is quicker
        assert contents(path) == {"a": "other", "b": "other"}
    assert contents(path) == {"a": "new"} and hidden(tmp_path) == []


def test_a_new_work_folder_that_another_process_clears_is_given_up(tmp_path, monkeypatch):
    """Between the folder and its lock file, another writer may take it for one that was left, and lock it."""
    path, taken, mkdir = tmp_path / "file", [], Path.mkdir

    def taken_at_once(self, *arguments, **named):
        mkdir(self, *arguments, **named)
        if self.name.endswith(".partial") and not taken:
            taken.append(self)
            (self / replacement.LOCK).touch()

    monkeypatch.setattr(Path, "mkdir", taken_at_once)
    write_text(path, "new")
    assert path.read_text() == "new" and hidden(tmp_path) == [taken[0].name]
    write_text(path, "next")
    assert path.read_text() == "next" and hidden(tmp_path) == []


def test_hidden_files_of_others_are_left_alone(tmp_path):
    others = [".folder.0123abcd.part", ".folder.partial", ".folders.0123abcd.partial", "folder.0123abcd.partial"]
    for name in others:
        (tmp_path / name).mkdir()
    write_folder(tmp_path / "folder", "new")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([*others, "folder"])


@pytest.mark.parametrize("failing", [1, 2])
def test_a_failing_rename_leaves_the_old_version(tmp_path, monkeypatch, failing):
    path, calls, rename = tmp_path / "folder", [], os.rename
    write_folder(path, "old")

    def fail(*names):
        calls.append(names)
        if len(calls) == failing:
            raise OSError(28, "No space left on device")
        rename(*names)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(WriteError, match=r"No space left on device.*; nothing was changed"):
        write_folder(path, "new")
    assert contents(path) == OLD and hidden(tmp_path) == []


def test_an_interrupt_leaves_the_old_version(tmp_path):
    write_folder(tmp_path / "folder", "old")
    with pytest.raises(KeyboardInterrupt), replacing_folder(tmp_path / "folder"):
        raise KeyboardInterrupt
    assert contents(tmp_path / "folder") == OLD and hidden(tmp_path) == []


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda root: root / ("n" * 256), "File name too long"),
        (lambda root: root / "file" / "a", "File exists|Not a directory"),
        (lambda root: root / "a\0b", "the name holds a NUL character"),
        (lambda root: root / "loop", "links lead in a circle"),
        (lambda root: root, "it is a folder; name a file"),
    ],
)
def test_a_path_that_cannot_be_written_is_one_error(tmp_path, make, reason):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(WriteError, match=reason):
        write_text(make(tmp_path), "x")
    assert (tmp_path / "file").read_text() == "kept" and hidden(tmp_path) == []
    longest = tmp_path / ("n" * 255)
    write_text(longest, "x")
    assert longest.read_text() == "x"


def test_an_error_of_the_block_about_another_file_is_not_blamed_on_the_output(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), replacing_folder(tmp_path / "folder"):
        Path(tmp_path / "elsewhere").read_text()


def test_a_linked_folder_is_written_where_the_link_leads(tmp_path):
    write_folder(tmp_path / "disk" / "models", "old")
    (tmp_path / "models").symlink_to(tmp_path / "disk" / "models")
    write_folder(tmp_path / "models", "new")
    assert stat.S_ISLNK((tmp_path / "models").lstat().st_mode)
    assert contents(tmp_path / "disk" / "models") == NEW
