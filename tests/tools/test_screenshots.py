"""The scripts that renew pictures: each picture that a page shows is made by one, and is there for both themes."""

import re
import subprocess
import sys

import pytest

from benchmarks.doc_pictures import DRAWINGS
from tests.support.project import ROOT

IMG = ROOT / "docs" / "img"
SCRIPTS = {"screenshots": 7, "promotion_pictures": 9, "day_pictures": 2}  # script -> number of its pictures
SHOWN = re.compile(r"!\[[^\]]*\]\((?:docs/)?img/([\w.-]+)\)")


def taken(script):
    """Return the names of the pictures that a script takes."""
    return re.findall(r'Picture\(\s*"([\w-]+)"', (ROOT / "tools" / f"{script}.py").read_text(encoding="utf-8"))


def shown():
    """Return the files of all pictures that pages show."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    return {name for page in pages for name in SHOWN.findall(page.read_text(encoding="utf-8"))}


def unmade(names):
    """Return the pictures that neither a script nor benchmarks/doc_pictures.py makes."""
    return set(names) - {f"{name}.png" for script in SCRIPTS for name in taken(script)} - set(DRAWINGS)


@pytest.mark.parametrize(("script", "number"), SCRIPTS.items())
def test_every_picture_is_there_for_both_themes(script, number):
    names = taken(script)
    assert len(names) == len(set(names)) == number
    for name in names:
        assert all((IMG / f"{name}{suffix}.png").is_file() for suffix in ("", "-dark")), name


def test_every_picture_of_a_page_is_made_by_a_script():
    assert len(shown()) > 20
    assert unmade(shown()) == set()


def test_every_picture_that_a_script_makes_is_shown():
    made = {f"{name}.png" for script in SCRIPTS for name in taken(script)} | set(DRAWINGS)
    assert made - shown() == set()


def test_no_other_pictures_are_kept():
    kept = {re.sub(r"-dark(?=\.png)", "", path.name) for path in IMG.iterdir() if path.suffix != ".json"}
    assert kept == shown()


def test_a_picture_without_a_script_would_be_noticed():
    assert unmade({"card.png", "method-bottleneck.svg", "drawn-by-hand.png"}) == {"drawn-by-hand.png"}


def test_no_picture_is_large():
    assert [path.name for path in IMG.iterdir() if path.stat().st_size > 300_000] == []


@pytest.mark.parametrize("script", ["screenshots", "promotion_pictures"])
def test_a_folder_without_a_model_is_refused(script, tmp_path):
    command = [sys.executable, "-m", f"tools.{script}", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "") and done.stderr.startswith(f"usage: python -m tools.{script}")
