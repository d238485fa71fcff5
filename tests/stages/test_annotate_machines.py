"""The stage `annotate` with labels of people and machines outside the source."""

import json
import shutil

import pandas as pd
import pytest

from sparsecbm.annotate.concept_file import ConceptDefinition, ConceptFile, write_concept_file
from sparsecbm.annotate.human_labels import Decision, append_decisions
from sparsecbm.annotate.labels import label_table, text_key, write_labels
from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.errors import ConfigError
from sparsecbm.base.files import read_json
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.source_table import canonical
from sparsecbm.data.tables import DEFINITIONS, read_manifest, read_splits, write_splits
from sparsecbm.stages import annotate, ingest
from tests.support.data_workspace import files_of, make_workspace

STATES = {"bad": "the text complains", "good": "the text praises", "unknown": "the text does not say"}
FOOD, NOISE = ConceptDefinition("food", "the dishes", STATES), ConceptDefinition("noise", "how loud it is", STATES)
CONCEPTS = ConceptSet((FOOD.concept, NOISE.concept), Concept("stars", ("1", "2")))
SIZES = {"train": 12, "validation": 6, "test": 6}


def text(split: str, row: int) -> str:
    return f"text {row} of {split}"


def make_validated(root, annotators=("human", "llm"), **section):
    """A workspace whose concept `food` has a column with a few labels, and whose concept `noise` has none."""
    params, workspace = make_workspace(root, annotate={"annotators": list(annotators), **section})
    splits = {}
    for split, count in SIZES.items():
        food = [("bad", "good")[row % 2] if row < 2 else None for row in range(count)]
        frame = pd.DataFrame({"text": [text(split, row) for row in range(count)], "concept.food": food})
        frame = frame.assign(id=[f"{split}{row}" for row in range(count)], file="t.csv", row=range(1, count + 1))
        frame = frame.assign(label=[("1", "2")[row % 2] for row in range(count)], **{"concept.noise": None})
        splits[split] = canonical(frame, CONCEPTS).drop(columns="split")
    manifest = {"source": "table", "licence": "", "files": [], "vocabulary": CONCEPTS.to_dict()}
    write_splits(workspace.validated, splits, {**manifest, DEFINITIONS: ConceptFile("", (FOOD, NOISE)).hashes})
    return params, workspace


def label_by(workspace: Workspace, name: str, noise: str = NOISE.hash, states=("bad", "good")) -> None:
    """Labels of a machine for every text: the states in turn."""
    rows = [
        {"key": text_key(text(split, row)), "concept": concept, "state": states[row % 2], "confidence": 0.8}
        | {"definition": definition, "model": "m", "prompt": "p", "probabilities": '{"bad": 0.2, "good": 0.8}'}
        for split, count in SIZES.items()
        for row in range(count)
        for concept, definition in (("food", FOOD.hash), ("noise", noise))
    ]
    write_labels(workspace.annotations / f"{name}.parquet", label_table(rows))


def decide(workspace: Workspace, *cells: tuple[str, str, str | None]) -> None:
    decisions = [
        Decision(text_key(text), concept, state, "ann", "2026-01-01T00:00:00Z") for text, concept, state in cells
    ]
    append_decisions(workspace.annotations / "human.jsonl", decisions)


def test_people_come_first_machines_fill_training_rows_and_evaluation_rows_stay_empty(tmp_path):
    params, workspace = make_validated(tmp_path, blank="unknown")
    label_by(workspace, "llm")
    decide(
        workspace,
        (text("train", 0), "food", "unknown"),  # against the column, which says bad
        (text("train", 1), "food", None),
        (text("train", 3), "noise", "bad"),  # against the machine, which says good
        (text("test", 4), "noise", "good"),
    )
    annotate.run(params, workspace)
    frames = read_splits(workspace.annotated)
    train, test = frames["train"], frames["test"]
    assert train["concept.food"].fillna("").tolist()[:4] == ["unknown", "", "bad", "good"]
    assert train["source.food"].tolist()[:4] == ["human", "undecided", "llm", "llm"]
    assert train["concept.noise"].tolist()[:4] == ["bad", "good", "bad", "bad"]
    assert train["source.noise"].tolist()[:4] == ["llm", "llm", "llm", "human"]
    assert train["share.noise.good"].fillna(-1).tolist()[:4] == [0.8, 0.8, 0.8, -1]
    assert set(frames["validation"]["source.noise"]) == {"llm"}
    # The source has a column for food, so that its blank cells are `unknown` there; it has none for noise.
    assert test["concept.food"].tolist() == ["bad", "good", *["unknown"] * 4]
    assert test["source.food"].tolist() == ["human", "human", *["blank"] * 4]
    assert test["concept.noise"].fillna("").tolist() == ["", "", "", "", "good", ""]
    assert test["source.noise"].tolist() == ["blank"] * 4 + ["human", "blank"]
    manifest = read_manifest(workspace.annotated)
    assert manifest["combine"] == "priority" and manifest["annotators"] == ["human", "llm"]
    assert DEFINITIONS not in manifest


def test_labels_for_an_earlier_definition_are_said_and_do_not_count(tmp_path, capsys):
    params, workspace = make_validated(tmp_path, annotators=("human", "llm", "local"))
    label_by(workspace, "llm", noise="0" * 12)
    label_by(workspace, "local")
    annotate.run(params, workspace)
    assert "24 label(s) of annotator 'llm' are for an earlier definition of concept 'noise'" in capsys.readouterr().out
    record = read_json(workspace.metrics("annotate"))
    assert record["outdated"] == {"llm": {"noise": 24}}
    origin = {"models": ["m"], "prompts": ["p"]}
    assert record["machines"] == {"llm": {**origin, "labels": 24}, "local": {**origin, "labels": 48}}
    train = read_splits(workspace.annotated)["train"]
    assert set(train["source.noise"]) == {"local"} and set(train["source.food"]) == {"human", "llm"}


def test_a_concept_that_nobody_labelled_stays_blank(tmp_path):
    params, workspace = make_validated(tmp_path, annotators=("human",))
    annotate.run(params, workspace)
    assert all(frame["concept.noise"].isna().all() for frame in read_splits(workspace.annotated).values())
    counts = read_json(workspace.metrics("annotate"))["splits"]["train"]["noise"]
    assert counts["missing"] == 12 and counts["sources"] == {"blank": 12} and counts["mean_confidence"] is None


def test_a_machine_that_has_not_run_is_an_error(tmp_path):
    params, workspace = make_validated(tmp_path)
    with pytest.raises(ConfigError, match=r"names 'llm', which has labelled nothing yet"):
        annotate.run(params, workspace)


def test_decisions_on_states_that_are_gone_are_said(tmp_path, capsys):
    params, workspace = make_validated(tmp_path)
    label_by(workspace, "llm")
    decide(workspace, (text("train", 2), "noise", "loud"), (text("train", 2), "view", "good"))
    annotate.run(params, workspace)
    said = capsys.readouterr().out
    assert "2 decision(s) of people name concepts or states that are no longer there (noise, view)" in said


def test_a_second_run_with_weighed_machines_writes_the_same_bytes(tmp_path):
    outputs = []
    for name in ("one", "two"):
        params, workspace = make_validated(tmp_path / name, annotators=("human", "llm", "local"), combine="dawid_skene")
        label_by(workspace, "llm")
        label_by(workspace, "local", states=("bad", "unknown"))
        annotate.run(params, workspace)
        outputs.append(files_of(workspace.annotated) | {"metrics": workspace.metrics("annotate").read_bytes()})
        assert set(read_splits(workspace.annotated)["train"]["source.noise"]) == {"dawid_skene"}
    assert outputs[0] == outputs[1]


def test_ingest_records_the_hashes_of_definitions(tmp_path):
    params, workspace = make_workspace(tmp_path)
    ingest.run(params, workspace)
    assert DEFINITIONS not in read_manifest(workspace.ingested)
    write_concept_file(workspace.concept_file, ConceptFile("Reviews", (NOISE,)))
    ingest.run(params, workspace)
    assert read_manifest(workspace.ingested)[DEFINITIONS] == {"noise": NOISE.hash}


def test_quality_and_noise_are_measured_where_sources_overlap(tmp_path):
    """People label 24 texts of food, one of them bad; a machine that says good and bad in turn agrees in 11."""
    params, workspace = make_validated(tmp_path)
    label_by(workspace, "llm", states=("good", "bad"))
    every = [text(split, row) for split, count in SIZES.items() for row in range(count)]
    decide(workspace, *((each, "food", "good") for each in every), (text("train", 0), "food", "bad"))
    decide(workspace, (text("train", 0), "noise", "bad"))
    annotate.run(params, workspace)
    record = read_json(workspace.metrics("annotate"))
    food, noise = (record["quality"]["concepts"][name] for name in ("food", "noise"))
    assert food["people"] == 24 and food["coverage"] == {"llm": 1.0, "combined": 1.0}
    for name in ("llm", "combined"):
        found = food["against_people"][name]
        assert found["confusion"] == [[0, 1, 0], [12, 11, 0], [0, 0, 0]]
        assert found["kappa"] == pytest.approx((11 / 24 - 0.5) / 0.5, abs=1e-6)  # chance: (1 * 12 + 23 * 12) / 24 ** 2
        assert found["calibration_error"] == pytest.approx(0.8 - 11 / 24, abs=1e-6)
    assert noise["people"] == 1 and noise["against_people"] == {"llm": None, "combined": None}
    assert record["quality"]["lowest_kappa"] is None
    assert record["noise"]["noise"] == {"people": None, "machines": None}  # fewer than 50 labels


def test_labels_of_people_alone_have_no_quality_and_a_share_of_probable_errors(tmp_path):
    """60 texts whose words give the state away, but for two wrong labels."""
    states = [("bad", "good")[row % 2] for row in range(60)]
    words = {"bad": "awful", "good": "lovely"}
    rows = [
        {
            "comment": f"{words[state]} soup {row}",
            "stars": 1 + row % 3,
            "f": state,
            "p": state,
        }
        for row, state in enumerate(states)
    ]
    rows[6]["f"], rows[7]["f"] = "good", "bad"
    params, workspace = make_workspace(tmp_path, rows)
    params = params.model_copy(update={"source": params.source.model_copy()})
    concepts = params.source.columns.concepts
    concepts["food"] = concepts["food"].model_copy(update={"states": ("bad", "good")})
    ingest.run(params, workspace)
    shutil.copytree(workspace.ingested, workspace.validated)
    annotate.run(params, workspace)
    record = read_json(workspace.metrics("annotate"))
    assert record["quality"] is None and "combine" not in record and record["outdated"] == {}
    food, price = (record["noise"][name]["people"] for name in ("food", "price"))
    assert {each["text"].split()[2] for each in food["suspects"]} == {"6", "7"} and food["judge"] == "words"
    assert food["wrong_share"] == pytest.approx(2 / 60, abs=1e-6) and price["wrong_share"] == 0


def test_targets_of_wrong_labels_are_corrected_in_training_rows_alone(tmp_path, monkeypatch):
    """People label 60 training texts and mistake two of them on food, where a machine knows better."""
    monkeypatch.setitem(SIZES, "train", 60)
    params, workspace = make_validated(tmp_path, ("human", "embedding"), correct_targets=True)
    true = [("bad", "good", "unknown")[row % 3] for row in range(60)]
    given = ["good" if row in (3, 6) else state for row, state in enumerate(true)]
    decide(workspace, *((text("train", row), "food", state) for row, state in enumerate(given)))
    rows = []
    for row, state in enumerate(true):
        cells = json.dumps({name: 0.9 if name == state else 0.05 for name in FOOD.states})
        told = {"key": text_key(text("train", row)), "state": state, "confidence": 0.9, "probabilities": cells}
        rows.append(told | {"concept": "food", "definition": FOOD.hash, "model": "m", "prompt": "p"})
    write_labels(workspace.annotations / "embedding.parquet", label_table(rows))
    decide(workspace, *((text("train", row), "noise", ("bad", "good")[row % 2]) for row in range(60)))
    annotate.run(params, workspace)
    splits = read_splits(workspace.annotated)
    shares = splits["train"][[f"share.food.{state}" for state in FOOD.states]]
    assert [tuple(FOOD.states)[best] for best in shares.to_numpy().argmax(1)] == true
    assert splits["train"]["concept.food"].tolist() == given
    assert splits["validation"]["share.food.bad"].isna().all()
    assert read_json(workspace.metrics("annotate"))["doubted"] == {"food": 2, "noise": 0}
