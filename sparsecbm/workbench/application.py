"""The pages of the workbench, added to the application of the online service."""

from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.exceptions import HTTPException

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.terminal_text import visible
from sparsecbm.base.workspace import Workspace
from sparsecbm.serve.faults import own_fault
from sparsecbm.workbench import correction_routes, label_routes, patch_routes, read_routes
from sparsecbm.workbench.desk import Desk
from sparsecbm.workbench.journal import Journal
from sparsecbm.workbench.pages import page, static_file, whole_page
from sparsecbm.workbench.patch_jobs import PatchJobs
from sparsecbm.workbench.review_desk import ReviewDesk
from sparsecbm.workbench.split_texts import SplitTexts

API = ("/v1/", "/health", "/ready", "/metrics", "/openapi.json")  # paths whose faults are JSON

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
    app.state.desk = Desk(workspace, SplitTexts(workspace), ReviewDesk(workspace), patches, journal)
    for routes in (read_routes.router, label_routes.router, correction_routes.router, patch_routes.router, router):
        app.include_router(routes)
    app.add_exception_handler(SparseCBMError, _fault)


def _fault(request: Request, error: Exception) -> Response:
    """A fault in words: a notice on the page for people, JSON for programs."""
    told: Response = own_fault(request, error)
    if request.url.path.startswith(API):
        return told
    name = "fault" if whole_page(request) else "notice"
    response = page(name, told.status_code, message=visible(str(error)))
    response.headers.update({"HX-Retarget": "#notice", "HX-Reswap": "innerHTML"})
    return response
