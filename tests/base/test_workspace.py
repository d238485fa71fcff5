"""Where a workspace is found."""

import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.workspace import Workspace


def test_a_workspace_is_found_from_the_folders_in_it(tmp_path, monkeypatch):
    (tmp_path / "dvc.yaml").touch()
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert Workspace.find() == Workspace(tmp_path)


def test_a_current_folder_that_was_removed_is_named_as_such(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigError, match="the current folder was removed; change into a workspace"):
        Workspace.find()
