"""The route that keeps corrections of people as proposals. Nothing applies itself."""

import asyncio
import logging
import uuid
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from sparsecbm.base.errors import ConfigError, DataError, unknown
from sparsecbm.base.json_lines import append_json_lines
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.serve.bodies import CorrectionAnswer, CorrectionRequest
from sparsecbm.serve.faults import DOCUMENTED, KeepingError
from sparsecbm.serve.service import Service, service_of
from sparsecbm.serve.strict_route import StrictRoute

router = APIRouter(prefix="/v1", tags=["corrections"], route_class=StrictRoute, responses=DOCUMENTED)
_log = logging.getLogger(__name__)


@router.post("/corrections", response_model=CorrectionAnswer, status_code=201)
async def correct(request: Request, body: CorrectionRequest) -> Any:
    """Keep what a person says of a text, with author, time, reason and version, for whoever reviews it."""
    record = await keep_correction(service_of(request), body)
    return JSONResponse({name: record[name] for name in ("id", "at", "version")}, 201)


async def keep_correction(service: Service, body: CorrectionRequest, identity: str | None = None) -> dict[str, Any]:
    """Append a correction to the file of proposals, and return what was written.

    Args:
        identity: its id; by default a new one

    Raises:
        ConfigError: it says nothing, or a concept, state or class is unknown.
        TooLargeError: the text is too long.
        KeepingError: the file cannot be written.
    """
    service.check([body.text])
    snapshot = service.batcher.current
    _check(snapshot.model, body)
    record: dict[str, Any] = {
        "id": identity or uuid.uuid4().hex,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        **body.model_dump(),
    }
    record["version"] = body.version or snapshot.version.version
    record["model"] = snapshot.version.name
    try:
        await asyncio.to_thread(append_json_lines, service.corrections, [record])
    except DataError as error:
        _log.error("a correction was not kept", extra={"facts": {"reason": str(error)}})
        raise KeepingError("the correction could not be kept; the log of the service says why") from None
    return record


def _check(model: ConceptBottleneck, body: CorrectionRequest) -> None:
    """Check the names of a correction.

    Raises:
        ConfigError: it says nothing, or a concept, state or class is unknown.
    """
    if not body.concepts and body.label is None:
        raise ConfigError("a correction needs `concepts`, `label` or both")
    known = model.concept_set.names if model.has_bottleneck else ()
    for name, state in body.concepts.items():
        if name not in known:
            raise ConfigError(unknown("concept", name, known))
        model.concept_set[name].index(state)
    if body.label is not None:
        model.concept_set.label.index(body.label)
