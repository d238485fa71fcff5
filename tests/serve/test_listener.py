"""The port is taken before the model is loaded, clients are let in after it, and files are left for other things."""

import logging
import os
import resource
import socket
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.serve import listener, server
from sparsecbm.serve.access_rules import AccessRules
from sparsecbm.serve.listener import LEAST, RESERVE, Listener, allow_open_files, bind, listen
from tests.support.tiny_pipeline import free_port

FILES = 10_000
FEW = "the limit of open files allows few connections"


def rules(port=0):
    return AccessRules("127.0.0.1", port)


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=60)


class EndError(Exception):
    """The service would serve now."""


@pytest.fixture
def serve(monkeypatch):
    """Return a function that serves at a port; it calls one function in place of loading, and one of serving."""

    def serve(port, load, run):
        def run_server(self, sockets):
            run()
            raise EndError

        monkeypatch.setattr(server, "_load", lambda *_: (load(), (None, None))[1])
        monkeypatch.setattr(server, "_log_as_json", lambda level: None)
        monkeypatch.setattr(server, "create_app", lambda *_: None)
        monkeypatch.setattr(server.uvicorn.Server, "run", run_server)
        server.serve(server.Served("model", None, Path("corrections.jsonl"), 1), rules(port))

    return serve


def test_clients_are_refused_while_the_model_is_loaded_and_wait_for_nothing_afterwards(serve):
    port, happened = free_port(), []

    def load():
        with pytest.raises(ConnectionRefusedError):
            connect(port)
        happened.append("refused")

    def run():
        connect(port).close()
        happened.append("let in")

    with pytest.raises(EndError):
        serve(port, load, run)
    assert happened == ["refused", "let in"]


def test_a_port_that_is_not_free_is_told_before_the_model_is_loaded(serve):
    loaded = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 is not free: Address already in use"):
            serve(port, lambda: loaded.append(1), lambda: None)
    assert loaded == []
    with pytest.raises(EndError):  # it is free now
        serve(port, lambda: loaded.append(1), lambda: None)
    assert loaded == [1]


def test_of_two_services_that_load_at_once_the_later_one_is_told():
    """Linux binds both to the port, since none of them listens yet."""
    with bind(rules(), FILES) as first:
        access = rules(first.getsockname()[1])
        with bind(access, FILES) as second:
            listen(second, access, 1)
            with pytest.raises(ConfigError, match=f"port {access.port} on 127.0.0.1 is not free"):
                listen(first, access, 1)
            connect(access.port).close()


def test_a_service_starts_again_at_a_port_whose_last_connection_it_closed():
    with bind(rules(), FILES) as first:
        access = rules(first.getsockname()[1])
        listen(first, access, 1)
        client = connect(access.port)
        first.accept()[0].close()  # the server closes first, so the system remembers the connection for a minute
        client.close()
    with bind(access, FILES) as second:
        listen(second, access, 1)
        connect(access.port).close()


@pytest.mark.parametrize("host", ["::1", "no-such-name.invalid", "192.0.2.1", "\u202e", "a\0b"])
def test_an_address_of_another_machine_is_not_told_as_a_port_that_is_taken(host):
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ConfigError) as refused:  # 192.0.2.1 is nobody's (RFC 5737)
        bind(AccessRules(host, 0), FILES)
    assert str(refused.value).startswith(f"--host: {host!r} is no IPv4 address or name of this machine")
    assert len(os.listdir("/proc/self/fd")) == len(before)


def lowest_number():
    """Return the number that the next open file gets."""
    number = os.open(os.devnull, os.O_RDONLY)
    os.close(number)
    return number


def test_a_connection_that_would_take_a_file_in_reserve_is_closed(caplog):
    """A client and its connection have two files, so of three pairs the first two fit below five more files."""
    with ExitStack() as stack:
        socket_ = stack.enter_context(Listener(0))
        socket_.bind(("127.0.0.1", 0))
        socket_.listen()
        socket_.setblocking(False)
        port = socket_.getsockname()[1]
        socket_.most = lowest_number() + 5
        clients, accepted = [], []
        for _ in range(4):
            clients.append(stack.enter_context(connect(port)))
            try:
                accepted.append(stack.enter_context(socket_.accept()[0]))
            except BlockingIOError:  # no further connection waits
                accepted.append(None)
        assert [connection is not None for connection in accepted] == [True, True, False, False]
        assert clients[2].recv(1) == clients[3].recv(1) == b""  # closed
        accepted[0].sendall(b"x")
        assert clients[0].recv(1) == b"x"
        assert [record.message for record in caplog.records] == [
            "connections are closed, since too many files are open"
        ]  # one line, not one a connection
        for client in clients[1:]:
            client.close()
        accepted[1].close()
        stack.enter_context(connect(port))
        stack.enter_context(socket_.accept()[0])  # there is room again


@pytest.mark.parametrize(("spare", "told"), [(10, True), (100, False)])
def test_a_limit_that_allows_fewer_connections_than_wanted_is_logged(caplog, spare, told):
    open_now = len(os.listdir("/proc/self/fd"))
    with bind(rules(), open_now + RESERVE + spare) as socket_, caplog.at_level(logging.WARNING):
        listen(socket_, rules(), 50)
    facts = [record.facts for record in caplog.records if record.message == FEW]
    assert bool(facts) == told
    if told:
        assert facts[0]["wanted"] == 50 and spare - 4 <= facts[0]["connections"] < spare


@contextmanager
def limits(monkeypatch, soft, hard):
    """Give this process other limits in name only; yield what it sets."""
    now = [(soft, hard)]
    with monkeypatch.context() as patch:
        patch.setattr(listener.resource, "getrlimit", lambda kind: now[-1] if kind == resource.RLIMIT_NOFILE else None)
        patch.setattr(listener.resource, "setrlimit", lambda _, pair: now.append(pair))
        yield now


@pytest.mark.parametrize(
    ("soft", "hard", "allowed"),
    [
        (1024, 4096, 2064),  # raised to what is wanted
        (1024, resource.RLIM_INFINITY, 2064),
        (1024, 1500, 1500),  # and not further than the system lets it
        (1024, 1024, 1024),
        (20_000, 20_000, 20_000),  # never lowered
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 2064),
        (LEAST, LEAST, LEAST),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_it_is_needed_and_possible(monkeypatch, soft, hard, allowed):
    with limits(monkeypatch, soft, hard) as now:
        assert allow_open_files(2064) == allowed
    assert len(now) == 1 or now[1:] == [(allowed, hard)]
    assert (len(now) > 1) == (soft == 1024 and allowed != 1024)


def test_a_limit_that_is_too_low_to_serve_ends_the_command_with_one_message(monkeypatch, sparsecbm):
    with limits(monkeypatch, LEAST - 1, LEAST - 1):
        code, _, errors = sparsecbm("serve", "no-such-model", "--port", free_port())
    assert (code, errors) == (1, "error: `ulimit -n` allows 63 open files; the service needs at least 64\n")
    with limits(monkeypatch, LEAST, LEAST):
        code, _, errors = sparsecbm("serve", "no-such-model", "--port", free_port())
    assert code == 1 and "no-such-model does not exist" in errors
