"""The script that renews pictures: each picture that it takes is there for both themes, and a page shows it."""

import re
import subprocess
import sys

from tests.support.project import ROOT

SCRIPT = ROOT / "tools" / "screenshots.py"


def test_every_picture_is_there_for_both_themes_and_shown():
    names = re.findall(r'Picture\("([\w-]+)"', SCRIPT.read_text(encoding="utf-8"))
    assert len(names) == 7
    pages = "".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    for name in names:
        assert f"img/{name}.png)" in pages, name
        assert all((ROOT / "docs" / "img" / f"{name}{suffix}.png").is_file() for suffix in ("", "-dark")), name


def test_a_folder_without_a_model_is_refused(tmp_path):
    done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "") and done.stderr.startswith("usage: python tools/screenshots.py")
