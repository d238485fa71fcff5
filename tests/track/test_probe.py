"""Whatever a tracking store does, there is one message: it says what is wrong and shows no secret."""

import http.server
import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from base64 import b64decode
from contextlib import closing

import pytest

from sparsecbm.base.workspace import Workspace
from sparsecbm.track.probe import TrackingUnavailableError, lock_holders, probe, sqlite_path, sqlite_uri
from sparsecbm.track.store import database, open_store, translated_errors


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


@pytest.fixture
def server():
    """Return a function that starts a server with an answer for every request, and the requests that it got."""
    servers, requests = [], []

    def start(status, body, kind="application/json"):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                requests.append((self.path, self.headers.get("Authorization")))
                content = body.encode() if isinstance(body, str) else body
                self.send_response(200 if self.path == "/health" else status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"127.0.0.1:{servers[-1].server_port}", requests

    yield start
    for running in servers:
        running.shutdown()
        running.server_close()


EXPERIMENT = json.dumps({"experiment": {"experiment_id": "7", "name": "x", "artifact_location": "mlflow-artifacts:/7"}})


@pytest.mark.parametrize("password", ["p@ss:w77", "pa/ss77", "p%40ss%2F77", "a@b@c%77"])
def test_a_server_gets_user_and_password(server, workspace, monkeypatch, password):
    host, requests = server(200, EXPERIMENT)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:{password}@{host}")
    store = open_store(workspace, "x")
    assert store.experiment_id == "7"
    sent = {header for path, header in requests if path != "/health"}
    decoded = {"p%40ss%2F77": "p@ss/77", "a@b@c%77": "a@b@cw"}.get(password, password)
    assert {b64decode(header.removeprefix("Basic ")).decode() for header in sent} == {f"ann:{decoded}"}
    assert store.page("1") == f"http://***@{host}/#/experiments/7/runs/1"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, "You are not authenticated", "text/plain"), (403, "{}", "application/json"), (404, "<html>", "text/html"),
        (500, "x" * 100_000, "text/plain"),
        (502, "\x1b[31mbad\x1b]0;x\x07", "text/plain"), (503, b"\xff\xfe", "text/plain"),
        (200, "<html>login</html>", "text/html"), (200, "[]", "application/json"),
        (200, "[" * 5000, "application/json"),
        (200, '{"experiment": 3}', "application/json"), (418, '{"error_code": 5, "message": null}', "application/json"),
    ],
)  # fmt: skip
def test_a_server_that_answers_badly_is_one_message(server, workspace, monkeypatch, status, body, kind):
    host, _ = server(status, body, kind)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:secret77@{host}")
    with pytest.raises(TrackingUnavailableError, match=rf"^MLflow at http://\*\*\*@{host} cannot be opened: ") as error:
        open_store(workspace, "x")
    assert "secret77" not in str(error.value) and len(str(error.value)) < 500
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (
            "postgresql://ann:secret77@127.0.0.1:9/x",
            "does not answer|driver 'psycopg2' .* is not installed; `pip install",
        ),
        ("mysql+no_such_driver://ann:secret77@127.0.0.1:9/x", "cannot be opened"),
        ("mssql+pyodbc://ann:secret77@127.0.0.1:9/x", "driver 'pyodbc' .* `pip install pyodbc`|does not answer"),
        ("oracle://ann:secret77@127.0.0.1:9/x", "MLflow at oracle://.* cannot be opened"),
        ("postgres://ann:secret77@127.0.0.1:9/x", "MLflow at postgres://.* cannot be opened"),
        ("gopher://ann:secret77@127.0.0.1:9", "cannot be opened"),
        ("http://ann:secret77@127.0.0.1:9", "does not answer"),
        ("http://ann:secret77@no-such-host.invalid", "does not answer"),
        ("http://ann:12/secret77@127.0.0.1:9", "MLFLOW_TRACKING_URI: the address can be understood in two ways"),
        ("http://127.0.0.1:9?token=secret77", "MLFLOW_TRACKING_TOKEN"),
        ("http://" + "a" * 300 + ".example:9", "does not answer"),
    ],
)
def test_an_address_that_does_not_work_is_one_message(workspace, monkeypatch, uri, message):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(TrackingUnavailableError, match=message) as error:
        open_store(workspace, "x")
    assert "secret77" not in str(error.value)


def test_a_port_of_another_protocol_is_one_message():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet():
            connection, _ = listener.accept()
            connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
            connection.close()

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(TrackingUnavailableError, match="does not answer"):
            probe(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()


def test_a_folder_in_place_of_the_database_and_a_folder_that_is_a_file_are_one_message(tmp_path):
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(TrackingUnavailableError, match=r"folder\.db cannot be opened: unable to open database file"):
        probe(f"sqlite:///{tmp_path}/folder.db")
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackingUnavailableError, match="cannot be created: nothing can be written to"):
        probe(f"sqlite:///{tmp_path}/file/mlflow.db")


def test_a_locked_database_is_waited_for_and_its_holder_named(tmp_path):
    path = tmp_path / "mlflow.db"
    sqlite3.connect(path).execute("create table t (x)").connection.close()
    script = (
        "import sqlite3, sys, time\n"
        f"c = sqlite3.connect({str(path)!r}); c.execute('begin exclusive'); print(flush=True)\n"
        "sys.stdin.readline(); time.sleep(0.5); c.rollback()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        message = rf"is locked by process {holder.pid} \(python.*\); wait until it is free, then try again"
        with pytest.raises(TrackingUnavailableError, match=message) as error:
            probe(f"sqlite:///{path}", 0.1)
        assert "move" not in str(error.value)
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        probe(f"sqlite:///{path}", 30)  # waits until it is free
    assert lock_holders(str(path)) == "another process"  # negative control: nobody


def test_a_write_into_a_database_that_is_locked_or_read_only_names_the_remedy(tmp_path):
    from sqlalchemy.exc import OperationalError

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    for words, remedy in {
        "database is locked": "the database is locked by another process; wait until it is free",
        "attempt to write a readonly database": "make the database and its folder writable",
    }.items():
        with pytest.raises(TrackingUnavailableError, match=remedy), translated_errors(uri):
            raise OperationalError("insert", {}, sqlite3.OperationalError(words))
    with pytest.raises(ZeroDivisionError), translated_errors(uri):  # negative control: a fault of ours is no server's
        1 / 0  # noqa: B018


@pytest.mark.parametrize("path", ["/a/b.db", "/a b/c%20d#e.db", "/what?/b.db", "/a?b=c&d%3F/#.db"])
def test_the_address_of_a_path_leads_back_to_it(path):
    assert sqlite_path(sqlite_uri(path)) == path


def test_a_question_mark_in_the_path_keeps_the_database_in_its_workspace(tmp_path, migrated, monkeypatch):
    """SQLAlchemy ends a path at its first question mark, so the database was a file outside of the workspace."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    workspace = Workspace(tmp_path / "is it? #1%20")
    workspace.state.mkdir(parents=True)
    shutil.copy(migrated, database(workspace))
    monkeypatch.chdir(tmp_path)
    open_store(workspace, "questions")
    with closing(sqlite3.connect(database(workspace))) as connection:
        assert ("questions",) in connection.execute("select name from experiments").fetchall()
    assert [path.name for path in tmp_path.iterdir()] == ["is it? #1%20"]
