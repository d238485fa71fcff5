"""Pages on paper: dark colours are for screens alone, since a browser leaves their ground out when it prints."""

import re

import pytest

from tests.support.project import ROOT

DARK = re.compile(r"(?:@media |media=\")([\w ]*)\(prefers-color-scheme: dark\)")


def dark_rules(text):
    """Return what precedes each condition on the dark theme."""
    return [before.strip() for before in DARK.findall(text)]


@pytest.mark.parametrize("file", ["report/style.css.jinja", "display/card.css.jinja", "report/drift.html.jinja"])
def test_known_pages_have_a_dark_theme(file):
    assert dark_rules((ROOT / "sparsecbm" / file).read_text(encoding="utf-8")) == ["screen and"]


def test_dark_colours_are_for_screens_alone():
    files = [path for path in (ROOT / "sparsecbm").rglob("*") if path.suffix in (".jinja", ".css", ".py")]
    rules = {path.name: dark_rules(path.read_text(encoding="utf-8")) for path in files}
    assert {name: found for name, found in rules.items() if set(found) - {"screen and"}} == {}


def test_a_dark_rule_for_paper_would_be_noticed():
    assert dark_rules("@media (prefers-color-scheme: dark) { a { color: #fff; } }") == [""]
