"""Headless Chromium for tests of pages; a test without it is skipped."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

WAIT = 60  # seconds
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--window-size=1100,900",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextmanager
def chromium(profile: Path, *flags: str, logs: bool = False) -> Iterator[Any]:
    """Start Chromium with an empty profile, and end it.

    Args:
        logs: whether it logs its console and every request
    """
    webdriver = pytest.importorskip("selenium.webdriver")
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("no chromium and chromedriver on PATH: `apt-get install chromium chromium-driver` brings them")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for flag in (*flags, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    if logs:
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(programs[1]))
    try:
        yield driver
    finally:
        driver.quit()


def requests(driver: Any) -> list[str]:
    """Return the address of every request since the log was read last; `driver` logs."""
    events = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]


def until(driver: Any, ready: Callable[[], Any]) -> Any:
    """Wait until something is true of a page, and return it."""
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(driver, WAIT, 0.1).until(lambda _: ready())


def text_of(driver: Any, selector: str) -> str:
    """Return the text of an element; a swap may replace it meanwhile."""
    return driver.execute_script("return document.querySelector(arguments[0])?.innerText ?? ''", selector)


def read_exactly(driver: Any) -> None:
    """Wait until the page of a text shows the exact words."""
    until(driver, lambda: "By integrated gradients." in text_of(driver, "#words"))


def press(driver: Any, *keys: str) -> None:
    """Press keys where the focus is."""
    for key in keys:
        driver.switch_to.active_element.send_keys(key)
