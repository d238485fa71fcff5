"""HTTP that lets slow clients go. Uvicorn itself waits for ever, so they could take all connections."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10  # until the headers of a request have arrived
READING_SECONDS = 60  # until a client has read an answer, as far as the system does not hold it for the client


class TimedProtocol(H11Protocol):
    """HTTP for one connection, which ends if its client does not send headers, or does not read, in time."""

    _header_timer: asyncio.TimerHandle | None = None
    _reading_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._watch_headers()

    def data_received(self, data: bytes) -> None:
        """Go on waiting only if the headers are still incomplete."""
        super().data_received(data)
        self._watch_headers()

    def pause_writing(self) -> None:
        """Wait until the client has read most of what was sent. Aborted, a connection drops the rest."""
        super().pause_writing()
        self._reading_timer = self.loop.call_later(READING_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop waiting."""
        super().resume_writing()
        _cancel(self._reading_timer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting for anything."""
        _cancel(self._header_timer)
        _cancel(self._reading_timer)
        super().connection_lost(exc)

    def _watch_headers(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            _cancel(self._header_timer)
        elif self._header_timer is None or self._header_timer.cancelled():
            self._header_timer = self.loop.call_later(HEADER_SECONDS, self.transport.close)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
