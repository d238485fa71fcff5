"""The state of the registered model at a glance: the champion, its origin, and what is wrong."""

from dataclasses import dataclass

from sparsecbm.base.redaction import redacted
from sparsecbm.promote.history import PROMOTE, ROLLBACK, find_clock_jumps
from sparsecbm.promote.ledger import HOLD, REJECT
from sparsecbm.promote.registry import CHAMPION, VERDICT_TAG, Registry, RegistryError, Version
from sparsecbm.promote.service import PromotionService
from sparsecbm.promote.transaction import inspect_registry
from sparsecbm.track.lineage import LOCK_TAG


@dataclass(frozen=True)
class Status:
    """State of a registered model.

    Attributes:
        model, uri: its name, and the address that loads the champion
        registry: server or database
        champion, previous: versions with these aliases; None without one
        since: time at which the champion became the champion
        run, commit, lock: the champion's MLflow run, its git commit, and the sha256 of its dvc.lock
        newest, verdict: the newest version and its verdict; empty if it was not judged
        entries: number of entries in the promotion history
        faults: what is wrong; empty if nothing is
        notes: further remarks
    """

    model: str
    uri: str
    registry: str
    champion: int | None
    previous: int | None
    since: str
    run: str
    commit: str
    lock: str
    newest: int | None
    verdict: str
    entries: int
    faults: tuple[str, ...]
    notes: tuple[str, ...]


def load_status(service: PromotionService) -> Status:
    """Collect the state; changes nothing.

    Raises:
        RegistryError: no model is registered under the name.
    """
    registry = service.registry
    state, numbers = inspect_registry(registry), registry.version_numbers()
    entries = state.history.entries
    moves = [entry for entry in entries if entry.action in (PROMOTE, ROLLBACK) and entry.version == state.champion]
    faults = [*state.history_faults, *(fault for fault in (state.fault, state.interrupted) if fault)]
    champion = _version(registry, state.champion, faults)
    tags = champion.tags if champion else {}
    newest = _version(registry, numbers[-1] if numbers else None, faults)
    notes = [*state.history.notes, *find_clock_jumps(entries)]
    if state.history_faults:
        notes.append("nothing can be promoted before `sparsecbm history --restart` or a backup settles the history")
    if state.champion is None and not faults:
        verdict = newest.tags.get(VERDICT_TAG, "") if newest else ""
        refused = f"version {numbers[-1]} was judged {verdict}, and reports/promotion.html says why"
        first = refused if verdict in (HOLD, REJECT) else "`sparsecbm promote` makes the first one"
        notes.append(f"there is no champion yet; {first}")
    if state.interrupted:
        notes.append("the next `sparsecbm promote` or `sparsecbm rollback` completes or undoes the operation")
    return Status(
        model=registry.name,
        uri=f"models:/{registry.name}@{CHAMPION}",
        registry=redacted(service.store.uri),
        champion=state.champion,
        previous=state.previous,
        since=moves[-1].time if moves else "",
        run=champion.run_id if champion else "",
        commit=tags.get("git.commit", ""),
        lock=tags.get(LOCK_TAG, ""),
        newest=numbers[-1] if numbers else None,
        verdict=newest.tags.get(VERDICT_TAG, "") if newest else "",
        entries=len(entries),
        faults=tuple(faults),
        notes=tuple(notes),
    )


def _version(registry: Registry, number: int | None, faults: list[str]) -> Version | None:
    """A version, or None and a further fault if it is none of ours."""
    try:
        return registry.version(number) if number else None
    except RegistryError as error:
        if str(error) not in faults:
            faults.append(str(error))
        return None
