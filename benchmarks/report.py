"""The report in a real browser: its size, and how long it takes to open, filter and show a card.

    python benchmarks/report.py --explanations reports/explanations/explanations.jsonl [--texts 60 1000] [--runs 5]

Explained texts give the cards and repeat until there are enough. Figures and plots come from the workspace. Each run
starts a new headless Chromium with an empty profile, by chromedriver. `loaded` is the browser's own time from the start
of the navigation to the end of the load event. `ready` is the clock time from the request of the page until a filter is
set and the page shows the number of remaining texts.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from sparsecbm.base.files import read_json, write_json
from sparsecbm.base.workspace import Workspace
from sparsecbm.explain.explanation import Explanation
from sparsecbm.report.embedded_plots import read_plots
from sparsecbm.report.index_page import index_page
from sparsecbm.report.run_page import SHOWN

RESULTS = Path(__file__).parent / "results" / "report.json"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
# Opens the first card; returns the milliseconds until the frame that shows it.
OPEN_CARD = """
const done = arguments[0], start = performance.now(), card = document.querySelector(".card");
const answer = () => done(performance.now() - start);
card.addEventListener("toggle", () => requestAnimationFrame(() => requestAnimationFrame(answer)));
card.open = true;
"""


def assemble(workspace: Workspace, explanations: list[Explanation], texts: int) -> tuple[str, float]:
    """Return the page with a number of cards, and the seconds that it takes to make."""
    chosen = [explanations[index % len(explanations)] for index in range(texts)]
    metrics = {stage: read_json(workspace.metrics(stage)) for stage in SHOWN if workspace.metrics(stage).is_file()}
    started = time.perf_counter()
    plots = {stage: read_plots(workspace.plots / stage) for stage in SHOWN}
    return index_page("benchmark", metrics, plots, chosen), time.perf_counter() - started


def opened(page: Path) -> dict[str, float]:
    """Open the page once in a new browser; return the times in milliseconds."""
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            browser.get("about:blank")
            started = time.perf_counter()
            browser.get(page.as_uri())
            Select(browser.find_element(By.NAME, "error")).select_by_value("wrong")
            assert " of " in browser.find_element(By.ID, "count").text
            ready = (time.perf_counter() - started) * 1000
            took = "const t = performance.getEntriesByType('navigation')[0]; return [t.domInteractive, t.loadEventEnd]"
            interactive, loaded = browser.execute_script(took)
            card = browser.execute_async_script(OPEN_CARD)
            return {"interactive": interactive, "loaded": loaded, "ready": ready, "card": card}
        finally:
            browser.quit()


def main() -> None:
    """Measure each number of texts, then print bytes, and the median and maximum of the runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--explanations", type=Path, required=True)
    parser.add_argument("--workspace", type=Path, default=Path.cwd(), help="whose metrics/ and plots/ go into the page")
    parser.add_argument("--texts", type=int, nargs="+", default=[60, 1000])
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        sys.exit("chromium and chromedriver are not on PATH: `apt-get install chromium chromium-driver` brings them")
    with open(arguments.explanations, encoding="utf-8") as lines:
        explanations = [Explanation.from_dict(json.loads(line)) for line in lines]
    results = {"distinct": len(explanations), "runs": arguments.runs, "by_texts": {}}
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "index.html"
        for texts in arguments.texts:
            html, seconds = assemble(Workspace(arguments.workspace.resolve()), explanations, texts)
            page.write_text(html, encoding="utf-8")
            runs = [opened(page) for _ in range(arguments.runs)]
            times = {key: sorted(run[key] for run in runs) for key in runs[0]}
            figures = results["by_texts"][str(texts)] = {
                "bytes": page.stat().st_size,
                "assembled_seconds": round(seconds, 2),
                "milliseconds": {key: [round(each) for each in values] for key, values in times.items()},
            }
            print(f"{texts:5} texts: {figures['bytes'] / 1e6:.1f} MB, made in {seconds:.1f} s; "
                  + ", ".join(f"{key} {statistics.median(values):.0f} ms (worst {values[-1]:.0f})"
                              for key, values in times.items()) + f"; load {os.getloadavg()[0]:.1f}")  # fmt: skip
    write_json(RESULTS, results)


if __name__ == "__main__":
    main()
