"""The pages of judgement: history, ledgers, champion against challenger, the report, and the journal."""

import json
import shutil

import pandas as pd
import pytest
from typer.testing import CliRunner

from sparsecbm.base.files import write_json, write_text
from sparsecbm.cli.app import app as command
from sparsecbm.cli.inspection.compare import compare_models
from sparsecbm.data.tables import read_split
from sparsecbm.promote.intent import Decision
from sparsecbm.promote.ledger import Ledger, Row
from sparsecbm.promote.transaction import promote, refuse
from sparsecbm.serve.batcher import PART
from sparsecbm.workbench.version_texts import changed_texts
from tests.support.axe import faults
from tests.support.browser import text_of, until
from tests.support.served_model import running, save_served_model
from tests.support.served_registry import ServedRegistry
from tests.support.workbench_app import listening, make_workbench_workspace, workbench_app

PREDICTED = {
    "text": ["a", "b", "c", "d"],
    "label": ["1", "1", "2", "2"],
    "predicted.food": ["good", "bad", "bad", "bad"],
}
GOLD = {"gold.label": ["1", "1", "1", None], "gold.food": ["good", "good", None, "good"]}

REPORT = """<!doctype html><title>Report</title><script>
document.title = "the script ran";
fetch("/journal.jsonl").then(() => document.title = "reached", () => document.title = "kept out");
</script>"""


def works():
    """A smoke test that passes."""


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Return another model of the same concepts."""
    return save_served_model(tmp_path_factory.mktemp("other"), seed=5)


@pytest.fixture(scope="module")
def judged(migrated, folder, other, tmp_path_factory):
    """Return a workspace whose version 1 is the champion, and whose version 2 was refused, and its registry."""
    workspace = make_workbench_workspace(tmp_path_factory.mktemp("judged") / "ws")
    text = workspace.params.read_text()
    workspace.params.write_text(text.replace("  model: null", "  model: tiny", 1))
    workspace.state.mkdir(exist_ok=True)
    shutil.copy(migrated, workspace.state / "mlflow.db")
    served = ServedRegistry(workspace.state / "mlflow.db", workspace.root / "files")
    for each in (folder, other):
        served.register(each)
    promote(served.registry, 1, None, Decision("PROMOTE", "every gate passed"), works)
    refuse(served.registry, 2, Decision("HOLD", "no figure is <b>better</b>"))
    rows = (
        Row("accuracy", "label.accuracy", "tie", value=0.5, champion=0.52, difference=-0.02, interval=(-0.1, 0.06)),
        Row("latency", "latency_ms", "failed", "hold", value=190.08, wanted="at most 100", reason="it is slow"),
    )
    ledger = Ledger("tiny", 2, 1, "test", "0" * 64, 45, rows, ("a note",), "hold")
    write_json(workspace.state / "promotion" / "version-2" / "ledger.json", ledger.to_dict())
    write_json(workspace.metrics("evaluate"), {"split": "test"})
    write_text(workspace.report, REPORT)
    return workspace, served


@pytest.fixture
def ask(snapshot, judged, folder):
    """Return a function that sends a request to the workbench of that workspace."""
    workspace, _ = judged
    with running(workbench_app(snapshot, workspace, folder.model)) as send:
        yield lambda method, path, whole=False, **request: send(
            method, path, headers={} if whole else {"HX-Request": "true"}, **request
        )


def printed(workspace, monkeypatch, *arguments):
    """Return what a command prints as JSON."""
    monkeypatch.chdir(workspace.root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return json.loads(CliRunner().invoke(command, [*arguments, "--json"]).stdout)


def test_the_history_is_the_one_that_the_command_prints(ask, words_of, judged, monkeypatch):
    told = printed(judged[0], monkeypatch, "history")
    assert [(entry["action"], entry["version"]) for entry in told["entries"]] == [("promote", 1), ("refuse", 2)]
    page = words_of(ask("GET", "/promotions", whole=True))
    for entry in told["entries"]:
        before, after = (champion or "none" for champion in (entry["before"][0], entry["after"][0]))
        time = entry["time"].replace("T", " ").removesuffix("+00:00")
        row = (entry["number"], time, entry["action"], entry["version"], before, "→", after, entry["verdict"])
        assert f"{' '.join(map(str, row))} {entry['by']} {entry['hash'][:12]} why {entry['reason']}" in page
    assert "The chain of 2 entries is whole. The champion is version 1." in page
    assert ask("GET", "/promotions.json").json() == told


def test_a_ledger_is_the_one_that_was_written(ask, words_of):
    page = words_of(ask("GET", "/promotions", whole=True))
    assert "Version 2: HOLD" in page and "on 45 texts of split test" in page and "a note" in page
    assert "accuracy label.accuracy tie 0.500 0.520 -0.020 -0.100 to 0.060" in page
    assert "latency latency_ms failed (hold) 190.080" in page and "at most 100" in page
    assert "latency (latency_ms): it is slow" in page


def test_texts_of_two_versions_are_compared_as_the_command_does(ask, words_of, judged, folder, other):
    texts = read_split(judged[0].annotated, "test")["text"].tolist()
    told = compare_models(folder.model, other.model, texts).predictions
    assert told.differing > 0 and len(texts) > PART
    page = words_of(ask("GET", "/promotions/texts?version=2"))
    assert f"reads {told.differing} of {told.texts} texts of split test differently" in page
    for name, difference in {"label": told.label, **told.concepts}.items():
        assert f"{name} differs in {difference.differing}" in page or difference.differing == 0
    assert "Champion against challenger" in words_of(ask("GET", "/promotions/texts?version=2", whole=True))


def test_the_texts_come_first_on_which_the_challenger_loses_most():
    champion = pd.DataFrame(PREDICTED | GOLD)
    challenger = champion.assign(**{"label": ["2", "1", "1", "1"], "predicted.food": ["bad", "good", "good", "bad"]})
    found = changed_texts(champion, challenger)
    # a loses label and food; d differs without a label of people; b wins food; c wins the label, food is unknown
    assert [(each.text, each.worth) for each in found] == [("a", -2), ("d", 0), ("b", 1), ("c", 1)]
    assert [(each.name, each.champion, each.challenger, each.gold) for each in found[3].changes] == [
        ("label", "2", "1", "1"), ("food", "bad", "good", None),
    ]  # fmt: skip
    assert changed_texts(champion, champion) == []


def test_the_page_of_promotions_follows_the_guidelines(browser, snapshot, judged, folder):
    with listening(snapshot, judged[0], folder.model) as address:
        browser.get(f"{address}/promotions")
        browser.find_element("css selector", "form[action='/promotions/texts'] button").click()
        until(browser, lambda: "texts of split test differently" in text_of(browser, "#changed"))
        assert faults(browser) == []


@pytest.mark.parametrize("version", ["1", "3", "x", ""])
def test_a_version_that_is_no_challenger_is_told(ask, words_of, version):
    response = ask("GET", f"/promotions/texts?version={version}")
    assert response.status_code == 422 and "unknown version" in words_of(response)


def test_a_broken_chain_is_told(ask, words_of, judged):
    _, served = judged
    tags = served.registry.client.get_registered_model("tiny").tags
    key = next(key for key in sorted(tags) if key.startswith("sparsecbm.history."))
    changed = tags[key].replace("every gate passed", "every gate passed!")
    served.registry.client.set_registered_model_tag("tiny", key, changed)
    page = words_of(ask("GET", "/promotions", whole=True))
    served.registry.client.set_registered_model_tag("tiny", key, tags[key])
    assert "The history is not what was written" in page and "entry 1 was altered" in page
    assert "is whole" not in page
    assert "is whole" in words_of(ask("GET", "/promotions", whole=True))


def test_the_report_is_shown_without_access_to_the_workbench(ask):
    page = ask("GET", "/promotions", whole=True).text
    assert 'href="/report/index.html#subnetworks"' in page and 'href="/report/index.html#explanations"' in page
    report = ask("GET", "/report/index.html", whole=True)
    policy = report.headers["content-security-policy"]
    assert report.status_code == 200 and policy.startswith("sandbox allow-scripts;")
    assert "allow-same-origin" not in policy and "connect-src" not in policy
    for name in ("..%2Fparams.yaml", "params.yaml", "validation.html"):
        assert ask("GET", f"/report/{name}", whole=True).status_code == 404


def test_a_script_of_the_report_reaches_nothing_of_the_workbench(browser, snapshot, judged, folder):
    with listening(snapshot, judged[0], folder.model) as address:
        browser.get(f"{address}/report/index.html")
        until(browser, lambda: browser.title == "kept out")
        browser.get(f"{address}/journal")  # the same script on a page of the workbench does reach it
        script = REPORT.partition("<script>")[2].partition("</script>")[0]
        browser.execute_script(script)
        until(browser, lambda: browser.title == "reached")


def test_a_workspace_without_a_registry_says_so(snapshot, workspace, folder, words_of):
    with running(workbench_app(snapshot, workspace, folder.model)) as send:
        page = words_of(send("GET", "/promotions"))
    assert "`sparsecbm promote` registers and judges one" in page
    assert not (workspace.state / "mlflow.db").exists()


def test_the_journal_lists_who_did_what_and_is_exported_to_the_byte(ask, words_of, judged):
    workspace, _ = judged
    fields = {"text": "the food was good", "read.food": "Positive", "set.food": "Negative", "reason": "irony"}
    for author in ("Ann", "<b>Bea</b>"):
        assert ask("POST", "/corrections", data={**fields, "author": author}).status_code == 200
    response = ask("GET", "/journal", whole=True)
    page, path = words_of(response), workspace.state / "workbench.jsonl"
    assert "The chain of 2 entries is whole." in page and "&lt;b&gt;Bea" in response.text
    assert page.index("<b>Bea</b> correct") < page.index("Ann correct")  # the latest first
    assert "the food" not in page
    export = ask("GET", "/journal.jsonl", whole=True)
    assert export.content == path.read_bytes() and len(export.text.splitlines()) == 2
    assert export.headers["content-disposition"].startswith("attachment")

    whole = path.read_text()
    path.write_text(whole.replace('"Ann"', '"Eve"'))
    page = words_of(ask("GET", "/journal", whole=True))
    assert "line 2 does not follow the line before it" in page and "is whole" not in page and "Eve" in page
    path.write_text(whole)
    assert "is whole" in words_of(ask("GET", "/journal", whole=True))


def test_an_empty_journal_says_so(snapshot, workspace, folder, words_of):
    with running(workbench_app(snapshot, workspace, folder.model)) as send:
        assert "Nobody has done anything yet" in words_of(send("GET", "/journal"))
        assert send("GET", "/journal.jsonl").content == b""
