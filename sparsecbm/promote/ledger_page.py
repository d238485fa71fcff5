"""The HTML page of a promotion: verdict, reasons and every gate on one screen."""

import re

from jinja2 import PackageLoader
from markupsafe import Markup, escape

from sparsecbm.promote.ledger import Ledger
from sparsecbm.report.render import render

CODE = re.compile(r"`([^`]+)`")


def ledger_page(ledger: Ledger) -> str:
    """The whole page; it depends on the ledger alone."""
    filters = {"code_spans": code_spans, "after_dots": after_dots}
    return render("ledger.html.jinja", loader=PackageLoader("sparsecbm", "promote"), filters=filters, ledger=ledger)


def code_spans(text: str) -> Markup:
    """Show what stands between backticks as code, since the same sentences are Markdown elsewhere."""
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(text))))


def after_dots(name: str) -> Markup:
    """Let a long name break after its dots, and not within a word."""
    return escape(name).replace(".", Markup(".<wbr>"))
