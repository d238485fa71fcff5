"""The texts of a workspace: each once, with the labels that people gave in the source."""

import pytest

from sparsecbm.annotate.labelled_texts import load_labelled_texts
from sparsecbm.annotate.labels import text_key
from sparsecbm.base.errors import DataError
from sparsecbm.data.tables import read_manifest, read_splits, write_splits
from tests.support.review_workspace import CONCEPTS, TEXTS, make_review_workspace, write_machine_labels


@pytest.fixture
def workspace(tmp_path):
    """Return a workspace with two splits."""
    return make_review_workspace(tmp_path / "workspace")


def test_each_text_comes_once_with_the_states_of_the_source(workspace):
    texts = load_labelled_texts(workspace)
    assert texts.frame["text"].tolist() == [*TEXTS["train"], *TEXTS["test"]]
    assert texts.frame["key"].tolist() == [text_key(text) for text in texts.frame["text"]]
    assert texts.frame["split"].tolist() == ["train"] * 6 + ["test"] * 3
    assert texts.frame["concept.food"].dropna().tolist() == ["bad", "good"]
    assert texts.frame["concept.noise"].isna().all(), "the source has no such column"
    assert [concept.name for concept in texts.concepts] == ["food", "noise"]
    splits = read_splits(workspace.validated)
    repeated = {"train": splits["train"], "test": splits["train"]}
    write_splits(workspace.validated, repeated, {"vocabulary": read_manifest(workspace.validated)["vocabulary"]})
    assert load_labelled_texts(workspace).frame["split"].tolist() == ["train"] * 6


def test_without_definitions_the_concepts_are_those_of_the_source(workspace):
    workspace.concept_file.unlink()
    [concept] = load_labelled_texts(workspace).concepts
    assert (concept.name, concept.states) == ("food", {"bad": "", "good": ""})


def test_an_empty_cell_is_unknown_only_where_no_machine_fills_it(workspace):
    path = workspace.concept_file
    path.write_text(path.read_text().replace("      bad:", "      unknown: Nothing is said.\n      bad:"))
    path.write_text(path.read_text().replace("      loud:", "      unknown: Nothing is said.\n      loud:"))

    params = workspace.params.read_text()

    def states(blank, annotators):
        changed = params.replace("blank: leave_out", f"blank: {blank}").replace("[human]", f"[{annotators}]")
        workspace.params.write_text(changed)
        frame = load_labelled_texts(workspace, ["train"]).frame
        return [frame[f"concept.{name}"].fillna("").tolist() for name in ("food", "noise")]

    nothing = [""] * 6
    assert states("leave_out", "human") == [["bad", "good", "", "", "", ""], nothing]
    assert states("unknown", "human") == [["bad", "good"] + ["unknown"] * 4, nothing]
    assert states("unknown", "human, llm") == [["bad", "good", "", "", "", ""], nothing]


def test_labels_for_an_earlier_definition_are_left_out(workspace):
    write_machine_labels(workspace, "llm", {(TEXTS["train"][0], name): {state: 1.0} for name, state in
                                            (("food", "bad"), ("noise", "loud"))})  # fmt: skip
    assert load_labelled_texts(workspace).machines["llm"]["concept"].tolist() == ["food", "noise"]
    path = workspace.concept_file
    path.write_text(path.read_text().replace(CONCEPTS[0].states["bad"], "The meal was cold."))
    assert load_labelled_texts(workspace).machines["llm"]["concept"].tolist() == ["noise"]


def test_there_must_be_checked_texts_and_the_split(workspace):
    with pytest.raises(DataError, match="unknown split 'dev'"):
        load_labelled_texts(workspace, ["dev"])
    (workspace.validated / "manifest.json").unlink()
    with pytest.raises(DataError, match="run `sparsecbm run validate` first"):
        load_labelled_texts(workspace)
