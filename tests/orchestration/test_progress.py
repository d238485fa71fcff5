"""What a flow prints while it runs and when it has ended."""

import time

import pytest

from sparsecbm.base.files import write_json
from sparsecbm.orchestration import heartbeat as module
from sparsecbm.orchestration.heartbeat import heartbeat
from sparsecbm.orchestration.summary import duration, score_lines


def test_silence_is_broken_and_talk_is_not(monkeypatch):
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.2)
    lines = []
    with heartbeat("explain", lines.append) as print_line:
        print_line("working")
        time.sleep(1.5)
    assert lines[0] == "working"
    assert set(lines[1:]) <= {"explain has been running for 0 s", "explain has been running for 1 s"}
    assert 1 <= len(lines[1:]) <= 3  # at .2, .6 and 1.4 seconds: the pauses double
    words = []
    with heartbeat("a server", words.append, "starting"):
        time.sleep(0.6)
    assert words[0] == "a server has been starting for 0 s"
    monkeypatch.setattr(module, "FIRST_SECONDS", 30)
    quick = []
    with heartbeat("explain", quick.append) as print_line:
        print_line("done")
    assert quick == ["done"]


def test_an_error_passes_and_ends_the_heartbeat(monkeypatch):
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.05)
    lines = []
    with pytest.raises(KeyboardInterrupt), heartbeat("explain", lines.append):
        raise KeyboardInterrupt
    time.sleep(0.3)
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
