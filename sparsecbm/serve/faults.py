"""Faults of requests: one status and one clear message each. No message and no log holds a text or a stack trace."""

import logging
import traceback
from collections.abc import Mapping
from typing import Any, get_args

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from sparsecbm.base.errors import DataError, SparseCBMError, unknown
from sparsecbm.base.params.section import describe_fault
from sparsecbm.base.terminal_text import visible
from sparsecbm.serve.batcher import BusyError, LateError
from sparsecbm.serve.bodies import Fault

LONGEST = 500  # characters of a message
_log = logging.getLogger(__name__)


class TooLargeError(SparseCBMError):
    """A request asks for more than the limits allow."""


class KeepingError(SparseCBMError):
    """The service could not keep what it was given."""


STATUSES = {TooLargeError: 413, BusyError: 429, KeepingError: 503, LateError: 504}
MEANINGS = {
    400: "The body is no JSON.",
    401: "The bearer token is missing or wrong.",
    403: "The request is for another host, or comes from the page of another origin.",
    408: "The body did not arrive in time.",
    413: "The body or a text is too large, or there are too many.",
    422: "A field, option, concept, state or patch is unknown, or a value is wrong.",
    429: "Too many requests; ask again after the seconds in Retry-After.",
    500: "The service failed.",
    503: "The service cannot do this now.",
    504: "There was no answer in time.",
}
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    status: {"model": Fault, "description": meaning} for status, meaning in MEANINGS.items()
}


def fault_response(request: Request, status: int, message: str, headers: Mapping[str, str] | None = None) -> Any:
    """The answer to a request that failed."""
    identity = getattr(request.state, "request_id", "")
    body = {"error": visible(message)[:LONGEST], "request_id": identity}
    return JSONResponse(body, status, dict(headers or {}))


def own_fault(request: Request, error: Exception) -> Any:
    """The answer for an error of this package."""
    status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 422)
    headers = {"Retry-After": str(error.seconds)} if isinstance(error, BusyError) else None
    return fault_response(request, status, str(error), headers)


def http_fault(request: Request, error: Exception) -> Any:
    """The answer for an unknown path, a wrong method or a body that is no JSON."""
    assert isinstance(error, HTTPException)
    cause = error.__cause__
    message = str(cause) if isinstance(cause, DataError) else str(error.detail)
    return fault_response(request, error.status_code, message, error.headers)


def validation_fault(request: Request, error: Exception) -> Any:
    """The answer for a body of the wrong form."""
    assert isinstance(error, RequestValidationError)
    messages = []
    for fault in error.errors():
        _, *location = fault["loc"]
        key = ".".join(map(str, location))
        if fault["type"] == "extra_forbidden":
            where, fields = key.rpartition(".")[0], _fields(request, location[:-1])
            messages.append(f"{where and where + ': '}{unknown('field', location[-1], fields)}")
        elif fault["type"] == "missing":
            messages.append(f"{key or 'the body'} is missing; send JSON with `Content-Type: application/json`")
        else:
            messages.append(describe_fault(fault, key or "the body"))
    return fault_response(request, 422, "; ".join(dict.fromkeys(message[:200] for message in messages)))


def unforeseen_fault(request: Request, error: Exception) -> Any:
    """The answer for a fault of the service. The log says where it happened, but not with which values."""
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
    identity = getattr(request.state, "request_id", "")
    _log.error("a request failed", extra={"facts": {"id": identity, "kind": type(error).__name__, "where": where}})
    return fault_response(request, 500, "the service failed to answer; its log says why, under this request id")


def _fields(request: Request, location: list[Any]) -> list[str]:
    """The fields of a block of the body."""
    block: Any = request.scope["route"].body_field.field_info.annotation
    for name in location:
        annotation = block.model_fields[name].annotation
        block = next((kind for kind in (annotation, *get_args(annotation)) if _is_block(kind)), None)
    return list(block.model_fields)


def _is_block(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
