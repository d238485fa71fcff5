"""The guard passes on what this machine's pages and programs send, and refuses the rest."""

import asyncio
import base64

import pytest

from sparsecbm.base.guard import Guard

HOST = ("host", "127.0.0.1:4200")
OWN = ("origin", "http://127.0.0.1:4200")
NAVIGATION = (("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"))


async def application(scope, receive, send):
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-app", b"yes")]})
    await send({"type": "http.response.body", "body": b"app"})


def call(*headers, method="GET", path="/api/flows", kind="http", access="", port=4200):
    """Send one request through the guard; return the messages that it sends."""
    scope = {
        "type": kind, "path": path, "raw_path": path.encode(), "query_string": b"a=1",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }  # fmt: skip
    if kind == "http":
        scope["method"] = method
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(Guard(application, port, access)(scope, None, send))
    return sent


def status(*headers, **options):
    return call(*headers, **options)[0]["status"]


def basic(text):
    return ("authorization", "Basic " + base64.b64encode(text.encode()).decode())


@pytest.mark.parametrize("host", ["127.0.0.1:4200", "localhost:4200", "LOCALHOST:4200"])
def test_the_own_names_are_known(host):
    assert status(("host", host)) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example:4200", "evil.example", "127.0.0.1", "127.0.0.1:4201", "127.0.0.1:4200.evil.example", "10.0.0.1:4200",
     "0.0.0.0:4200", "[::1]:4200", "localhost.:4200", "127.0.0.1:4200, evil.example", "user@127.0.0.1:4200", "", "é"],
)  # fmt: skip
def test_a_foreign_host_is_refused(host):
    assert status(("host", host)) == 403
    assert status(("host", host), path="/health") == 403


def test_a_request_has_exactly_one_host():
    assert status() == 403
    assert status(HOST, ("host", "evil.example")) == 403


def test_the_port_80_is_left_out_by_clients():
    assert status(("host", "127.0.0.1"), port=80) == 200
    assert status(("host", "127.0.0.1"), port=81) == 403


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:8888", "http://localhost:4200", "https://127.0.0.1:4200",
     "http://127.0.0.1:42000", "file://", "", "http://127.0.0.1:4200.evil.example"],
)  # fmt: skip
def test_a_page_of_another_origin_is_refused(method, origin):
    assert status(HOST, ("origin", origin), method=method) == 403


def test_the_own_page_may_send():
    assert status(HOST, OWN, ("sec-fetch-site", "same-origin"), method="POST") == 200
    assert status(HOST, OWN, ("origin", "http://evil.example"), method="POST") == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_request_without_origin_from_another_site_is_refused_but_a_link_may_be_followed(site):
    from_elsewhere = (HOST, ("sec-fetch-site", site))
    assert status(*from_elsewhere) == 403
    assert status(*from_elsewhere, ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")) == 403
    assert status(*from_elsewhere, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")) == 403
    assert status(*from_elsewhere, *NAVIGATION) == 200
    assert status(*from_elsewhere, *NAVIGATION, method="POST") == 403


def test_a_websocket_is_checked_too():
    assert call(HOST, OWN, kind="websocket")[0] == {"type": "websocket.accept"}
    for headers in ((HOST, ("origin", "http://evil.example")), (("host", "evil.example:4200"),)):
        (message,) = call(*headers, kind="websocket")
        assert (message["type"], message["code"]) == ("websocket.close", 1008)


def test_a_person_who_opens_localhost_is_sent_to_the_origin_that_has_access():
    start = call(("host", "localhost:4200"), *NAVIGATION, path="/runs")[0]
    assert start["status"] == 307
    assert (b"location", b"http://127.0.0.1:4200/runs?a=1") in start["headers"]
    assert status(("host", "localhost:4200"), ("accept", "application/json")) == 200


@pytest.mark.parametrize(
    ("headers", "expected"),
    [((basic("sparsecbm:abc"),), 200), ((basic("sparsecbm:abd"),), 401), ((basic("abc"),), 401), ((), 401),
     ((("authorization", "Basic ???"),), 401), ((("authorization", "Bearer sparsecbm:abc"),), 401),
     ((("authorization", "Basic é"),), 401)],
)  # fmt: skip
def test_the_password_is_asked_for(headers, expected):
    assert status(HOST, *headers, access="sparsecbm:abc") == expected


def test_a_health_check_needs_no_password_and_a_401_names_the_scheme():
    assert status(HOST, path="/health", access="sparsecbm:abc") == 200
    assert status(HOST, path="/health", method="POST", access="sparsecbm:abc") == 401
    assert status(HOST, path="/api/health", access="sparsecbm:abc") == 401
    assert (b"www-authenticate", b'Basic realm="sparsecbm"') in call(HOST, access="sparsecbm:abc")[0]["headers"]


def test_pages_connect_to_their_own_server_alone_and_are_in_no_frame_of_others():
    headers = dict(call(HOST)[0]["headers"])
    assert headers[b"x-app"] == b"yes"
    assert headers[b"x-frame-options"] == b"SAMEORIGIN"
    assert headers[b"content-security-policy"] == (
        b"connect-src 'self' http://127.0.0.1:4200 ws://127.0.0.1:4200; frame-ancestors 'self'"
    )
