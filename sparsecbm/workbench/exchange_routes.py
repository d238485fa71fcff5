"""Labels to and from other tools: Label Studio and spreadsheets, as `sparsecbm annotate export` and `import`."""

import asyncio
import hashlib
import tempfile
from pathlib import Path

from fastapi import APIRouter, Request, Response

from sparsecbm.annotate.exchange.transfer import ExportForm, checked_import, describe_import, exported_labels
from sparsecbm.annotate.human_labels import HUMAN_FILE, append_decisions
from sparsecbm.annotate.labelled_texts import load_labelled_texts
from sparsecbm.annotate.review.outlook import concept_progress
from sparsecbm.base.errors import ConfigError, DataError, unknown
from sparsecbm.workbench.desk import Desk, answer, desk_of
from sparsecbm.workbench.label_routes import queue_of
from sparsecbm.workbench.pages import HEADERS
from sparsecbm.workbench.uploads import Upload, read_upload

ENDINGS = (".json", ".csv", ".tsv", ".xlsx")
FILES: dict[str, tuple[ExportForm, str]] = {  # name of the download -> what it holds, and its type
    "tasks.json": ("tasks", "application/json"),
    "tasks.xml": ("interface", "application/xml"),
    "texts.csv": ("csv", "text/csv; charset=utf-8"),
}

router = APIRouter(include_in_schema=False)


@router.get("/label/export")
async def export(request: Request) -> Response:
    """A download with the texts and the labels of people, of one split or of all."""
    name, split = request.query_params.get("file", ""), request.query_params.get("split", "")
    if name not in FILES:
        raise ConfigError(unknown("file", name, FILES))
    workspace, (form, kind) = desk_of(request).workspace, FILES[name]

    def content() -> str:
        return exported_labels(workspace, load_labelled_texts(workspace, [split] if split else None), form)

    headers = {**HEADERS, "Content-Disposition": f"attachment; filename={name}"}
    return Response(await asyncio.to_thread(content), media_type=kind, headers=headers)


@router.post("/label/import")
async def import_(request: Request) -> Response:
    """Add the labels in a file: all, or none if one of them is wrong."""
    upload, desk, queue = await read_upload(request), desk_of(request), queue_of(request)
    async with desk.keeping:  # one after the other, so that the same file is imported once
        told = await asyncio.to_thread(_import, desk, upload, queue.author)
    progress = await asyncio.to_thread(concept_progress, queue)
    return answer(request, "label", "imported", told=told, progress=progress, labelled=len(queue.session))


def _import(desk: Desk, upload: Upload, author: str) -> str:
    """Note an import in the journal, store its labels, and say what it added.

    Args:
        author: who sends the file, and who decided where it names nobody

    Raises:
        ConfigError: the name ends in something else than `ENDINGS`.
        DataError: the file or one of its labels is wrong, or the journal is broken; nothing is stored.
    """
    ending = Path(upload.name).suffix.lower()
    if ending not in ENDINGS:
        raise ConfigError(f"{upload.name} is no file of labels; choose one that ends in {', '.join(ENDINGS)}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"labels{ending}")
        path.write_bytes(upload.content)
        try:
            result = checked_import(desk.workspace, path, author)
        except DataError as error:
            raise DataError(str(error).replace(str(path), upload.name)) from None
    if result.added:
        digest = hashlib.sha256(upload.content).hexdigest()
        desk.journal.append("import labels", author, sha256=digest, labels=len(result.added))
        append_decisions(desk.workspace.annotations / HUMAN_FILE, result.added)
    return describe_import(result, upload.name)
