"""Leases: several people label beside each other, and none is asked about a text that another one is reading."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from sparsecbm.base.errors import DataError
from sparsecbm.base.files import read_json_object, write_json

SECONDS = 300.0


class Leases:
    """The texts that people hold now, in a file that their processes share."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def take(self, key: str, author: str) -> bool:
        """Hold a text for `SECONDS`, instead of the author's earlier text; False if somebody else holds it."""
        with self._held() as leases:
            holder = leases.get(key)
            if holder is not None and holder[0] != author:
                return False
            for earlier in [other for other, (name, _) in leases.items() if name == author]:
                del leases[earlier]
            leases[key] = (author, time.time() + SECONDS)
        return True

    def holder(self, key: str) -> str | None:
        """Who holds a text now; None if nobody does."""
        with self._held() as leases:
            return leases[key][0] if key in leases else None

    def release(self, author: str) -> None:
        """Give back what an author holds."""
        with self._held() as leases:
            for key in [key for key, (name, _) in leases.items() if name == author]:
                del leases[key]

    @contextmanager
    def _held(self) -> Iterator[dict[str, tuple[str, float]]]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.path}.lock"):
            leases = self._read()
            yield leases
            write_json(self.path, leases)

    def _read(self) -> dict[str, tuple[str, float]]:
        """The leases that have not expired; a file that is damaged holds none, since leases are only a courtesy."""
        try:
            stored = read_json_object(self.path)
            now = time.time()
            # A lease that ends later than any can was made before the clock went back.
            return {key: (name, until) for key, (name, until) in stored.items() if 0 < until - now <= SECONDS}
        except (DataError, TypeError, ValueError):
            return {}
