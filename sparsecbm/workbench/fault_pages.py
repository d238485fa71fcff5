"""Faults that the service tells in JSON, shown to people as a page: a body too large or late, too many requests, ..."""

import json

from fastapi import Request

from sparsecbm.base.guard import App, Message, Receive, Send
from sparsecbm.workbench.pages import PROGRAMS, fault_page

JSON = b"application/json"
_REPLACED = (b"content-type", b"content-length")


class FaultPages:
    """An ASGI application in front of another one. Answers for programs pass."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, and replace the answer if it is a fault in JSON."""
        if scope["type"] != "http" or scope["path"].startswith(PROGRAMS):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def send_as_page(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and _is_fault(message):
                start = message
            elif start is None:
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body"):
                    response = fault_page(Request(scope), start["status"], json.loads(body)["error"])
                    kept = [(name, value) for name, value in start["headers"] if name.lower() not in _REPLACED]
                    response.raw_headers += kept
                    await response(scope, receive, send)

        await self._app(scope, receive, send_as_page)


def _is_fault(start: Message) -> bool:
    return start["status"] >= 400 and dict(start["headers"]).get(b"content-type") == JSON
