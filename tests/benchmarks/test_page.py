"""docs/benchmarks.md agrees with the result files."""

import json
import shutil

import pytest

from benchmarks import page

SCORES = {
    "1": {"label": {"accuracy": 0.5, "interval": [0.25, 0.75]}},
    "2": {"label": {"accuracy": 1.0, "interval": [-0.5, 1.0]}},
    "mean of the seeds": {"label": {"accuracy": 0.75, "interval": [0.0, 1.0]}},
    "times": [4, 2],
}


@pytest.fixture
def changed_results(tmp_path, monkeypatch):
    """Return result files with one changed figure: the label accuracy of CEBaB's first seed drops from .674 to .5."""
    results = shutil.copytree(page.RESULTS, tmp_path / "results")
    path = results / "cebab-joint.json"
    scores = json.loads(path.read_text())
    scores["1"]["dev"]["label"]["accuracy"] = 0.5
    path.write_text(json.dumps(scores))
    render = page.render_page
    monkeypatch.setattr(page, "render_page", lambda: render(results=results))
    return results


def test_the_page_is_up_to_date():
    page.main(["--check"])


def test_a_changed_figure_fails_the_check(changed_results):
    with pytest.raises(SystemExit, match="differs from benchmarks/results"):
        page.main(["--check"])


def test_a_changed_figure_changes_the_verdict(changed_results):
    claim = "| Label accuracy of each seed | at least .66: "
    assert claim + "met" in page.PAGE.read_text(encoding="utf-8")
    assert claim + "**missed** | .500 (.647 to .700)" in page.render_page()


def test_a_record_with_an_unknown_topic_is_an_error(tmp_path):
    (tmp_path / "stray.json").write_text('{"topic": "Weather", "claims": []}')
    with pytest.raises(SystemExit, match="is named Weather"):
        page.render_page(results=tmp_path)


def test_a_claim_with_each_expands_to_one_claim_per_entry():
    claim = {
        "each": {"CONEXP": "conexp", "no effect": "zero"},
        "claim": "lead over $name",
        "met": ["$key/l2 > 0"],
        "result": "{$key/l2:.2f}",
    }
    group = {"about": "dense", "file": "scores.json", "date": 3, "claims": [claim, {"claim": "pairs", "result": "4"}]}
    shared = {"file": "scores.json", "date": 3}
    assert page.expand_groups([group]) == [
        shared | {"claim": "dense: lead over CONEXP", "met": ["conexp/l2 > 0"], "result": "{conexp/l2:.2f}"},
        shared | {"claim": "dense: lead over no effect", "met": ["zero/l2 > 0"], "result": "{zero/l2:.2f}"},
        shared | {"claim": "dense: pairs", "result": "4"},
    ]


@pytest.mark.parametrize(
    ("expression", "figure"),
    [
        ("mean of the seeds/label/accuracy", 0.75),
        ("2/label/interval/0", -0.5),
        ("[12]/label/accuracy", [0.5, 1.0]),
        ("times/*", [4, 2]),
        ("mean([12]/label/accuracy)", 0.75),
        ("median(times)", 3),
        ("min(times)", 2),
        ("max(times)", 4),
        ("positive([12]/label/interval/0)", 1),
        ("times/0 over times/1", 2),
    ],
)
def test_select_finds_a_figure_by_its_path(expression, figure):
    assert page.select(SCORES, expression) == figure


@pytest.mark.parametrize("expression", ["3/label", "1/label/recall", "[34]/label"])
def test_select_rejects_a_path_that_leads_nowhere(expression):
    with pytest.raises(KeyError):
        page.select(SCORES, expression)


@pytest.mark.parametrize(
    ("figure", "form", "text"),
    [
        (0.6736, "share", ".674"),
        (-0.0623, "short", "-.06"),
        (10.05, "short", "10.05"),
        (1.0, "share", "1.000"),
        (-0.0142, "points", "-1.4"),
        (0.007, "percent", "0.70 %"),
        (1_110_749_184, "MB", "1,110.7 MB"),
        (3776, "kB", "3.8 kB"),
        (0.00806, "ms", "8.1 ms"),
        (2.567, ".1f", "2.6"),
        ([0.5, 0.25], "short", ".50, .25"),
        ({"value": 0.5, "interval": [0.25, 0.75]}, "short", ".50 (.25 to .75)"),
        ({"accuracy": 0.5, "accuracy_interval": [0.25, 0.75]}, "short", ".50 (.25 to .75)"),
        ({"difference": -0.01, "interval": [-0.02, 0.0]}, "points", "-1.0 (-2.0 to +0.0)"),
    ],
)
def test_figures_have_the_given_format(figure, form, text):
    assert page.format_figures(figure, form) == text


@pytest.mark.parametrize(
    ("bounds", "met"),
    [
        ("1/label/accuracy >= 0.5", True),
        ("1/label/accuracy > 0.5", False),
        ("min(times) <= 2", True),
        ("min(times) < 2", False),
        (["times/0 > 3", "times/1 > 1"], True),
        (["times/0 > 3", "times/1 > 2"], False),
    ],
)
def test_a_target_is_met_if_all_its_bounds_hold(bounds, met):
    assert page.is_met(SCORES, bounds) is met


def test_a_target_without_a_comparison_is_an_error():
    with pytest.raises(ValueError, match="not a comparison: times"):
        page.is_met(SCORES, "times")


def test_a_row_shows_target_verdict_and_note():
    row = {"claim": "|x| grows", "target": "at least 2", "met": False, "result": "1.5", "note": "one run"}
    row |= {"command": "make run", "date": "2026-11-27", "machine": "2 cores"}
    line = r"| \|x\| grows | at least 2: **missed** | 1.5; one run | `make run` | 2026-11-27 | 2 cores |"
    assert page.format_row(row) == line
