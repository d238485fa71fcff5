"""The page of a promotion: verdict, reasons and every gate on one screen."""

from typing import TYPE_CHECKING

from sparsecbm.report.pages import render

if TYPE_CHECKING:
    from sparsecbm.promote.ledger import Ledger

PAGE = "promotion.html"  # among the reports; it is about the version that was judged last


def ledger_page(ledger: "Ledger") -> str:
    """The whole page as HTML; a function of the ledger alone."""
    return render("ledger.html.jinja", ledger=ledger)
