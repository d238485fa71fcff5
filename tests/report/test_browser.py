"""The report in a real browser, from file://: no warnings, no requests, and usable by mouse and keyboard."""

import json

import pytest

from sparsecbm.report.embedded_plots import read_plots
from sparsecbm.report.index_page import index_page
from tests.support import report_inputs
from tests.support.browser import chromium

webdriver = pytest.importorskip("selenium.webdriver")

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.expected_conditions import visibility_of_element_located  # noqa: E402
from selenium.webdriver.support.select import Select  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Return headless Chromium with an empty profile; it logs its console and every request."""
    with chromium(tmp_path_factory.mktemp("profile"), *FLAGS, "--window-size=1100,900", logs=True) as driver:
        yield driver


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    root = tmp_path_factory.mktemp("plots")
    report_inputs.write_plots(root, "prune/swap", "evaluate/confusion-test")
    plots = {stage: read_plots(root / stage) for stage in ("prune", "evaluate")}
    return index_page("restaurants", report_inputs.metrics(), plots, report_inputs.explanations())


@pytest.fixture
def page(browser, html, tmp_path):
    """Return a function that opens the report in the browser."""
    visit(browser, html, tmp_path)
    return browser


def visit(browser, html, folder):
    (folder / "index.html").write_text(html, encoding="utf-8")
    browser.get("about:blank")
    browser.get_log("browser"), browser.get_log("performance")  # clears both logs
    browser.get((folder / "index.html").as_uri())


def requests(browser) -> list[str]:
    """Return the requested addresses, except the page itself and embedded data."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith("data:") and url != browser.current_url.partition("#")[0]]


def shown(browser) -> list[str]:
    visible = "[...document.querySelectorAll('.card')].filter(card => card.offsetParent !== null)"
    return browser.execute_script(f"return {visible}.map(card => card.id)")


def choose(browser, name, value):
    Select(browser.find_element(By.NAME, name)).select_by_value(value)


def count(browser) -> str:
    return browser.find_element(By.ID, "count").text


def focused(browser) -> str:
    return browser.switch_to.active_element.find_element(By.XPATH, "..").get_attribute("id")


def opened(browser, card) -> bool:
    """Return whether a card shows its body within a short time."""
    body = (By.CSS_SELECTOR, f"#{card}[open] > article")
    return WebDriverWait(browser, 5).until(visibility_of_element_located(body)).is_displayed()


def press(browser, *keys):
    webdriver.ActionChains(browser).send_keys(*keys).perform()


def test_the_report_opens_without_warnings_or_requests(page):
    for summary in page.find_elements(By.CSS_SELECTOR, ".card > summary"):
        summary.click()
    assert all(opened(page, f"card-{number}") for number in range(4))
    assert page.get_log("browser") == []
    assert requests(page) == []
    loaded = "return [...document.images].every(image => image.complete && image.naturalWidth > 0)"
    assert page.execute_script(loaded) and len(page.find_elements(By.TAG_NAME, "img")) == 2


def test_the_check_detects_a_request_and_the_policy_blocks_it(browser, html, tmp_path):
    image = '<img src="http://127.0.0.1:9/seen.png">'
    visit(browser, f"<!doctype html><title>t</title>{image}", tmp_path)
    assert requests(browser) == ["http://127.0.0.1:9/seen.png"]
    visit(browser, html.replace("<main", f"{image}<script>document.title = 'ran'</script><main"), tmp_path)
    messages = ""

    def both_are_logged(driver) -> bool:  # the browser writes its log some time after the page has loaded
        nonlocal messages
        messages += " ".join(entry["message"] for entry in driver.get_log("browser"))
        return "Loading the image" in messages and "inline script" in messages

    WebDriverWait(browser, 20).until(both_are_logged)
    assert browser.title == "Report: restaurants"


def test_texts_with_markup_are_shown_literally(page):
    card = page.find_element(By.ID, "card-3")
    assert card.find_element(By.CSS_SELECTOR, ".text").text == report_inputs.EVIL
    card.find_element(By.TAG_NAME, "summary").click()
    assert opened(page, "card-3")
    assert "<script>alert(1)</script>" in card.find_element(By.TAG_NAME, "article").text
    assert len(page.find_elements(By.TAG_NAME, "script")) == 1


def test_filters_apply_to_one_variable(page):
    assert count(page) == "all 4 texts"
    choose(page, "error", "wrong")
    assert (shown(page), count(page)) == (["card-1", "card-2"], "2 of 4 texts")
    choose(page, "confidence", "0.8 2")
    assert shown(page) == ["card-2"]
    choose(page, "confidence", "")
    choose(page, "variable", "noise")  # noise is wrong
    assert shown(page) == ["card-1"]
    choose(page, "error", "right")
    assert shown(page) == ["card-0", "card-2"]  # card-3 has no gold state
    choose(page, "error", "")
    choose(page, "state", "loud")
    assert shown(page) == ["card-2"]
    choose(page, "variable", "")  # any concept; `loud` can still be selected
    choose(page, "state", "Positive")
    choose(page, "error", "wrong")
    assert shown(page) == ["card-2"]
    page.find_element(By.CSS_SELECTOR, "#clear").click()
    assert shown(page) == ["card-0", "card-1", "card-2", "card-3"]


def test_the_offered_states_depend_on_the_variable(page):
    def states():
        return [option.text for option in Select(page.find_element(By.NAME, "state")).options]

    assert states() == ["any state", "1", "2", "3"]
    choose(page, "variable", "noise")
    assert states() == ["any state", "loud", "quiet"]


def test_search_finds_texts_with_every_word(page):
    box = page.find_element(By.NAME, "search")
    box.send_keys("SOUP the")
    assert shown(page) == ["card-0", "card-1"]
    box.send_keys(" cold")
    assert shown(page) == ["card-1"]
    box.send_keys(Keys.ESCAPE)
    assert len(shown(page)) == 4
    box.send_keys("nowhere")
    assert (shown(page), count(page)) == ([], "0 of 4 texts")


def test_the_keyboard_is_enough(page):
    press(page, "/")
    press(page, "soup")
    assert shown(page) == ["card-0", "card-1"]
    press(page, Keys.ARROW_DOWN)
    assert focused(page) == "card-0"
    press(page, "j")
    assert focused(page) == "card-1"
    press(page, "j")  # the last card stays
    assert focused(page) == "card-1"
    press(page, Keys.ENTER)
    assert opened(page, "card-1")
    press(page, "k", Keys.ENTER)
    assert opened(page, "card-0")


def test_links_open_cards_and_set_filters(page):
    choose(page, "error", "right")
    assert "card-2" not in shown(page)
    page.find_element(By.CSS_SELECTOR, "#examples a[href='#card-2']").send_keys(Keys.ENTER)
    assert opened(page, "card-2")
    assert focused(page) == "card-2"
    page.find_element(By.CSS_SELECTOR, "a[data-variable=noise]").send_keys(Keys.ENTER)
    assert shown(page) == ["card-1"]
    assert page.find_element(By.NAME, "state").get_attribute("value") == "quiet"


def test_an_address_with_a_card_opens_it(browser, html, tmp_path):
    visit(browser, html, tmp_path)
    browser.get("about:blank")
    browser.get((tmp_path / "index.html").as_uri() + "#card-1")
    assert opened(browser, "card-1")


def test_plots_on_a_phone_scroll_and_keep_their_size(page):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 400, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        widths = page.execute_script(
            "return [...document.querySelectorAll('.plots img')].map(i => [i.clientWidth, i.parentElement.clientWidth])"
        )
        assert widths and all(image >= 540 > 400 > frame for image, frame in widths)
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_phone_needs_no_horizontal_scrolling(page):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    )
    try:
        page.find_element(By.ID, "open").click()
        assert page.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def look(browser, **media) -> dict[str, str]:
    """Return the colours of the page and of a plot, as the browser shows them in a theme or on paper."""
    features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items() if name != "media"]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media.get("media", ""), "features": features})
    try:
        return browser.execute_script(
            "const of = (selector, name) => getComputedStyle(document.querySelector(selector))[name];"
            "return {page: of('body', 'backgroundColor'), ink: of('body', 'color'),"
            " plot: of('.plots img', 'backgroundColor'), filter: of('.plots img', 'filter')}"
        )
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def brightness(colour: str) -> float:
    """Return the mean of red, green and blue of `rgb(r, g, b)`; a page without a ground is white paper."""
    parts = [float(part) for part in colour.partition("(")[2].rstrip(")").split(",")]
    return 255.0 if len(parts) == 4 and parts[3] == 0 else sum(parts[:3]) / 3


def test_plots_stay_white_in_the_dark_and_are_not_inverted(page):
    light, dark = (look(page, prefers_color_scheme=theme) for theme in ("light", "dark"))
    assert brightness(light["page"]) > 200 > 100 > brightness(dark["page"]), "the theme is followed"
    assert brightness(dark["ink"]) > 150 > brightness(light["ink"])
    assert light["plot"] == dark["plot"] == "rgb(255, 255, 255)"
    assert (light["filter"], dark["filter"]) == ("none", "brightness(0.85)")


def test_paper_is_light_also_for_readers_of_the_dark_theme(page):
    printed = look(page, media="print", prefers_color_scheme="dark")
    assert brightness(printed["page"]) > 200 > brightness(printed["ink"])
    assert (printed["plot"], printed["filter"]) == ("rgb(255, 255, 255)", "none")
