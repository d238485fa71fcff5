"""The pages of the workbench, added to the application of the online service."""

from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.exceptions import HTTPException

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.workspace import Workspace
from sparsecbm.serve.faults import http_fault, own_fault
from sparsecbm.workbench import (
    compare_routes,
    correction_routes,
    exchange_routes,
    journal_routes,
    label_routes,
    memory_routes,
    patch_routes,
    promotion_routes,
    read_routes,
)
from sparsecbm.workbench.desk import Desk
from sparsecbm.workbench.fault_pages import FaultPages
from sparsecbm.workbench.journal import Journal
from sparsecbm.workbench.pages import PROGRAMS, fault_page, static_file
from sparsecbm.workbench.patch_decisions import PatchDecisions
from sparsecbm.workbench.patch_jobs import PatchJobs
from sparsecbm.workbench.promotions import Promotions
from sparsecbm.workbench.readers import Readers
from sparsecbm.workbench.remembered import Remembered
from sparsecbm.workbench.review_desk import ReviewDesk
from sparsecbm.workbench.split_texts import SplitTexts
from sparsecbm.workbench.stale import StaleError

JOURNAL = "workbench.jsonl"

router = APIRouter(include_in_schema=False)


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """A script, or the style sheet."""
    response = static_file(name)
    if response is None:
        raise HTTPException(404, f"there is no file {name}")
    return response


def add_workbench(app: FastAPI, workspace: Workspace, model: Path) -> None:
    """Add the pages to an application of the online service.

    Args:
        model: folder of the model that answers, for patches of its masks

    Raises:
        DataError: the workspace has no annotated data.
    """
    patches, journal = PatchJobs(workspace, model), Journal(workspace.state / JOURNAL)
    texts = SplitTexts(workspace)
    app.state.desk = Desk(
        workspace=workspace,
        texts=texts,
        reviews=ReviewDesk(workspace),
        patches=patches,
        decisions=PatchDecisions(patches, journal),
        remembered=Remembered(workspace),
        journal=journal,
        readers=Readers(workspace, model),
        promotions=Promotions(workspace, texts),
    )
    pages = (
        read_routes,
        compare_routes,
        label_routes,
        exchange_routes,
        correction_routes,
        memory_routes,
        patch_routes,
        promotion_routes,
        journal_routes,
    )
    for routes in (*(each.router for each in pages), router):
        app.include_router(routes)
    app.add_exception_handler(SparseCBMError, _own_fault)
    app.add_exception_handler(HTTPException, _http_fault)
    app.add_middleware(FaultPages)  # the last one comes first


def _own_fault(request: Request, error: Exception) -> Response:
    answer: Response = own_fault(request, error)
    if isinstance(error, StaleError):
        answer.status_code = 409
    return _told(request, answer, str(error))


def _http_fault(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    unknown = error.status_code == 404 and error.detail == "Not Found"
    message = f"there is no page {request.url.path}" if unknown else str(error.detail)
    return _told(request, http_fault(request, error), message)


def _told(request: Request, answer: Response, message: str) -> Response:
    """A fault in words: on the page for people, JSON for programs."""
    if request.url.path.startswith(PROGRAMS):
        return answer
    return fault_page(request, answer.status_code, message)
