"""Clients that send or read too slowly lose their connection."""

import socket
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

import pytest
import uvicorn

from sparsecbm.serve import timed_protocol
from sparsecbm.serve.timed_protocol import TimedProtocol


def wait(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def listening(application):
    """Run an application under the service's protocol; give the server and its address."""
    config = uvicorn.Config(application, port=0, http=TimedProtocol, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait(lambda: server.started)
        yield server, server.servers[0].sockets[0].getsockname()
    finally:
        server.should_exit = True
        thread.join()


def answering(size):
    """Return an application whose answers have that many bytes."""

    async def application(scope, receive, send):
        headers = [(b"content-length", str(size).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(size)})

    return application


def test_a_client_whose_headers_do_not_arrive_is_let_go(monkeypatch):
    monkeypatch.setattr(timed_protocol, "HEADER_SECONDS", 0.2)
    with listening(answering(0)) as (_, address), ExitStack() as stack:
        silent, slow = (stack.enter_context(socket.create_connection(address, timeout=60)) for _ in range(2))
        slow.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert slow.recv(1000).startswith(b"HTTP/1.1 200")
        slow.sendall(b"GET / HT")  # the second request begins and never ends
        assert (silent.recv(1), slow.recv(1)) == (b"", b"")


@pytest.mark.parametrize(("seconds", "arrives"), [(0.2, False), (60, True)])
def test_a_client_that_does_not_read_its_answer_is_let_go(monkeypatch, seconds, arrives):
    monkeypatch.setattr(timed_protocol, "READING_SECONDS", seconds)
    size = 30_000_000  # more than the system holds for a client
    with listening(answering(size)) as (server, address), socket.create_connection(address, timeout=60) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        received = client.recv(100)
        wait(lambda: arrives or not server.server_state.connections)
        with suppress(ConnectionResetError):
            while part := client.recv(1_000_000):
                received += part
    assert (len(received) > size) is arrives
