"""A token in front of the pages: the printed address holds it, and the browser gets a cookie in its place."""

import hmac
import secrets
from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.guard import App, Message, Receive, Send
from sparsecbm.serve.access_rules import TOKEN, AccessRules, is_loopback
from sparsecbm.serve.bearer import Bearer
from sparsecbm.workbench.pages import PROGRAMS, fault_page

FIELD = "token"  # of the printed address
OPEN = "/static/"  # files of the package, which the page that asks for the token needs
DAY = 24 * 3600  # seconds that a browser may stay without the token
ANY_ADDRESS = ("0.0.0.0", "::")


class TokenDoor:
    """An ASGI application in front of another one: browsers bring a cookie, programs the token itself.

    The cookie is not the token, so whoever reads it cannot speak as a program.
    """

    def __init__(self, app: App, token: str) -> None:
        self._app = app
        self._bearer = Bearer(app, token)
        self._token = token.encode()
        self._ticket = hmac.new(self._token, b"the pages of a workbench", "sha256").hexdigest()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, exchange the token for a cookie, or answer with 401. Comparisons take equally long."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        cookie = request.cookies.get(_cookie_name(request), "")
        if scope["path"].startswith(OPEN):
            await self._app(scope, receive, send)
        elif request.method == "GET" and FIELD in request.query_params and not scope["path"].startswith(PROGRAMS):
            await self._exchange(request)(scope, receive, send)
        elif hmac.compare_digest(cookie.encode(), self._ticket.encode()):
            await self._app(scope, receive, send)
        elif scope["path"].startswith(PROGRAMS) or "authorization" in request.headers:
            await self._bearer(scope, receive, send)
        else:
            message = "this workbench asks for a token; open the whole address that its terminal printed"
            await fault_page(request, 401, message)(scope, receive, send)

    def _exchange(self, request: Request) -> Response:
        """Give the cookie, and send the browser to the same page without the token."""
        given = request.query_params.getlist(FIELD)
        if len(given) != 1 or not hmac.compare_digest(given[0].encode(), self._token):
            message = "this token is wrong, or of an earlier start; copy the whole address that the terminal printed"
            return fault_page(request, 401, message)
        others = [(name, value) for name, value in request.query_params.multi_items() if name != FIELD]
        # A path of two slashes would name another machine.
        path = "/" + quote(request.url.path.lstrip("/"))
        response = RedirectResponse(f"{path}?{urlencode(others)}" if others else path, 303)
        response.headers.update({"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
        # Lax, so that a link to a page works that somebody else sends; no GET changes anything.
        response.set_cookie(_cookie_name(request), self._ticket, DAY, httponly=True, samesite="lax")
        return response


def _cookie_name(request: Request) -> str:
    """Browsers send cookies to all ports of a machine, and each may have a workbench."""
    return f"workbench-{(request.scope.get('server') or ('', 0))[1]}"


def entrance(
    host: str, port: int, hosts: Sequence[str], asked: bool, environment: Mapping[str, str]
) -> tuple[AccessRules, str]:
    """Who may use the pages, and the address to open.

    Args:
        hosts: names by which other machines know this one
        asked: whether a token is needed on this machine, too; other machines always need one

    Raises:
        ConfigError: the token of SPARSECBM_TOKEN is no good, or the address of the page is unknown.
    """
    names = [*hosts, *([] if is_loopback(host) or host in ANY_ADDRESS else [host])]
    if not is_loopback(host) and not names:
        raise ConfigError(f"--host {host} names no machine; add --allow-host with the name that people type")
    if not environment.get(TOKEN) and (asked or not is_loopback(host)):
        environment = {**environment, TOKEN: secrets.token_urlsafe(24)}
    access = AccessRules.from_environment(host, port, names, environment)
    address = f"http://{names[0] if names else '127.0.0.1'}:{port}/"
    return access, f"{address}?{urlencode({FIELD: access.token})}" if access.token else address
