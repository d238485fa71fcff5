"""Promotion as a transaction over the registry's aliases.

Readers follow `champion`, and one write moves it: they see the old model or the new one. Around that write an intent is
noted first and the record is written last, so that whatever ends the process, `standing` can say which side of the
write the registry is on, and `settle` finishes or undoes the rest:

    intent noted -> previous := champion -> champion := version -> smoke test by the alias -> entry -> intent cleared
"""

import getpass
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from sparsecbm.base.errors import ConfigError, SparseCBMError
from sparsecbm.base.redaction import redacted
from sparsecbm.promote.history import (
    FIRST,
    PROMOTE,
    REFUSE,
    ROLLBACK,
    UNDO,
    Entry,
    HistoryBrokenError,
    champions,
    faults,
)
from sparsecbm.promote.registry import CHAMPION, PREVIOUS, Registry

Smoke = Callable[[], None]  # loads and runs the champion by its alias; raises where that fails


class PromotionError(SparseCBMError):
    """The champion did not change, and the message says why."""


class UnchangedError(PromotionError):
    """The version is the champion already."""


@dataclass(frozen=True)
class Why:
    """On what grounds: the gates' verdict, words, whether it goes against the verdict, and the ledger's sha256."""

    verdict: str = ""
    reason: str = ""
    forced: bool = False
    ledger: str = ""


@dataclass(frozen=True)
class Standing:
    """Where a registry stands.

    Attributes:
        champion, previous: the aliases
        recorded: the champion that the record ends with; None before the first promotion
        interrupted: an operation that did not end, and on which side of it the registry is; empty if there is none
        fault: what is wrong with the champion; empty if nothing is
    """

    champion: int | None
    previous: int | None
    recorded: int | None
    interrupted: str
    fault: str


def standing(registry: Registry) -> Standing:
    """Read where the registry stands; nothing is changed."""
    champion, previous = registry.aliases()
    intent, entries = registry.intent(), registry.entries()
    stack = champions(entries)
    recorded = stack[-1] if stack else None
    interrupted = ""
    if intent is not None and not _recorded(entries, intent):
        side = "after" if champion == intent["version"] else "before"
        interrupted = (
            f"a {intent['action']} to version {intent['version']} was interrupted; the registry is {side} it "
            f"(the champion is {'version ' + str(champion) if champion else 'none'})"
        )
    fault = "" if interrupted else _fault(registry, champion, recorded)
    return Standing(champion, previous, recorded, interrupted, fault)


def promote(registry: Registry, number: int, expected: int | None, why: Why, smoke: Smoke) -> Entry:
    """Make a version the champion.

    Args:
        expected: the champion that the version was judged against

    Raises:
        UnchangedError: it is the champion already.
        PromotionError: the champion moved meanwhile, was deleted or moved by hand (unless forced), or the new one does
            not answer by its alias; then the aliases are as they were, and the record says so.
        RegistryError, HistoryBrokenError: there is no such version, or the record is not sound.
    """
    _open(registry, smoke)
    registry.version(number)
    now = standing(registry)
    if now.champion == number:
        raise UnchangedError(f"version {number} is the champion already")
    if now.fault and not why.forced:
        _entry(registry, REFUSE, number, now, (now.champion, now.previous), Why(why.verdict, now.fault))
        raise PromotionError(f"{now.fault}. `sparsecbm promote {number} --force --reason ...` takes its place")
    if now.champion != expected and not why.forced:
        reason = f"the champion is {_named(now.champion)}, and version {number} was judged against {_named(expected)}"
        _entry(registry, REFUSE, number, now, (now.champion, now.previous), Why(why.verdict, reason))
        raise PromotionError(f"{reason}: another promotion came first; judge it again by `sparsecbm promote {number}`")
    return _move(registry, PROMOTE, number, (number, now.champion), why, smoke)


def rollback(registry: Registry, reason: str, smoke: Smoke) -> Entry:
    """Go back to the champion before; once more, to the one before that. Deleted versions are passed over.

    Raises:
        PromotionError: there is none to go back to, or it does not answer by its alias.
        RegistryError, HistoryBrokenError: as `promote`.
    """
    _open(registry, smoke)
    champion, _ = registry.aliases()
    # Without the deleted ones, one version may follow itself.
    back = [number for number, _ in groupby(filter(registry.has, champions(registry.entries())))]
    if back and back[-1] == champion:
        back.pop()
    if not back:
        raise PromotionError(f"there is no champion to go back to from {_named(champion)}")
    after = (back[-1], back[-2] if len(back) > 1 else None)
    return _move(registry, ROLLBACK, back[-1], after, Why(reason=reason), smoke)


def refuse(registry: Registry, number: int, why: Why) -> Entry:
    """Put on record that a version was not promoted."""
    _sound(registry)
    now = standing(registry)
    return _entry(registry, REFUSE, number, now, (now.champion, now.previous), why)


def settle(registry: Registry, smoke: Smoke) -> Entry | None:
    """End what an interrupted operation left: finish it if the champion moved, undo it if not.

    Returns:
        the entry that says what became of it; None if nothing was left
    """
    intent = registry.intent()
    if intent is None:
        return None
    entry = None
    if not _recorded(registry.entries(), intent):
        why = Why(**intent["why"])
        if registry.alias(CHAMPION) == intent["version"]:
            return _prove(registry, intent, why, smoke)
        _restore(registry, intent)
        undone = Why(why.verdict, "interrupted before the champion moved")
        entry = _write(registry, intent, UNDO, intent["before"], undone)
    registry.intend(None)
    return entry


def forced(force: bool, reason: str | None) -> str:
    """The reason of a promotion by force, or nothing.

    Raises:
        ConfigError: there is no reason.
    """
    if force and not (reason or "").strip():
        raise ConfigError("--force goes against the gates and is put on record; say why by --reason")
    return (reason or "").strip() if force else ""


def _open(registry: Registry, smoke: Smoke) -> None:
    """Begin on sound ground."""
    _sound(registry)
    settle(registry, smoke)


def _sound(registry: Registry) -> None:
    wrong = faults(registry.entries())
    if wrong:
        raise HistoryBrokenError(
            f"the record of promotions is not sound: {'; '.join(wrong)}. Nothing is promoted on it; "
            "restore the registry from a backup (docs/operations.md)"
        )


def _move(registry: Registry, action: str, number: int, after: tuple[int, int | None], why: Why, smoke: Smoke) -> Entry:
    before = registry.aliases()
    intent = {
        "operation": uuid.uuid4().hex,
        "action": action,
        "version": number,
        "before": list(before),
        "after": list(after),
        "why": vars(why),
    }
    registry.intend(intent)
    registry.point(PREVIOUS, after[1])
    registry.point(CHAMPION, number)
    return _prove(registry, intent, why, smoke)


def _prove(registry: Registry, intent: dict, why: Why, smoke: Smoke) -> Entry:
    """The champion has moved: see that it answers, and put that on record; or move it back."""
    try:
        registry.point(PREVIOUS, intent["after"][1])
        smoke()
    except Exception as error:  # whatever it is, the old champion must be back
        _restore(registry, intent)
        entry = _write(registry, intent, UNDO, intent["before"], Why(why.verdict, str(error), why.forced, why.ledger))
        registry.intend(None)
        raise PromotionError(
            f"version {intent['version']} did not answer as the champion, and {_named(entry.after[0])} is back: {error}"
        ) from error
    entry = _write(registry, intent, intent["action"], intent["after"], why)
    registry.intend(None)
    return entry


def _restore(registry: Registry, intent: dict) -> None:
    for alias, number in zip((CHAMPION, PREVIOUS), intent["before"], strict=True):
        registry.point(alias, number if number is None or registry.has(number) else None)


def _recorded(entries: list[Entry], intent: dict) -> bool:
    return any(entry.operation == intent["operation"] for entry in entries)


def _write(registry: Registry, intent: dict, action: str, after: tuple | list, why: Why) -> Entry:
    return _append(registry, action, intent["version"], tuple(intent["before"]), tuple(after), why, intent["operation"])


def _entry(registry: Registry, action: str, number: int, now: Standing, after: tuple, why: Why) -> Entry:
    return _append(registry, action, number, (now.champion, now.previous), after, why, uuid.uuid4().hex)


def _append(
    registry: Registry, action: str, number: int, before: tuple, after: tuple, why: Why, operation: str
) -> Entry:
    entries = registry.entries()
    entry = Entry(
        number=len(entries) + 1,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        action=action,
        version=number,
        before=before,
        after=after,
        verdict=why.verdict,
        reason=redacted(why.reason),
        forced=why.forced,
        by=getpass.getuser(),
        operation=operation,
        ledger=why.ledger,
        earlier=entries[-1].hash if entries else FIRST,
    )
    registry.append(entry)
    return entry


def _fault(registry: Registry, champion: int | None, recorded: int | None) -> str:
    """How the champion differs from the one on record."""
    if champion == recorded:
        return ""
    if recorded is None:
        return f"version {champion} is the champion, and the record knows of no promotion"
    if champion is None and not registry.has(recorded):
        return f"version {recorded}, the champion, was deleted; `sparsecbm rollback` goes back to the one before it"
    return f"the champion was moved by hand: it is {_named(champion)}, and the record ends with version {recorded}"


def _named(number: int | None) -> str:
    return "no version" if number is None else f"version {number}"
