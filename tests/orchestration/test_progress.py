"""What a flow prints while it runs and when it has ended."""

import threading

import pytest

from sparsecbm.base.files import write_json
from sparsecbm.orchestration import heartbeat as module
from sparsecbm.orchestration.heartbeat import heartbeat
from sparsecbm.orchestration.summary import duration, score_lines


class Clock:
    """A clock that stands still until it is set.

    Then it waits until a line that is due was printed: a beat reads the clock once, and again as it prints. The first
    reading may still be of the time before.
    """

    def __init__(self):
        self.now, self.readings = 0.0, threading.Semaphore(0)

    def monotonic(self) -> float:
        self.readings.release()
        return self.now

    def set(self, now: float) -> None:
        self.now = now
        while self.readings.acquire(blocking=False):
            pass
        for _ in range(4):
            assert self.readings.acquire(timeout=60)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.05)  # so it looks at the clock every hundredth of a second
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_silence_is_broken_and_talk_is_not(clock):
    lines = []
    with heartbeat("explain", lines.append) as print_line:
        print_line("working")
        clock.set(0.04)
        assert lines == ["working"]
        clock.set(0.06)
        assert lines == ["working", "explain has been running for 0 s"]
        clock.set(0.15)  # the pauses double: the next line comes at .16
        assert len(lines) == 2
        clock.set(2.2)
        assert lines[2:] == ["explain has been running for 2 s"]
        print_line("still working")
        clock.set(2.39)  # .19 after the last line; the pause is .2
        assert lines[3:] == ["still working"]
        clock.set(2.41)
        assert lines[4:] == ["explain has been running for 2 s"]


def test_what_something_does_is_in_the_line(clock):
    lines = []
    with heartbeat("a server", lines.append, "starting"):
        clock.set(119)
    assert lines == ["a server has been starting for 1 min 59 s"]


def test_an_error_passes_and_ends_the_heartbeat(clock):
    lines = []
    with pytest.raises(KeyboardInterrupt), heartbeat("explain", lines.append):
        raise KeyboardInterrupt
    assert not [thread for thread in threading.enumerate() if thread.name == "heartbeat of explain"]
    assert lines == []


def test_scores_are_in_words(tiny_workspace):
    assert score_lines(tiny_workspace) == []
    label = {"accuracy": 0.6, "accuracy_interval": [0.55, 0.65], "majority": 0.25}
    concepts = {"food": {"accuracy": 0.9}, "noise": {"accuracy": None}, "mean": {"accuracy": 0.875, "majority": 0.5}}
    write_json(tiny_workspace.metrics("evaluate"), {"split": "test", "label": label, "concepts": concepts})
    assert score_lines(tiny_workspace) == [
        "accuracy on test: label 0.600 (0.550 to 0.650, majority 0.250); concepts on average 0.875 (majority 0.500)",
        "concepts: food 0.900",
    ]
    write_json(tiny_workspace.metrics("evaluate"), {"split": "test"})
    assert score_lines(tiny_workspace) == []


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (99.4, "99 s"), (99.6, "1 min 40 s"), (3671, "61 min 11 s")]
)
def test_durations_are_in_words(seconds, words):
    assert duration(seconds) == words
