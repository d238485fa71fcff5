"""Remembered corrections: stored from the page, measured, offered for similar texts, and taken back."""

import asyncio

from fastapi import APIRouter, Request, Response

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.json_lines import read_json_lines
from sparsecbm.intervene.memory.index import Correction
from sparsecbm.intervene.memory.recall import SIMILAR
from sparsecbm.model.checksums import text_checksum
from sparsecbm.serve.service import service_of
from sparsecbm.workbench.correction_routes import author_of, picked, remember
from sparsecbm.workbench.desk import answer, desk_of
from sparsecbm.workbench.forms import read_form

REMEMBER, STOP = "remember", "stop remembering"  # in the journal
GONE = "this correction is not remembered, or by another model only; reload the page"

router = APIRouter(include_in_schema=False)


@router.post("/memory")
async def store(request: Request) -> Response:
    """Remember the corrections that a person chose."""
    fields = await read_form(request)
    author, chosen = author_of(fields), picked(request, fields)
    desk, model = desk_of(request), service_of(request).batcher.current.model

    def add() -> list[Correction]:
        noted = {entry["memory"]: entry["action"] for entry in desk.journal.entries() if "memory" in entry}
        entries = []
        for record, concept in chosen:
            entries.append(desk.remembered.add(model, record, concept, author))
            if noted.get(entries[-1].id) != REMEMBER:
                desk.journal.append(REMEMBER, author, correction=record["id"], memory=entries[-1].id)
        return entries

    entries = await asyncio.to_thread(add)
    response = answer(request, "corrections", "remembered", entries=entries, similar=SIMILAR)
    remember(response, author)
    return response


@router.get("/memory/{identity}")
async def effects(request: Request, identity: str) -> Response:
    """Which readings of the validation split an entry changes."""
    desk, model = desk_of(request), service_of(request).batcher.current.model
    entry = await asyncio.to_thread(desk.remembered.entry, model, identity)
    if entry is None:
        raise ConfigError(GONE)
    text = kept_texts(request).get(entry.text)
    if text is None:
        raise ConfigError("the text of this correction is no longer kept, so its effects cannot be measured")
    remedy, texts = await asyncio.to_thread(desk.remembered.effects, model, entry, text)
    label = model.concept_set.label.name
    return answer(request, "corrections", "memory_effects", entry=entry, remedy=remedy, texts=texts, label=label)


@router.post("/memory/{identity}")
async def take_back(request: Request, identity: str) -> Response:
    """Remember an entry no longer."""
    author, desk = author_of(await read_form(request)), desk_of(request)
    entry = await asyncio.to_thread(desk.remembered.remove, identity)
    await asyncio.to_thread(desk.journal.append, STOP, author, memory=entry.id)
    response = answer(request, "corrections", "remembered", entries=[], similar=SIMILAR)
    remember(response, author)
    return response


@router.post("/offers")
async def offers(request: Request) -> Response:
    """What is remembered of texts that are similar to the one that is read."""
    text = (await read_form(request)).get("text", "")
    service_of(request).check([text])
    model = service_of(request).batcher.current.model
    found = await asyncio.to_thread(desk_of(request).remembered.offers, model, text, kept_texts(request))
    return answer(request, "read", "offers", offers=found, text=text, label=model.concept_set.label.name)


def kept_texts(request: Request) -> dict[str, str]:
    """sha256 -> text of every correction that is kept."""
    records = read_json_lines(service_of(request).corrections)
    return {text_checksum(record["text"]): record["text"] for record in records}
