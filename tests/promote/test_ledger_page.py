"""The page with the verdict on a promotion, and the links between it and the report."""

from dataclasses import replace

from sparsecbm.base.workspace import Workspace
from sparsecbm.promote.ledger import Ledger, Row
from sparsecbm.promote.ledger_page import ledger_page
from sparsecbm.report.index_page import index_page
from tests.support import report_inputs
from tests.support.html_page import Page

HELD = Row("faithfulness", "explain:x", "failed", "hold", 0.25, 0.5, -0.25, (-0.375, -0.125), reason="<b>less</b>")
LEDGER = Ledger("reader", 2, 1, "test", "c" * 64, 1709, (HELD,), ("a note",), "hold")


def test_verdict_reasons_and_every_gate_are_on_the_page():
    page = Page(ledger_page(LEDGER))
    text = " ".join(" ".join(page.texts).split())
    for part in ("Version 2 of reader", "HOLD", "version 1, the champion", "1,709 texts", "c" * 12, "a note"):
        assert part in text
    assert "failed (hold) 0.250 0.500 -0.250 -0.375 to -0.125" in text
    assert "faithfulness (explain:x): <b>less</b>" in text and not page.find("b"), "a reason stays text"


def test_without_a_champion_there_are_no_empty_columns():
    first = Row("size", "size_mb", "passed", value=93.5, wanted="at most 500")
    text = " ".join(" ".join(Page(ledger_page(replace(LEDGER, champion=None, rows=(first,)))).texts).split())
    assert "Gate Figure Outcome Challenger Condition size size_mb passed 93.500 at most 500" in text
    compared = " ".join(" ".join(Page(ledger_page(LEDGER)).texts).split())
    assert "Outcome Challenger Champion Better by 95 % Condition" in compared


def test_code_is_marked_and_a_long_name_breaks_after_its_dots():
    html = ledger_page(replace(LEDGER, notes=("another split `test`; <i>both</i>",)))
    assert "another split <code>test</code>; &lt;i&gt;both&lt;/i&gt;" in html
    dotted = replace(HELD, figure="concepts.<b>.accuracy")
    html = ledger_page(replace(LEDGER, rows=(dotted,)))
    assert "<code>concepts.<wbr>&lt;b&gt;.<wbr>accuracy</code>" in html


def test_the_report_and_the_verdict_link_to_each_other(tmp_path):
    workspace = Workspace(tmp_path)
    report = Page(index_page("restaurants", report_inputs.metrics(), {}, report_inputs.explanations()))
    assert workspace.promotion_page.parent == workspace.report.parent, "they lie side by side"
    assert report.find("a", href=workspace.promotion_page.name) and Page(ledger_page(LEDGER)).find(
        "a", href=workspace.report.name
    )
