"""Headless Chromium for tests of pages; a test without it is skipped."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


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
