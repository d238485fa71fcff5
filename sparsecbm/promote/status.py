"""What an operator wants to know at a glance: the champion, where it comes from, and what is wrong."""

from dataclasses import dataclass

from sparsecbm.base.redaction import redacted
from sparsecbm.promote.history import PROMOTE, ROLLBACK, clock_jumps, faults
from sparsecbm.promote.registry import CHAMPION, VERDICT_TAG
from sparsecbm.promote.service import PromotionService
from sparsecbm.promote.transaction import standing
from sparsecbm.track.lineage import LOCK_TAG


@dataclass(frozen=True)
class Status:
    """A registered model as it stands.

    Attributes:
        model, uri: its name, and how others load the champion
        registry: server or database
        champion, previous: versions; None where there is none
        since: when the champion became it
        run, commit, lock: the champion's MLflow run, its git commit, and the sha256 of its dvc.lock
        newest, verdict: the newest version, and what the gates said of it; empty if it was not judged
        entries: how many the record has
        faults: what is wrong; empty if nothing is
        notes: what is worth knowing and no fault
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


def status_of(service: PromotionService) -> Status:
    """Look; nothing is changed.

    Raises:
        RegistryError: nothing was registered by the name.
    """
    registry = service.registry
    now, entries, numbers = standing(registry), registry.entries(), registry.numbers()
    moves = [entry for entry in entries if entry.action in (PROMOTE, ROLLBACK) and entry.version == now.champion]
    champion = registry.version(now.champion) if now.champion else None
    tags = champion.tags if champion else {}
    newest = numbers[-1] if numbers else None
    wrong = [*faults(entries), *(fault for fault in (now.fault, now.interrupted) if fault)]
    notes = list(clock_jumps(entries))
    if now.champion is None and not wrong:
        notes.append("there is no champion yet; `sparsecbm promote` makes the first one")
    if now.interrupted:
        notes.append("the next `sparsecbm promote` or `rollback` settles it")
    return Status(
        model=registry.name,
        uri=f"models:/{registry.name}@{CHAMPION}",
        registry=redacted(service.store.uri),
        champion=now.champion,
        previous=now.previous,
        since=moves[-1].time if moves else "",
        run=champion.run_id if champion else "",
        commit=tags.get("git.commit", ""),
        lock=tags.get(LOCK_TAG, ""),
        newest=newest,
        verdict=registry.version(newest).tags.get(VERDICT_TAG, "") if newest else "",
        entries=len(entries),
        faults=tuple(wrong),
        notes=tuple(notes),
    )
