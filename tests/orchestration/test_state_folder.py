"""A state folder that cannot be used is one message with a remedy, in every command."""

import shutil
import subprocess
import sys

import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.cli.health import check_folders
from sparsecbm.orchestration.settings import configure
from tests.support.tiny_pipeline import add_flows


def spoil(workspace, kind):
    """Put something in the place of the folder that cannot be written, not even by root."""
    if kind == "file":
        workspace.state.write_text("notes")
    elif kind == "dangling link":
        workspace.state.symlink_to(workspace.root / "nowhere")
    else:
        workspace.state.symlink_to("/proc")


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [("file", "mv .*/.sparsecbm .*old"), ("dangling link", "mv "), ("not writable", "make it writable")],
)
def test_it_is_named_with_a_remedy(tiny_workspace, kind, remedy):
    spoil(tiny_workspace, kind)
    with pytest.raises(ConfigError, match=rf"{tiny_workspace.state} cannot be written \(.+\); .*{remedy}"):
        configure(tiny_workspace)


@pytest.mark.parametrize("command", ["run", "up", "down", "status"])
def test_every_command_says_so(tiny_workspace, command):
    spoil(add_flows(tiny_workspace), "file")
    result = subprocess.run(
        [sys.executable, "-m", "sparsecbm", command], cwd=tiny_workspace.root, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith(f"error: {tiny_workspace.state} cannot be written (File exists); ")
    assert len(result.stderr.splitlines()) == 1
    assert tiny_workspace.state.read_text() == "notes"


def test_the_doctor_says_so(tiny_workspace):
    assert check_folders(tiny_workspace).good
    shutil.rmtree(tiny_workspace.state)
    spoil(tiny_workspace, "file")
    finding = check_folders(tiny_workspace)
    assert finding.result == ".sparsecbm cannot be written"
    assert finding.fix.startswith(f"{tiny_workspace.state} cannot be written (File exists); it must be a folder")
