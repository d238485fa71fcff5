"""`make sbom` lists what is installed, in a form that scanners read, and leaves the environment as it is."""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_list_holds_torch_with_its_pin(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    venv = Path(sys.prefix)
    before = {each.name: each.version for each in importlib.metadata.distributions()}
    # `-o setup` leaves the environment alone, which is that of the test.
    command = ["make", "-o", "setup", "sbom", f"VENV={venv}", f"PYTHON={sys.executable}"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if "No matching distribution" in result.stderr:
        pytest.skip("the index of packages cannot be reached")
    assert result.returncode == 0, result.stderr
    listed = json.loads((tmp_path / "build" / "sbom.json").read_text())
    assert listed["bomFormat"] == "CycloneDX"
    versions = {each["name"]: each["version"] for each in listed["components"]}
    pinned = re.search(r"^torch==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]
    assert versions["torch"].partition("+")[0] == pinned.partition("+")[0]
    assert "cyclonedx-bom" not in versions
    assert {each.name: each.version for each in importlib.metadata.distributions()} == before
