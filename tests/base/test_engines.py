"""Engines run parts in any order and lose none, even if a worker is killed."""

import os
import signal
from functools import partial

import pytest

from sparsecbm.base.engines import AHEAD, WorkerLostError, process_engine, serial_engine, thread_engine


def half(part):
    if part == 7:
        raise ValueError("seven")
    return part / 2


def kill_once(marker, part):
    """Kill this process the first time that part 3 comes."""
    if part == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return part


def kill(_):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("engine", [serial_engine(), thread_engine(3), process_engine(2)])
def test_each_part_comes_back_with_its_result_or_its_error(engine):
    results = dict(engine(half, range(9)))
    assert repr(results.pop(7)) == "ValueError('seven')"
    assert results == {part: part / 2 for part in (0, 1, 2, 3, 4, 5, 6, 8)}


@pytest.mark.parametrize(("engine", "ahead"), [(serial_engine(), 1), (thread_engine(2), 2 * AHEAD)])
def test_parts_are_taken_as_workers_become_free(engine, ahead):
    """So an input of any size needs the memory of a few parts."""
    taken, ended = [], 0
    for _ in engine(half, (taken.append(part) or part for part in range(30))):
        assert len(taken) <= ended + ahead
        ended += 1
    assert len(taken) == ended == 30


def test_a_killed_worker_is_replaced_and_its_part_done_again(tmp_path):
    marker = tmp_path / "killed"
    results = sorted(process_engine(2)(partial(kill_once, marker), range(6)))
    assert marker.exists() and results == [(part, part) for part in range(6)]


def test_workers_that_always_end_are_an_error():
    with pytest.raises(WorkerLostError, match="take fewer workers"):
        list(process_engine(1)(kill, range(2)))
