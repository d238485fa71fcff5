"""Lets only a server's own pages, and programs that know it by its name, reach the server.

A page of any origin can send requests to 127.0.0.1, and a name of its own can lead there (DNS rebinding). So the guard
checks the headers that a page cannot forge: Host, Origin and Sec-Fetch-Site.
"""

import base64
import hmac
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Refusal = Callable[[Message, int, str], App]  # scope, status and reason -> the application that answers

HOST = "127.0.0.1"
OPEN_PATHS = ("/health",)  # says that the server runs, and nothing else
POLICY_VIOLATION = 1008  # a code of WebSocket


class Guard:
    """An ASGI application in front of another one.

    Args:
        port: where the server listens
        access: `user:password` to ask for (HTTP Basic), or empty if the application asks itself
        hosts: further host names of the server, besides those of loopback, at any port
        refusal: answers a request that is refused, by default in plain text
    """

    def __init__(
        self, app: App, port: int, access: str = "", hosts: Iterable[str] = (), refusal: Refusal | None = None
    ) -> None:
        self._app = app
        self._refusal = refusal or _plain_refusal
        self._origin = f"http://{HOST}:{port}"
        self._names = tuple(f"{host}{suffix}" for host in (HOST, "localhost") for suffix in _port_suffixes(port))
        self._access = access.encode("ascii")
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 401, 403 or a redirection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = _Headers(scope)
        fault = self._fault(scope, headers)
        if fault:
            refusal = _plain_refusal if scope["type"] == "websocket" else self._refusal
            await refusal(scope, 403, fault)(scope, receive, send)
        elif self._opened_by_other_name(scope, headers):
            query = scope.get("query_string", b"").decode("latin-1")
            target = self._origin + scope.get("raw_path", scope["path"].encode()).decode("latin-1")
            location = f"{target}?{query}" if query else target
            await _refuse(scope, send, 307, location, (b"location", location.encode("latin-1")))
        elif not self._has_access(scope, headers):
            realm = (b"www-authenticate", b'Basic realm="sparsecbm"')
            await _refuse(scope, send, 401, "user and password are needed: see the file .sparsecbm/access", realm)
        else:
            await self._app(scope, receive, self._with_policies(send))

    def _fault(self, scope: Message, headers: "_Headers") -> str:
        """Why a request is refused; empty for a good one."""
        hosts, origins = headers.all(b"host"), headers.all(b"origin")
        if len(hosts) != 1 or not self._knows(hosts[0].lower()):
            return "this server is not known by that host name"
        own = (self._origin,) if hosts[0].lower() in self._names else _origins(hosts[0].lower())
        if any(origin not in own for origin in origins):
            return "pages of another origin have no access"
        if headers.first(b"sec-fetch-site") in ("cross-site", "same-site") and not _follows_link(scope, headers):
            return "pages of another site have no access"
        return ""

    def _knows(self, host: str) -> bool:
        name, _, port = host.partition(":")
        return host in self._names or (name in self._hosts and (port.isdigit() or host == name))

    def _opened_by_other_name(self, scope: Message, headers: "_Headers") -> bool:
        """Whether a person opens a page as `localhost`; its requests would come from another origin."""
        opened = headers.first(b"sec-fetch-mode") == "navigate" or "text/html" in headers.first(b"accept")
        by_name = headers.first(b"host").lower().startswith("localhost")
        return by_name and opened and scope.get("method") == "GET"

    def _has_access(self, scope: Message, headers: "_Headers") -> bool:
        if not self._access or (scope["path"] in OPEN_PATHS and scope.get("method") == "GET"):
            return True
        scheme, _, encoded = headers.first(b"authorization").partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True)
        except ValueError:
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(given, self._access)

    def _with_policies(self, send: Send) -> Send:
        """Let pages connect to their own server alone, and stand in no frame of another page, which steals clicks."""
        sources = f"'self' {self._origin} {self._origin.replace('http', 'ws', 1)}"
        policies = {
            b"content-security-policy": f"connect-src {sources}; frame-ancestors 'self'".encode(),
            b"x-frame-options": b"SAMEORIGIN",
        }

        async def send_with_policies(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", []))
                present = {name.lower() for name, _ in headers}
                headers += [(name, value) for name, value in policies.items() if name not in present]
                message = {**message, "headers": headers}
            await send(message)

        return send_with_policies


class _Headers:
    """The headers of a request, by lower-case name."""

    def __init__(self, scope: Message) -> None:
        self._pairs = [(name.lower(), value.decode("latin-1").strip()) for name, value in scope["headers"]]

    def all(self, name: bytes) -> list[str]:
        return [value for key, value in self._pairs if key == name]

    def first(self, name: bytes) -> str:
        return next(iter(self.all(name)), "")


def _port_suffixes(port: int) -> tuple[str, ...]:
    """A client leaves out the port 80."""
    return (f":{port}", "") if port == 80 else (f":{port}",)


def _origins(host: str) -> tuple[str, ...]:
    """A proxy may add TLS, and the host alone does not tell."""
    return f"http://{host}", f"https://{host}"


def _follows_link(scope: Message, headers: _Headers) -> bool:
    """Whether a browser opens a page in a tab, which shows it and lets no other page read it."""
    tab = (headers.first(b"sec-fetch-mode"), headers.first(b"sec-fetch-dest")) == ("navigate", "document")
    return tab and scope.get("method") in ("GET", "HEAD")


def _plain_refusal(scope: Message, status: int, reason: str) -> App:
    async def answer(scope: Message, receive: Receive, send: Send) -> None:
        await _refuse(scope, send, status, reason)

    return answer


async def _refuse(scope: Message, send: Send, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": text})
        return
    plain = (b"content-type", b"text/plain; charset=utf-8")
    await send({"type": "http.response.start", "status": status, "headers": [plain, *headers]})
    await send({"type": "http.response.body", "body": f"{text}\n".encode()})
