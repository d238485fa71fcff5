"""git commands in a repository."""

import pytest

from sparsecbm.base import git as module
from sparsecbm.base.git import GitError, git, git_or_empty


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    git(tmp_path, "config", "user.name", "test")
    git(tmp_path, "config", "user.email", "test@example.org")
    (tmp_path / "a.txt").write_text("one\n\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


def test_only_the_last_line_end_is_removed(repository):
    assert git(repository, "show", "HEAD:a.txt") == "one\n"
    assert git(repository, "branch", "--show-current") == "main"
    (repository / "a.txt").write_text("two\n")
    assert git(repository, "status", "--porcelain") == " M a.txt"


def test_a_failed_command_is_an_error_without_passwords(repository):
    with pytest.raises(GitError, match=r"^git show failed in .*: fatal: .*'HEAD'"):
        git(repository, "show", "HEAD:b.txt")
    with pytest.raises(GitError) as error:
        git(repository, "fetch", "file://ann:hunter22@/nowhere")
    assert "hunter22" not in str(error.value)
    assert git_or_empty(repository, "show", "HEAD:b.txt") == ""


def test_a_missing_or_slow_git_is_an_error(repository, monkeypatch):
    with pytest.raises(GitError, match=r"git log took more than 1e-05 seconds in "):
        git(repository, "log", timeout=1e-5)
    with pytest.raises(GitError, match="git could not be started in "):
        git(repository / "absent", "log")

    def missing(*arguments, **named):
        raise FileNotFoundError(2, "No such file or directory", "git")

    monkeypatch.setattr(module.subprocess, "run", missing)
    with pytest.raises(GitError, match=r"git could not be started in .*: No such file or directory"):
        git(repository, "log")
    assert git_or_empty(repository, "log") == ""
