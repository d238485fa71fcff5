"""Wait for what another process or thread does."""

import time
from collections.abc import Callable, Mapping

import httpx


def until(ready: Callable[[], object], seconds: float = 240) -> None:
    """Return when the condition holds; fail if it does not in time."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def answers(address: str, headers: Mapping[str, str] | None = None) -> bool:
    """Whether a server answers a request for an address, and with success."""
    try:
        return httpx.get(address, headers=headers).is_success
    except httpx.TransportError:
        return False
