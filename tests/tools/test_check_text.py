"""The check of line ends and file ends."""

import subprocess
import sys

from tests.support.project import ROOT

CHECK = ROOT / "tools" / "check_text.py"


def check(path):
    done = subprocess.run([sys.executable, CHECK, path], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()


def test_a_clean_file_passes(tmp_path):
    path = tmp_path / "clean.md"
    path.write_text("A title\n=======\n\nA line.\n")
    assert check(path) == (0, [])


def test_the_report_names_each_fault_with_its_line(tmp_path):
    path = tmp_path / "faulty.md"
    path.write_text("A line. \n<<<<<<< HEAD\nThe last line")
    assert check(path) == (
        1,
        [
            f"{path}:1: spaces at the end of the line",
            f"{path}:2: a mark of a merge conflict",
            f"{path}:3: no newline at the end of the file",
        ],
    )


def test_an_empty_line_at_the_end_is_a_fault(tmp_path):
    path = tmp_path / "long.md"
    path.write_text("A line.\n\n")
    assert check(path) == (1, [f"{path}:2: an empty line at the end of the file"])
