"""Lock files are not opened through links."""

import pytest

from sparsecbm.pipeline.lock import LockError, WorkspaceBusyError, exclusive_lock


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "flow.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(LockError, match=r"could not lock .*flow\.lock"), exclusive_lock(tmp_path, "flow", "busy"):
        pass
    (tmp_path / "other.holder.json").symlink_to(tmp_path / "victim")
    with exclusive_lock(tmp_path, "other", "busy"):
        pass
    assert (tmp_path / "victim").read_text() == "kept"


def test_the_message_of_a_held_lock_names_its_process(tmp_path):
    busy = pytest.raises(WorkspaceBusyError, match=r"busy \(process \d+, since ")
    with exclusive_lock(tmp_path, "flow", "busy"), busy, exclusive_lock(tmp_path, "flow", "busy"):
        pass


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LockError, match="could not lock"), exclusive_lock(tmp_path / "file" / "a", "flow", "busy"):
        pass
