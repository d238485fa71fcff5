"""Says that something still runs when it has printed nothing for a while."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sparsecbm.orchestration.summary import duration

FIRST_SECONDS = 5  # of silence, before the first line
LONGEST_SECONDS = 60  # between two lines


@contextmanager
def heartbeat(name: str, print_line: Callable[[str], None], doing: str = "running") -> Iterator[Callable[[str], None]]:
    """Yield a function that prints a line; between such lines, print how long `name` has been running.

    Each of its own lines waits twice as long as the one before, so it does not interrupt work that shows its progress.
    """
    started = last = time.monotonic()
    pause, lock, ended = float(FIRST_SECONDS), threading.Lock(), threading.Event()

    def print_and_note(line: str) -> None:
        nonlocal last
        with lock:
            last = time.monotonic()
            print_line(line)

    def beat() -> None:
        nonlocal last, pause
        while not ended.wait(min(FIRST_SECONDS / 5, 0.5)):
            with lock:
                if not ended.is_set() and time.monotonic() - last >= pause:
                    last, pause = time.monotonic(), min(2 * pause, LONGEST_SECONDS)
                    print_line(f"{name} has been {doing} for {duration(last - started)}")

    thread = threading.Thread(target=beat, name=f"heartbeat of {name}", daemon=True)
    thread.start()
    try:
        yield print_and_note
    finally:
        ended.set()
        thread.join()
