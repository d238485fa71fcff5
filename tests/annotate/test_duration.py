"""Minutes of a whole run from a few texts, by a clock that the work itself moves."""

import pytest

from sparsecbm.annotate import duration
from sparsecbm.annotate.duration import describe_minutes, measured_minutes


@pytest.mark.parametrize(
    ("count", "called", "minutes"),
    [
        (320, [1, 16], 320 * 3 / 60),  # 3 s a text; the first call, which loads, does not count
        (5, [1, 5], 5 * 3 / 60),
        (0, [], 0.0),
    ],
)
def test_minutes_are_scaled_from_a_sample(monkeypatch, count, called, minutes):
    now, calls = [0.0], []
    monkeypatch.setattr(duration.time, "perf_counter", lambda: now[0])

    def work(texts):
        now[0] += 3.0 * len(texts) + (100 if not calls else 0)
        calls.append(list(texts))

    assert measured_minutes(work, [str(number) for number in range(count)]) == pytest.approx(minutes)
    assert [len(texts) for texts in calls] == called
    if count == 320:
        assert calls[1] == [str(20 * index) for index in range(16)]


def test_minutes_are_told_in_words():
    assert describe_minutes(0.4, "the model").startswith("less than a minute on this machine for the model")
    assert describe_minutes(1234.6, "the model").startswith("about 1,235 min")
