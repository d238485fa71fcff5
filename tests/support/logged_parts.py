"""Work that notes each part which it begins, and dies once."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LoggedParts:
    """Squares numbers. Part 3 kills its worker the first time, while another part runs."""

    folder: Path

    def __call__(self, part: int) -> int:
        """Note the part in a file, one line for each time that it begins."""
        with open(self.folder / "log", "a") as log:
            log.write(f"{part}\n")
        if part == 5:
            raise ValueError("five")
        if part == 3 and not (self.folder / "killed").exists():
            (self.folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.5)
        return part * part
