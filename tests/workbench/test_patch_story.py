"""From two kept corrections to an approved patch, and back, in a real browser."""

import httpx
import pytest

from sparsecbm.workbench.journal import Journal
from tests.support.browser import text_of, until
from tests.support.tiny_tables import annotated
from tests.support.workbench_app import listening, make_workbench_workspace

pytest.importorskip("selenium.webdriver")

from selenium.webdriver.common.by import By

TEXTS = annotated(30, 3)["text"].tolist()[:2]  # of the validation split; food is read as Negative


@pytest.fixture
def site(snapshot, folder, tmp_path):
    """Return a workspace with two corrections, and the address of its running workbench."""
    workspace = make_workbench_workspace(tmp_path / "ws")
    with listening(snapshot, workspace, folder.model) as address:
        for text in TEXTS:
            fields = {"text": text, "set.food": "unknown", "author": "Ann", "reason": "irony"}
            httpx.post(f"{address}/corrections", data=fields, headers={"HX-Request": "true"}).raise_for_status()
        yield workspace, address


def click(browser, selector):
    browser.find_element(By.CSS_SELECTOR, selector).click()


def fill(browser, selector, text):
    field = browser.find_element(By.CSS_SELECTOR, selector)
    field.clear()
    field.send_keys(text)


def test_two_corrections_become_a_patch_that_another_person_approves_and_takes_back(browser, site):
    workspace, address = site
    browser.get(f"{address}/corrections")
    for box in browser.find_elements(By.CSS_SELECTOR, "input[type=checkbox]"):
        box.click()
    fill(browser, ".chosen [name=author]", "Ann")
    fill(browser, ".chosen [name=reason]", "both are ironic")
    click(browser, ".chosen details summary")
    fill(browser, "[name=bits]", "600")
    fill(browser, "[name=max_harm]", "100")
    click(browser, "[formaction='/patches/of-corrections']")
    until(browser, lambda: "in 2 texts" in text_of(browser, "#chosen"))

    click(browser, "#chosen a")
    ended = ("What it costs", "There is no patch")
    until(browser, lambda: any(words in text_of(browser, "#patches") for words in ended))  # without a reload
    assert "2 of 2 are read as unknown" in text_of(browser, "#patches"), text_of(browser, "#patches")
    click(browser, "#patches li > details:nth-of-type(2) > summary")
    assert "annotated:" in text_of(browser, "ul.turned li")

    click(browser, "#patches li > details:last-of-type > summary")
    fill(browser, "#patches [name=author]", "Bea")
    click(browser, "button[value=approve]")
    until(browser, lambda: "Approved by Bea" in text_of(browser, "#patches"))
    assert "sparsecbm promote --patches .sparsecbm/patches/approved" in text_of(browser, "#approved")
    (approved,) = (workspace.patch_requests / "approved").glob("*.patch")

    click(browser, "#patches li > details:last-of-type > summary")
    click(browser, "button[value=withdraw]")
    until(browser, lambda: "Taken back by Bea" in text_of(browser, "#patches"))
    assert text_of(browser, "#approved") == "" and not approved.exists()
    entries = Journal(workspace.state / "workbench.jsonl").entries()
    assert [(entry["action"], entry["by"]) for entry in entries[2:]] == [
        ("ask for a patch", "Ann"), ("approve", "Bea"), ("withdraw", "Bea"),
    ]  # fmt: skip
