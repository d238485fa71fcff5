"""The routes for those who run the service: whether it lives, whether it answers, and its figures."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from sparsecbm.serve.bodies import Status
from sparsecbm.serve.faults import DOCUMENTED, MEANINGS
from sparsecbm.serve.service import service_of

router = APIRouter(tags=["operation"], responses={status: DOCUMENTED[status] for status in (401, 403, 429)})


@router.get("/health", response_model=Status)
async def health() -> Any:
    """Whether the process lives."""
    return JSONResponse({"status": "ok"})


@router.get("/ready", response_model=Status, responses={503: {"model": Status, "description": MEANINGS[503]}})
async def ready(request: Request) -> Any:
    """Whether the service answers, and which version does."""
    batcher = service_of(request).batcher
    status, code = ("stalled", 503) if batcher.stalled else ("ready", 200)
    return JSONResponse({"status": status, "model": asdict(batcher.current.version)}, code)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Any:
    """Figures in the form of Prometheus."""
    return Response(service_of(request).telemetry.exposition(), media_type=CONTENT_TYPE_LATEST)
