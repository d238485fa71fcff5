"""Promotion as a transaction over the registry's aliases.

Readers follow the alias `champion`, and a single write moves it, so they see the old model or the new one. The intent
is written before that write and the history entry after it. If the process dies in between, `inspect_registry` tells
on which side of the write the registry is, and `recover` completes or undoes the operation:

    write intent -> previous := champion -> champion := version -> smoke test -> write entry -> clear intent
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from sparsecbm.base.errors import ConfigError, SparseCBMError
from sparsecbm.promote.anchor import anchor, find_anchor_faults
from sparsecbm.promote.history import (
    FIRST,
    LARGEST,
    PROMOTE,
    REFUSE,
    RESTART,
    ROLLBACK,
    UNDO,
    Aliases,
    Entry,
    History,
    HistoryBrokenError,
    champion_stack,
    entry_key,
)
from sparsecbm.promote.intent import Decision, Intent, IntentUnreadableError
from sparsecbm.promote.record_texts import check_reason, recordable, user_name
from sparsecbm.promote.registry import CHAMPION, PREVIOUS, Registry

ROOM = 1_000_000  # entries that can follow a restart

Smoke = Callable[[], None]  # loads the champion by its alias and lets it predict; raises on failure


class PromotionError(SparseCBMError):
    """The champion did not change; the message says why."""


class UnchangedError(PromotionError):
    """The version is the champion already."""


@dataclass(frozen=True)
class RegistryState:
    """The state of the aliases, compared with the history.

    Attributes:
        champion, previous: versions with these aliases
        recorded: the champion by the history; None before the first promotion
        interrupted: describes an unfinished operation; empty without one
        fault: what is wrong with the champion; empty if nothing is
        history: the history
        history_faults: what is wrong with the history; nothing moves before it is settled
    """

    champion: int | None
    previous: int | None
    recorded: int | None
    interrupted: str
    fault: str
    history: History
    history_faults: tuple[str, ...]

    @property
    def aliases(self) -> Aliases:
        return self.champion, self.previous


def inspect_registry(registry: Registry) -> RegistryState:
    """Compare aliases, intent and history; changes nothing."""
    champion, previous = registry.aliases()
    history = registry.history()
    faults = find_history_faults(registry, history)
    stack = champion_stack(history.entries)
    recorded = stack[-1] if stack else None
    interrupted = ""
    try:
        intent = registry.intent()
    except IntentUnreadableError as error:
        interrupted = str(error)
    else:
        if intent is not None and not _is_recorded(history, intent):
            side = "after" if champion == intent.version else "before"
            interrupted = (
                f"a {intent.action} to version {intent.version} was interrupted {side} the champion moved; "
                f"the champion is {_name(champion)}"
            )
    fault = "" if interrupted or history.faults else _champion_fault(registry, champion, recorded)
    return RegistryState(champion, previous, recorded, interrupted, fault, history, tuple(faults))


def find_history_faults(registry: Registry, history: History) -> list[str]:
    """What is wrong with the history itself; if nothing is, where its anchors contradict it. One message each."""
    return list(history.faults) or find_anchor_faults(registry, history)


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
    settle(registry, smoke)
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
        ConfigError: the reason is too long.
        PromotionError: there is no earlier champion, or it does not answer.
        RegistryError, HistoryBrokenError: as in `promote`.
    """
    reason = check_reason(reason)
    settle(registry, smoke)
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
    aliases = registry.aliases()
    return _append(registry, Intent(REFUSE, number, aliases, aliases, decision), REFUSE, aliases, decision)


def restart(registry: Registry, reason: str, smoke: Smoke) -> Entry:
    """Accept a history that is not valid, and verify it from here on. Its tags stay as they are.

    Raises:
        ConfigError: there is no reason, or it is too long.
        PromotionError: the history is valid.
    """
    reason, by = check_reason(reason), user_name()
    if not reason:
        raise ConfigError('a restart accepts what may be forged, so it needs --reason "..."')
    history = registry.history()
    faults = find_history_faults(registry, history)
    if not faults:
        raise PromotionError("the promotion history is valid, so there is nothing to restart")
    number = max([*history.numbers, *(number for _, number, _ in registry.entry_hashes())], default=0) + 1
    if number > LARGEST - ROOM:
        raise PromotionError(
            f"the history holds entry {number - 1}, which is forged and leaves no room for later ones; "
            f"delete its tag {entry_key(number - 1)} in MLflow"
        )
    aliases = registry.aliases()
    entry = Entry(
        number=number,
        time=_now(),
        action=RESTART,
        version=aliases[0] or 0,
        before=aliases,
        after=aliases,
        verdict="",
        reason=recordable(f"{reason} ({'; '.join(faults)})"),
        forced=True,
        by=by,
        operation=uuid.uuid4().hex,
        ledger="",
        earlier=history.digest,
    )
    registry.append_entry(entry)
    anchor(registry, entry)
    recover(registry, smoke)
    return entry


def recover(registry: Registry, smoke: Smoke) -> Entry | None:
    """Complete an interrupted operation if the champion moved; undo it otherwise.

    Returns:
        the entry that ends the operation; None if nothing was interrupted
    """
    try:
        intent = registry.intent()
    except IntentUnreadableError as error:
        return _drop_intent(registry, str(error))
    if intent is None:
        return None
    entry = None
    if not _is_recorded(registry.history(), intent):
        decision = intent.why
        if registry.alias(CHAMPION) == intent.version:
            return _confirm(registry, intent, decision, smoke)
        _restore_aliases(registry, intent)
        undone = Decision(decision.verdict, "interrupted before the champion moved")
        entry = _append(registry, intent, UNDO, intent.before, undone)
    registry.set_intent(None)
    return entry


def has_intent(registry: Registry) -> bool:
    """Whether an operation has begun and not ended: it runs, or was interrupted."""
    try:
        return registry.intent() is not None
    except IntentUnreadableError:
        return True


def settle(registry: Registry, smoke: Smoke) -> None:
    """Complete or undo an interrupted operation, with all that it records.

    Raises:
        PromotionError: the champion of an interrupted operation does not answer, and was replaced.
        HistoryBrokenError: the history is not valid.
    """
    _check_history(registry)
    recover(registry, smoke)
    last = registry.history().last
    if last is not None:
        anchor(registry, last)  # a killed process may have left it out; and a place that cannot be written shows now


def require_reason(force: bool, reason: str | None) -> str:
    """The reason of a forced promotion; empty if it is not forced.

    Raises:
        ConfigError: the promotion is forced and has no reason, or the reason is too long.
    """
    reason = check_reason(reason or "")
    if force and not reason:
        raise ConfigError('--force overrides the gates, so it needs --reason "..."')
    return reason if force else ""


def _check_history(registry: Registry) -> None:
    faults = find_history_faults(registry, registry.history())
    if faults:
        raise HistoryBrokenError(
            f"the promotion history is not valid: {'; '.join(faults)}. Nothing can be promoted; restore the registry "
            "from a backup, or find out what happened and accept the history as it is: "
            '`sparsecbm history --restart --reason "..."` (docs/operations.md)'
        )


def _move(registry: Registry, action: str, aliases: tuple[int, int | None], decision: Decision, smoke: Smoke) -> Entry:
    champion, previous = aliases
    intent = Intent(action, champion, registry.aliases(), aliases, decision)
    registry.set_intent(intent)
    stored = registry.intent()
    if stored is None or stored.operation != intent.operation:  # locks do not reach other machines
        raise PromotionError("another machine has just begun a promotion; see `sparsecbm status`, then try again")
    registry.set_alias(PREVIOUS, previous)
    registry.set_alias(CHAMPION, champion)
    return _confirm(registry, intent, decision, smoke)


def _confirm(registry: Registry, intent: Intent, decision: Decision, smoke: Smoke) -> Entry:
    """After the champion moved: test that it answers and record it, or move it back."""
    try:
        registry.set_alias(PREVIOUS, intent.after[1])
        smoke()
    except Exception as error:  # any failure: the old champion must return
        _restore_aliases(registry, intent)
        undone = Decision(decision.verdict, str(error), decision.forced, decision.ledger)
        entry = _append(registry, intent, UNDO, intent.before, undone)
        registry.set_intent(None)
        raise PromotionError(
            f"version {intent.version} did not answer as the champion; "
            f"the alias moved back to {_name(entry.after[0])}: {error}"
        ) from error
    entry = _append(registry, intent, intent.action, intent.after, decision)
    registry.set_intent(None)
    return entry


def _drop_intent(registry: Registry, fault: str) -> Entry:
    """Drop an intent that nobody can read; aliases and history are then compared as always."""
    aliases = registry.aliases()
    dropped = Intent(UNDO, aliases[0] or 0, aliases, aliases, Decision())
    entry = _append(registry, dropped, UNDO, aliases, Decision(reason=fault))
    registry.set_intent(None)
    return entry


def _restore_aliases(registry: Registry, intent: Intent) -> None:
    for alias, number in zip((CHAMPION, PREVIOUS), intent.before, strict=True):
        registry.set_alias(alias, number if number is None or registry.has_version(number) else None)


def _is_recorded(history: History, intent: Intent) -> bool:
    return any(entry.operation == intent.operation for entry in history.entries)


def _append(registry: Registry, intent: Intent, action: str, after: Aliases, decision: Decision) -> Entry:
    last = registry.history().last
    entry = Entry(
        number=last.number + 1 if last else 1,
        time=_now(),
        action=action,
        version=intent.version,
        before=intent.before,
        after=after,
        verdict=decision.verdict,
        reason=recordable(decision.reason),
        forced=decision.forced,
        by=intent.by,
        operation=intent.operation,
        ledger=decision.ledger,
        earlier=last.hash if last else FIRST,
    )
    registry.append_entry(entry)
    anchor(registry, entry)
    return entry


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


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
