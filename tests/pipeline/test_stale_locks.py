"""A DVC command goes on after another was killed, whatever that left in DVC's file of locks."""

import fcntl
import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from sparsecbm.pipeline.graph import dvc_command, run_dvc, tool_environment
from sparsecbm.pipeline.stale_locks import free_stale_locks


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return a project of one stage, which copies a file."""
    root = tmp_path_factory.mktemp("locks")
    (root / "in.txt").write_text("one")
    (root / "dvc.yaml").write_text("stages: {copy: {cmd: cp in.txt out.txt, deps: [in.txt], outs: [out.txt]}}")
    assert run_dvc(root, "init", "--no-scm", "--quiet").returncode == 0
    assert run_dvc(root, "repro").returncode == 0
    return root


@pytest.fixture
def zombie():
    """Return a process that has ended and that nobody has collected yet."""
    process = subprocess.Popen([sys.executable, "-c", "'dvc'"])
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    yield process
    process.wait()


def lock(root, pid):
    """Let a process hold the locks of the stage `copy`, as DVC writes it down."""
    holder = {"pid": pid, "cmd": "dvc repro"}
    content = {"write": {str(root / "out.txt"): holder}, "read": {str(root / "in.txt"): [holder]}}
    (root / ".dvc" / "tmp" / "rwlock").write_text(json.dumps(content))
    return content


def left(root):
    return json.loads((root / ".dvc" / "tmp" / "rwlock").read_text())


def repro(root, text):
    """Change the input, so that the stage runs, and return the exit code of DVC itself and what it says."""
    (root / "in.txt").write_text(text)
    done = subprocess.run(
        dvc_command("repro"), cwd=root, env=tool_environment(), capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


def test_a_zombie_holds_no_lock(project, zombie):
    lock(project, zombie.pid)
    code, message = repro(project, "two")
    assert code != 0 and "busy" in message  # DVC alone waits for somebody to remove the file
    assert run_dvc(project, "repro").returncode == 0
    assert (project / "out.txt").read_text() == "two"


def test_another_program_with_the_number_of_a_killed_one_holds_no_lock(project):
    lock(project, 1)  # the first process of a machine or container, which is no DVC
    code, message = repro(project, "three")
    assert code != 0 and "busy" in message
    assert run_dvc(project, "repro").returncode == 0
    assert (project / "out.txt").read_text() == "three"


@pytest.mark.parametrize("content", ["", '{"write": {"/a', "[]", '{"read": 3}'])
def test_a_file_that_a_kill_cut_off_is_removed(project, content):
    (project / ".dvc" / "tmp" / "rwlock").write_text(content)
    free_stale_locks(project)
    assert not (project / ".dvc" / "tmp" / "rwlock").exists()


def test_a_dvc_that_runs_keeps_its_locks(project):
    running = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "dvc"])
    try:
        content = lock(project, running.pid)
        free_stale_locks(project)
        assert left(project) == content
    finally:
        running.kill()
        running.wait()
    free_stale_locks(project)
    assert left(project) == {"write": {}, "read": {}}


def test_a_file_that_another_process_edits_is_left_alone(project):
    content = lock(project, os.getpid() + 10**7)  # no process has this number
    with open(project / ".dvc" / "tmp" / "rwlock.lock", "a") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        free_stale_locks(project)
        assert left(project) == content
    free_stale_locks(project)
    assert left(project) == {"write": {}, "read": {}}
