"""Progress of long work, on stderr: work of less than five seconds stays silent, and only one bar shows at a time."""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

DELAY = 5.0  # seconds that work may take in silence

Item = TypeVar("Item")
_open = threading.local()


def progress(
    items: Iterable[Item],
    name: str,
    unit: str,
    total: int | None = None,
    status: Callable[[], str] | None = None,
) -> Iterator[Item]:
    """Yield the items, and show how many are done once they take longer than `DELAY` seconds.

    Within the loop over these items, no other bar of this kind shows.

    Args:
        name: of the work, next to the bar
        unit: what an item is, in the singular
        total: number of items; by default the length of `items`, if they have one
        status: gives words that stand behind the bar, such as what was spent; it is called for each item
    """
    if getattr(_open, "bar", False):
        yield from items
        return
    _open.bar = True
    try:
        shown = {"unit": f" {unit}", "delay": DELAY, "mininterval": min(pause(), DELAY), "file": sys.stderr}
        with tqdm(items, name, total, **shown) as bar:
            for item in bar:
                yield item
                if status is not None:
                    bar.set_postfix_str(status(), refresh=False)
    finally:
        _open.bar = False


def pause() -> float:
    """Seconds between two updates of a bar: a log file needs fewer lines than a terminal."""
    return 1.0 if sys.stderr.isatty() else 20.0


@contextmanager
def no_progress() -> Iterator[None]:
    """Show no bar in the block, for a worker whose parent shows one."""
    before = getattr(_open, "bar", False)
    _open.bar = True
    try:
        yield
    finally:
        _open.bar = before
