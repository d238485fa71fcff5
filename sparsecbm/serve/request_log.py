"""A line of JSON and a figure for each request. Neither holds a text, a query or a header of the client."""

import json
import logging
import re
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from fastapi import Request

from sparsecbm.base.guard import App, Message, Receive, Send
from sparsecbm.serve.faults import unforeseen_fault
from sparsecbm.serve.telemetry import Telemetry

HEADER = b"x-request-id"
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_log = logging.getLogger(__name__)


class RequestLog:
    """An ASGI application in front of another one: request ids, the log, figures, and the last resort for faults."""

    def __init__(self, app: App, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, and log it when it is answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity = _identity(scope)
        state = scope.setdefault("state", {})
        state |= {"request_id": identity, "facts": {}}
        begun, status = time.perf_counter(), 499  # the client left before the answer

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", []), (HEADER, identity.encode())]}
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            response = unforeseen_fault(Request(scope), error)
            if status == 499:
                await response(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - begun
            path = getattr(scope.get("route"), "path", "other")
            self._telemetry.answered(path, status, seconds)
            facts = {"id": identity, "method": scope["method"], "path": path, "status": status}
            facts |= {"seconds": round(seconds, 4), **state["facts"]}
            _log.info("answered", extra={"facts": facts})


class JsonLines(logging.Formatter):
    """A log record as one line of JSON. An exception is shown by its kind alone, as its message may hold a text."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"at": at, "level": record.levelname.lower(), "event": record.getMessage()}
        if record.exc_info and record.exc_info[0]:
            line["kind"] = record.exc_info[0].__name__
        return json.dumps(line | getattr(record, "facts", {}))


def _identity(scope: Message) -> str:
    """The client's own id of the request if it is harmless, else a new one."""
    given = next((value for name, value in scope["headers"] if name.lower() == HEADER), b"")
    return given.decode() if _ID.fullmatch(given) else uuid.uuid4().hex
