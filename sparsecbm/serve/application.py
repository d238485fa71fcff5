"""The application: routers, faults in words, and the checks in front of them.

A page, such as a workbench, includes routers of its own into what `create_app` returns.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

import sparsecbm
from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.guard import App, Guard, Message
from sparsecbm.serve import correction_routes, model_routes, operation_routes
from sparsecbm.serve.access_rules import AccessRules
from sparsecbm.serve.bearer import Bearer
from sparsecbm.serve.body_limit import BodyLimit
from sparsecbm.serve.examples import EXAMPLES
from sparsecbm.serve.faults import fault_response, http_fault, own_fault, validation_fault
from sparsecbm.serve.rate_limit import RateLimit
from sparsecbm.serve.request_log import RequestLog
from sparsecbm.serve.service import Service

Background = Callable[[], Coroutine[Any, Any, None]]
Door = Callable[[App, str], App]  # an application and a token -> what asks for the token in front of it


class _Application(FastAPI):
    """An application whose description has examples."""

    def openapi(self) -> dict[str, Any]:
        """The description. FastAPI itself would leave `null` out of the examples, which explanations must have."""
        description = super().openapi()
        for name, examples in EXAMPLES.items():
            description["components"]["schemas"][name]["examples"] = examples
        return description


def create_app(
    service: Service, access: AccessRules, background: Background | None = None, door: Door = Bearer
) -> FastAPI:
    """An application that answers with the service's model.

    Args:
        background: runs beside the requests until the application ends, such as the watch over an alias
        door: asks for the token, if one is needed
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(run()) for run in (service.batcher.run, background) if run is not None]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        service.batcher.close()

    # The pages of FastAPI load scripts from elsewhere, so they are off; the description itself stays.
    app = _Application(
        title="sparsecbm",
        version=sparsecbm.__version__,
        description="Text classifiers that explain themselves by concepts.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        dependencies=[Depends(HTTPBearer(auto_error=False))] if access.token else [],
    )
    app.state.service = service
    for routes in (model_routes, correction_routes, operation_routes):
        app.include_router(routes.router)
    app.add_exception_handler(SparseCBMError, own_fault)
    app.add_exception_handler(HTTPException, http_fault)
    app.add_exception_handler(RequestValidationError, validation_fault)
    # The last one comes first.
    limits = service.limits
    app.add_middleware(BodyLimit, most=limits.max_body, seconds=limits.body_seconds)
    if access.token:
        app.add_middleware(door, token=access.token)
    if limits.rate is not None:  # in front of the door, so that nobody tries many tokens
        app.add_middleware(RateLimit, rate=limits.rate)
    app.add_middleware(Guard, port=access.port, hosts=access.hosts, refusal=_refusal)
    app.add_middleware(RequestLog, telemetry=service.telemetry)
    return app


def _refusal(scope: Message, status: int, reason: str) -> App:
    """The answer to a request from elsewhere, in the form of all faults."""
    answer: App = fault_response(Request(scope), status, reason)
    return answer
