"""The whole story on the default model, in two browsers: read, correct, patch, approve, undo; label together."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from sparsecbm.annotate.human_labels import HUMAN_FILE, read_decisions
from sparsecbm.base.json_lines import read_json_lines
from sparsecbm.workbench.journal import Journal
from tests.support.browser import FLAGS, chromium, press, read_exactly, text_of, until
from tests.support.project import ROOT
from tests.support.tiny_pipeline import free_port
from tests.support.workbench_app import copy_trained_workspace

pytest.importorskip("selenium.webdriver")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE = 900  # seconds that a patch may take on a busy machine
LABELLED = 20
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Return a copy of the trained default workspace in which some texts have no labels; skip without one."""
    source = Path(os.environ.get("SPARSECBM_WORKSPACE") or ROOT)
    if not (source / "models" / "sparse" / "config.json").is_file():
        pytest.skip(f"no trained model in {source}; `make run` trains it, or name a workspace by SPARSECBM_WORKSPACE")
    return copy_trained_workspace(source, tmp_path_factory.mktemp("default") / "ws", 2 * LABELLED)


@pytest.fixture(scope="module")
def address(workspace):
    """Run `sparsecbm workbench`, and return the address that it prints."""
    command = [sys.executable, "-m", "sparsecbm", "workbench", "--no-browser", "--port", str(free_port())]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        command, cwd=workspace.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        (printed,) = re.findall(r"http\S+/", server.stdout.readline())
        httpx.Client(transport=httpx.HTTPTransport(retries=10)).get(f"{printed}health").raise_for_status()
        yield printed
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Return the browsers of Ann and Bea."""
    with (
        chromium(tmp_path_factory.mktemp("ann"), *FLAGS) as ann,
        chromium(tmp_path_factory.mktemp("bea"), *FLAGS) as bea,
    ):
        yield {"Ann": ann, "Bea": bea}


def click(browser, selector):
    browser.find_element(By.CSS_SELECTOR, selector).click()


def fill(browser, selector, text):
    field = browser.find_element(By.CSS_SELECTOR, selector)
    field.clear()
    field.send_keys(text)


def next_text(browser, earlier):
    """Wait until the page of labels shows another text."""
    until(browser, lambda: text_of(browser, "blockquote") not in ("", earlier))


def test_a_misread_text_becomes_a_patch_that_another_person_approves_and_takes_back(workspace, address, people):
    ann, bea = people["Ann"], people["Bea"]
    ann.get(f"{address}texts?split=test&kind=wrong")
    misread = re.compile(r"· (\w+) (\w+) labelled: (\w+)")
    rows = ann.find_elements(By.CSS_SELECTOR, "#list li")
    row = next(row for row in rows if misread.search(row.text))
    concept, read, people_say = misread.search(row.text).groups()
    text = row.find_element(By.CSS_SELECTOR, "button.text").text
    row.find_element(By.CSS_SELECTOR, "button.text").click()

    read_exactly(ann)  # see why
    click(ann, f"[data-view='{concept}']")
    assert ann.find_elements(By.CSS_SELECTOR, f"[data-shows='{concept}'] .x-w")
    click(ann, f"[name='set.{concept}'][value='{people_say}']")
    until(ann, lambda: f"You set {concept} to {people_say}" in text_of(ann, "#outcome"))
    until(ann, lambda: f"{concept} {people_say}" in text_of(ann, "#words"))  # why not what people say?
    press(ann, "c")
    press(ann, "Ann", Keys.TAB, "people say so", Keys.ENTER)
    until(ann, lambda: "Kept as correction" in text_of(ann, "#kept"))

    ann.get(f"{address}corrections")
    click(ann, "input[type=checkbox]")
    fill(ann, ".chosen [name=reason]", "people say so")
    click(ann, ".chosen details summary")
    fill(ann, "[name=max_harm]", "100")
    click(ann, "[formaction='/patches/of-corrections']")
    until(ann, lambda: "A patch is being made" in text_of(ann, "#chosen"))
    click(ann, "#chosen a")
    ended = ("What it costs", "There is no patch", "interrupted")
    WebDriverWait(ann, PATIENCE).until(lambda _: any(words in text_of(ann, "#patches") for words in ended))
    bill = text_of(ann, "#patches")
    assert re.search(rf"the text itself\s+{read} \d+% → {people_say} \d+%", bill), bill
    assert "right, now wrong" in bill and f"change the head of {concept}" in bill

    bea.get(f"{address}patches")
    assert text[:100] in text_of(bea, "#patches")
    click(bea, "#patches li > details:last-of-type > summary")
    fill(bea, "#patches [name=author]", "Bea")
    click(bea, "button[value=approve]")
    until(bea, lambda: "Approved by Bea" in text_of(bea, "#patches"))
    approved = workspace.patch_requests / "approved"
    assert len(list(approved.glob("*.patch"))) == 1
    click(bea, "#patches li > details:last-of-type > summary")
    click(bea, "button[value=withdraw]")
    until(bea, lambda: "Taken back by Bea" in text_of(bea, "#patches"))
    assert list(approved.glob("*.patch")) == []
    entries = Journal(workspace.state / "workbench.jsonl").entries()
    assert [(entry["action"], entry["by"]) for entry in entries] == [
        ("correct", "Ann"), ("ask for a patch", "Ann"), ("approve", "Bea"), ("withdraw", "Bea"),
    ]  # fmt: skip
    (record,) = read_json_lines(workspace.state / "corrections.jsonl")
    assert record["concepts"] == {concept: people_say}


def test_two_people_label_twenty_texts_at_once(workspace, address, people):
    for name, browser in people.items():
        browser.get(f"{address}label")
        for field in browser.find_elements(By.NAME, "author"):
            field.send_keys(name, Keys.ENTER)
        next_text(browser, "")
    for number in range(LABELLED // 2):
        assert len({text_of(browser, "blockquote") for browser in people.values()}) == 2  # nobody reads the same text
        for browser in people.values():  # both forms are open at once
            for field in browser.find_elements(By.CSS_SELECTOR, "[data-concept]"):
                field.find_elements(By.CSS_SELECTOR, "input[type=radio]")[number % 2].click()
        before = {name: text_of(browser, "blockquote") for name, browser in people.items()}
        for browser in people.values():
            click(browser, "button[value=save]")
        for name, browser in people.items():
            next_text(browser, before[name])
    decisions = read_decisions(workspace.annotations / HUMAN_FILE)
    texts = {name: {each.key for each in decisions if each.author == name} for name in people}
    assert [len(keys) for keys in texts.values()] == [LABELLED // 2] * 2
    assert not texts["Ann"] & texts["Bea"]
    entries = Journal(workspace.state / "workbench.jsonl").entries()
    assert sum(entry["action"] == "label" for entry in entries) == LABELLED
