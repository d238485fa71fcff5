"""Pages wrap at 100 characters, so that they read well in an editor and differ line by line in git."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WIDTH = 100
# Patterns of the pages that are wrapped already. Once all are, this is README.md, CONTRIBUTING.md and docs/**/*.md.
PAGES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "data/restaurants/README.md",
    "docs/*.md",
    "docs/experiments/*.md",
)
CODE_BLOCK = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK_TARGET = re.compile(r"\]\([^)]*\)|https?://\S+")


def find_long_lines(text: str) -> list[str]:
    """Return the lines that are too long; tables, pictures, code blocks and the targets of links do not count."""
    prose = CODE_BLOCK.sub("", text)
    lines = [line for line in prose.splitlines() if not line.startswith(("|", "!["))]
    return [line for line in lines if len(LINK_TARGET.sub("", line)) > WIDTH]


def test_every_pattern_names_a_page():
    assert [pattern for pattern in PAGES if not any(ROOT.glob(pattern))] == []


@pytest.mark.parametrize(
    "path", sorted({path for pattern in PAGES for path in ROOT.glob(pattern)}), ids=lambda p: p.name
)
def test_a_page_wraps_at_100_characters(path):
    assert find_long_lines(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("line", "too_long"),
    [
        ("a" * 100, False),
        ("a" * 101, True),
        ("| " + "a" * 200 + " |", False),
        ("[a page](" + "a" * 100 + ".md)", False),
        ("see https://example.org/" + "a" * 100, False),
        ("[" + "a" * 101 + "](b.md)", True),
        ("```sh\n" + "a" * 200 + "\n```", False),
        ("![" + "a" * 200 + "](b.png)", False),
    ],
)
def test_tables_and_link_targets_may_be_longer(line, too_long):
    assert bool(find_long_lines(line)) is too_long
