"""The page of who did what, with its verified chain, and its export."""

import asyncio

from fastapi import APIRouter, Request, Response

from sparsecbm.workbench.desk import common_values, desk_of
from sparsecbm.workbench.pages import HEADERS, page

SHOWN = 500  # latest entries
OWN = ("number", "at", "action", "by", "earlier")  # fields of every entry; the others say what it is about

router = APIRouter(include_in_schema=False)


@router.get("/journal")
async def journal(request: Request) -> Response:
    """The latest entries, and whether the chain is whole."""
    desk = desk_of(request)
    verified = await asyncio.to_thread(desk.journal.verified)
    shown = verified.entries[::-1][:SHOWN]
    facts = [{name: value for name, value in entry.items() if name not in OWN} for entry in shown]
    values = {"journal": verified, "shown": list(zip(shown, facts, strict=True)), "path": desk.journal.path.name}
    return page("journal", **values, **common_values(request, "journal"))


@router.get("/journal.jsonl")
async def export(request: Request) -> Response:
    """The file itself, to the byte, so that others can verify its chain."""
    path = desk_of(request).journal.path
    content = await asyncio.to_thread(path.read_bytes) if path.is_file() else b""
    headers = {**HEADERS, "Content-Disposition": "attachment; filename=workbench-journal.jsonl"}
    return Response(content, media_type="application/jsonl", headers=headers)
