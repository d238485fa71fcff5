"""Many threads that ask one model at once, each answer compared with what a single thread got."""

import random
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

Call = Callable[[], Any]


@contextmanager
def hasty_threads():
    """Let threads take turns a hundred times as often, so that races show."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def wrong_answers(
    calls: Mapping[str, Call], expected: Mapping[str, Any], plan: Sequence[str], threads: int = 16
) -> list[str]:
    """Make the calls of a plan from several threads, and return a line for each answer that is not the expected one."""
    wrong: list[str] = []
    rest, lock = list(plan), threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not rest:
                    return
                name = rest.pop()
            try:
                answer = calls[name]()
            except Exception as error:
                wrong.append(f"{name}: {type(error).__name__}: {error}")
            else:
                if answer != expected[name]:
                    wrong.append(f"{name}: another answer")

    workers = [threading.Thread(target=work) for _ in range(threads)]
    with hasty_threads():
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return wrong


def draw_plan(weights: Mapping[str, float], count: int, seed: int) -> list[str]:
    """Return names of calls, drawn with the given weights."""
    return random.Random(seed).choices(list(weights), list(weights.values()), k=count)
