"""Pages and parts of pages from templates, with the policies that keep them to themselves."""

from collections.abc import Mapping
from importlib.resources import files
from uuid import uuid4

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from sparsecbm.base.terminal_text import visible
from sparsecbm.display.card import FILTERS, LOADER

STATIC = {"htmx.min.js": "text/javascript", "workbench.js": "text/javascript", "icon.svg": "image/svg+xml"}
STYLE = "workbench.css"
PROGRAMS = ("/v1/", "/health", "/ready", "/metrics", "/openapi.json")  # paths whose answers are for programs
# Everything comes from this server, and nothing in a page runs or is styled that is no file of the server.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}  # fmt: skip

_environment = Environment(
    loader=ChoiceLoader(
        [PackageLoader("sparsecbm", "workbench/templates"), PackageLoader("sparsecbm", "report"), LOADER]
    ),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters.update(FILTERS)
_environment.filters["moment"] = lambda at: f"{at[:16].replace('T', ' ')} UTC"  # of times as the journal writes them
_environment.globals["new_form"] = lambda: uuid4().hex  # so that a form that is sent twice is known


def page(name: str, status: int = 200, **values: object) -> HTMLResponse:
    """A page, or a part of one, from a template; all values are escaped."""
    return HTMLResponse(_environment.get_template(f"{name}.html.jinja").render(**values), status, HEADERS)


def whole_page(request: Request) -> bool:
    """Whether a request asks for a whole page: it comes from the browser itself, not from a part of a page."""
    return request.headers.get("HX-Request") != "true"


def fault_page(request: Request, status: int, message: str) -> Response:
    """Why a request failed: a page, or a notice on the page that sent it."""
    response = page("fault" if whole_page(request) else "notice", status, message=visible(message))
    response.headers.update({"HX-Retarget": "#notice", "HX-Reswap": "innerHTML"})
    return response


def static_file(name: str) -> Response | None:
    """A script or the style sheet of the pages; None if there is no such file."""
    headers: Mapping[str, str] = {**HEADERS, "Cache-Control": "max-age=3600"}
    if name == STYLE:
        return Response(_environment.get_template(f"{STYLE}.jinja").render(), media_type="text/css", headers=headers)
    if name not in STATIC:
        return None
    content = (files("sparsecbm") / "workbench" / "static" / name).read_bytes()
    return Response(content, media_type=STATIC[name], headers=headers)
