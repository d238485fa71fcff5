"""Take pictures of pages in headless Chromium, light and dark, for the scripts that renew docs/img."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from selenium import webdriver

ROOT = Path(__file__).parent.parent
IMG = ROOT / "docs" / "img"
THEMES = {"light": "", "dark": "-dark"}
BOTTOM = "return Math.ceil(document.body.getBoundingClientRect().bottom + scrollY)"


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        name: of the file, without its ending
        address: of the page
        width, height: of the window in pixels; without a height, that of the page
        prepare: what to do on the page first
    """

    name: str
    address: str
    width: int
    height: int | None = None
    prepare: Callable[[Any], None] = lambda driver: None


@contextmanager
def browser() -> Iterator[Any]:
    """Start Chromium without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def take(driver: Any, picture: Picture) -> None:
    """Take a picture in both themes.

    Raises:
        FileNotFoundError: the page does not open.
    """
    for theme, suffix in THEMES.items():
        driver.get("about:blank")  # the page before would follow the new theme, and some take minutes for it
        features = [{"name": "prefers-color-scheme", "value": theme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        show(driver, picture.width, picture.height or 1000)
        driver.get(picture.address)
        if driver.execute_script("return document.body.className") == "neterror":
            raise FileNotFoundError(f"{picture.address} does not open")
        picture.prepare(driver)
        if picture.height is None:
            show(driver, picture.width, driver.execute_script(BOTTOM))
        driver.execute_script("scrollTo(0, 0)")  # an address may lead to a part of the page
        time.sleep(1)
        image = Image.open(BytesIO(driver.get_screenshot_as_png())).convert("RGB")
        # By coverage, since the median leaves out a colour of few points, such as that of one word.
        image.quantize(256, Image.Quantize.MAXCOVERAGE).save(IMG / f"{picture.name}{suffix}.png", optimize=True)
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def show(driver: Any, width: int, height: int) -> None:
    """Give the page a size in pixels."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def wait(driver: Any, script: str, seconds: float = 120) -> None:
    """Wait until a condition of a page holds.

    Raises:
        TimeoutError: it does not within some seconds.
    """
    end = time.monotonic() + seconds
    while not driver.execute_script(f"return {script}"):
        if time.monotonic() > end:
            raise TimeoutError(f"not true within {seconds} s: {script}")
        time.sleep(0.2)
