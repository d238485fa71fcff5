"""The HTML page of a promotion: verdict, reasons and every gate on one screen."""

from jinja2 import PackageLoader

from sparsecbm.promote.ledger import Ledger
from sparsecbm.report.render import render


def ledger_page(ledger: Ledger) -> str:
    """The whole page; it depends on the ledger alone."""
    return render("ledger.html.jinja", loader=PackageLoader("sparsecbm", "promote"), ledger=ledger)
