"""The folder for locks: the user's own, never one that others could have prepared."""

import os
import stat

import pytest

from sparsecbm.base.private_folder import PrivateFolderError, private_folder
from sparsecbm.pipeline.lock import LockError, exclusive_lock


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Return stand-ins for the runtime directory, the state directory and the temporary directory."""
    names = {"XDG_RUNTIME_DIR": "run", "XDG_STATE_HOME": "state"}
    for variable, name in names.items():
        (tmp_path / name).mkdir(mode=0o700)
        monkeypatch.setenv(variable, str(tmp_path / name))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return tmp_path


def test_the_runtime_directory_comes_first_then_the_home_then_the_temporary_directory(folders, monkeypatch):
    assert private_folder() == folders / "run" / "sparsecbm"
    assert stat.S_IMODE((folders / "run" / "sparsecbm").stat().st_mode) == 0o700
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
    assert private_folder() == folders / "state" / "sparsecbm"
    (folders / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(folders / "file" / "state"))
    assert private_folder() == folders / "tmp" / f"sparsecbm-{os.getuid()}"


def test_a_planted_link_is_refused(folders):
    (folders / "victim").mkdir()
    (folders / "run" / "sparsecbm").symlink_to(folders / "victim")
    with pytest.raises(PrivateFolderError, match="is not a folder of yours"):
        private_folder()
    assert list((folders / "victim").iterdir()) == []


def test_a_folder_that_others_may_write_to_is_refused(folders):
    (folders / "run" / "sparsecbm").mkdir()
    (folders / "run" / "sparsecbm").chmod(0o770)
    with pytest.raises(PrivateFolderError, match="others may write to"):
        private_folder()


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "flow.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(LockError, match=r"could not lock .*flow\.lock"), exclusive_lock(tmp_path, "flow", "busy"):
        pass
    assert (tmp_path / "victim").read_text() == "kept"
    (tmp_path / "other.holder.json").symlink_to(tmp_path / "victim")
    with exclusive_lock(tmp_path, "other", "busy"):
        pass
    assert (tmp_path / "victim").read_text() == "kept"
