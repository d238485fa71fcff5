"""Follows an alias: a version that it moves to is loaded beside the old one, verified, warmed, and then answers.

So that a switch needs little memory, the old one predicts with packed masks while the new one is loaded, and the new
one is accelerated only when the old one is freed.
"""

import asyncio
import logging
from contextlib import ExitStack

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.promote.artifacts import FetchError
from sparsecbm.serve.alias import Alias
from sparsecbm.serve.batcher import Batcher
from sparsecbm.serve.snapshot import Snapshot, accelerated
from sparsecbm.serve.telemetry import Telemetry
from sparsecbm.track.store import TrackingUnavailableError

_log = logging.getLogger(__name__)


class Switch:
    """Keeps a batcher at the version that an alias names.

    Args:
        number: of the version that answers now
        seconds: between two looks at the alias
    """

    def __init__(self, alias: Alias, number: int, batcher: Batcher, telemetry: Telemetry, seconds: float) -> None:
        self._alias = alias
        self._number = number
        self._refused: int | None = None
        self._batcher = batcher
        self._telemetry = telemetry
        self._seconds = seconds

    async def run(self) -> None:
        """Look at the alias until the task is cancelled."""
        while True:
            await asyncio.sleep(self._seconds)
            await self.follow()

    async def follow(self) -> None:
        """Switch to another version if the alias has moved. A bad one is refused once, and the old one goes on."""
        try:
            number = await asyncio.to_thread(self._alias.number)
        except SparseCBMError as error:
            _log.warning("the alias cannot be followed", extra={"facts": {"reason": str(error)}})
            return
        if number == self._number:
            self._refused = None  # the alias has moved back; if it returns, the refused version may have been repaired
            return
        if number == self._refused:
            return
        try:
            snapshot = await self._load(number)
        except Exception as error:
            if isinstance(error, (FetchError, TrackingUnavailableError)):  # another attempt may succeed
                _log.warning("the alias cannot be followed", extra={"facts": {"reason": str(error)}})
            else:
                self._refuse(number, error)
            if not self._batcher.current.is_accelerated:
                await self._accelerate(self._batcher.current)
            return
        self._batcher.switch(snapshot)
        self._number, self._refused = number, None
        self._telemetry.switched("done")
        _log.info("another version answers", extra={"facts": {"version": number}})
        await self._batcher.free_memory()
        await self._accelerate(snapshot)

    async def _load(self, number: int) -> Snapshot:
        """Load a version. When its files are here and verified, the model that answers gives its copies up."""
        with ExitStack() as files:
            artifacts = await asyncio.to_thread(files.enter_context, self._alias.fetched(number))
            if self._batcher.current.is_accelerated:
                self._batcher.switch(self._batcher.current.without_copies())
                await self._batcher.free_memory()
            return await asyncio.to_thread(self._alias.load_fetched, number, artifacts)

    async def _accelerate(self, snapshot: Snapshot) -> None:
        try:
            self._batcher.switch(await asyncio.to_thread(accelerated, snapshot))
        except Exception as error:  # such as too little memory
            _log.warning("predictions stay slow", extra={"facts": {"reason": type(error).__name__}})

    def _refuse(self, number: int, error: Exception) -> None:
        reason = str(error) if isinstance(error, SparseCBMError) else type(error).__name__
        _log.error("a version is refused", extra={"facts": {"version": number, "reason": reason}})
        self._refused = number
        self._telemetry.switched("refused")
