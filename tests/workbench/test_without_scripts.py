"""Without scripts each form still works, and each answer is a whole page."""

import re
from html import unescape

import pytest

from sparsecbm.base.json_lines import read_json_lines
from tests.support.browser import text_of, until
from tests.support.workbench_app import listening

pytest.importorskip("selenium.webdriver")

from selenium.webdriver.common.by import By

TEXT = "the food was good and the place was loud"
PAGES = ("/", "/texts", "/compare", "/label", "/corrections", "/patches", "/promotions", "/journal")
KEEP = {"text": TEXT, "read.noise": "loud", "set.noise": "quiet", "author": "Ann", "reason": "irony"}


@pytest.fixture
def correction(ask, workspace):
    """Return the id of a kept correction."""
    ask("POST", "/corrections", data=KEEP)
    return read_json_lines(workspace.state / "corrections.jsonl")[0]["id"]


def addresses(markup):
    """Return (method, address) of all that a page can send, by scripts or by itself."""
    found = {("POST", each) for each in re.findall(r'hx-post="([^"]+)"|formaction="([^"]+)"', markup) for each in each}
    found |= {("GET", each) for each in re.findall(r'hx-get="([^"]+)"', markup)}
    for form in re.findall(r"<form[^>]*>", markup):
        method = "POST" if 'method="post"' in form else "GET"
        found |= {(method, unescape(each)) for each in re.findall(r'action="([^"]+)"', form)}
    return {(method, each) for method, each in found if each}


def test_every_form_answers_a_whole_page(ask, correction):
    ask("POST", "/label/who", whole=True, data={"author": "Ann"})
    ask("POST", "/memory", data={f"pick.{correction}.noise": "quiet", "author": "Ann"})
    sent = set().union(*(addresses(ask("GET", page, whole=True).text) for page in PAGES))
    assert {("POST", "/corrections"), ("POST", "/memory"), ("GET", "/label/export"), ("POST", "/parts")} < sent
    for method, address in sorted(sent):
        fields = {"data": {"text": TEXT, "left": TEXT, "author": "Ann"}} if method == "POST" else {}
        response = ask(method, address, whole=True, **fields)
        assert response.text.startswith("<!doctype html>"), (method, address, response.text[:200])


def test_what_is_kept_and_remembered_is_said_on_a_page_of_its_own(ask, correction, words_of):
    kept = ask("POST", "/corrections", whole=True, data=KEEP)
    assert "Kept as correction" in words_of(kept) and '<a href="/corrections">Back to Corrections</a>' in kept.text
    stored = ask("POST", "/memory", whole=True, data={f"pick.{correction}.noise": "quiet", "author": "Ann"})
    assert "Remembered: noise quiet." in words_of(stored)
    (effects,) = set(re.findall(r'<a href="(/memory/[^"]+)"', stored.text))
    assert "it would change the reading of" in words_of(ask("GET", effects, whole=True))
    assert "No longer remembered." in words_of(ask("POST", effects, whole=True, data={"author": "Ann"}))
    for path, told in (("/words", "By integrated gradients. Solid"), ("/parts", "food"), ("/offers", "Read")):
        page = ask("POST", path, whole=True, data={"text": TEXT})
        assert page.text.startswith("<!doctype html>") and told in words_of(page), path
    assert not ask("POST", "/words", data={"text": TEXT}).text.startswith("<!doctype html>")  # a part for scripts


@pytest.fixture
def plain(browser):
    """Return Chromium without scripts."""
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    yield browser
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def click(browser, selector):
    browser.find_element(By.CSS_SELECTOR, selector).click()


def wait_for(browser, selector, text):
    """Wait until an element holds a text: a click may return before the next page is there."""
    until(browser, lambda: text in text_of(browser, selector))


def test_a_browser_without_scripts_sets_keeps_and_labels(plain, snapshot, workspace, folder):
    with listening(snapshot, workspace, folder.model) as address:
        plain.get(f"{address}/?text=the+food+was+bad")
        assert "The words that matter follow." in text_of(plain, "#words")
        click(plain, "#words button")
        wait_for(plain, "#words", "By integrated gradients.")
        plain.back()
        wait_for(plain, "#words", "The words that matter follow.")
        read = snapshot.model.predict(["the food was bad"])[0].concepts["food"].state
        other = next(state for state in snapshot.model.concept_set["food"].states if state != read)
        click(plain, f"[name='set.food'][value='{other}']")
        click(plain, "#settings noscript button")
        wait_for(plain, "#outcome", f"You set food to {other}")
        click(plain, "#keep summary")
        for name, value in (("author", "Dora"), ("reason", "irony")):
            field = plain.find_element(By.CSS_SELECTOR, f"#keep [name={name}]")
            field.clear()
            field.send_keys(value)
        click(plain, "#keep p button")
        wait_for(plain, "main .verdict", f"food {other}")
        record = read_json_lines(workspace.state / "corrections.jsonl")[-1]
        assert (record["author"], record["concepts"]) == ("Dora", {"food": other})

        plain.get(f"{address}/label")
        text = text_of(plain, "blockquote")
        for name in ("food", "noise"):
            click(plain, f"[name='state.{name}']")
        click(plain, "#question button[value=save]")
        wait_for(plain, "#question [role=status]", "kept: food")
        assert text_of(plain, "blockquote") != text
