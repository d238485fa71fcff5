"""How fast requests may go out: limits by requests and tokens a minute, and pauses that the server asks for."""

import asyncio
import random

from sparsecbm.base.extras import require

BURST = 1.0  # seconds; what a limit allows in a minute is spread over its seconds, or a run would begin with a burst


class Pace:
    """Lets requests out one by one. It belongs to one event loop.

    Args:
        requests_per_minute, tokens_per_minute: None without a limit
    """

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        require("aiolimiter")
        from aiolimiter import AsyncLimiter

        self._requests = AsyncLimiter(*_rate(requests_per_minute)) if requests_per_minute else None
        self._tokens = AsyncLimiter(*_rate(tokens_per_minute)) if tokens_per_minute else None
        self._resume_at = 0.0

    async def wait(self, tokens: int) -> None:
        """Return when a request of about so many tokens may go out."""
        while (delay := self._resume_at - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(delay * random.uniform(1, 1.1))
        if self._requests is not None:
            await self._requests.acquire()
        if self._tokens is not None:
            for start in range(0, tokens, int(self._tokens.max_rate)):  # more tokens than a second allows take longer
                await self._tokens.acquire(min(tokens - start, int(self._tokens.max_rate)))

    def pause(self, seconds: float) -> None:
        """Let nothing out for a while: the server said that it is too much."""
        self._resume_at = max(self._resume_at, asyncio.get_running_loop().time() + seconds)


def _rate(per_minute: float) -> tuple[float, float]:
    """Acquisitions and the seconds they take: those of a second, but at least one."""
    a_second = per_minute / 60 * BURST
    return (a_second, BURST) if a_second >= 1 else (1, 60 / per_minute)
