"""Schedules by hand."""

import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.pruning.schedule import PruningEvents, Schedule
from tests.support.prune_settings import pruning


def schedule(kind="cubic", initial=0.2, final=0.9, begin=100, end=300, **when):
    return Schedule(kind, initial, final, begin, end, **(when or {"interval": 50}))


def test_cubic_by_hand():
    # .9 - .7 (1 - t)^3 at t = 0, 1/4, 1/2, 3/4, 1
    expected = [0.2, 0.9 - 0.7 * 27 / 64, 0.9 - 0.7 / 8, 0.9 - 0.7 / 64, 0.9]
    assert [schedule().sparsity(step) for step in (100, 150, 200, 250, 300)] == pytest.approx(expected)


def test_linear_by_hand():
    assert [schedule("linear").sparsity(step) for step in (100, 150, 300)] == pytest.approx([0.2, 0.375, 0.9])


def test_constant_by_hand():
    assert [schedule("constant").sparsity(step) for step in (99, 100, 150, 300)] == [0, 0.9, 0.9, 0.9]


@pytest.mark.parametrize("kind", ["cubic", "linear"])
def test_sparsity_before_and_after_the_schedule(kind):
    assert schedule(kind).sparsity(99) == 0
    assert schedule(kind).sparsity(300) == schedule(kind).sparsity(10_000) == 0.9  # exactly


def test_from_a_sparsity_of_zero():
    assert schedule(initial=0, final=0.8).sparsity(100) == 0
    assert schedule(initial=0, final=0.8).sparsity(200) == pytest.approx(0.7)
    assert schedule(initial=0, final=0).sparsity(200) == 0


@pytest.mark.parametrize("kind", ["cubic", "linear", "constant"])
@pytest.mark.parametrize("when", [{"interval": 10}, {"events": 4}])
def test_a_schedule_can_begin_and_end_in_one_step(kind, when):
    once = schedule(kind, begin=100, end=100, **when)
    assert once.event_steps() == (100,)
    assert [once.sparsity(step) for step in (99, 100, 101)] == [0, 0.9, 0.9]


def test_steps_by_interval_by_hand():
    assert schedule(interval=50).event_steps() == (100, 150, 200, 250, 300)
    assert schedule(interval=80).event_steps() == (100, 180, 260, 300)  # always includes the end
    assert schedule(interval=500).event_steps() == (100, 300)


def test_steps_by_number_by_hand():
    assert schedule(events=2).event_steps() == (100, 300)
    assert schedule(events=5).event_steps() == (100, 150, 200, 250, 300)
    assert schedule(begin=0, end=10, events=4).event_steps() == (0, 3, 7, 10)  # 3.33 and 6.67
    assert schedule(begin=0, end=5, events=3).event_steps() == (0, 3, 5)  # 2.5 rounds up
    assert schedule(begin=7, end=10, events=4).event_steps() == (7, 8, 9, 10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "cubik"}, "unknown schedule 'cubik'. Did you mean 'cubic'"),
        ({"final": 1.0}, r"final sparsity is in \[0, 1\), not 1.0"),
        ({"initial": -0.1}, r"initial sparsity is in \[0, 1\), not -0.1"),
        ({"final": float("nan")}, r"final sparsity is in \[0, 1\), not nan"),
        ({"initial": 0.95}, "initial sparsity 0.95 is above the final one, 0.9"),
        ({"begin": 301}, "begin 301 must be from 0 to end 300"),
        ({"begin": -1}, "begin -1 must be from 0 to end 300"),
        ({"interval": 0}, "interval must be at least 1 step, not 0"),
        ({"events": 1}, "1 events do not fit from step 100 to 300, both included; give 2 to 201"),
        ({"events": 202}, "202 events do not fit"),
        ({"interval": 5, "events": 5}, "either interval or events"),
        ({"interval": None}, "either interval or events"),
    ],
)
def test_settings_out_of_range_raise_an_error(changes, message):
    with pytest.raises(ConfigError, match=message):
        schedule(**changes)


@pytest.mark.parametrize(
    ("changes", "updates", "steps"),
    [
        ({"begin": 0.1, "end": 0.5, "events": 4, "saliency": "random"}, 20, {2, 5, 7, 10}),
        # Learnt masks continue: the four events from 2 to 10 are at least 2 updates apart, and so are the later ones.
        ({"begin": 0.1, "end": 0.5, "events": 4, "saliency": "movement"}, 20, {2, 5, 7, 10, 12, 14, 16, 18}),
        ({"begin": 0.25, "end": 0.25, "saliency": "movement"}, 20, {5}),
        ({"begin": 0.25, "end": 0.25, "events": 1}, 20, {5}),
        ({"begin": 0.0, "end": 0.5, "events": 12, "saliency": "random"}, 10, {0, 1, 2, 3, 4, 5}),  # one at each update
    ],
)
def test_events_of_a_training_by_hand(changes, updates, steps):
    events = PruningEvents.plan(pruning(**changes), updates)
    assert events.steps == steps
    assert events.schedule.sparsity(events.schedule.end) == 0.5  # the sparsity of `pruning`
