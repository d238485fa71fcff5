"""`sparsecbm annotate review` with keys from a pipe, and in a terminal."""

import io
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sparsecbm.annotate.human_labels import read_decisions
from sparsecbm.annotate.labels import text_key
from sparsecbm.annotate.review import queue
from sparsecbm.cli import checked_texts
from tests.support.review_workspace import TEXTS, make_review_workspace, write_machine_labels

COLD, HOT, SPOKE, BAND, LONG, SHORT = TEXTS["train"]


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Return the current folder, a workspace in which a machine doubts the noise of one text."""
    workspace = make_review_workspace(tmp_path / "workspace")
    sure = {"loud": 0.1, "quiet": 0.9}
    labels = dict.fromkeys(TEXTS["train"], sure) | {BAND: {"loud": 0.5, "quiet": 0.5}}
    write_machine_labels(workspace, "llm", {(text, "noise"): states for text, states in labels.items()})
    monkeypatch.chdir(workspace.root)
    return workspace


@pytest.fixture
def review(workspace, sparsecbm, monkeypatch):
    """Run `sparsecbm annotate review` on the noise with keys from a pipe."""

    def review(keys, *options):
        monkeypatch.setattr(sys, "stdin", io.StringIO(keys))
        return sparsecbm("annotate", "review", "--concept", "noise", "--author", "ann", *options)

    return review


def stored(workspace):
    return [(d.key, d.state, d.author, d.action) for d in read_decisions(workspace.annotations / "human.jsonl")]


def test_keys_label_undo_skip_and_quit(workspace, review):
    code, output, errors = review("2 u 1 L? s x m q 1")
    assert (code, errors) == (0, "")
    states = [(state, action) for _, state, _, action in stored(workspace)]
    assert states == [("quiet", "label"), (None, "undo"), ("loud", "label"), ("loud", "label"), (None, "label")]
    assert [row[0] for row in stored(workspace)][:3] == [text_key(BAND)] * 3
    assert "[1 l] loud: One had to shout." in output and "[2] quiet: One could talk." in output
    assert "taken back: noise: quiet" in output and "'x' is no key here; press one of 1 l 2 ? s u m q" in output
    assert output.count("llm: loud 0.10, quiet 0.90") == 1 and "machines are sure" in output


def test_what_machines_say_is_hidden_until_it_is_wanted(review):
    output = review("q")[1]
    assert BAND in output and "loud 0." not in output and "0.5" not in output
    assert "train: 0 of 6 labels are there. You are 'ann'." in output
    assert "llm: loud 0.50, quiet 0.50\n  this text comes now because of: machines are unsure" in review("mq")[1]


def test_the_input_or_the_limit_ends_a_review(workspace, review):
    assert review("")[0] == 0 and stored(workspace) == []
    review("1111", "--limit", "2")
    assert len(stored(workspace)) == 2
    output = review("22222222")[1]
    assert "nothing more is left to label" in output


def test_without_machines_the_end_tells_coverage_alone(workspace, review):
    (workspace.annotations / "llm.parquet").unlink()
    lines = review("1q")[1].splitlines()
    row = next(line for line in lines if line.startswith("noise  "))
    assert row.split() == ["noise", "1", "6", "+1"]
    assert lines[lines.index(row) - 1].split() == ["labelled", "cells", "here"]


def test_the_end_tells_coverage_agreement_and_kappa(review):
    output = review("121222")[1]
    line = next(line for line in output.splitlines() if line.startswith("noise  "))
    # Machines: quiet, and loud for the band, whose first state wins the tie: right on the band and on four of five.
    assert line.split()[:7] == ["noise", "6", "6", "+6", "83.3%", "of", "6"] and line.split()[-1] == "0.57", (
        "none at the start"
    )
    again = review("q")[1]
    assert "Your pace is measured after a few more labels." in again
    line = next(line for line in again.splitlines() if line.startswith("noise  "))
    assert line.split()[3] == "+0" and line.split()[-2:] == ["0.57", "0.57"]


def test_ten_more_minutes_are_forecast_at_the_pace_so_far(review, monkeypatch):
    times = iter(f"2026-01-01T00:00:{second:02}Z" for second in range(0, 60, 5))
    monkeypatch.setattr(queue, "time_now", lambda: next(times))
    output = review("12222q")[1]
    assert "You give 12.0 labels a minute, so ten more minutes are about 120 labels." in output
    # One cell of six is left, on which machines doubt by .1: 5.9 of 6 are right, by chance (1 * .1/6 + ...).
    lines = [line for line in output.splitlines() if "expected kappa" in line]
    counts = np.array([[1, 0], [0.1, 4.9]])
    chance = counts.sum(0) @ counts.sum(1) / 36
    kappa = (5.9 / 6 - chance) / (1 - chance)
    assert f"an expected kappa of {kappa:.3f}, and these labels add {1 - kappa:.3f}." in lines[0]
    assert "too few of their cells have a label of a person" in output


def test_a_random_split_is_told_how_narrow_its_interval_gets(review, monkeypatch):
    monkeypatch.setitem(TEXTS, "test", [f"text {number}" for number in range(6)])
    times = iter(f"2026-01-01T00:00:{second:02}Z" for second in range(0, 60, 10))
    monkeypatch.setattr(queue, "time_now", lambda: next(times))
    make_review_workspace(Path.cwd())
    output = review("12222q", "--split", "test")[1]
    assert "±11.8 points instead of ±32.6" in output, "Wilson, 32 of 65 and 2 of 5"


def test_a_test_split_says_that_it_is_drawn_at_random(review):
    output = review("q", "--split", "test")[1]
    assert "test: texts are drawn at random, so that scores on them are unbiased." in output


def test_a_hostile_text_controls_no_terminal(tmp_path, monkeypatch, sparsecbm):
    monkeypatch.setitem(TEXTS, "train", ["the \x1b[2J soup \u202e[bold]", *TEXTS["train"][1:]])
    monkeypatch.chdir(make_review_workspace(tmp_path / "hostile").root)
    monkeypatch.setattr(sys, "stdin", io.StringIO("ssssssssssss"))
    output = sparsecbm("annotate", "review", "--author", "a\x1b[31m")[1]
    assert "\x1b" not in output and "\u202e" not in output
    assert "the \\x1b[2J soup \\u202e[bold]" in output


def test_the_author_comes_from_git(workspace, sparsecbm, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Grace")
    monkeypatch.setattr(sys, "stdin", io.StringIO("1q"))
    sparsecbm("annotate", "review", "--concept", "noise")
    assert stored(workspace)[0][2] == "Grace"


def test_a_terminal_gives_single_keys_and_is_as_before_afterwards(workspace):
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "sparsecbm", "annotate", "review", "--concept", "noise", "--author", "ann"]
    environment = {**os.environ, "NO_COLOR": "1"}
    process = subprocess.Popen(command, stdin=follower, stdout=subprocess.PIPE, env=environment)
    before = subprocess.run(["stty", "-g"], stdin=follower, capture_output=True, check=True).stdout
    for _ in range(600):  # a key that is pressed before the first question would still be shown
        if b"-icanon" in subprocess.run(["stty", "-a"], stdin=follower, capture_output=True, check=True).stdout:
            break
        time.sleep(0.1)
    os.write(leader, b"\x1b[A2\x1b[1;5D1\x1bOPq")
    output, _ = process.communicate(timeout=60)
    after = subprocess.run(["stty", "-g"], stdin=follower, capture_output=True, check=True).stdout
    assert process.returncode == 0 and after == before
    assert [state for _, state, _, _ in stored(workspace)] == ["quiet", "loud"] and b"\x1b" not in output


@pytest.fixture
def unchecked(workspace, monkeypatch):
    """Hide the checked texts; return what runs in place of a flow, with its exit code and its calls."""
    checked, hidden = workspace.validated, workspace.root / "hidden"
    checked.rename(hidden)

    class Flow:
        def __init__(self):
            self.code, self.calls = 0, []

        def __call__(self, _workspace, *arguments):
            self.calls.append(arguments)
            if not self.code:
                hidden.rename(checked)
            return self.code

    flow = Flow()
    monkeypatch.setattr(checked_texts, "run_module", flow)
    return flow


def test_texts_that_are_not_checked_yet_are_checked_first(workspace, unchecked, review):
    (workspace.root / "flows").mkdir()
    code, output, _ = review("2q")
    assert code == 0 and output.startswith("no texts are checked yet, so `sparsecbm run validate` comes first\n")
    assert unchecked.calls == [("flows.retrain", "validate")] and len(stored(workspace)) == 1
    review("q")
    assert len(unchecked.calls) == 1, "they are checked now"


def test_a_review_ends_where_the_check_refuses_the_data(workspace, unchecked, review):
    (workspace.root / "flows").mkdir()
    unchecked.code = 3
    code, _, errors = review("2q")
    assert (code, errors) == (3, "") and len(unchecked.calls) == 1


def test_without_flows_it_says_what_to_run(unchecked, review):
    code, _, errors = review("2q")
    assert code == 1 and "run `sparsecbm run validate` first" in errors and unchecked.calls == []
