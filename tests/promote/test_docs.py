"""docs/operations.md: every message that it lists is one that the code gives."""

import re

from tests.support.tiny_pipeline import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
PLACES = re.compile(r"\.\.\.|\bNAME\b|\bN\b")  # what stands for something else


def test_every_message_is_given_somewhere():
    code = "\n".join(path.read_text() for folder in ("sparsecbm", "flows") for path in (ROOT / folder).rglob("*.py"))
    code = re.sub(r'"\s*\n\s*f?"', "", code)  # a message that goes on in the next line
    table = PAGE.partition("| you see | it means | what comes of it | do |")[2].partition("\n\n")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    assert len(rows) > 20
    for messages, *_ in rows:
        for message in re.findall("`([^`]+)`", messages):
            for part in filter(None, map(str.strip, PLACES.split(message))):
                assert part in code, (message, part)
