"""A web page that a person has open must not reach the services of `sparsecbm up`: by HTTP, and in a real browser."""

import contextlib
import http.client
import http.server
import json
import re
import threading
import urllib.error
from urllib.parse import urlsplit

import pytest

from sparsecbm.orchestration.access import access, credentials
from tests.support.browser import chromium
from tests.support.service_access import authorization, request

pytestmark = pytest.mark.flow

SHELL_STEP = [{"prefect.deployments.steps.run_shell_script": {"script": "touch attacked"}}]
FLAGS = (
    "--headless", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP evil.example 127.0.0.1",
)  # fmt: skip

# What a hostile page tries on a server: requests with and without a preflight, a form, a beacon and a websocket.
ATTACK = """\
const [url, body, socket, authorization, done] = arguments;
const results = {};
const late = () => new Promise((_, reject) => setTimeout(() => reject({name: "no answer"}), 20000));
const attempt = async (name, send) => {
  try {
    const answer = await Promise.race([send(), late()]);
    results[name] = answer.type === "opaque" ? "opaque" : answer.status;
  } catch (error) { results[name] = error.name === "TypeError" ? "blocked" : error.name; }
};
const plain = {method: "POST", body: body, credentials: "include"};
(async () => {
  await attempt("json", () => fetch(url, {...plain, headers: {"Content-Type": "application/json"}}));
  await attempt("password", () => fetch(url, {...plain,
    headers: {"Content-Type": "application/json", "Authorization": authorization}}));
  await attempt("no-cors", () => fetch(url, {...plain, mode: "no-cors", headers: {"Content-Type": "text/plain"}}));
  await attempt("read", () => fetch(url, {credentials: "include"}));
  navigator.sendBeacon(url, body);
  const frame = document.createElement("iframe");
  frame.name = "target";
  document.body.append(frame);
  const form = document.createElement("form");
  form.method = "post"; form.action = url; form.enctype = "text/plain"; form.target = "target";
  const input = document.createElement("input");
  input.name = body.slice(0, -1) + ', "x": "'; input.value = '"}';
  form.append(input); document.body.append(form); form.submit();
  results.socket = await new Promise(resolve => {
    const connection = new WebSocket(socket);
    connection.onopen = () => resolve("open"); connection.onerror = () => resolve("blocked");
    setTimeout(() => resolve("no answer"), 20000);
  });
  setTimeout(() => done(results), 700);
})();
"""


@pytest.fixture(scope="module")
def flow_id(services):
    """Return the id of a flow; a deployment of it is what a hostile page wants to create."""
    workspace, started = services
    return request(f"{started['prefect'].api}/flows/", {"name": "victim"}, authorization(workspace))["id"]


def deployments(services):
    workspace, started = services
    rows = request(f"{started['prefect'].api}/deployments/filter", {}, authorization(workspace))
    return {row["name"] for row in rows}


def experiments(services):
    workspace, started = services
    url = f"{started['mlflow'].url}/api/2.0/mlflow/experiments/search"
    rows = request(url, {"max_results": 100}, authorization(workspace))["experiments"]
    return {row["name"] for row in rows}


def attacks(services, flow_id):
    """Return address, body and socket of what a hostile page would like to do, for each server."""
    _, started = services
    deployment = {"name": "attack", "flow_id": flow_id, "pull_steps": SHELL_STEP, "work_pool_name": "sparsecbm"}
    prefect, mlflow = started["prefect"], started["mlflow"]
    sockets = [re.sub("^http", "ws", url) for url in (f"{prefect.api}/events/in", f"{mlflow.url}/ws")]
    return {
        "prefect": (f"{prefect.api}/deployments/", json.dumps(deployment), sockets[0]),
        "mlflow": (f"{mlflow.url}/api/2.0/mlflow/experiments/create", json.dumps({"name": "attack"}), sockets[1]),
    }


def send(url, body, headers):
    """Send a POST with exactly these headers; return the status."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("POST", parts.path, body, {"Host": parts.netloc, **headers})
        answer = connection.getresponse()
        answer.read()
        return answer.status, dict(answer.getheaders())


@pytest.mark.parametrize("service", ["prefect", "mlflow"])
def test_over_http(services, flow_id, service):
    """Even with the password: a browser sends a remembered one along."""
    url, body, _ = attacks(services, flow_id)[service]
    port = urlsplit(url).port
    password = authorization(services[0])
    for kind in ("application/json", "text/plain"):
        json_or_plain = {"Content-Type": kind}
        assert send(url, body, json_or_plain)[0] == 401
        for host in (f"evil.example:{port}", "evil.example", f"127.0.0.1.evil.example:{port}", f"0.0.0.0:{port}"):
            assert send(url, body, {**json_or_plain, **password, "Host": host})[0] == 403
        for origin in ("http://evil.example", "null", f"http://localhost:{port + 1}", f"https://127.0.0.1:{port}"):
            status, headers = send(url, body, {**json_or_plain, **password, "Origin": origin})
            assert status == 403
            assert not any(name.lower().startswith("access-control") for name in headers)
        assert send(url, body, {**json_or_plain, **password, "Sec-Fetch-Site": "cross-site"})[0] == 403
    assert "attack" not in deployments(services) | experiments(services)
    own = {"Content-Type": "application/json", "Origin": f"http://127.0.0.1:{port}", **password}
    changed = body.replace('"attack"', f'"own-{service}"')
    assert send(url, changed, own)[0] in (200, 201)
    assert f"own-{service}" in deployments(services) | experiments(services)


def test_no_process_shows_the_password(services):
    import psutil

    workspace, started = services
    _, password = credentials(workspace)
    commands = [psutil.Process(service.pid).cmdline() for service in started.values()]
    assert all(commands)
    assert password not in str(commands)
    logs = "".join(path.read_text(errors="replace") for path in (workspace.state / "logs").iterdir())
    assert password not in logs
    with pytest.raises(urllib.error.HTTPError) as refused:
        request(f"{started['prefect'].api}/flows/filter", {})
    assert refused.value.code == 401


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Return headless Chromium with an empty profile, to which evil.example is this machine."""
    with chromium(tmp_path_factory.mktemp("profile"), *FLAGS) as driver:
        driver.set_script_timeout(180)
        yield driver


@pytest.fixture(scope="module")
def hostile_port():
    """Return the port of a web site that serves an empty page."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>hostile</title>")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


@pytest.mark.parametrize("service", ["prefect", "mlflow"])
def test_in_a_browser(services, flow_id, browser, hostile_port, service):
    from selenium.webdriver.support.wait import WebDriverWait

    workspace, started = services
    url, body, socket = attacks(services, flow_id)[service]
    port = urlsplit(url).port
    password = authorization(workspace)["Authorization"]
    browser.get(f"http://{access(workspace)}@127.0.0.1:{urlsplit(started['mlflow'].url).port}/version")  # is remembered
    # The server's own page can do it, so the attempts below fail for the right reason.
    browser.get(f"http://127.0.0.1:{port}/api/health" if service == "prefect" else f"http://127.0.0.1:{port}/health")
    own = body.replace('"attack"', f'"page-{service}"')
    results = browser.execute_async_script(ATTACK, url, own, socket, password)
    assert {results["json"], results["password"]} & {200, 201}
    assert f"page-{service}" in deployments(services) | experiments(services)
    for site in (f"http://127.0.0.1:{hostile_port}", f"http://evil.example:{hostile_port}"):
        browser.get(site)
        assert browser.title == "hostile"
        for secret in ("Basic eA==", password):
            results = browser.execute_async_script(ATTACK, url, body, socket, secret)
            assert results == {
                "json": "blocked", "password": "blocked", "no-cors": "opaque", "read": "blocked", "socket": "blocked",
            }, site  # fmt: skip
    # The name leads to the server itself (DNS rebinding), so the page's own origin is the server's.
    browser.get(f"http://evil.example:{port}/")
    WebDriverWait(browser, 30).until(lambda opened: "not known by that host name" in opened.page_source)
    rebound = [address.replace("127.0.0.1", "evil.example") for address in (url, socket)]
    results = browser.execute_async_script(ATTACK, rebound[0], body, rebound[1], password)
    assert results == {"json": 403, "password": 403, "no-cors": 403, "read": 403, "socket": "blocked"}
    assert "attack" not in deployments(services) | experiments(services)


def test_a_person_who_opens_localhost_comes_to_the_page(services, browser):
    _, started = services
    browser.get(started["prefect"].url.replace("127.0.0.1", "localhost"))
    assert browser.current_url.startswith(started["prefect"].url)
    assert "Prefect" in browser.title  # of the page as the server sends it
