"""The workbench in a real browser: read, set, edit, correct and label by keyboard; nothing leaves the machine."""

import pytest

from sparsecbm.base.json_lines import read_json_lines
from tests.support.browser import press, read_exactly, requests, text_of, until

pytest.importorskip("selenium.webdriver")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys


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


def test_a_person_picks_a_text_that_was_read_wrongly(browser, site):
    _, address = site
    browser.get(f"{address}/texts")
    browser.find_element(By.CSS_SELECTOR, "select[name=kind] option[value=wrong]").click()
    until(browser, lambda: "labelled:" in text_of(browser, "#list li"))
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


@pytest.mark.parametrize(
    "path", ["/", "/texts", "/compare", "/label", "/corrections", "/patches", "/promotions", "/journal"]
)
def test_a_page_fits_a_phone(browser, site, path):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    browser.get(site[1] + path)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 400
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
