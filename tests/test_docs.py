"""Pages wrap at 100 characters, and their links lead to files and headings that exist."""

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
    "data/*/README.md",
    "docs/*.md",
    "docs/experiments/*.md",
)
CODE_BLOCK = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
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


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them; the code of blocks has no headings."""
    headings = re.findall(r"^#+ (.+)$", CODE_BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    """Return the links of a page whose file or heading does not exist; addresses of the web do not count."""
    dead = []
    for path, anchor in LINK.findall(CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))):
        if "://" in path or path.startswith("mailto:"):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(f"{path}#{anchor}" if anchor else path)
    return dead


@pytest.mark.parametrize(
    "path", sorted({path for pattern in PAGES for path in ROOT.glob(pattern)}), ids=lambda p: p.name
)
def test_links_lead_to_files_and_headings_that_exist(path):
    assert dead_links(path) == []


def test_a_dead_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b`: c\n[x](#a-b-c) [y](#gone) [z](other.md) [w](https://example.org/x#y) [v](page.md#a-b-c)\n"
    )
    assert dead_links(page) == ["#gone", "other.md"]
