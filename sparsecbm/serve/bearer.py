"""A bearer token in front of the service."""

import hmac

from fastapi import Request

from sparsecbm.base.guard import OPEN_PATHS, App, Message, Receive, Send
from sparsecbm.serve.faults import fault_response

OPEN = (*OPEN_PATHS, "/ready")  # what says that the service runs, for whoever starts it again


class Bearer:
    """An ASGI application in front of another one that asks for a token."""

    def __init__(self, app: App, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 401. The comparison takes equally long for every wrong token."""
        if scope["type"] == "http" and scope["path"] not in OPEN:
            given = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
            if len(given) != 1 or not hmac.compare_digest(given[0], self._expected):
                headers = {"WWW-Authenticate": "Bearer"}
                message = "a token is needed: `Authorization: Bearer TOKEN`"
                await fault_response(Request(scope), 401, message, headers)(scope, receive, send)
                return
        await self._app(scope, receive, send)
