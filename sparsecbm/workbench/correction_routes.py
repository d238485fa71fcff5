"""Corrections: what a person sets is kept as a proposal, and on request as a label of a text of the data."""

import asyncio
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from sparsecbm.annotate.human_labels import HUMAN_FILE, Decision, append_decisions, time_now
from sparsecbm.annotate.labels import text_key
from sparsecbm.base.errors import ConfigError
from sparsecbm.base.json_lines import read_json_lines
from sparsecbm.base.params.section import describe_fault
from sparsecbm.serve.bodies import CorrectionRequest
from sparsecbm.serve.correction_routes import keep_correction
from sparsecbm.serve.service import service_of
from sparsecbm.workbench.desk import AUTHOR, common_values, desk_of
from sparsecbm.workbench.forms import read_form, settings_of
from sparsecbm.workbench.pages import page

LONGEST_NAME = 100  # characters of an author
MONTH = 30 * 24 * 3600  # seconds that the browser remembers the author

router = APIRouter(include_in_schema=False)


@router.post("/corrections")
async def correct(request: Request) -> Response:
    """Keep what a person set."""
    fields = await read_form(request)
    author, text, settings = author_of(fields), fields.get("text", ""), settings_of(fields)
    if not text.strip():
        raise ConfigError("the text is empty; read one first")
    if not settings:
        raise ConfigError("nothing is set; choose another state of a concept first")
    try:
        body = CorrectionRequest(text=text, concepts=settings, author=author, reason=fields.get("reason", ""))
    except ValidationError as error:
        raise ConfigError("; ".join(describe_fault(each, str(each["loc"][0])) for each in error.errors())) from None
    record = await keep_correction(service_of(request), body)
    as_label = fields.get("as_label") == "yes"
    if as_label:
        decisions = [Decision(text_key(text), name, state, author, time_now()) for name, state in settings.items()]
        append_decisions(desk_of(request).workspace.annotations / HUMAN_FILE, decisions)
    await asyncio.to_thread(desk_of(request).journal.append, "correct", author, correction=record["id"])
    response = page("kept", record=record, settings=settings, as_label=as_label)
    remember(response, author)
    return response


@router.get("/corrections")
async def corrections(request: Request) -> Response:
    """All corrections that are kept, the latest first."""
    records = read_json_lines(service_of(request).corrections)
    return page("corrections", records=records[::-1], **common_values(request, "corrections"))


def author_of(fields: dict[str, str]) -> str:
    """The name of whoever sends a form.

    Raises:
        ConfigError: there is none, or it is too long.
    """
    author = fields.get(AUTHOR, "").strip()
    if not author or len(author) > LONGEST_NAME or not author.isprintable():
        raise ConfigError(f"give your name, of at most {LONGEST_NAME} characters, so that others can ask you")
    return author


def remember(response: Response, author: str) -> None:
    """Let the browser fill in the name from now on."""
    response.set_cookie(AUTHOR, quote(author), MONTH, httponly=True, samesite="strict")
