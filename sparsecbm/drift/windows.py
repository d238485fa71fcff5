"""The last windows, kept in a file: one window of drift is a warning, and several running are a trigger."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from sparsecbm.base.errors import DataError
from sparsecbm.base.files import read_json_object, write_json

KEPT = 100  # windows


@dataclass(frozen=True)
class Window:
    """What is remembered of a window.

    Attributes:
        table: sha256 of its file
        model: sha256 of the model's list of checksums
        texts: their number
        drifted: names of the figures that drifted
    """

    table: str
    model: str
    texts: int
    drifted: tuple[str, ...]


def read_windows(path: Path) -> list[Window]:
    """The windows of a file, oldest first; none if there is no file.

    Raises:
        DataError: the file is damaged.
    """
    if not path.is_file():
        return []
    try:
        return [Window(**{**each, "drifted": tuple(each["drifted"])}) for each in read_json_object(path)["windows"]]
    except (KeyError, TypeError):
        raise DataError(f"{path} is damaged; remove it, and the next two windows count anew") from None


def remember_window(path: Path, window: Window) -> list[Window]:
    """Add a window to a file; return all windows of its model, oldest first.

    The same table once more, under the same model, takes the place that it had: it is no further window.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        windows = read_windows(path)
        keys = [(each.table, each.model) for each in windows]
        if (window.table, window.model) in keys:
            windows[keys.index((window.table, window.model))] = window
        else:
            windows.append(window)
        windows = windows[-KEPT:]
        write_json(path, {"windows": [asdict(each) for each in windows]})
    return [each for each in windows if each.model == window.model]


def triggers(windows: Sequence[Window], running: int) -> list[str]:
    """Names of the figures that drifted in each of the last windows of one model.

    Args:
        running: how many windows count; fewer windows trigger nothing
    """
    last = windows[-running:]
    if len(last) < running:
        return []
    return sorted(set.intersection(*(set(each.drifted) for each in last)))
