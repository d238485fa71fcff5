"""Faults of accessibility that axe-core finds in a page: what violates WCAG 2.2 AA."""

from importlib.resources import files
from typing import Any

RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")

_RUN = """
const [rules, done] = arguments;
axe.run(document, {runOnly: {type: "tag", values: rules}, resultTypes: ["violations"]}).then(
  (found) => done(found.violations.flatMap((fault) => fault.nodes.map((node) => `${fault.id}: ${node.html}`))),
  (error) => done([`axe did not run: ${error}`]));
"""


def _find_faults(driver: Any) -> list[str]:
    """Faults of the page at its present width and colours, as `rule: element`."""
    driver.execute_script("for (const part of document.querySelectorAll('details')) part.open = true;")
    driver.execute_script((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    return driver.execute_async_script(_RUN, RULES)


def faults(driver: Any) -> list[str]:
    """Return the faults of the page that is open: light at the width of a desk, and dark at that of a phone.

    Details are opened before.
    """
    found = []
    for scheme, width in (("light", 1100), ("dark", 400)):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        found += [f"{scheme}: {fault}" for fault in _find_faults(driver)]
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    return found
