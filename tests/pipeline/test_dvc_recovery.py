"""A DVC command goes on after another was killed, whatever that left in DVC's files."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from sparsecbm.pipeline.dvc_recovery import recover_dvc
from sparsecbm.pipeline.graph import dvc_command, run_dvc, tool_environment


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
    recover_dvc(project)
    assert not (project / ".dvc" / "tmp" / "rwlock").exists()


def test_a_dvc_that_runs_keeps_its_locks(project):
    running = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "dvc"])
    try:
        content = lock(project, running.pid)
        recover_dvc(project)
        assert left(project) == content
    finally:
        running.kill()
        running.wait()
    recover_dvc(project)
    assert left(project) == {"write": {}, "read": {}}


def test_a_file_that_another_process_edits_is_left_alone(project):
    content = lock(project, os.getpid() + 10**7)  # no process has this number
    with open(project / ".dvc" / "tmp" / "rwlock.lock", "a") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        recover_dvc(project)
        assert left(project) == content
    recover_dvc(project)
    assert left(project) == {"write": {}, "read": {}}


@pytest.mark.parametrize(
    "end", ["schema: ", "  copy:", "    cmd: ", "    - path: ", "      hash: ", "      size: ", "    outs:"]
)
def test_a_lock_file_that_a_kill_cut_off_is_set_aside(project, end):
    """The next run writes it anew, and takes the results from the cache of runs: the stage does not run again."""
    assert run_dvc(project, "repro").returncode == 0
    path = project / "dvc.lock"
    whole = path.read_text()
    path.write_text(whole[: whole.index(end) + len(end)])
    code, message = repro(project, (project / "in.txt").read_text())
    assert code != 0 and "dvc.lock" in message
    done = run_dvc(project, "repro")
    assert done.returncode == 0 and "is cached" in done.stdout and "Running stage" not in done.stdout
    assert path.read_text() == whole
    assert whole.startswith((project / "dvc.lock.damaged").read_text())


def test_a_whole_lock_file_stays_and_so_does_one_that_a_dvc_is_writing(project):
    assert run_dvc(project, "repro").returncode == 0
    path, aside = project / "dvc.lock", project / "dvc.lock.damaged"
    aside.unlink(missing_ok=True)
    whole = path.read_text()
    recover_dvc(project)
    assert path.read_text() == whole and not aside.exists()
    path.write_text("schema: ")
    with open(project / ".dvc" / "tmp" / "lock", "a") as lock_of_dvc:
        fcntl.flock(lock_of_dvc, fcntl.LOCK_EX)
        recover_dvc(project)
        assert path.exists() and not aside.exists()
    recover_dvc(project)
    assert not path.exists() and aside.read_text() == "schema: "


def test_locks_by_links_are_respected_and_not_made(project):
    """With `core.hardlink_lock`, as on network disks, DVC holds a lock as long as the file has a second name."""
    content, folder = lock(project, os.getpid() + 10**7), project / ".dvc" / "tmp"
    guard = folder / "rwlock.lock"
    guard.write_text("")
    os.link(guard, folder / "claim")
    recover_dvc(project)
    assert left(project) == content
    (folder / "claim").unlink()
    guard.unlink()
    recover_dvc(project)
    assert left(project) == {"write": {}, "read": {}} and not guard.exists()


def test_a_folder_that_may_not_be_written_is_left_to_dvc(project, monkeypatch):
    """DVC then says what is wrong."""
    content = lock(project, os.getpid() + 10**7)
    (project / ".dvc" / "tmp" / "rwlock.lock").write_text("")

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("sparsecbm.pipeline.dvc_recovery.os.open", refuse)
    recover_dvc(project)
    monkeypatch.undo()
    assert left(project) == content
