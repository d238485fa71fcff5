"""The promotion history with all that is wrong with it, for the command and the page that show it."""

from dataclasses import asdict, dataclass
from typing import Any

from sparsecbm.promote.history import History, find_clock_jumps
from sparsecbm.promote.service import PromotionService
from sparsecbm.promote.transaction import find_history_faults
from sparsecbm.track.store import translated_errors


@dataclass(frozen=True)
class HistoryRecord:
    """The history, verified.

    Attributes:
        faults: breaks of the chain, and anchors that contradict it; empty if it is whole
        clock: entries that are older than the entry before them
    """

    history: History
    faults: tuple[str, ...]
    clock: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The form that `sparsecbm history --json` prints."""
        entries = [{**asdict(entry), "hash": entry.hash} for entry in self.history.entries]
        return {"entries": entries, "faults": self.faults, "clock": self.clock, "notes": self.history.notes}


def load_history(service: PromotionService) -> HistoryRecord:
    """Read the history from the registry, and verify it.

    Raises:
        RegistryError: no model is registered under the name.
        TrackingUnavailableError: the registry does not answer.
    """
    with translated_errors(service.store.uri):
        history = service.registry.history()
        faults = find_history_faults(service.registry, history)
    return HistoryRecord(history, tuple(faults), tuple(find_clock_jumps(history.entries)))
