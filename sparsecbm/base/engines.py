"""Engines run a function on parts of a work: in this thread, in threads or in processes.

A result does not depend on the engine, on the number of workers, nor on the order in which parts end. An engine takes
parts one after another, as workers become free, so that the parts need not all be in memory.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from typing import Any

from sparsecbm.base.errors import SparseCBMError

AHEAD = 2  # parts for each worker that are taken before one ends, so that no worker waits for the next
ATTEMPTS = 3  # times in a row that lost workers are replaced while no part ends

# Runs a function on parts, and yields each part with its result or with the exception that ended it.
Engine = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[tuple[Any, Any]]]


class WorkerLostError(SparseCBMError):
    """Worker processes end before their parts do, again and again."""


def serial_engine() -> Engine:
    """Runs parts one after another in this thread."""

    def run(work: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        for part in parts:
            try:
                result = work(part)
            except Exception as error:
                result = error
            yield part, result

    return run


def thread_engine(workers: int) -> Engine:
    """Runs parts in threads of this process, `workers` at a time."""

    def run(work: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        source = iter(parts)
        pool = ThreadPoolExecutor(workers)
        try:
            yield from _run_in_pool(pool, AHEAD * workers, work, source, deque())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    return run


def process_engine(workers: int) -> Engine:
    """Runs parts in `workers` new processes. They end with this process, however it ends.

    If one of them is killed, all are replaced, and the parts that they had not finished are done again.

    Raises:
        WorkerLostError: workers end before any part does, three times in a row.
    """

    def run(work: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        source, lost, losses = iter(parts), deque[Any](), 0
        while True:
            pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin_worker)
            try:
                for pair in _run_in_pool(pool, AHEAD * workers, work, source, lost):
                    losses = 0
                    yield pair
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
            if not lost:
                return
            losses += 1
            if losses == ATTEMPTS:
                raise WorkerLostError(
                    f"worker processes end before their work does, {ATTEMPTS} times in a row; they may lack memory "
                    "(see `dmesg`): take fewer workers"
                )

    return run


def _run_in_pool(
    pool: Executor, most: int, work: Callable[[Any], Any], source: Iterator[Any], lost: deque[Any]
) -> Iterator[tuple[Any, Any]]:
    """Run lost parts and then those of the source. A pool that breaks leaves its parts in `lost`.

    Args:
        most: number of parts in the pool at once
    """
    waiting: dict[Future[Any], Any] = {}
    broken = False
    while True:
        while not broken and len(waiting) < most:
            try:
                part = lost.popleft() if lost else next(source)
            except StopIteration:
                break
            try:
                waiting[pool.submit(work, part)] = part
            except BrokenExecutor:
                lost.append(part)
                broken = True
        if not waiting:
            return
        for future in wait(waiting, return_when=FIRST_COMPLETED).done:
            part, error = waiting.pop(future), future.exception()
            if isinstance(error, BrokenExecutor):
                lost.append(part)
                broken = True
            else:
                yield part, future.result() if error is None else error


def _begin_worker() -> None:
    """Leave a signal of the terminal to the parent, and end when the parent does, even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
