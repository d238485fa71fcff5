"""docs/operations.md lists only messages that are in the code."""

import re

import pytest

from tests.support.tiny_pipeline import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
PLACEHOLDERS = re.compile(r"\.\.\.|\bNAME\b|\bN\b")


@pytest.mark.parametrize(
    ("heading", "rows"),
    [("| you see | it means | what comes of it | do |", 31), ("| you see | it means | do |", 9)],
    ids=["promotion", "general"],
)
def test_every_listed_message_is_in_the_code(heading, rows):
    code = "\n".join(path.read_text() for folder in ("sparsecbm", "flows") for path in (ROOT / folder).rglob("*.py"))
    code = re.sub(r'"\s*\n\s*f?"', "", code)  # join the parts of a long message
    table = PAGE.partition(heading)[2].partition("\n\n")[0]
    first_cells = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `")]
    assert len(first_cells) == rows
    for cell in first_cells:
        for message in re.findall("`([^`]+)`", cell):
            for part in filter(None, map(str.strip, PLACEHOLDERS.split(message))):
                assert part in code, (message, part)
