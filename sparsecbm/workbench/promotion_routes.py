"""The pages of judgement: the history of promotions, the ledgers, champion against challenger, and the report."""

import asyncio
import json
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from sparsecbm.base.errors import ConfigError, SparseCBMError, unknown
from sparsecbm.promote.history_record import HistoryRecord
from sparsecbm.promote.judging import held_out_split
from sparsecbm.serve.service import service_of
from sparsecbm.workbench.desk import common_values, desk_of
from sparsecbm.workbench.pages import HEADERS, page, whole_page
from sparsecbm.workbench.promotions import Versions
from sparsecbm.workbench.version_texts import LABEL, TextChange, changed_texts

SHOWN = 100  # texts that two versions read differently
REPORTS = ("index.html", "promotion.html", "validation.html", "model-card.md", "data-card.md")
# A report runs a script of its own. The sandbox takes its origin away, so it can reach nothing of the workbench.
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

router = APIRouter(include_in_schema=False)


@router.get("/promotions")
async def promotions(request: Request) -> Response:
    """The history with its verified chain, the ledgers, and the choice of a challenger."""
    desk = desk_of(request)
    record: HistoryRecord | None = None
    versions, fault = Versions((), None), ""
    try:
        record = await asyncio.to_thread(desk.promotions.record)
        versions = await asyncio.to_thread(desk.promotions.versions)
    except SparseCBMError as error:
        fault = str(error)
    reports = [name for name in REPORTS if (desk.workspace.reports / name).is_file()]
    values = {
        "record": record, "versions": versions, "fault": fault, "reports": reports,
        "ledgers": await asyncio.to_thread(desk.promotions.ledgers),
    }  # fmt: skip
    return page("promotions", **values, **common_values(request, "promotions"))


@router.get("/promotions.json")
async def promotions_as_json(request: Request) -> Response:
    """The history as `sparsecbm history --json` prints it."""
    record = await asyncio.to_thread(desk_of(request).promotions.record)
    return Response(json.dumps(record.to_dict()), media_type="application/json", headers=HEADERS)


@router.get("/promotions/texts")
async def texts(request: Request) -> Response:
    """The texts of the held-out split that the champion and a challenger read differently."""
    desk, service = desk_of(request), service_of(request)
    versions = await asyncio.to_thread(desk.promotions.versions)
    if versions.champion is None:
        raise ConfigError("there is no champion to compare with; `sparsecbm promote` makes the first one")
    given = request.query_params.get("version", "")
    if given not in map(str, versions.challengers):
        raise ConfigError(unknown("version", given, versions.challengers or ["none but the champion"]))
    split, _ = await asyncio.to_thread(held_out_split, desk.workspace)
    frames = [
        await desk.promotions.predicted(number, split, service.batcher, service.limits.max_tokens)
        for number in (versions.champion, int(given))
    ]
    found = changed_texts(*frames)
    values = {
        "challenger": int(given), "champion": versions.champion, "split": split, "texts": len(frames[0]),
        "found": found[:SHOWN], "counts": _counts(found), "hidden": max(0, len(found) - SHOWN),
    }  # fmt: skip
    if whole_page(request):
        return page("promotion_texts", **values, **common_values(request, "promotions"))
    return page("changed_texts", **values)


@router.get("/report/{name}")
async def report(request: Request, name: str) -> Response:
    """A page of the last run, without access to anything else here."""
    path = desk_of(request).workspace.reports / name
    if name not in REPORTS or not path.is_file():
        raise HTTPException(404, f"there is no report {name}; `sparsecbm run` writes it")
    kind = "text/html" if path.suffix == ".html" else "text/plain"
    return FileResponse(path, media_type=kind, headers={**HEADERS, "Content-Security-Policy": REPORT_POLICY})


def _counts(found: list[TextChange]) -> dict[str, Any]:
    """How many texts are worse, better and neither, and in how many each variable differs."""
    names: dict[str, int] = {LABEL: 0}
    for change in found:
        for each in change.changes:
            names[each.name] = names.get(each.name, 0) + 1
    worths = [change.worth for change in found]
    return {
        "all": len(found), "worse": sum(worth < 0 for worth in worths), "better": sum(worth > 0 for worth in worths),
        "names": names,
    }  # fmt: skip
