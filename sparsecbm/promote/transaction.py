"""Promotion as a transaction over the registry's aliases.

Readers follow the alias `champion`, and a single write moves it, so they see the old model or the new one. The intent
is written before that write and the history entry after it. If the process dies in between, `inspect_registry` tells
on which side of the write the registry is, and `recover` completes or undoes the operation:

    write intent -> previous := champion -> champion := version -> smoke test -> write entry -> clear intent
"""

import getpass
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
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
    champion_stack,
    find_chain_faults,
)
from sparsecbm.promote.registry import CHAMPION, PREVIOUS, Registry

Smoke = Callable[[], None]  # loads the champion by its alias and lets it predict; raises on failure
Aliases = tuple[int | None, int | None]  # versions with the aliases `champion` and `previous`


class PromotionError(SparseCBMError):
    """The champion did not change; the message says why."""


class UnchangedError(PromotionError):
    """The version is the champion already."""


@dataclass(frozen=True)
class Decision:
    """The grounds of an operation.

    Attributes:
        verdict: of the gates; empty if no gate ran
        reason: free text
        forced: whether the operation goes against the verdict
        ledger: sha256 of the ledger; empty without one
    """

    verdict: str = ""
    reason: str = ""
    forced: bool = False
    ledger: str = ""


@dataclass(frozen=True)
class RegistryState:
    """The state of the aliases, compared with the history.

    Attributes:
        champion, previous: versions with these aliases
        recorded: the champion by the history; None before the first promotion
        interrupted: describes an unfinished operation; empty without one
        fault: what is wrong with the champion; empty if nothing is
    """

    champion: int | None
    previous: int | None
    recorded: int | None
    interrupted: str
    fault: str

    @property
    def aliases(self) -> Aliases:
        return self.champion, self.previous


def inspect_registry(registry: Registry) -> RegistryState:
    """Compare aliases, intent and history; changes nothing."""
    champion, previous = registry.aliases()
    intent, entries = registry.intent(), registry.entries()
    stack = champion_stack(entries)
    recorded = stack[-1] if stack else None
    interrupted = ""
    if intent is not None and not _is_recorded(entries, intent):
        side = "after" if champion == intent["version"] else "before"
        interrupted = (
            f"a {intent['action']} to version {intent['version']} was interrupted {side} the champion moved; "
            f"the champion is {_name(champion)}"
        )
    fault = "" if interrupted else _champion_fault(registry, champion, recorded)
    return RegistryState(champion, previous, recorded, interrupted, fault)


def promote(registry: Registry, number: int, expected: int | None, decision: Decision, smoke: Smoke) -> Entry:
    """Make a version the champion.

    Args:
        expected: the champion that the version was judged against

    Raises:
        UnchangedError: the version is the champion already.
        PromotionError: another promotion came first, the champion was deleted or moved by hand (unless forced), or the
            new champion does not answer. The aliases stay or return to what they were, and the history says so.
        RegistryError, HistoryBrokenError: there is no such version, or the history is not valid.
    """
    _check_and_recover(registry, smoke)
    registry.version(number)
    state = inspect_registry(registry)
    if state.champion == number:
        raise UnchangedError(f"version {number} is the champion already")
    if state.fault and not decision.forced:
        refuse(registry, number, Decision(decision.verdict, state.fault))
        raise PromotionError(f"{state.fault}. `sparsecbm promote {number} --force --reason ...` replaces it")
    if state.champion != expected and not decision.forced:
        reason = f"the champion is {_name(state.champion)}, but version {number} was judged against {_name(expected)}"
        refuse(registry, number, Decision(decision.verdict, reason))
        raise PromotionError(f"{reason}: another promotion came first; judge again: `sparsecbm promote {number}`")
    return _move(registry, PROMOTE, (number, state.champion), decision, smoke)


def rollback(registry: Registry, reason: str, smoke: Smoke) -> Entry:
    """Return to the previous champion; a second rollback returns to the one before it. Deleted versions are skipped.

    Raises:
        PromotionError: there is no earlier champion, or it does not answer.
        RegistryError, HistoryBrokenError: as in `promote`.
    """
    _check_and_recover(registry, smoke)
    champion, _ = registry.aliases()
    # Without the deleted versions, a version may follow itself.
    stack = [number for number, _ in groupby(filter(registry.has_version, champion_stack(registry.entries())))]
    if stack and stack[-1] == champion:
        stack.pop()
    if not stack:
        raise PromotionError(f"there is no earlier champion than {_name(champion)}")
    aliases = (stack[-1], stack[-2] if len(stack) > 1 else None)
    return _move(registry, ROLLBACK, aliases, Decision(reason=reason), smoke)


def refuse(registry: Registry, number: int, decision: Decision) -> Entry:
    """Add to the history that a version was not promoted."""
    _check_history(registry)
    aliases = inspect_registry(registry).aliases
    intent = _intent(REFUSE, number, aliases, aliases, decision)
    return _append(registry, intent, REFUSE, aliases, decision)


def recover(registry: Registry, smoke: Smoke) -> Entry | None:
    """Complete an interrupted operation if the champion moved; undo it otherwise.

    Returns:
        the entry that ends the operation; None if nothing was interrupted
    """
    intent = registry.intent()
    if intent is None:
        return None
    entry = None
    if not _is_recorded(registry.entries(), intent):
        decision = Decision(**intent["why"])
        if registry.alias(CHAMPION) == intent["version"]:
            return _confirm(registry, intent, decision, smoke)
        _restore_aliases(registry, intent)
        undone = Decision(decision.verdict, "interrupted before the champion moved")
        entry = _append(registry, intent, UNDO, intent["before"], undone)
    registry.set_intent(None)
    return entry


def require_reason(force: bool, reason: str | None) -> str:
    """The reason of a forced promotion; empty if it is not forced.

    Raises:
        ConfigError: the promotion is forced and has no reason.
    """
    if force and not (reason or "").strip():
        raise ConfigError('--force overrides the gates, so it needs --reason "..."')
    return (reason or "").strip() if force else ""


def _check_and_recover(registry: Registry, smoke: Smoke) -> None:
    _check_history(registry)
    recover(registry, smoke)


def _check_history(registry: Registry) -> None:
    faults = find_chain_faults(registry.entries())
    if faults:
        raise HistoryBrokenError(
            f"the promotion history is not valid: {'; '.join(faults)}. Nothing can be promoted; "
            "restore the registry from a backup (docs/operations.md)"
        )


def _move(registry: Registry, action: str, aliases: tuple[int, int | None], decision: Decision, smoke: Smoke) -> Entry:
    champion, previous = aliases
    intent = _intent(action, champion, registry.aliases(), aliases, decision)
    registry.set_intent(intent)
    registry.set_alias(PREVIOUS, previous)
    registry.set_alias(CHAMPION, champion)
    return _confirm(registry, intent, decision, smoke)


def _confirm(registry: Registry, intent: dict, decision: Decision, smoke: Smoke) -> Entry:
    """After the champion moved: test that it answers and record it, or move it back."""
    try:
        registry.set_alias(PREVIOUS, intent["after"][1])
        smoke()
    except Exception as error:  # any failure: the old champion must return
        _restore_aliases(registry, intent)
        undone = Decision(decision.verdict, str(error), decision.forced, decision.ledger)
        entry = _append(registry, intent, UNDO, intent["before"], undone)
        registry.set_intent(None)
        raise PromotionError(
            f"version {intent['version']} did not answer as the champion; "
            f"the alias moved back to {_name(entry.after[0])}: {error}"
        ) from error
    entry = _append(registry, intent, intent["action"], intent["after"], decision)
    registry.set_intent(None)
    return entry


def _intent(action: str, number: int, before: Aliases, after: Aliases, decision: Decision) -> dict:
    """An operation in the plain form that the registry keeps until the operation ends."""
    return {
        "operation": uuid.uuid4().hex,
        "action": action,
        "version": number,
        "before": list(before),
        "after": list(after),
        "why": asdict(decision),
    }


def _restore_aliases(registry: Registry, intent: dict) -> None:
    for alias, number in zip((CHAMPION, PREVIOUS), intent["before"], strict=True):
        registry.set_alias(alias, number if number is None or registry.has_version(number) else None)


def _is_recorded(entries: list[Entry], intent: dict) -> bool:
    return any(entry.operation == intent["operation"] for entry in entries)


def _append(registry: Registry, intent: dict, action: str, after: Sequence[int | None], decision: Decision) -> Entry:
    entries = registry.entries()
    entry = Entry(
        number=len(entries) + 1,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        action=action,
        version=intent["version"],
        before=tuple(intent["before"]),
        after=tuple(after),
        verdict=decision.verdict,
        reason=redacted(decision.reason),
        forced=decision.forced,
        by=getpass.getuser(),
        operation=intent["operation"],
        ledger=decision.ledger,
        earlier=entries[-1].hash if entries else FIRST,
    )
    registry.append_entry(entry)
    return entry


def _champion_fault(registry: Registry, champion: int | None, recorded: int | None) -> str:
    """How the champion differs from the history's; empty if it does not."""
    if champion == recorded:
        return ""
    if recorded is None:
        return f"{_name(champion)} is the champion, but the history holds no promotion"
    if champion is None and not registry.has_version(recorded):
        return f"version {recorded}, the champion, was deleted; `sparsecbm rollback` returns to the one before it"
    return f"the champion was moved by hand: it is {_name(champion)}, but the history ends with version {recorded}"


def _name(number: int | None) -> str:
    return "no version" if number is None else f"version {number}"
