"""docs/explanations.md walks through a card; what it quotes is on the card of that explanation, docs/img/card.json."""

import html
import json
import re

from sparsecbm.base.workspace import Workspace
from sparsecbm.display.card import page
from sparsecbm.explain.explanation import Explanation

DOCS = Workspace.find().root / "docs"
SECTION = re.compile(r"## A card, line by line\n(.*?)\n## ", re.DOTALL)


def card_text():
    """Return the explanation of the docs, and the words of its card."""
    explanation = Explanation.from_dict(json.loads((DOCS / "img" / "card.json").read_text(encoding="utf-8")))
    body = re.sub(r"<style>.*?</style>", "", page([explanation]), flags=re.DOTALL)
    return explanation, re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", body)))


def quoted(text):
    """Return the phrases in italics, and the figures of two decimals without their signs."""
    prose = re.sub(r"`[^`]*`", "", text)
    figures = re.findall(r"(?<![\d.])\d+\.\d\d(?!\d)", prose)
    phrases = re.findall(r"(?<!\*)(?:\*|\*{3})([^*]+?)\*(?!\*)", prose.replace("***", "*").replace("**", "§"))
    return [re.sub(r"\s+", " ", phrase) for phrase in phrases], figures


def missing(section):
    _, words = card_text()
    phrases, figures = quoted(section)
    known = set(re.findall(r"\d+\.\d\d(?!\d)", words))
    # Conditions that do not hold for this text are named, too.
    conditional = {"as annotated", "Outside words"}
    absent = [phrase for phrase in phrases if phrase.lower() not in words.lower() and phrase not in conditional]
    return absent + [figure for figure in figures if figure not in known]


def test_what_the_page_quotes_is_on_the_card():
    section = SECTION.search((DOCS / "explanations.md").read_text(encoding="utf-8")).group(1)
    phrases, figures = quoted(section)
    assert {"rating: 4", "48% sure", "Completeness gap", "hear"} <= set(phrases)
    assert {"1.85", "0.69", "2.04", "3.62"} <= set(figures)
    assert missing(section) == []


def test_an_older_card_would_be_noticed():
    assert missing("*rating: 4*, *70% sure*. *food: Positive* adds 4.48.") == ["70% sure", "4.48"]


def test_the_commands_of_the_page_name_the_text_of_the_card():
    explanation, _ = card_text()
    assert (DOCS / "explanations.md").read_text(encoding="utf-8").count(explanation.text) == 2
