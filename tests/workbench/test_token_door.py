"""A token in front of the pages: exchanged for a cookie, asked of programs, and refused if it is wrong."""

import logging
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.json_lines import read_json_lines
from sparsecbm.cli.app import app as command
from sparsecbm.workbench.token_door import entrance
from tests.support.browser import text_of
from tests.support.served_model import PORT, running
from tests.support.workbench_app import listening, workbench_app

TOKEN = "a-token-of-this-test"
TEXT = "the food was good"
CORRECTION = {"text": TEXT, "read.food": "Positive", "set.food": "Negative", "author": "Ann", "reason": "irony"}


@pytest.fixture
def call(snapshot, workspace, folder):
    """Return a function that sends a request to a workbench that asks for a token."""
    with running(workbench_app(snapshot, workspace, folder.model, token=TOKEN)) as call:
        yield call


def test_the_token_is_exchanged_for_a_cookie_and_taken_out_of_the_address(call):
    answer = call("GET", f"/texts?split=test&token={TOKEN}&kind=wrong")
    assert (answer.status_code, answer.headers["location"]) == (303, "/texts?split=test&kind=wrong")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and TOKEN not in cookie
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert call("GET", "/texts?split=test&kind=wrong").status_code == 200
    assert call("POST", "/v1/predict", json={"texts": [TEXT]}).status_code == 200  # the page itself may ask


@pytest.mark.parametrize("path", ["/", "/texts", "/label", "/corrections", "/patches"])
def test_without_a_token_no_page_is_shown(call, words_of, path):
    answer = call("GET", path)
    assert answer.status_code == 401 and "open the whole address" in words_of(answer)
    assert TEXT not in answer.text


@pytest.mark.parametrize(
    "query",
    [f"token={TOKEN}x", "token=", f"token={TOKEN[:-1]}", "token=%C3%A9", f"token={TOKEN}&token={TOKEN}"],
)
def test_a_wrong_token_is_told_and_gives_no_cookie(call, words_of, query):
    answer = call("GET", f"/?{query}")
    assert answer.status_code == 401 and "this token is wrong" in words_of(answer)
    assert "set-cookie" not in answer.headers and call("GET", "/").status_code == 401


@pytest.mark.parametrize("value", ["", TOKEN, "0" * 64, "\u00e9"])
def test_a_made_up_cookie_opens_nothing(call, value):
    cookie = f"workbench-{PORT}={value}".encode()
    assert call("GET", "/", headers={"cookie": cookie}).status_code == 401


def test_a_form_without_the_cookie_keeps_nothing(call, workspace):
    assert call("POST", "/corrections", data=CORRECTION).status_code == 401
    assert call("POST", f"/corrections?token={TOKEN}", data=CORRECTION).status_code == 401
    assert read_json_lines(workspace.state / "corrections.jsonl") == []
    call("GET", f"/?token={TOKEN}")
    assert call("POST", "/corrections", data=CORRECTION).status_code == 200
    assert len(read_json_lines(workspace.state / "corrections.jsonl")) == 1


def test_programs_bring_the_token_itself(call):
    body = {"texts": [TEXT]}
    assert call("POST", "/v1/predict", json=body).json()["error"].startswith("a token is needed")
    for token, status in ((TOKEN, 200), (f"{TOKEN}x", 401)):
        headers = {"authorization": f"Bearer {token}"}
        assert call("POST", "/v1/predict", json=body, headers=headers).status_code == status
        assert call("GET", "/texts", headers=headers).status_code == status
    assert call("GET", f"/v1/model?token={TOKEN}").status_code == 401
    assert call("GET", "/health").status_code == 200


def test_the_token_leads_to_no_other_machine(call):
    assert call("GET", f"/%2Fevil.example/x?token={TOKEN}").headers["location"] == "/evil.example/x"


def test_the_token_is_not_logged(call, caplog):
    caplog.set_level(logging.DEBUG, logger="sparsecbm")
    call("GET", f"/?token={TOKEN}")
    call("GET", f"/?token={TOKEN}x")
    facts = [str(record.__dict__) for record in caplog.records if record.name.startswith("sparsecbm")]
    assert len(facts) == 2 and not [each for each in facts if TOKEN in each]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": f"http://127.0.0.1:{PORT}", "sec-fetch-site": "same-origin"}, 200),
        ({"origin": "http://evil.example", "sec-fetch-site": "cross-site"}, 403),
        ({"origin": f"http://127.0.0.1:{PORT + 1}", "sec-fetch-site": "same-site"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, 403),
        ({"host": "evil.example"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/corrections", "/label/who"])
def test_a_form_of_another_site_changes_nothing(call, workspace, path, headers, status):
    """The browser sends the cookie along, so the door opens; the origin tells the sites apart."""
    call("GET", f"/?token={TOKEN}")
    answer = call("POST", path, data={**CORRECTION, "set.food": "Negative"}, headers=headers)
    assert (answer.status_code == 403) == (status == 403)
    kept = read_json_lines(workspace.state / "corrections.jsonl")
    assert len(kept) == (status == 200 and path == "/corrections")


def test_a_refusal_is_told_as_every_other_fault(call, words_of):
    """A page to people, a notice to the page that asked, and JSON to programs."""
    call("GET", f"/?token={TOKEN}")
    elsewhere = {"origin": "http://evil.example"}
    answer = call("POST", "/corrections", data=CORRECTION, headers=elsewhere)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "pages of another origin have no access" in words_of(answer) and "<html" in answer.text
    part = call("POST", "/corrections", data=CORRECTION, headers={**elsewhere, "hx-request": "true"})
    assert "pages of another origin have no access" in words_of(part) and "<html" not in part.text
    program = call("POST", "/v1/predict", json={"texts": [TEXT]}, headers=elsewhere)
    assert program.json()["error"] == "pages of another origin have no access"


def test_a_browser_enters_and_its_address_forgets_the_token(browser, snapshot, workspace, folder):
    with listening(snapshot, workspace, folder.model, TOKEN) as address:
        browser.get(f"{address}/?text=the+food&token={TOKEN}x")
        assert "this token is wrong" in text_of(browser, "main")
        browser.get(f"{address}/?text=the+food&token={TOKEN}")
        assert browser.current_url == f"{address}/?text=the+food"
        assert text_of(browser, "#outcome")
        assert browser.execute_script("return document.cookie") == ""
        browser.get(f"{address}/texts")
        assert text_of(browser, "#list")


def test_the_printed_address_holds_a_token_if_asked_or_open_to_others():
    access, address = entrance("127.0.0.1", 8090, (), False, {})
    assert (access.token, address) == ("", "http://127.0.0.1:8090/")
    access, address = entrance("127.0.0.1", 8090, (), True, {})
    assert len(access.token) == 32 and address == f"http://127.0.0.1:8090/?token={access.token}"
    assert entrance("127.0.0.1", 8090, (), True, {})[0].token != access.token
    access, address = entrance("127.0.0.1", 8090, (), False, {"SPARSECBM_TOKEN": "a+token&of=one's-own"})
    assert address.endswith("?token=a%2Btoken%26of%3Done%27s-own")
    access, address = entrance("10.0.0.7", 8090, (), False, {})
    assert access.token and access.hosts == ("10.0.0.7",) and address.startswith("http://10.0.0.7:8090/?token=")
    access, address = entrance("0.0.0.0", 80, ("lab.example",), False, {})
    assert access.token and access.hosts == ("lab.example",) and address.startswith("http://lab.example:80/?token=")


@pytest.mark.parametrize(
    ("host", "environment", "message"),
    [("0.0.0.0", {}, "--allow-host"), ("127.0.0.1", {"SPARSECBM_TOKEN": "short"}, "at least 16")],
)
def test_an_entrance_that_does_not_work_is_refused(host, environment, message):
    with pytest.raises(ConfigError, match=message):
        entrance(host, 8090, (), False, environment)


@pytest.mark.parametrize("options", [[], ["--token"]])
def test_no_browser_is_started_with_the_token_in_its_command_line(workspace, monkeypatch, options):
    started = []
    timer = lambda _, __, arguments: SimpleNamespace(start=lambda: started.extend(arguments))  # noqa: E731
    monkeypatch.setattr("threading.Timer", timer)
    monkeypatch.setattr("sparsecbm.serve.server.serve", lambda served, access, extend, *_: extend(None))
    monkeypatch.setattr("sparsecbm.workbench.application.add_workbench", lambda *_: None)
    monkeypatch.delenv("SPARSECBM_TOKEN", raising=False)
    monkeypatch.chdir(workspace.root)
    printed = CliRunner().invoke(command, ["workbench", *options]).stdout
    assert ("?token=" in printed) == bool(options)
    assert started == ([] if options else ["http://127.0.0.1:8090/"])
