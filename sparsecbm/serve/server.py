"""The process of the service: it loads the model, listens, and on SIGTERM answers what it has accepted."""

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from sparsecbm.base.errors import ConfigError
from sparsecbm.serve.access_rules import AccessRules
from sparsecbm.serve.application import Background, Door, create_app
from sparsecbm.serve.batcher import Batcher
from sparsecbm.serve.bearer import Bearer
from sparsecbm.serve.flat_memory import keep_memory_flat
from sparsecbm.serve.limits import ServiceLimits
from sparsecbm.serve.listener import BACKLOG, RESERVE, allow_open_files, bind, listen
from sparsecbm.serve.request_log import JsonLines
from sparsecbm.serve.service import Service
from sparsecbm.serve.snapshot import accelerated, load_snapshot
from sparsecbm.serve.telemetry import Telemetry
from sparsecbm.serve.timed_protocol import TimedProtocol

CONNECTIONS = 1000  # at once; further ones get 503
GRACE = 5  # seconds beyond the time of an answer, for SIGTERM


@dataclass(frozen=True)
class Served:
    """What is served, and how.

    Attributes:
        model: a model folder, or `models:/NAME@ALIAS`
        patches: folder of patches for a model folder; a registered version carries its own
        corrections: file that keeps proposals
        poll: seconds between two looks at the alias
    """

    model: str
    patches: Path | None
    corrections: Path
    poll: float


def serve(
    served: Served,
    access: AccessRules,
    extend: Callable[[FastAPI], None] = lambda app: None,
    door: Door = Bearer,
    log_level: int = logging.INFO,
) -> None:
    """Serve until a signal ends the process.

    Args:
        extend: adds pages to the application
        door: asks for the token, if one is needed
        log_level: of the service and of uvicorn; at INFO, each request is a line

    Raises:
        ConfigError: a setting is wrong, or the port is not free.
        SparseCBMError: the model cannot be loaded.
    """
    limits = ServiceLimits.from_environment(os.environ)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    keep_memory_flat()
    telemetry = Telemetry()
    # Twice as many, so that further clients get 503 rather than a closed connection.
    open_files = allow_open_files(2 * (CONNECTIONS + RESERVE))
    with bind(access, open_files) as listener:  # a port that is not free is told before the model is loaded
        batcher, background = _load(served, limits, telemetry)
        service = Service(batcher, limits, telemetry, served.corrections)
        _log_as_json(log_level)
        listen(listener, access, CONNECTIONS)
        app = create_app(service, access, background, door)
        extend(app)
        config = uvicorn.Config(
            app, loop="asyncio", http=TimedProtocol, ws="none", log_config=None, access_log=False, backlog=BACKLOG,
            proxy_headers=False, server_header=False, limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=limits.answer_seconds + GRACE,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listener])


def _load(served: Served, limits: ServiceLimits, telemetry: Telemetry) -> tuple[Batcher, Background | None]:
    """The batcher with its first model, and what follows the alias."""
    if not served.model.startswith("models:"):
        folder = Path(served.model)
        snapshot = accelerated(load_snapshot(folder, folder.resolve().name, patches=served.patches))
        return Batcher(snapshot, limits, telemetry), None
    if served.patches is not None:
        raise ConfigError("--patches belongs to a model folder; a registered version carries its own patches")
    from sparsecbm.serve.alias import Alias  # needs MLflow, and a model folder does not
    from sparsecbm.serve.switch import Switch

    alias = Alias.open(served.model)
    number = alias.number()
    batcher = Batcher(accelerated(alias.load(number)), limits, telemetry)
    return batcher, Switch(alias, number, batcher, telemetry, served.poll).run


def _log_as_json(level: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("sparsecbm.serve", "uvicorn.error"):
        logging.getLogger(name).setLevel(level)
