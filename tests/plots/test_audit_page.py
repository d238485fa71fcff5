"""The page for auditors stays one page, whatever the names and the number of concepts."""

from contextlib import contextmanager

import pytest

from sparsecbm.plots import audit
from sparsecbm.plots.audit import AuditedScore, draw_audit_page
from sparsecbm.plots.style import figure

LONG = ", ".join(f"a concept with a longer name {number}" for number in range(100))
FACTS, ANSWERS, LIMITS = 6, 7, 4


def scores(count: int) -> list[AuditedScore]:
    return [AuditedScore(f"concept {number}", 0.8, (0.7, 0.9), 0.4, 0.5, 0.79) for number in range(count)]


@pytest.fixture
def pages(monkeypatch):
    """Return the list of the pages that are drawn."""
    drawn = []

    @contextmanager
    def recorded(*arguments):
        with figure(*arguments) as page:
            drawn.append(page)
            yield page

    monkeypatch.setattr(audit, "figure", recorded)
    return drawn


def draw(pages, tmp_path, text: str, count: int):
    findings = [(text, text)] * ANSWERS
    draw_audit_page(tmp_path / "a.pdf", text, [("fact", text)] * FACTS, scores(count), findings, [text] * LIMITS)
    return pages[-1]


def boxes(page):
    """The boxes of all texts of the page itself, in shares of the page."""
    return [text.get_window_extent().transformed(page.transFigure.inverted()) for text in page.texts]


@pytest.mark.parametrize(("text", "count"), [("short", 3), ("short", 60), (LONG, 2), (LONG, 60)])
def test_all_texts_are_on_the_page_and_above_each_other(pages, tmp_path, text, count):
    page = draw(pages, tmp_path, text, count)
    assert min(box.y0 for box in boxes(page)) > 0 and max(box.x1 for box in boxes(page)) < 1
    (axes,) = page.axes
    below = [box for box in boxes(page) if box.y1 <= axes.get_position().y0]
    above = [box for box in boxes(page) if box.y0 >= axes.get_position().y1]
    more = count > len(axes.get_yticks())
    assert len(above) == 2 + 2 * FACTS + 1 and len(below) == more + 1 + 2 * ANSWERS + 1 + LIMITS
    assert any("more concepts: see the report" in drawn.get_text() for drawn in page.texts) == more


def test_scores_give_way_to_texts(pages, tmp_path):
    few, many = (len(draw(pages, tmp_path, text, 60).axes[0].get_yticks()) for text in (LONG, "short"))
    assert (few, many) == (2, audit.MOST)


def test_texts_without_a_limit_would_leave_the_page(pages, tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "LINES", None)
    assert min(box.y0 for box in boxes(draw(pages, tmp_path, LONG, 60))) < 0


def test_dollars_in_names_are_letters(tmp_path):
    draw_audit_page(tmp_path / "a.pdf", "$5 or $^{$", [("price $^{$", "$")], scores(1), [("$^{$", "$^{$")], ["$^{$"])
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
