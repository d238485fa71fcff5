"""The page of patches: asked for by one person, made with a bill, approved by another one, and taken back exactly."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fastapi import APIRouter, Request, Response

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.serve.service import service_of
from sparsecbm.workbench.correction_routes import author_of, picked, remember
from sparsecbm.workbench.desk import answer, common_values, desk_of
from sparsecbm.workbench.forms import identity_of, read_form, settings_of
from sparsecbm.workbench.pages import HEADERS, page, whole_page
from sparsecbm.workbench.patch_decisions import VERDICTS
from sparsecbm.workbench.patch_jobs import PatchJob, as_json
from sparsecbm.workbench.patch_request import ID, PatchLimits, PatchRequest

router = APIRouter(include_in_schema=False)


@router.get("/patches")
async def patches(request: Request) -> Response:
    """All patches, the latest first."""
    return await _list(request)


@router.get("/patches/{name}.json")
async def patch_as_json(request: Request, name: str) -> Response:
    """One patch as `sparsecbm patch show --json` gives it, with its request."""
    job = await asyncio.to_thread(desk_of(request).patches.job, name)
    return Response(as_json(job), media_type="application/json", headers=HEADERS)


@router.get("/patches/{name}")
async def patch(request: Request, name: str) -> Response:
    """How far a patch is that is being made, or the whole patch when it is there."""
    if whole_page(request):
        return await _list(request)
    job = await asyncio.to_thread(desk_of(request).patches.job, name)
    if job.state == "running":  # the rest of the page stays as it is, so that nothing that somebody types is lost
        return page("phase", job=job)
    response = await _part(request, name)
    response.headers.update({"HX-Retarget": f"#patch-{name}", "HX-Reswap": "outerHTML"})
    return response


@router.post("/patches")
async def ask(request: Request) -> Response:
    """Ask for a patch that makes the model read the state that a person set."""
    fields = await read_form(request)
    author, settings, text = author_of(fields), settings_of(fields), fields.get("text", "")
    if len(settings) != 1 or not text.strip():
        raise ConfigError("a patch changes one concept; set the state of exactly one, then ask")
    ((concept, state),) = settings.items()
    return await _start(request, fields, author, (text,), concept, state)


@router.post("/patches/of-corrections")
async def ask_for_several(request: Request) -> Response:
    """Ask for one patch that makes the model read a state in the texts of the corrections that a person chose."""
    fields = await read_form(request)
    author, chosen = author_of(fields), picked(request, fields)
    aims = sorted({(concept, record["concepts"][concept]) for record, concept in chosen})
    if len(aims) != 1:
        named = ", ".join(f"{concept} {state}" for concept, state in aims)
        raise ConfigError(f"you chose {named}; a patch changes one concept, so choose corrections to one and the same")
    texts = tuple(dict.fromkeys(record["text"] for record, _ in chosen))
    return await _start(request, fields, author, texts, *aims[0])


async def _start(
    request: Request, fields: Mapping[str, str], author: str, texts: Sequence[str], concept: str, state: str
) -> Response:
    """Start a job, and say so on the page.

    Raises:
        ConfigError: the model is dense, a concept, state or limit is wrong, a reason is missing, or another job runs.
    """
    model, reason = service_of(request).batcher.current.model, fields.get("reason", "").strip()
    if not model.masked:
        raise ConfigError("this model has no masks, so there is nothing to patch; open a sparse model")
    if concept not in model.concept_set.names:
        raise ConfigError(unknown("concept", concept, model.concept_set.names))
    model.concept_set[concept].index(state)
    if not reason:
        raise ConfigError("give a reason, for whoever decides on the patch")
    service_of(request).check(texts)
    desk, identity = desk_of(request), identity_of(fields)
    wanted = PatchRequest(tuple(texts), concept, state, author, reason, PatchLimits.of_form(fields))
    if identity is not None:
        wanted = replace(wanted, id=identity[:ID])

    def start() -> PatchJob:
        job = desk.patches.start(wanted)
        desk.journal.append_once("ask for a patch", author, patch=job.request.id)
        return job

    response = answer(request, "patches", "asked", job=await asyncio.to_thread(start))
    remember(response, author)
    return response


@router.post("/patches/{name}")
async def decide(request: Request, name: str) -> Response:
    """Approve or reject a patch, take an approval back, stop a job, or run it again."""
    fields = await read_form(request)
    author, action, desk = author_of(fields), fields.get("action", ""), desk_of(request)
    job = await asyncio.to_thread(desk.patches.job, name)
    if action in VERDICTS:
        reason, seen = fields.get("reason", "").strip(), fields.get("seen")
        await asyncio.to_thread(desk.decisions.decide, job, action, author, reason, seen)
    elif action in ("stop", "again"):
        if action == "stop":
            await asyncio.to_thread(desk.patches.stop, name)
        else:
            await asyncio.to_thread(desk.patches.again, name, PatchLimits.of_form(fields))
        await asyncio.to_thread(desk.journal.append, action, author, patch=name)
    else:
        raise ConfigError("choose approve, reject, withdraw, stop or again")
    response = await _list(request, author) if whole_page(request) else await _part(request, name, author)
    remember(response, author)
    return response


async def _part(request: Request, name: str, author: str = "") -> Response:
    """One patch, and the command for all approved ones."""
    job = await asyncio.to_thread(desk_of(request).patches.job, name)
    return page("patch_part", job=job, **await _values(request, author))


async def _values(request: Request, author: str) -> dict[str, object]:
    """What the page shows beside the patches themselves.

    Args:
        author: whom the browser remembers from now on; "" leaves it at whom it remembers
    """
    desk, common = desk_of(request), common_values(request, "patches")
    decided = await asyncio.to_thread(desk.decisions.standing)
    return {
        **common, "author": author or common["author"], "decided": decided, "verdicts": VERDICTS,
        "approved": sum(entry["action"] == "approve" for entry in decided.values()),
    }  # fmt: skip


async def _list(request: Request, author: str = "") -> Response:
    jobs = await asyncio.to_thread(desk_of(request).patches.jobs)
    return page("patches", jobs=jobs, **await _values(request, author))
