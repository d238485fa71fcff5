"""Corrections: what a person sets is kept as a proposal, and on request as a label of a text of the data."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from sparsecbm.annotate.human_labels import (
    HUMAN_FILE,
    Decision,
    append_decisions,
    read_decisions,
    standing_decisions,
    time_now,
)
from sparsecbm.annotate.labels import text_key
from sparsecbm.base.errors import ConfigError
from sparsecbm.base.json_lines import read_json_lines
from sparsecbm.base.params.section import describe_fault
from sparsecbm.serve.bodies import CorrectionRequest
from sparsecbm.serve.correction_routes import keep_correction
from sparsecbm.serve.service import service_of
from sparsecbm.workbench.desk import AUTHOR, answer, common_values, desk_of
from sparsecbm.workbench.forms import identity_of, read_form, settings_of
from sparsecbm.workbench.pages import page
from sparsecbm.workbench.remembered import by_correction

PICK = "pick."  # before the id of a correction and one of its concepts
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
    as_label = fields.get("as_label") == "yes"
    async with desk_of(request).keeping:  # one after the other, so that a form that is sent twice is kept once
        record = await _keep(request, body, identity_of(fields))
    facts: dict[str, Any] = {"correction": record["id"]}
    if as_label:
        facts |= {"text": text_key(text), "states": settings}
        await asyncio.to_thread(_label, desk_of(request).workspace.annotations / HUMAN_FILE, body)
    await asyncio.to_thread(desk_of(request).journal.append_once, "correct", author, **facts)
    response = answer(request, "corrections", "kept", record=record, settings=settings, as_label=as_label)
    remember(response, author)
    return response


async def _keep(request: Request, body: CorrectionRequest, identity: str | None) -> dict[str, Any]:
    """Keep a correction, or find it again if its form was sent before."""
    service = service_of(request)
    records = await asyncio.to_thread(read_json_lines, service.corrections) if identity else []
    kept = next((record for record in records if record["id"] == identity), None)
    return kept or await keep_correction(service, body, identity)


def _label(path: Path, body: CorrectionRequest) -> None:
    """Store what was set as labels of a person, unless it stands there."""
    key = text_key(body.text)
    standing = {(each.key, each.concept, each.author): each.state for each in standing_decisions(read_decisions(path))}
    decisions = [
        Decision(key, name, state, body.author, time_now())
        for name, state in body.concepts.items()
        if standing.get((key, name, body.author)) != state
    ]
    append_decisions(path, decisions)


@router.get("/corrections")
async def corrections(request: Request) -> Response:
    """All corrections that are kept, the latest first."""
    records = read_json_lines(service_of(request).corrections)
    model = service_of(request).batcher.current.model
    remembered = by_correction(records, await asyncio.to_thread(desk_of(request).remembered.entries, model))
    values = {"records": records[::-1], "remembered": remembered}
    return page("corrections", **values, **common_values(request, "corrections"))


def picked(request: Request, fields: Mapping[str, str]) -> list[tuple[dict[str, Any], str]]:
    """The corrections that a person chose on the page, each with one of its concepts.

    Raises:
        ConfigError: none is chosen, or one is no longer kept.
    """
    records = {record["id"]: record for record in read_json_lines(service_of(request).corrections)}
    chosen = []
    for name in fields:
        if not name.startswith(PICK):
            continue
        identity, _, concept = name.removeprefix(PICK).partition(".")
        if concept not in records.get(identity, {"concepts": ()})["concepts"]:
            raise ConfigError("a correction that you chose is no longer kept; reload the page")
        chosen.append((records[identity], concept))
    if not chosen:
        raise ConfigError("no correction is chosen; tick one first")
    return chosen


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
