"""Routes that read JSON as strictly as this project's files: no repeated key, no endless number, not too deep."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from sparsecbm.base.errors import DataError
from sparsecbm.base.files import parse_json


class _StrictRequest(Request):
    async def json(self) -> Any:
        body = await self.body()
        try:
            return parse_json(body.decode("utf-8"), "the body")
        except UnicodeDecodeError:
            raise DataError("the body is not UTF-8") from None


class StrictRoute(APIRoute):
    """A route of FastAPI whose bodies are read by `parse_json`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, given a strict request."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return handle_strictly
