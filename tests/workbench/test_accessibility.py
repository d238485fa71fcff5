"""Every page follows WCAG 2.2 AA, light and dark; none asks another machine; the keyboard is enough."""

import shutil
from urllib.parse import quote

import httpx
import pytest

from sparsecbm.base.files import write_json
from sparsecbm.base.json_lines import read_json_lines
from sparsecbm.intervene.remedies import Remedies, Remedy, StateChange, TextChange
from sparsecbm.workbench.patch_request import PatchRequest
from tests.support.axe import faults
from tests.support.browser import press, read_exactly, requests, text_of, until
from tests.support.workbench_app import listening, make_workbench_workspace

pytest.importorskip("axe_playwright_python")
pytest.importorskip("selenium.webdriver")

from selenium.webdriver.common.keys import Keys

TEXT = "the food was good and the place was loud"
PAGES = {
    "read": "/?text=" + quote(TEXT),
    "texts": "/texts?kind=wrong",
    "label": "/label",
    "corrections": "/corrections",
    "patches": "/patches",
    "compare": "/compare?left=" + quote(TEXT) + "&right=" + quote("the food was bad"),
    "promotions": "/promotions",
    "journal": "/journal",
    "fault": "/texts?kind=odd",
}
BAD = "data:text/html,<html lang=en><title>Bad</title><p style='color:%23bbb'>pale</p><button></button></html>"


@pytest.fixture(scope="module")
def furnished(snapshot, folder, tmp_path_factory):
    """Return the address of a workbench that has something to show on every page."""
    workspace = make_workbench_workspace(tmp_path_factory.mktemp("furnished") / "ws")
    plant_patches(workspace, folder)
    with listening(snapshot, workspace, folder.model) as address:
        fields = {"text": TEXT, "read.noise": "loud", "set.noise": "quiet", "author": "Ann", "reason": "irony"}
        htmx = {"HX-Request": "true"}
        httpx.post(f"{address}/corrections", data=fields, headers=htmx).raise_for_status()
        (record,) = read_json_lines(workspace.state / "corrections.jsonl")
        pick = {f"pick.{record['id']}.noise": "quiet", "author": "Ann"}
        httpx.post(f"{address}/memory", data=pick, headers=htmx).raise_for_status()
        yield address


def plant_patches(workspace, folder):
    """Put a patch with the texts that it changes, and one that could not be made, into a workspace."""
    for name in ("made", "failed"):
        job = workspace.patch_requests / name
        job.mkdir(parents=True)
        PatchRequest((TEXT,), "food", "Negative", "Ann", "irony", id=name).save(job / "request.json")
    shutil.copyfile(next(folder.patches.glob("*.patch")), workspace.patch_requests / "made" / "made.patch")
    turns = StateChange("Positive", "Positive", "Negative"), StateChange("1", "3", "1")
    change = TextChange(TEXT, *turns)
    kinds = ("patch", "edit", "memory", "head")
    remedies = [Remedy(kind, 0.95, 1, 1, 0, 0, 1, (change,), (change,), 0.02) for kind in kinds]
    write_json(workspace.patch_requests / "made" / "remedies.json", Remedies("food", "x", 9, tuple(remedies)).to_dict())
    (workspace.patch_requests / "failed" / "fault.txt").write_text("no bits help")


def open_page(browser, address):
    """Open a page as whoever labels."""
    browser.get(address)
    if "author" not in {cookie["name"] for cookie in browser.get_cookies()}:
        browser.add_cookie({"name": "author", "value": "Ann", "sameSite": "Strict"})
        browser.get(address)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_follows_the_guidelines(browser, furnished, name):
    open_page(browser, furnished + PAGES[name])
    if name == "read":
        read_exactly(browser)
        press(browser, "j", "3")
        until(browser, lambda: "You set" in text_of(browser, "#outcome"))
    if name == "compare":
        read_exactly(browser)
    browser.execute_script("for (const part of document.querySelectorAll('details')) part.open = true")
    assert faults(browser) == []


def test_the_form_that_asks_for_a_name_follows_the_guidelines(browser, furnished):
    browser.delete_all_cookies()
    browser.get(f"{furnished}/label")
    assert "Your name" in text_of(browser, "main") and faults(browser) == []


def test_faults_of_a_page_are_found(browser):
    browser.get(BAD)
    assert {fault.split(": ")[1] for fault in faults(browser)} == {"color-contrast", "button-name"}


def test_no_page_asks_another_machine(browser, furnished):
    requests(browser)
    for path in PAGES.values():
        open_page(browser, furnished + path)
    asked = requests(browser)
    assert {f"{furnished}{path}" for path in PAGES.values()} < set(asked)
    assert foreign(asked, furnished) == []


def test_a_request_to_another_machine_is_seen(browser, furnished):
    requests(browser)
    browser.get("data:text/html,<title>x</title><img src='http://127.0.0.1:9/other.png'>")
    assert foreign(requests(browser), furnished) == ["http://127.0.0.1:9/other.png"]


def foreign(addresses, own):
    """Return the addresses that are not of a server, nor of the browser itself."""
    return [each for each in addresses if not each.startswith((f"{own}/", "chrome:", "data:"))]


def test_the_keyboard_is_enough_for_a_correction(browser, furnished):
    """From the first page: pick a text, read it, set a concept, and keep the correction, by keys alone."""
    browser.get(f"{furnished}/texts")
    wanted = text_of(browser, "#list button.text")
    tab_to(browser, "#list button.text")
    press(browser, Keys.ENTER)
    until(browser, lambda: text_of(browser, "#outcome"))
    assert browser.execute_script("return document.getElementById('text').value") == wanted
    tab_to(browser, "[name='set.food']")
    press(browser, Keys.ARROW_DOWN)
    until(browser, lambda: "You set food" in text_of(browser, "#outcome"))
    assert browser.switch_to.active_element.get_attribute("name") == "set.food"  # the answer took no focus
    tab_to(browser, "#keep summary")
    press(browser, Keys.ENTER)
    tab_to(browser, "#keep [name=author]")
    press(browser, Keys.CONTROL + "a", "Bea")
    tab_to(browser, "#keep [name=reason]")
    press(browser, "irony", Keys.ENTER)
    until(browser, lambda: "Kept as correction" in text_of(browser, "#kept"))
    browser.get(f"{furnished}/corrections")
    assert f"{wanted}\n" in text_of(browser, "ul.texts li") and "Bea" in text_of(browser, "ul.texts li")


def tab_to(browser, selector, most=80):
    """Press Tab until an element has the focus, and see that it shows."""
    for _ in range(most):
        press(browser, Keys.TAB)
        here = browser.switch_to.active_element
        if browser.execute_script("return arguments[0].matches(arguments[1])", here, selector):
            outline = browser.execute_script("return getComputedStyle(arguments[0]).outlineStyle", here)
            assert outline != "none", f"{selector} does not show its focus"
            return
    raise AssertionError(f"Tab does not reach {selector}")


@pytest.mark.parametrize(
    ("path", "selector", "key"),
    [
        ("/texts", "#list button[value='1']", Keys.ENTER),
        ("/texts", "#filter [name=kind]", Keys.ARROW_DOWN),
        ("/label", "#question button[value=skip]", Keys.ENTER),
    ],
)
def test_the_focus_stays_when_a_part_of_a_page_is_renewed(browser, furnished, path, selector, key):
    open_page(browser, furnished + path)
    part = selector.partition(" ")[0]
    old = text_of(browser, "#list, #question")
    tab_to(browser, selector)
    press(browser, key)
    until(browser, lambda: text_of(browser, "#list, #question") not in ("", old))
    inside = "return document.activeElement.matches(arguments[0] + ' *')"
    until(browser, lambda: browser.execute_script(inside, part))
