"""The workbench in a real browser: read, set, edit, correct and label by keyboard; nothing leaves the machine."""

import json
import threading
import time

import pytest
import uvicorn

from sparsecbm.base.json_lines import read_json_lines
from tests.support.browser import chromium
from tests.support.tiny_pipeline import free_port
from tests.support.workbench_app import make_workbench_workspace, workbench_app

pytest.importorskip("selenium.webdriver")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--window-size=1100,900",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
WAIT = 60  # seconds


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Return headless Chromium with an empty profile; it logs its console and every request."""
    with chromium(tmp_path_factory.mktemp("profile"), *FLAGS, logs=True) as driver:
        yield driver


@pytest.fixture(scope="module")
def site(snapshot, folder, tmp_path_factory):
    """Return a workspace and the address of its running workbench."""
    workspace, port = make_workbench_workspace(tmp_path_factory.mktemp("site") / "ws"), free_port()
    app = workbench_app(snapshot, workspace, folder.model, port)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, server_header=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield workspace, f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def until(browser, ready):
    return WebDriverWait(browser, WAIT).until(lambda driver: ready())


def text_of(browser, selector):
    """Return the text of an element; a swap may replace it meanwhile."""
    return browser.execute_script("return document.querySelector(arguments[0])?.innerText ?? ''", selector)


def read_exactly(browser):
    until(browser, lambda: "By integrated gradients." in text_of(browser, "#words"))


def press(browser, *keys):
    for key in keys:
        browser.switch_to.active_element.send_keys(key)


def test_a_person_reads_sets_edits_and_corrects_by_keyboard(browser, site, snapshot):
    workspace, address = site
    browser.get(f"{address}/?text=the+food+was+good")
    browser.get_log("browser"), browser.get_log("performance")
    browser.refresh()
    read_exactly(browser)
    food = snapshot.model.predict(["the food was good"])[0].concepts["food"].state
    states = snapshot.model.concept_set["food"].states
    number = next(index for index, state in enumerate(states) if state != food)
    press(browser, "j", str(number + 1))
    until(browser, lambda: f"You set food to {states[number]}" in text_of(browser, "#outcome"))
    assert browser.switch_to.active_element.get_attribute("name") == "set.food"  # the swap took no focus
    until(browser, lambda: f"food {states[number]}" in text_of(browser, "#words"))
    press(browser, "c")
    press(browser, "Ann", Keys.TAB, "irony", Keys.ENTER)
    until(browser, lambda: f"food {states[number]}" in text_of(browser, "#kept"))
    assert [record["concepts"] for record in read_json_lines(workspace.state / "corrections.jsonl")] == [
        {"food": states[number]}
    ]

    text = browser.find_element(By.ID, "text")
    text.send_keys(Keys.END, " and slow")
    until(browser, lambda: "the food was good and slow" in text_of(browser, "#words"))
    read_exactly(browser)
    assert browser.switch_to.active_element == text

    faults = [entry["message"] for entry in browser.get_log("browser")]
    assert faults == []
    assert {url for url in requests(browser) if not url.startswith((address, "chrome:", "data:"))} == set()


def requests(browser):
    """Return the address of every request since the log was read last."""
    events = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]


def test_a_person_picks_a_text_that_was_read_wrongly(browser, site):
    _, address = site
    browser.get(f"{address}/texts")
    browser.find_element(By.CSS_SELECTOR, "select[name=kind] option[value=wrong]").click()
    until(browser, lambda: "people:" in text_of(browser, "#list li"))
    picked = text_of(browser, "#list button.text")
    browser.find_element(By.CSS_SELECTOR, "#list button.text").click()
    read_exactly(browser)
    assert browser.find_element(By.ID, "text").get_attribute("value") == picked


def test_a_person_labels_by_keyboard(browser, site):
    _, address = site
    browser.get(f"{address}/label")
    for field in browser.find_elements(By.NAME, "author"):
        field.send_keys("Ann", Keys.ENTER)
    until(browser, lambda: text_of(browser, "blockquote"))
    first = text_of(browser, "blockquote")
    press(browser, "1", "2", Keys.ENTER)
    until(browser, lambda: "kept:" in text_of(browser, "#question [role=status]"))
    assert text_of(browser, "blockquote") != first
    press(browser, "u")
    until(browser, lambda: "taken back:" in text_of(browser, "#question [role=status]"))
    assert text_of(browser, "blockquote") == first


@pytest.mark.parametrize("path", ["/", "/texts", "/label", "/corrections", "/patches"])
def test_a_page_fits_a_phone(browser, site, path):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    browser.get(site[1] + path)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 400
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
