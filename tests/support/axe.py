"""Faults of accessibility that axe-core finds in a page."""

from importlib.resources import files
from typing import Any

RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")

_RUN = """
const [rules, done] = arguments;
axe.run(document, {runOnly: {type: "tag", values: rules}, resultTypes: ["violations"]}).then(
  (found) => done(found.violations.flatMap((fault) => fault.nodes.map((node) => `${fault.id}: ${node.html}`))),
  (error) => done([`axe did not run: ${error}`]));
"""


def find_faults(driver: Any) -> list[str]:
    """Return what violates WCAG 2.2 AA in the page that a browser shows, as `rule: element`. Details are opened."""
    driver.execute_script("for (const part of document.querySelectorAll('details')) part.open = true;")
    driver.execute_script((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    return driver.execute_async_script(_RUN, RULES)
