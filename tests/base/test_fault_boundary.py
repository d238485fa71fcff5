"""Errors become one message and an exit code; only a fault that nobody foresaw leaves a trace, in a file."""

import errno
import json
import os
import subprocess
import sys

import pytest
from safetensors import SafetensorError

from sparsecbm.base.errors import DataError
from sparsecbm.base.fault_boundary import exit_code


def run_and_raise(error):
    def run():
        raise error

    return exit_code(run)


DEEP = "[" * 200_000


def recurse():
    json.loads(DEEP)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DataError("the file is wrong"), "the file is wrong"),
        (OSError(errno.ENOSPC, "", "a/b"), "a/b: No space left on device (compare `df` and `df -i`)"),
        (PermissionError(errno.EACCES, "", "a"), "a: Permission denied"),
        (OSError(errno.EROFS, "", "a"), "a: Read-only file system"),
        (OSError(errno.ENAMETOOLONG, "", "a"), "a: File name too long"),
        (OSError("no number"), "no number"),
        (SafetensorError("I/O error: No space (os error 28)"), "No space left on device (compare `df` and `df -i`)"),
        (RecursionError("x"), "the input is nested too deeply"),
        (MemoryError(), "not enough memory; use a smaller input or model"),
        (DataError("\x1b[2J"), "\\x1b[2J"),
        (DataError("at https://ann:secret@host/"), "at https://***@host/"),
    ],
)
def test_a_foreseen_error_is_one_message(capsys, error, message):
    assert run_and_raise(error) == 1
    assert capsys.readouterr() == ("", f"error: {message}\n")


def test_a_surrogate_is_one_message(capsys):
    assert exit_code(lambda: "\udcff".encode()) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: a text or a name is not valid Unicode: ") and message.count("\n") == 1


def test_deep_json_is_one_message(capsys):
    assert exit_code(recurse) == 1
    assert capsys.readouterr().err == "error: the input is nested too deeply\n"


def test_codes_pass_and_an_interrupt_is_no_fault(capsys):
    assert [exit_code(lambda code=code: code) for code in (None, 0, 2, 7)] == [0, 0, 2, 7]
    assert run_and_raise(KeyboardInterrupt()) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_the_trace_of_an_unforeseen_fault_is_in_a_file(tiny_workspace, monkeypatch, capsys):
    monkeypatch.chdir(tiny_workspace.root)
    assert run_and_raise(KeyError("no\x1bsuch")) == 1
    message = capsys.readouterr().err
    [file] = (tiny_workspace.state / "faults").iterdir()
    assert message.splitlines()[1] == f"Its trace is in {file}" and len(message.splitlines()) == 2
    assert message.startswith("error: this fault is not foreseen, please report it: KeyError: 'no\\x1bsuch'\n")
    trace = file.read_text()
    assert "Traceback" in trace and "in run_and_raise" not in message and "raise error" in trace


def test_without_a_workspace_the_message_says_how_to_see_the_trace(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_and_raise(KeyError("key")) == 1
    assert capsys.readouterr().err.endswith("KeyError: 'key'\nSet SPARSECBM_DEBUG=1 to see its trace\n")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("SPARSECBM_DEBUG", "1")
    with pytest.raises(KeyError):
        run_and_raise(KeyError("key"))


PRINT = "import sys; from sparsecbm.base.fault_boundary import exit_code; sys.exit(exit_code(lambda: print('x' * 9)))"


def test_a_closed_pipe_is_silent():
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run([sys.executable, "-c", PRINT], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (result.returncode, result.stderr) == (1, "")


def test_a_full_disk_below_the_output_is_one_message():
    with open("/dev/full", "w") as full:
        result = subprocess.run([sys.executable, "-c", PRINT], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("error: No space left on device")
