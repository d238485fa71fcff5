"""What stands in front of the routes: names, tokens, limits, request ids, the log and the figures."""

import asyncio
import json
import logging
import tracemalloc
from contextlib import ExitStack
from functools import partial

import httpx
import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.serve import application
from sparsecbm.serve.access_rules import AccessRules
from sparsecbm.serve.body_limit import BodyLimit
from sparsecbm.serve.limits import ServiceLimits
from sparsecbm.serve.rate_limit import RateLimit
from sparsecbm.serve.request_log import JsonLines
from tests.support.served_model import PORT, client_of, running, served_app

TOKEN = "a-token-of-this-test"
SECRET = "the food was unmentionable"
BODY = {"texts": ["the food was good"]}
JSON = {"content-type": "application/json"}


@pytest.fixture
def call(app):
    """Return a function that sends a request to the application."""
    with running(app) as call:
        yield call


@pytest.fixture
def limited(snapshot, corrections):
    """Return a function that makes such a function for an application with other limits."""
    with ExitStack() as stack:

        def start(token="", **limits):
            app = served_app(snapshot, corrections, ServiceLimits(**limits), token)
            return stack.enter_context(running(app))

        yield start


def post(call, content, path="/v1/predict", **headers):
    return call("POST", path, content=content, headers={**JSON, **headers})


def test_the_service_is_known_by_its_own_names_only(call):
    refused = call("GET", "/health", headers={"host": "evil.example"})
    assert refused.status_code == 403
    assert refused.json() == {
        "error": "this server is not known by that host name", "request_id": refused.headers["x-request-id"],
    }  # fmt: skip
    assert call("GET", "/health", headers={"host": "classify.example"}).status_code == 200
    assert call("GET", "/health", headers={"host": "classify.example:443"}).status_code == 200
    assert call("GET", "/health", headers={"host": "classify.example:x"}).status_code == 403
    assert call("GET", "/health").json() == {"status": "ok"}


def test_pages_of_other_origins_have_no_access_and_cors_is_off(call):
    assert post(call, json.dumps(BODY), origin="http://evil.example").status_code == 403
    own = {"host": "classify.example", "origin": "https://classify.example"}
    assert post(call, json.dumps(BODY), **own).status_code == 200
    assert post(call, json.dumps(BODY), host="classify.example", origin="http://127.0.0.1:8080").status_code == 403
    preflight = {"origin": "http://127.0.0.1:8080", "access-control-request-method": "POST"}
    answer = call("OPTIONS", "/v1/predict", headers=preflight)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]
    # A form of another page can send a body without asking, but not as JSON.
    assert post(call, json.dumps(BODY), **{"content-type": "text/plain"}).status_code == 422


@pytest.mark.parametrize("given", [None, "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer é"])
def test_a_missing_or_wrong_token_is_refused(limited, given):
    call = limited(token=TOKEN)
    headers = {} if given is None else {"authorization": given.encode()}
    answer = call("POST", "/v1/predict", json=BODY, headers=headers)
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert call("GET", "/metrics", headers=headers).status_code == 401
    assert call("GET", "/openapi.json", headers=headers).status_code == 401
    assert call("GET", "/ready", headers=headers).status_code == 200
    assert call("POST", "/v1/predict", json=BODY, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "token", "message"),
    [
        ("0.0.0.0", "", "open to other machines"),
        ("example.org", "", "open to other machines"),
        ("127.0.0.1", "short", "at least 16"),
        ("127.0.0.1", "with blanks in the token", "without blanks"),
        ("127.0.0.1", "é" * 20, "plain characters"),
    ],
)
def test_who_may_use_the_service_is_checked_at_the_start(host, token, message):
    with pytest.raises(ConfigError, match=message):
        AccessRules.from_environment(host, 80, (), {"SPARSECBM_TOKEN": token})
    assert AccessRules.from_environment("::1", 80, (), {}).token == ""
    rules = AccessRules.from_environment("0.0.0.0", 80, ("a",), {"SPARSECBM_TOKEN": TOKEN})
    assert rules.token == TOKEN and TOKEN not in repr(rules)


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"", 422, "the body is missing"),
        (b"{", 400, "not valid JSON"),
        (b'{"texts": ["a"], "texts": ["b"]}', 400, "texts"),
        (b"\xff", 400, "not UTF-8"),
        (b"[" * 100_000, 400, "nested too deeply"),
        (b'{"texts": [' + b"9" * 5000 + b"]}", 400, "too many digits"),
        (b'"a"', 422, "the body"),
        (b"null", 422, "the body"),
        (b'{"texts": ["\\ud800"]}', 422, "surrogate"),
        (b'{"texts": ["a"], "\\ud800": 1}', 422, "unicode"),
        (b'{"texts": ["a"], "options": {"edits": {"\\ud800": "Positive"}}}', 422, "unknown concept"),
        (b'{"texts": ["a"], "options": {"edits": {"food": {"Positive": NaN}}}}', 422, "edits.food"),
        (b'{"texts": ["a"], "options": {"top_k": 1e400}}', 422, "top_k"),
    ],
)
def test_a_body_of_the_wrong_form_is_refused_in_words(call, content, status, message):
    answer = post(call, content)
    assert (answer.status_code, message in answer.json()["error"]) == (status, True), answer.text


def test_a_large_body_is_refused(limited):
    call = limited(max_body=1000)
    assert post(call, json.dumps(BODY).encode().ljust(1000)).status_code == 200
    answer = post(call, json.dumps(BODY).encode().ljust(1001))
    assert answer.status_code == 413 and "1000 bytes" in answer.json()["error"]
    assert post(call, b"x" * 50_000_000).status_code == 413
    assert post(call, b"x" * 2000, expect="100-continue").status_code == 413

    async def chunks():
        for _ in range(50):
            yield b"x" * 100

    assert post(call, chunks()).status_code == 413


def test_what_is_beyond_the_limit_of_a_body_takes_no_memory():
    parts, sent = iter(range(50)), []

    async def receive():
        return {"type": "http.request", "body": bytes(1_000_000), "more_body": next(parts) < 49}

    async def send(message):
        sent.append(message)

    tracemalloc.start()
    try:
        scope = {"type": "http", "headers": [], "path": "/"}
        asyncio.run(BodyLimit(None, most=2_000_000, seconds=60)(scope, receive, send))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sent[0]["status"] == 413 and not list(parts)  # it is read to its end
    assert peak < 5_000_000


def test_a_slow_body_is_refused(limited):
    async def chunks():
        yield b"{"
        await asyncio.sleep(5)
        yield b"}"

    answer = post(limited(body_seconds=0.05), chunks())
    assert answer.status_code == 408 and answer.headers["connection"] == "close"


def test_a_client_has_a_rate_and_twice_as_many_at_once():
    now, statuses = [0.0], []

    async def inner(scope, receive, send):
        statuses.append(200)

    async def send(message):
        if message["type"] == "http.response.start":
            headers = dict(message["headers"])
            statuses.append((message["status"], headers[b"retry-after"]))

    limit = RateLimit(inner, rate=2, clock=lambda: now[0])

    def ask(client):
        asyncio.run(limit({"type": "http", "client": (client, 1), "headers": []}, None, send))
        return statuses.pop()

    assert [ask("a") for _ in range(5)] == [200] * 4 + [(429, b"1")]
    assert ask("b") == 200  # another client has a bucket of its own
    now[0] = 0.5  # one token is there again
    assert [ask("a"), ask("a")] == [200, (429, b"1")]
    now[0] = 100.0  # the bucket is full, and not fuller
    assert [ask("a") for _ in range(5)] == [200] * 4 + [(429, b"1")]


def test_the_rate_is_part_of_the_application(limited):
    call = limited(rate=1)
    assert [call("GET", "/health").status_code for _ in range(3)] == [200, 200, 429]


def test_wrong_tokens_count_against_the_rate_of_their_client(snapshot, corrections, monkeypatch):
    monkeypatch.setattr(application, "RateLimit", partial(RateLimit, clock=lambda: 0.0))
    app = served_app(snapshot, corrections, ServiceLimits(rate=2), TOKEN)

    async def ask(*tokens, client="10.0.0.1"):
        transport = httpx.ASGITransport(app, client=(client, 1))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://127.0.0.1:{PORT}") as session:
            headers = [{"authorization": f"Bearer {token}"} for token in tokens]
            return [await session.get("/metrics", headers=each) for each in headers]

    answers = asyncio.run(ask("wrong-1", "wrong-2", TOKEN, "wrong-3", "wrong-4", TOKEN))
    assert [answer.status_code for answer in answers] == [401, 401, 200, 401, 429, 429]
    # Whether the token was right is not told any more.
    assert answers[4].headers["retry-after"] == "1" and "www-authenticate" not in answers[4].headers
    assert answers[4].json()["error"] == answers[5].json()["error"]
    (other,) = asyncio.run(ask(TOKEN, client="10.0.0.2"))
    assert other.status_code == 200


def test_without_a_rate_wrong_tokens_are_not_counted(limited):
    call = limited(token=TOKEN)
    assert {call("GET", "/metrics", headers={"authorization": "Bearer wrong"}).status_code for _ in range(9)} == {401}
    assert call("GET", "/metrics", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_full_queue_is_429_with_retry_after(snapshot, corrections):
    app = served_app(snapshot, corrections, ServiceLimits(max_queued=2))

    async def send():
        async with client_of(app) as client:
            return await asyncio.gather(*(client.post("/v1/predict", json=BODY) for _ in range(20)))

    answers = asyncio.run(send())
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused and {answer.status_code for answer in answers} == {200, 429}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


def test_request_ids_of_clients_are_kept_if_they_are_harmless(call):
    assert call("GET", "/health", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    for given in ("a b", "a" * 65, 'a"}'):
        assert call("GET", "/health", headers={"x-request-id": given}).headers["x-request-id"] != given


def test_the_log_is_json_and_holds_no_text(call, monkeypatch, caplog):
    from sparsecbm.serve import questions

    def fail(model, logits, settings):
        raise ValueError(SECRET)  # as a library may do, with the text in its message

    monkeypatch.setattr(questions, "set_in_logits", fail)
    with caplog.at_level(logging.INFO, "sparsecbm.serve"):
        good = call("POST", "/v1/predict", json={"texts": [SECRET]})
        wrong = call("POST", f"/v1/predict?q={SECRET}", json={"texts": [SECRET], SECRET: 1})
        failed = call("POST", "/v1/predict", json={"texts": [SECRET], "options": {"edits": {"food": "Positive"}}})
    assert [answer.status_code for answer in (good, wrong, failed)] == [200, 422, 500]
    assert SECRET not in failed.text
    lines = [JsonLines().format(record) for record in caplog.records if record.name.startswith("sparsecbm.serve")]
    assert not [line for line in lines if "unmentionable" in line]
    answered = [line for line in map(json.loads, lines) if line["event"] == "answered"]
    assert [(line["path"], line["status"], line.get("texts")) for line in answered] == [
        ("/v1/predict", 200, 1), ("/v1/predict", 422, None), ("/v1/predict", 500, 1),
    ]  # fmt: skip
    assert answered[0]["version"] == good.json()["model"]["version"]
    (fault,) = [line for line in map(json.loads, lines) if line["level"] == "error"]
    assert fault["id"] == failed.json()["request_id"] and fault["kind"] == "ValueError"
    assert any("questions.py" in frame for frame in fault["where"])


def test_an_exception_in_the_log_shows_its_kind_alone():
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        record = logging.LogRecord("a", logging.ERROR, "", 0, "it failed", (), (type(error), error, None))
    line = json.loads(JsonLines().format(record))
    assert (line["event"], line["kind"], SECRET in str(line)) == ("it failed", "ValueError", False)


def test_the_figures_count_requests_and_name_the_version(call, snapshot):
    call("POST", "/v1/predict", json=BODY)
    call("GET", "/no/such/path")
    figures = call("GET", "/metrics").text
    assert 'sparsecbm_requests_total{path="/v1/predict",status="200"} 1.0' in figures
    assert 'sparsecbm_requests_total{path="other",status="404"} 1.0' in figures
    assert "sparsecbm_batch_texts_count 1.0" in figures
    assert f'sparsecbm_model{{name="tiny",version="{snapshot.version.version}"}} 1.0' in figures
    assert "process_resident_memory_bytes" in figures
    assert "sparsecbm_queued_texts 0.0" in figures


def test_it_says_that_it_is_ready_and_which_version_answers(call, snapshot):
    answer = call("GET", "/ready").json()
    assert (answer["status"], answer["model"]["sha256"]) == ("ready", snapshot.version.sha256)


def test_limits_come_from_the_environment():
    limits = ServiceLimits.from_environment({"SPARSECBM_MAX_BODY": "7", "SPARSECBM_MAX_TEXTS": "3", "OTHER": "x"})
    assert (limits.max_body, limits.request.max_texts, limits.rate) == (7, 3, None)
    with pytest.raises(ConfigError, match="SPARSECBM_RATE must be a whole number above 0"):
        ServiceLimits.from_environment({"SPARSECBM_RATE": "0"})
