"""`sparsecbm concepts`: the file that is written, what is kept, and the exit code of a check."""

import json

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from sparsecbm.annotate.concept_file import read_concept_file
from sparsecbm.base.errors import WriteError
from sparsecbm.cli import concept_suggestion
from sparsecbm.cli.app import app
from tests.support.data_workspace import REPOSITORY, make_workspace
from tests.support.planted_texts import planted_encoder, planted_frame

run = CliRunner().invoke


def encoder(texts) -> np.ndarray:
    """Return planted embeddings; `good` and `bad` are opinions, too."""
    return planted_encoder([text.replace("very good", "lovely").replace("very bad", "awful") for text in texts])


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    root = tmp_path_factory.mktemp("reviews")
    rows = [
        {"comment": row.text, "stars": 2 if row.label == "good" else 1, "p": "high" if row.Index % 2 else "low"}
        for row in planted_frame(300).itertuples()
    ]
    _, workspace = make_workspace(root, rows)
    content = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    columns = {"text": "comment", "label": "stars", "concepts": {"price": {"column": "p"}}}
    content["source"] = {"name": "table", "path": "raw/reviews.csv", "columns": columns}
    (root / "params.yaml").write_text(yaml.safe_dump(content))
    (root / "dvc.yaml").write_text("stages: {}\n")
    return workspace


@pytest.fixture(autouse=True)
def in_workspace(workspace, monkeypatch):
    monkeypatch.chdir(workspace.root)
    monkeypatch.setattr(concept_suggestion, "SentenceEncoder", lambda name: encoder)


def test_the_order_of_the_labels_says_which_end_is_good(workspace):
    """The texts with 2 are praise, but the parameters call 1 the best label."""
    before = workspace.params.read_text()
    content = yaml.safe_load(before)
    content["source"]["columns"]["labels"] = ["2", "1"]
    workspace.params.write_text(yaml.safe_dump(content))
    try:
        assert run(app, ["concepts", "suggest"], catch_exceptions=False).exit_code == 0
        text = workspace.concept_file.read_text()
    finally:
        workspace.params.write_text(before)
        workspace.concept_file.unlink()
    assert "Negative goes with the label 2, Positive with 1." in text


def test_suggest_writes_a_file_that_check_reads(workspace):
    result = run(app, ["concepts", "suggest", "--task", "Notes of guests"], catch_exceptions=False)
    assert result.exit_code == 0 and "Written:" in result.output and "black box" in result.output
    file = read_concept_file(workspace.concept_file)
    assert file.task == "Notes of guests" and len(file.concepts) >= 2
    text = workspace.concept_file.read_text()
    assert "TEMPLATE" in text and "Negative goes with the label 1, Positive with 2 (a guess:" in text
    with pytest.raises(WriteError, match="--replace writes a new one and keeps this one aside"):
        run(app, ["concepts", "suggest"], catch_exceptions=False)
    assert workspace.concept_file.read_text() == text

    table = result.output.split("Written:")[0]
    assert " completeness " in table and all(len(line) <= 80 for line in table.splitlines()[:-2])
    assert "next: `sparsecbm annotate review`" in run(app, ["concepts", "check"], catch_exceptions=False).output
    checked = run(app, ["concepts", "check", "--json"], catch_exceptions=False)
    assert checked.exit_code == 0
    messages = [finding["message"] for finding in json.loads(checked.output)["findings"]]
    assert any("still the suggested template" in message for message in messages)

    replaced = run(app, ["concepts", "suggest", "--replace", "--concepts", "1"], catch_exceptions=False)
    assert replaced.exit_code == 0
    assert workspace.concept_file.with_name("concepts.before-1.yaml").read_text() == text
    file = read_concept_file(workspace.concept_file)
    assert len(file.concepts) == 1 and file.task == "Notes of guests"  # the task is taken over

    workspace.concept_file.write_text(
        text.replace("Negative: The", "positive: The", 1).replace("state: Negative", "state: Positive")
    )
    failed = run(app, ["concepts", "check"], catch_exceptions=False)
    assert failed.exit_code == 1 and "look alike" in failed.output
