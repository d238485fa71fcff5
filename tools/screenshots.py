"""Renew the pictures of the card, the report and the workbench from a trained workspace, in a real browser.

Usage: python -m tools.screenshots WORKSPACE   WORKSPACE is a folder in which the pipeline has run.

Writes docs/img/NAME.png and NAME-dark.png, and docs/img/card.json, the explanation of the first picture. The workspace
is copied first, so nothing in it changes. docs/explanations.md quotes the card: tests/display/test_docs.py names the
figures on the page that are no longer on it. Needs chromium and chromedriver, and the extras `serve` and `test`.
"""

import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from selenium.webdriver.common.keys import Keys

from tools.browser import IMG, ROOT, Picture, browser, take, wait
from tools.commands import environment, run

TEXT = "The ramen was superb, though you could hardly hear yourself think."
MISREAD = "In short, the ingredients seemed cheap and past their best. The entrance is on the side street."
LATER = "The ramen was superb, and you could hear yourself think."
PARTS = ("data/annotated", "data/validated", "models", "metrics", "reports", "params.yaml", "dvc.yaml")


@contextmanager
def workbench(workspace: Path) -> Iterator[str]:
    """Run the workbench on a free port, and give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "sparsecbm", "workbench", "--no-browser", "--port", str(port)]
    server = subprocess.Popen(
        command,
        cwd=workspace,
        env=environment(PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
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
        for form in ("html", "json"):
            explain = ("explain", "models/sparse", "--text", TEXT, f"--{form}", f"card.{form}")
            run(copy, "sparsecbm", *explain, PYTHONPATH=str(ROOT))
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
        sys.exit("usage: python -m tools.screenshots WORKSPACE, a folder in which the pipeline has run")
    main(Path(sys.argv[1]).resolve())
