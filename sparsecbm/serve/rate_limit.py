"""A limit of requests for each client, so that one cannot fill the queue of all."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from fastapi import Request

from sparsecbm.base.guard import App, Message, Receive, Send
from sparsecbm.serve.faults import fault_response

MOST_CLIENTS = 10_000  # that are remembered; the one that was silent for longest is forgotten first


class RateLimit:
    """An ASGI application in front of another one: a bucket of tokens for each address.

    A bucket holds twice the rate, a request takes one token, and the rate fills it again.

    Args:
        rate: requests in a second
        clock: seconds
    """

    def __init__(self, app: App, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._rate = rate
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> tokens, and when

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 429."""
        wait = self._take((scope.get("client") or ("",))[0]) if scope["type"] == "http" else 0
        if wait:
            message = f"more than {self._rate} requests a second; ask again in {wait} s"
            await fault_response(Request(scope), 429, message, {"Retry-After": str(wait)})(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _take(self, client: str) -> int:
        """Take a token, or return the seconds until there is one."""
        now = self._clock()
        tokens, then = self._buckets.pop(client, (2.0 * self._rate, now))
        tokens = min(2.0 * self._rate, tokens + (now - then) * self._rate)
        enough = tokens >= 1
        self._buckets[client] = tokens - enough, now
        if len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return 0 if enough else math.ceil((1 - tokens) / self._rate)
