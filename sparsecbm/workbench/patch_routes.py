"""The page of patches: asked for by one person, made with a bill, approved by another one, and taken back exactly."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from sparsecbm.base.errors import ConfigError
from sparsecbm.serve.service import service_of
from sparsecbm.workbench.correction_routes import author_of, remember
from sparsecbm.workbench.desk import common_values, desk_of
from sparsecbm.workbench.forms import read_form, settings_of
from sparsecbm.workbench.pages import HEADERS, page, whole_page
from sparsecbm.workbench.patch_jobs import PatchJob, as_json, decisions

router = APIRouter(include_in_schema=False)


@router.get("/patches")
async def patches(request: Request) -> Response:
    """All patches, the latest first; the page looks again while one is being made."""
    return await _list(request)


@router.get("/patches/{name}.json")
async def patch_as_json(request: Request, name: str) -> Response:
    """One patch as `sparsecbm patch show --json` gives it, with its request."""
    job = await asyncio.to_thread(desk_of(request).patches.job, name)
    return Response(as_json(job), media_type="application/json", headers=HEADERS)


@router.post("/patches")
async def ask(request: Request) -> Response:
    """Ask for a patch that makes the model read the state that a person set."""
    fields = await read_form(request)
    author, settings, text = author_of(fields), settings_of(fields), fields.get("text", "")
    model = service_of(request).batcher.current.model
    if not model.masked:
        raise ConfigError("this model has no masks, so there is nothing to patch; open a sparse model")
    if len(settings) != 1 or not text.strip():
        raise ConfigError("a patch changes one concept; set the state of exactly one, then ask")
    ((concept, state),) = settings.items()
    model.concept_set[concept].index(state)
    desk, reason = desk_of(request), fields.get("reason", "").strip()
    if not reason:
        raise ConfigError("give a reason, for whoever decides on the patch")
    job = await asyncio.to_thread(desk.patches.start, text, concept, state, author, reason)
    await asyncio.to_thread(desk.journal.append, "ask for a patch", author, patch=job.request.id)
    response = page("asked", job=job)
    remember(response, author)
    return response


@router.post("/patches/{name}")
async def decide(request: Request, name: str) -> Response:
    """Approve or reject a patch, take an approval back, stop a job, or run it again."""
    fields = await read_form(request)
    author, action, desk = author_of(fields), fields.get("action", ""), desk_of(request)
    job = await asyncio.to_thread(desk.patches.job, name)
    facts: dict[str, Any] = {"patch": name}
    if action == "approve":
        if author == job.request.author:
            raise ConfigError(f"{author} asked for this patch; somebody else has to approve it")
        facts["file"] = (await asyncio.to_thread(desk.patches.approve, name)).name
        facts["bits"] = 0 if job.patch is None else job.patch.bits
    elif action == "reject":
        facts["reason"] = fields.get("reason", "").strip()
        if not facts["reason"]:
            raise ConfigError("give a reason, so that others need not guess")
        await asyncio.to_thread(desk.patches.withdraw, name)
    elif action == "withdraw":
        await asyncio.to_thread(desk.patches.withdraw, name)
    elif action == "stop":
        await asyncio.to_thread(desk.patches.stop, name)
    elif action == "again":
        await asyncio.to_thread(desk.patches.again, name)
    else:
        raise ConfigError("choose approve, reject, withdraw, stop or again")
    await asyncio.to_thread(desk.journal.append, action, author, **facts)
    response = await _list(request)
    remember(response, author)
    return response


async def _list(request: Request) -> Response:
    desk = desk_of(request)
    jobs: list[PatchJob] = await asyncio.to_thread(desk.patches.jobs)
    entries = await asyncio.to_thread(desk.journal.entries)
    values = {
        "jobs": jobs, "decided": decisions(entries), "running": any(job.state == "running" for job in jobs),
        "approved": [desk.patches.approved_file(job.request.id) for job in jobs],
    }  # fmt: skip
    values["approved"] = sum(path.is_file() for path in values["approved"])
    if whole_page(request):
        return page("patches", **values, **common_values(request, "patches"))
    return page("patch_list", **values, **common_values(request, "patches"))
