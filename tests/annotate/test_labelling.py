"""What a dry run says where people label alone, and of several sets of concepts."""

from dataclasses import replace

from sparsecbm.annotate import labelling
from sparsecbm.annotate.annotator_input import read_annotator_input
from sparsecbm.annotate.human_labels import Decision, append_decisions
from sparsecbm.annotate.labelling import describe_people, describe_work
from sparsecbm.annotate.labels import text_key
from sparsecbm.annotate.registry import ANNOTATORS
from sparsecbm.base.params import load_params
from tests.support.counting_annotator import CountingAnnotator
from tests.support.review_workspace import TEXTS, make_review_workspace, write_machine_labels


def test_people_are_told_how_many_labels_are_missing_and_how_long_they_take(tmp_path, monkeypatch, sparsecbm):
    workspace = make_review_workspace(tmp_path / "workspace")
    decisions = [Decision(text_key(TEXTS["train"][3]), "noise", "loud", "ann", "2026-01-01T00:00:00Z")]
    append_decisions(workspace.annotations / "human.jsonl", decisions)
    # Six texts of two concepts; the source labels two cells, and Ann one.
    first, second, third = describe_people(workspace)
    assert first == "9 of 12 labels of 6 texts to learn from are missing"
    assert second.startswith("about 1 min at 10 labels a minute") and "nothing is sent or paid" in third
    monkeypatch.chdir(workspace.root)
    code, output, errors = sparsecbm("annotate", "--dry-run")
    assert (code, errors) == (0, "") and f"human: {first}" in output
    code, _, errors = sparsecbm("annotate")
    assert code == 1 and "names no machine" in errors


def test_each_set_of_concepts_is_named_where_texts_lack_different_ones(tmp_path, monkeypatch):
    workspace = make_review_workspace(tmp_path / "workspace")
    machine = CountingAnnotator(name="llm", version="")
    monkeypatch.setitem(ANNOTATORS, "llm", lambda params, workspace: machine)
    write_machine_labels(workspace, "llm", {(text, "food"): {"bad": 1.0} for text in TEXTS["train"][:4]})
    lines = describe_work(workspace, load_params(workspace.params), "llm")
    # Four texts lack the noise, two lack both.
    total = "to label: 8 of 12 cells (a text and a concept) of 6 of 6 texts"
    assert lines[0] == total and lines[2:] == ["food, noise, for 2 texts:", "noise, for 4 texts:"]
    assert "texts that people labelled are among these" in lines[1]
    given = read_annotator_input(workspace)
    monkeypatch.setattr(labelling, "read_annotator_input", lambda _: replace(given, people=given.people[:0]))
    assert describe_work(workspace, load_params(workspace.params), "llm") == [lines[0], *lines[2:]]
