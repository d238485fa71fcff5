"""The page for auditors: what it says of the figures of a run, its bytes, and what is missing."""

import json

import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.base.files import sha256_file
from sparsecbm.report.audit import LIMITS, audit, write_audit_page
from tests.support.audited_run import METRICS, pages_of_pdf, score, write_audited_run


@pytest.fixture
def workspace(tmp_path):
    """Return a workspace with the figures of a run."""
    return write_audited_run(tmp_path)


def test_the_page_says_what_the_figures_say(workspace):
    page = audit(workspace)
    facts = dict(page.facts)
    assert page.limits == LIMITS
    assert facts["model"].endswith(sha256_file(workspace.sparse / "checksums.json"))
    assert facts["data"] == f"sha256 {'ab' * 32}; licence: Apache-2.0"
    assert (facts["texts"], facts["label"], facts["2 concepts"]) == ("train 1,200, test 30", "rating", "food, noise")
    assert "25%" in facts["network"]
    assert [(s.name, s.accuracy, s.majority, s.words, s.dense) for s in page.scores] == [
        ("label", 0.6, 0.3, 0.35, 0.61),
        ("food", 0.9, 0.4, 0.5, 0.91),
        ("noise", 0.8, 0.5, 0.6, 0.79),
    ]
    assert [answer for _, answer in page.findings] == [
        "45.6 points (35.6 to 55.6)",
        "20.0 points (10.0 to 30.0)",
        "30.0 points (20.0 to 40.0)",
        "1 of 2: food",
        "0.59 (0.49 to 0.70)",
        "75% (50% to 90%), and harm 1.2% of right ones",
        "failed: harm",
    ]
    assert page.findings[4][0] == (  # what comprehensiveness is: docs/metrics.md
        "Without the words of its explanation (delete), a state's probability falls further than "
        "without random words by"
    )


def test_the_pdf_has_one_page_its_fonts_and_the_same_bytes_each_time(workspace, tmp_path):
    for name in ("a.pdf", "b.pdf"):
        write_audit_page(workspace, tmp_path / name)
    content = (tmp_path / "a.pdf").read_bytes()
    assert content == (tmp_path / "b.pdf").read_bytes()
    assert content.startswith(b"%PDF") and b"CreationDate" not in content
    assert pages_of_pdf(content) == 1
    assert b"/FontFile2" in content and b"/ToUnicode" in content  # whole fonts, and the letters behind their glyphs


def test_figures_that_a_run_has_not_are_left_out(workspace):
    metrics = json.loads(json.dumps(METRICS))
    del metrics["prune"]["chosen"]["own_weights"], metrics["explain"]["faithfulness"]
    metrics["intervene"]["oracle_patches"] = {"attempts": 0}
    del metrics["evaluate"]["bag_of_words"], metrics["evaluate"]["dense"]
    for stage, content in metrics.items():
        workspace.metrics(stage).write_text(json.dumps(content), encoding="utf-8")
    page = audit(workspace)
    assert [answer for _, answer in page.findings][3:] == ["failed: harm"]
    assert {(s.words, s.dense) for s in page.scores} == {(None, None)}
    write_audit_page(workspace, workspace.root / "few.pdf")


def test_concepts_with_too_few_labels_are_named_and_have_no_scores(workspace):
    metrics = json.loads(json.dumps(METRICS))
    none = {"accuracy": None, "accuracy_interval": [None, None], "majority": None}
    metrics["evaluate"]["concepts"] |= {"noise": none, "mean": score(0.9, 0.4)}
    metrics["evaluate"]["unmeasured"] = {"noise": "not measured: people labelled 0 text(s) of the split 'test'"}
    metrics["prune"]["chosen"]["probe"]["gap"]["mean"] = {"value": None, "interval": [None, None]}
    for stage, content in metrics.items():
        workspace.metrics(stage).write_text(json.dumps(content), encoding="utf-8")
    page = audit(workspace)
    assert [each.name for each in page.scores] == ["label", "food"]
    assert page.findings[1][1] == "not measured"
    assert page.limits[-1] == "Not measured, since people labelled too few texts: noise."
    write_audit_page(workspace, workspace.root / "few.pdf")


def test_an_unfinished_run_is_an_error_that_names_the_file(workspace):
    workspace.metrics("evaluate").unlink()
    with pytest.raises(DataError, match=r"metrics/evaluate\.json does not exist; `sparsecbm run` finishes"):
        audit(workspace)


def test_a_black_box_has_nothing_to_audit(workspace):
    workspace.metrics("prune").write_text('{"chosen": null}', encoding="utf-8")
    with pytest.raises(DataError, match="it has no concepts, so there is nothing to audit"):
        audit(workspace)


def test_another_ending_is_refused(workspace, tmp_path):
    with pytest.raises(DataError, match=r"page\.txt does not end with \.pdf; name a PDF file"):
        write_audit_page(workspace, tmp_path / "page.txt")
    assert not (tmp_path / "page.txt").exists()
