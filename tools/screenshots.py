"""Renew the pictures of the card, the report and the workbench from a trained workspace, in a real browser.

Usage: python tools/screenshots.py WORKSPACE   WORKSPACE is a folder in which the pipeline has run.

Writes docs/img/NAME.png and NAME-dark.png, and docs/img/card.json, the explanation of the first picture. The workspace
is copied first, so nothing in it changes. docs/explanations.md quotes the card: tests/display/test_docs.py names the
figures on the page that are no longer on it. Needs chromium and chromedriver, and the extras `serve` and `test`.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

ROOT = Path(__file__).parent.parent
IMG = ROOT / "docs" / "img"
TEXT = "The ramen was superb, though you could hardly hear yourself think."
MISREAD = "In short, the ingredients seemed cheap and past their best. The entrance is on the side street."
LATER = "The ramen was superb, and you could hear yourself think."
PARTS = ("data/annotated", "data/validated", "models", "metrics", "reports", "params.yaml", "dvc.yaml")
THEMES = {"light": "", "dark": "-dark"}


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
    """Take a picture in both themes."""
    for theme, suffix in THEMES.items():
        features = [{"name": "prefers-color-scheme", "value": theme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        driver.set_window_size(picture.width, picture.height or 1000)
        driver.get(picture.address)
        picture.prepare(driver)
        height = picture.height or driver.execute_script("return document.documentElement.scrollHeight")
        metrics = {"width": picture.width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        time.sleep(1)
        image = Image.open(BytesIO(driver.get_screenshot_as_png())).convert("RGB")
        image.quantize(256).save(IMG / f"{picture.name}{suffix}.png", optimize=True)
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


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


def run(workspace: Path, *arguments: str) -> None:
    """Run a command of this source in a workspace."""
    command = [sys.executable, "-m", "sparsecbm", *arguments]
    subprocess.run(command, cwd=workspace, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)


@contextmanager
def workbench(workspace: Path) -> Iterator[str]:
    """Run the workbench on a free port, and give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "sparsecbm", "workbench", "--no-browser", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        command, cwd=workspace, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert server.stdout is not None
        (address,) = re.findall(r"http\S+/", server.stdout.readline())
        yield address
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def exact_words(driver: Any) -> None:
    """Wait until the workbench shows the words by integrated gradients."""
    wait(driver, "document.querySelector('#words')?.innerText.includes('By integrated gradients.')")


def compared(driver: Any) -> None:
    """Wait until the words of both sides are there."""
    wait(driver, "document.querySelector('main')?.innerText.includes('By integrated gradients.')")


def make_patch(driver: Any, address: str) -> None:
    """Correct a text on the workbench, ask for a patch of it, and let another person approve it."""
    driver.get(f"{address}?text={quote(MISREAD)}")
    exact_words(driver)
    driver.find_element("css selector", "[name='set.food'][value='Negative']").click()
    wait(driver, "document.querySelector('#outcome')?.innerText.includes('You set food to Negative')")
    for keys in ("c", "Ann", Keys.TAB, "stale ingredients", Keys.ENTER):
        driver.switch_to.active_element.send_keys(keys)
    wait(driver, "document.querySelector('#kept')?.innerText.includes('Kept as correction')")
    driver.get(f"{address}corrections")
    driver.find_element("css selector", "input[type=checkbox]").click()
    driver.find_element("css selector", ".chosen [name=reason]").send_keys("stale ingredients")
    driver.find_element("css selector", "[formaction='/patches/of-corrections']").click()
    wait(driver, "document.querySelector('#chosen a')")
    driver.find_element("css selector", "#chosen a").click()
    wait(driver, "document.querySelector('#patches')?.innerText.includes('What it costs')", seconds=900)


def approve(driver: Any, address: str) -> None:
    """Let another person approve the patch."""
    driver.get(f"{address}patches")
    driver.find_element("css selector", "#patches li > details:last-of-type > summary").click()
    author = driver.find_element("css selector", "#patches [name=author]")
    author.clear()  # the browser remembers who wrote last
    author.send_keys("Bea")
    driver.find_element("css selector", "button[value=approve]").click()
    wait(driver, "document.querySelector('#patches')?.innerText.includes('Approved by Bea')")


def main(workspace: Path) -> None:
    """Take all pictures."""
    with tempfile.TemporaryDirectory(prefix="sparsecbm-pictures-") as folder, browser() as driver:
        copy = Path(folder) / "workspace"
        for part in PARTS:
            target = copy / part
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (workspace / part).is_dir() else shutil.copyfile)(workspace / part, target)
        run(copy, "explain", "models/sparse", "--text", TEXT, "--html", "card.html")
        run(copy, "explain", "models/sparse", "--text", TEXT, "--json", "card.json")
        shutil.copyfile(copy / "card.json", IMG / "card.json")
        take(driver, Picture("card", (copy / "card.html").as_uri(), 820))
        take(driver, Picture("card-label", (copy / "card.html").as_uri(), 820, 412))
        take(driver, Picture("report", (copy / "reports" / "index.html").as_uri(), 1000, 1080))
        with workbench(copy) as address:
            text, later = quote(TEXT), quote(LATER)
            take(driver, Picture("workbench-read", f"{address}?text={text}", 960, prepare=exact_words))
            sides = f"{address}compare?left={text}&right={later}"
            take(driver, Picture("workbench-compare", sides, 1280, prepare=compared))
            make_patch(driver, address)
            take(driver, Picture("workbench-patch", driver.current_url, 960))
            approve(driver, address)
            take(driver, Picture("workbench-journal", f"{address}journal", 960, 525))


if __name__ == "__main__":
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "models" / "sparse").is_dir():
        sys.exit("usage: python tools/screenshots.py WORKSPACE, a folder in which the pipeline has run")
    main(Path(sys.argv[1]).resolve())
