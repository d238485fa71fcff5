"""Coroutines side by side, but never more than a few, whatever the number of items."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Done(Generic[Result]):
    result: Result


def run_bounded(
    loop: asyncio.AbstractEventLoop, work: Callable[[Item], Awaitable[Result]], items: Iterator[Item], limit: int
) -> Iterator[Result]:
    """Yield the results of a coroutine for each item as they come, at most `limit` at a time.

    An item is taken only when a worker is free, so memory does not depend on their number. The first item is worked on
    alone: what cannot work at all shows at the price of one. An exception of the work ends everything.
    """
    messages: asyncio.Queue[_Done[Result] | Exception | None] = asyncio.Queue()  # None: a worker found no item

    async def worker() -> None:
        try:
            for item in items:
                messages.put_nowait(_Done(await work(item)))
        except Exception as error:
            messages.put_nowait(error)
        else:
            messages.put_nowait(None)

    for first in items:
        yield loop.run_until_complete(work(first))
        break
    tasks = [loop.create_task(worker()) for _ in range(limit)]
    running = limit
    try:
        while running:
            loop.run_until_complete(_arrival(messages))
            while not messages.empty():
                message = messages.get_nowait()
                if isinstance(message, Exception):
                    raise message
                if message is None:
                    running -= 1
                else:
                    yield message.result
    finally:
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


async def _arrival(messages: asyncio.Queue) -> None:
    """Return when there is a message; it stays in the queue."""
    messages.put_nowait(await messages.get())
