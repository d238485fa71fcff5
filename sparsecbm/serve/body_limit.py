"""Bodies that are too large or too slow are refused before anything is parsed."""

import asyncio
from dataclasses import dataclass

from fastapi import Request

from sparsecbm.base.guard import App, Message, Receive, Send
from sparsecbm.serve.faults import fault_response


@dataclass(frozen=True)
class _Refusal:
    status: int
    message: str


class BodyLimit:
    """An ASGI application in front of another one, which gets each body in one piece.

    Args:
        most: bytes of a body
        seconds: until a body has arrived
    """

    def __init__(self, app: App, most: int, seconds: float) -> None:
        self._app = app
        self._most = most
        self._seconds = seconds

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 408 or 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await self._read(scope, receive)
        if isinstance(body, _Refusal):
            headers = {"Connection": "close"}
            await fault_response(Request(scope), body.status, body.message, headers)(scope, receive, send)
        elif body is not None:
            await self._app(scope, _replay(body, receive), send)

    async def _read(self, scope: Message, receive: Receive) -> bytes | _Refusal | None:
        """The body, why it is refused, or None if the client has left."""
        large = _Refusal(413, f"a body may have {self._most} bytes")
        headers = {name.lower(): value for name, value in scope["headers"]}
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._most and b"expect" in headers:
            return large  # the client waits with its body
        parts, size = [], 0
        try:
            async with asyncio.timeout(self._seconds):
                # What is too large is read to its end, and dropped: most clients listen for an answer only then.
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    size += len(message.get("body", b""))
                    if size <= self._most:
                        parts.append(message.get("body", b""))
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            return large if size > self._most else _Refusal(408, f"the body did not arrive within {self._seconds} s")
        return large if size > self._most else b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A channel that gives a body in one message, then what follows it."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again
