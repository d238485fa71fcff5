"""What the pages of one workbench share."""

import asyncio
from dataclasses import dataclass, field
from urllib.parse import unquote

from fastapi import Request
from fastapi.responses import HTMLResponse

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.workspace import Workspace
from sparsecbm.serve.service import Service, service_of
from sparsecbm.workbench.journal import Journal
from sparsecbm.workbench.pages import page, whole_page
from sparsecbm.workbench.patch_decisions import PatchDecisions
from sparsecbm.workbench.patch_jobs import PatchJobs
from sparsecbm.workbench.patch_request import TITLES
from sparsecbm.workbench.promotions import Promotions
from sparsecbm.workbench.readers import Readers
from sparsecbm.workbench.remembered import Remembered
from sparsecbm.workbench.review_desk import ReviewDesk
from sparsecbm.workbench.split_texts import SplitTexts

AUTHOR = "author"  # cookie: who corrects and labels
ADDRESSES = {
    "read": "/", "texts": "/texts", "compare": "/compare", "label": "/label", "corrections": "/corrections",
    "patches": "/patches", "promotions": "/promotions", "journal": "/journal",
}  # fmt: skip


@dataclass(frozen=True)
class Desk:
    """The workspace, its texts, open reviews, patches with decisions, memory, the journal, who reads, and promotions.

    Attributes:
        keeping: held while a correction is kept, or labels are imported
    """

    workspace: Workspace
    texts: SplitTexts
    reviews: ReviewDesk
    patches: PatchJobs
    decisions: PatchDecisions
    remembered: Remembered
    journal: Journal
    readers: Readers
    promotions: Promotions
    keeping: asyncio.Lock = field(default_factory=asyncio.Lock)


def desk_of(request: Request) -> Desk:
    """The desk of the application that received a request."""
    desk: Desk = request.app.state.desk
    return desk


def common_values(request: Request, here: str) -> dict[str, object]:
    """What every whole page shows: the model, its concepts, the author, the limits of patches, and which page it is."""
    service: Service = service_of(request)
    snapshot = service.batcher.current
    concept_set: ConceptSet = snapshot.model.concept_set
    return {
        "here": here,
        "addresses": ADDRESSES,
        "version": snapshot.version,
        "concept_set": concept_set,
        "author": unquote(request.cookies.get(AUTHOR, "")),
        "patch_defaults": desk_of(request).patches.defaults(snapshot.model),
        "patch_titles": TITLES,
    }


def answer(request: Request, here: str, part: str, **values: object) -> HTMLResponse:
    """A part of a page, or the same part as a whole page if the browser runs no scripts and so cannot put it in.

    Args:
        here: the page that it belongs to
        part: name of its template
    """
    if whole_page(request):
        return page("answer", whole=True, part=part, **common_values(request, here), **values)
    return page(part, whole=False, **values)
