"""A tiny model with a patch, and applications that serve it in this process."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI

from sparsecbm.api import SparseCBM
from sparsecbm.serve.access_rules import AccessRules
from sparsecbm.serve.application import Door, create_app
from sparsecbm.serve.batcher import Batcher
from sparsecbm.serve.bearer import Bearer
from sparsecbm.serve.limits import ServiceLimits
from sparsecbm.serve.service import Service
from sparsecbm.serve.snapshot import Snapshot, accelerated, load_snapshot
from sparsecbm.serve.telemetry import Telemetry
from tests.support.patches import patch_by_hand
from tests.support.promotion_models import uniform_training_means
from tests.support.tiny_models import random_masks, tiny_model, with_large_weights, write_backbone

PORT = 8080
DIGITS = 5  # of answers that are alike: another padding changes the last bits
LAYER = "encoder.layer.0.output.dense"


@dataclass(frozen=True)
class Folder:
    """A saved model, the folder of its patches, and the id of the only one."""

    model: Path
    patches: Path
    patch: str

    def snapshot(self) -> Snapshot:
        """Load the model as the service does."""
        return accelerated(load_snapshot(self.model, "tiny", patches=self.patches))


def save_served_model(folder: Path, seed: int = 0) -> Folder:
    """Save a masked model of one block with a patch; another seed gives another model of the same concepts."""
    model: SparseCBM = with_large_weights(tiny_model(write_backbone(folder / "bert", num_hidden_layers=1)))
    model.masks = random_masks(model, seed=seed)
    torch.manual_seed(seed)
    torch.nn.init.normal_(model.label_head.linear.weight)
    model.means = uniform_training_means(model)
    patch = patch_by_hand(model, {LAYER: tuple(range(60))})
    model.save_pretrained(folder / "model")
    (folder / "patches").mkdir()
    patch.save(folder / "patches" / "food.patch")
    return Folder(folder / "model", folder / "patches", patch.id)


def served_app(
    snapshot: Snapshot,
    corrections: Path,
    limits: ServiceLimits | None = None,
    token: str = "",
    port: int = PORT,
    door: Door = Bearer,
) -> FastAPI:
    """Return an application that serves a snapshot."""
    limits, telemetry = limits or ServiceLimits(), Telemetry()
    service = Service(Batcher(snapshot, limits, telemetry), limits, telemetry, corrections)
    return create_app(service, AccessRules("127.0.0.1", port, ("classify.example",), token), door=door)


@asynccontextmanager
async def client_of(app: FastAPI, headers: Mapping[str, str] | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application in this process, while the application's own tasks run."""
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=transport, base_url=f"http://127.0.0.1:{PORT}", headers=headers, timeout=120
        ) as client,
    ):
        yield client


def close(value: Any) -> Any:
    """Return an answer that is equal to others whose numbers are nearly the same."""
    if isinstance(value, dict):
        return {key: close(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [close(each) for each in value]
    return pytest.approx(value, abs=10**-DIGITS) if isinstance(value, float) else value


Client = Callable[..., httpx.Response]


@contextmanager
def running(app: FastAPI) -> Iterator[Client]:
    """A function that sends a request, from any thread: method, path, and what httpx takes."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(client_of(app)) as client:
        yield lambda method, path, **request: portal.call(partial(client.request, method, path, **request))


def ask_all(app: FastAPI, *bodies: tuple[str, dict]) -> list[httpx.Response]:
    """Send requests at once, each a path and a body; return the answers in their order.

    Bodies are spelt in ASCII, as JSON can spell halves of surrogate pairs that way.
    """

    async def send() -> list[httpx.Response]:
        async with client_of(app, {"content-type": "application/json"}) as client:
            requests = [client.post(path, content=json.dumps(body)) for path, body in bodies]
            return await asyncio.gather(*requests)

    return asyncio.run(send())
