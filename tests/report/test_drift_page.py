"""The page about drift is self-contained, escapes names, and says what drifted and what triggers."""

import re
from dataclasses import replace

import pytest

from sparsecbm.drift.check import DriftReport
from sparsecbm.drift.failures import Failure
from sparsecbm.drift.measures import Measure
from sparsecbm.report.drift_page import drift_page

FOOD = Measure("rates", "<food>", {"good": 0.25, "bad": 0.75}, {"good": 0.5, "bad": 0.5}, 0.25, 0.05, 1e-9, 1e-8, True)
LENGTH = Measure("length", "texts", {"mean": 21.0}, {"mean": 20.5}, 0.03, 0.15, 0.4, 1.0, False)
REPORT = DriftReport(
    texts=1500, reference_texts=800, drifted=True, triggered=[], windows=1, windows_needed=2, alpha=0.05,
    failures=[Failure("concept rates", "found", "<food> good 25% to 50%")], measures=[LENGTH, FOOD],
    model_sha256="m", table_sha256="t",
)  # fmt: skip


def test_the_page_needs_nothing_else_and_shows_every_figure():
    html = drift_page(REPORT, "new & old.csv")
    assert not re.search(r"https?://|<script|<link|url\(|@import", html)
    assert "new &amp; old.csv" in html and "<food>" not in html
    assert re.findall(r"<b>([^<]*)</b>", html) == ["1,500", "800", "1 of 2", "1"]
    assert html.index("&lt;food&gt;</th>") < html.index("length</th>"), "what drifted comes first"
    assert [cell in html for cell in ("25.0%", "50.0%", "21.000", "20.500", "1e-08")] == [True] * 5
    assert html == drift_page(REPORT, "new & old.csv")


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "This window drifts. It takes 2 windows running to trigger."),
        ({"triggered": ["rates: food"]}, "Triggered: rates: food drifted in 2 windows running."),
        ({"drifted": False}, "No drift: these texts are like those that the model was judged on."),
    ],
)
def test_the_verdict_comes_first(changes, verdict):
    assert re.search(r'class="verdict \w+">([^<]*)<', drift_page(replace(REPORT, **changes), "a"))[1] == verdict
