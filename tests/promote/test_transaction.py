"""The alias moves completely or not at all, despite failures, conflicts, deletions, and kill -9 at any step."""

import multiprocessing
import os
import shutil
import signal
import traceback

import pytest
from mlflow import MlflowClient

from sparsecbm.promote import history
from sparsecbm.promote.history import HistoryBrokenError
from sparsecbm.promote.registry import KIND, KIND_TAG, Registry, RegistryError
from sparsecbm.promote.transaction import (
    Decision,
    PromotionError,
    UnchangedError,
    inspect_registry,
    promote,
    recover,
    refuse,
    rollback,
)
from tests.support.fake_mlflow_client import FakeClient

DECISION = Decision("PROMOTE", "it is better")


def works():
    """A smoke test that passes."""


def fails():
    raise RuntimeError("it does not load")


def with_versions(client, count=4):
    registry = Registry(client, "m")
    registry.create()
    for _ in range(count):
        client.create_model_version("m", "file:///nowhere", tags={KIND_TAG: KIND})
    return registry


@pytest.fixture
def registry():
    return with_versions(FakeClient())


def test_rollbacks_return_to_earlier_champions_in_turn(registry):
    promote(registry, 1, None, DECISION, works)
    promote(registry, 2, 1, DECISION, works)
    entry = promote(registry, 3, 2, DECISION, works)
    assert (entry.before, entry.after) == ((2, 1), (3, 2))
    assert rollback(registry, "bad", works).after == (2, 1)
    assert rollback(registry, "bad", works).after == (1, None)
    with pytest.raises(PromotionError, match="there is no earlier champion than version 1"):
        rollback(registry, "bad", works)
    assert registry.aliases() == (1, None)
    assert registry.intent() is None
    assert [entry.action for entry in registry.entries()] == ["promote"] * 3 + ["rollback"] * 2


def test_a_champion_that_does_not_answer_is_replaced_by_the_previous_one(registry):
    promote(registry, 1, None, DECISION, works)
    with pytest.raises(PromotionError, match=r"version 2 did not answer .*; the alias moved back to version 1"):
        promote(registry, 2, 1, DECISION, fails)
    assert registry.aliases() == (1, None)
    entry = registry.entries()[-1]
    assert (entry.action, entry.version, entry.after, entry.reason) == ("undo", 2, (1, None), "it does not load")
    assert history.champion_stack(registry.entries()) == [1]


def test_a_first_champion_that_does_not_answer_leaves_none(registry):
    with pytest.raises(PromotionError, match="the alias moved back to no version"):
        promote(registry, 1, None, DECISION, fails)
    assert registry.aliases() == (None, None)


def test_a_version_compared_with_another_champion_is_an_error(registry):
    promote(registry, 1, None, DECISION, works)
    promote(registry, 2, 1, DECISION, works)
    with pytest.raises(PromotionError, match="the champion is version 2, but version 3 was judged against version 1"):
        promote(registry, 3, 1, DECISION, works)
    assert registry.aliases() == (2, 1)
    assert registry.entries()[-1].action == "refuse"
    with pytest.raises(UnchangedError):
        promote(registry, 2, 1, DECISION, works)


def test_a_deleted_champion_is_reported_and_not_overwritten(registry):
    promote(registry, 1, None, DECISION, works)
    promote(registry, 2, 1, DECISION, works)
    registry.client.delete_model_version("m", "2")
    assert inspect_registry(registry).fault.startswith(
        "version 2, the champion, was deleted; `sparsecbm rollback` returns"
    )
    with pytest.raises(PromotionError, match="version 2, the champion, was deleted"):
        promote(registry, 3, None, DECISION, works)
    assert registry.aliases() == (None, 1)
    assert rollback(registry, "deleted", works).after == (1, None)
    assert inspect_registry(registry).fault == ""


def test_a_rollback_skips_deleted_versions(registry):
    for number, expected in ((1, None), (2, 1), (3, 2)):
        promote(registry, number, expected, DECISION, works)
    registry.client.delete_model_version("m", "2")
    assert rollback(registry, "bad", works).after == (1, None)


def test_a_champion_moved_by_hand_is_reported(registry):
    promote(registry, 1, None, DECISION, works)
    registry.client.set_registered_model_alias("m", "champion", "3")
    fault = "the champion was moved by hand: it is version 3, but the history ends with version 1"
    assert inspect_registry(registry).fault == fault
    with pytest.raises(PromotionError, match="moved by hand"):
        promote(registry, 2, 3, DECISION, works)
    forced = Decision("HOLD", "forced: so be it", forced=True)
    assert promote(registry, 2, 3, forced, works).before == (3, None)
    assert rollback(registry, "back", works).after == (1, None)


def test_errors_name_missing_and_foreign_versions(registry):
    with pytest.raises(RegistryError, match="no version 9; it has: 1, 2, 3, 4"):
        promote(registry, 9, None, DECISION, works)
    registry.client.create_model_version("m", tags={"other": "kind"})
    with pytest.raises(RegistryError, match="version 5 of model 'm' is of another kind"):
        promote(registry, 5, None, DECISION, works)
    with pytest.raises(RegistryError, match=r"the registry has no model 'n' \(it has m\); `sparsecbm promote`"):
        inspect_registry(Registry(registry.client, "n"))


@pytest.mark.parametrize("tamper", ["reason", "drop first", "drop middle", "garbage"])
def test_an_altered_history_stops_everything(registry, tamper):
    for number, expected in ((1, None), (2, 1), (3, 2)):
        promote(registry, number, expected, DECISION, works)
    tags = registry.client.models["m"].tags
    if tamper == "reason":
        tags["sparsecbm.history.000002"] = tags["sparsecbm.history.000002"].replace("better", "worse")
    elif tamper == "garbage":
        tags["sparsecbm.history.000002"] = "{}"
    else:
        del tags[f"sparsecbm.history.00000{1 if tamper == 'drop first' else 2}"]
    for act in (lambda: promote(registry, 4, 3, DECISION, works), lambda: rollback(registry, "", works)):
        with pytest.raises(HistoryBrokenError):
            act()
    assert registry.aliases() == (3, 2)


def test_a_missing_last_entry_is_detected(registry):
    promote(registry, 1, None, DECISION, works)
    promote(registry, 2, 1, DECISION, works)
    del registry.client.models["m"].tags["sparsecbm.history.000002"]
    assert "moved by hand" in inspect_registry(registry).fault


def test_refusals_are_entries_and_a_clock_set_back_is_reported(registry):
    refuse(registry, 1, Decision("HOLD", "no better"))
    entry = refuse(registry, 2, Decision("REJECT", "worse"))
    assert history.find_chain_faults(registry.entries()) == []
    assert history.find_clock_jumps(registry.entries()) == []
    earlier = history.Entry(**{**vars(entry), "number": 3, "time": "2001-01-01T00:00:00+00:00", "earlier": entry.hash})
    registry.append_entry(earlier)
    assert history.find_chain_faults(registry.entries()) == []
    assert history.find_clock_jumps(registry.entries())[0].startswith(
        "entry 3 (2001-01-01T00:00:00+00:00) is older than"
    )


class Dying:
    """A client that kills its process before or after a given write."""

    def __init__(self, client, writes, before):
        self._client, self._left, self._before = client, writes, before

    def __getattr__(self, name):
        method = getattr(self._client, name)
        if not name.startswith(("set_", "delete_")):
            return method

        def write(*arguments):
            self._left -= 1
            if self._left == 0 and self._before:
                os.kill(os.getpid(), signal.SIGKILL)
            result = method(*arguments)
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return write


def _told(errors, *arguments):
    """Act in a child process, which leaves its traceback in a file if it fails."""
    try:
        _attempt(*arguments)
    except BaseException:
        errors.write_text(traceback.format_exc())
        raise
    os._exit(0)  # a forked interpreter may fail to end, which says nothing about what it did


def _attempt(uri, act, writes, before):
    registry = Registry(Dying(MlflowClient(uri), writes, before), "m")
    if act == "promote":
        promote(registry, 3, 2, DECISION, works)
    elif act == "rollback":
        rollback(registry, "bad", works)
    elif act == "recover":
        recover(registry, works)
    else:
        try:
            promote(registry, 3, 2, DECISION, fails)
        except PromotionError:
            os._exit(0)


@pytest.fixture(scope="module")
def two_champions(migrated, tmp_path_factory):
    """Return a database whose champion is version 2, after version 1."""
    path = tmp_path_factory.mktemp("registry") / "mlflow.db"
    shutil.copy(migrated, path)
    registry = with_versions(MlflowClient(f"sqlite:///{path}"), 3)
    promote(registry, 1, None, DECISION, works)
    promote(registry, 2, 1, DECISION, works)
    return path


AFTER = {"promote": (3, 2), "rollback": (1, None), "smoke fails": (2, 1)}


@pytest.mark.parametrize("act", list(AFTER))
def test_a_move_killed_at_any_step_recovers_completely(two_champions, tmp_path, act):
    """A child process is killed after each of its writes. The state shows the progress, and `recover` completes it."""
    fork = multiprocessing.get_context("fork")
    sides, ended = set(), False
    for writes in range(1, 20):
        path = tmp_path / f"{writes}.db"
        shutil.copy(two_champions, path)
        uri = f"sqlite:///{path}"
        errors = tmp_path / f"{writes}.txt"
        child = fork.Process(target=_told, args=(errors, uri, act, writes, False))
        child.start()
        child.join(60)
        if child.exitcode == 0:
            ended = True
            break
        assert child.exitcode == -signal.SIGKILL, errors.read_text() if errors.exists() else "no traceback"
        registry = Registry(MlflowClient(uri), "m")
        state = inspect_registry(registry)
        champion = registry.aliases()[0]
        assert champion in (2, AFTER[act][0], 3 if act == "smoke fails" else 2)
        if state.interrupted:
            side = "after" if champion == {"promote": 3, "rollback": 1, "smoke fails": 3}[act] else "before"
            assert f"was interrupted {side} the champion moved" in state.interrupted
            sides.add(side)
        if act == "smoke fails" and state.interrupted and champion == 3:
            with pytest.raises(PromotionError, match="the alias moved back to version 2"):
                recover(registry, fails)
        else:
            recover(registry, works)
        assert registry.intent() is None
        assert registry.aliases() == (AFTER[act] if champion == AFTER[act][0] else (2, 1))
        assert inspect_registry(registry).fault == ""
        assert history.find_chain_faults(registry.entries()) == []
        assert recover(registry, works) is None
    assert ended
    assert sides == {"before", "after"}


def test_a_killed_recovery_can_be_repeated(two_champions, tmp_path):
    fork = multiprocessing.get_context("fork")
    for first in (2, 3):
        for second in range(1, 6):
            path = tmp_path / f"{first}-{second}.db"
            shutil.copy(two_champions, path)
            uri = f"sqlite:///{path}"
            for act, writes in (("promote", first), ("recover", second)):
                child = fork.Process(target=_attempt, args=(uri, act, writes, True))
                child.start()
                child.join(60)
            registry = Registry(MlflowClient(uri), "m")
            recover(registry, works)
            assert registry.intent() is None
            assert registry.aliases() in ((2, 1), (3, 2))
            assert inspect_registry(registry).fault == ""
            assert history.find_chain_faults(registry.entries()) == []
