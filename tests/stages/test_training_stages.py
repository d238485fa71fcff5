"""The stages that train, explain and score, on a tiny backbone: complete, repeatable, valid by the schemas."""

import json
import shutil

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import ConfigError, DataError
from sparsecbm.base.files import read_json, read_parquet, sha256_file
from sparsecbm.base.metrics import confusion
from sparsecbm.base.params import load_params, parse_params, write_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.cli.json_schemas import json_schemas
from sparsecbm.data.tables import read_split, read_splits, write_splits
from sparsecbm.explain.subnetworks import describe_subnetworks
from sparsecbm.model.heads import concatenated_activations
from sparsecbm.stages import evaluate, explain, finetune, intervene, prune, report
from sparsecbm.train.label_head import fit_label_head, fit_temperature
from tests.support.report_inputs import write_validation
from tests.support.tiny_models import CONCEPTS
from tests.support.tiny_tables import annotated

PROJECT = Workspace.find()
FILES = ("dvc.yaml", "params.yaml")


@pytest.fixture
def params(backbone):
    values = load_params(PROJECT.params).model_dump(by_alias=True)
    values["model"]["backbone"] = str(backbone)
    values["finetune"] |= {"epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "freeze_embeddings": False}
    values["prune"] |= {"masked_from": 0, "events": 3, "score_learning_rate": 0.05, "gradients": 4, "probe_texts": 40}
    values["explain"] |= {"texts": 3, "readings": 10, "steps": 4, "max_steps": 4}
    values["evaluate"]["bootstrap"] = 100
    values["track"]["enabled"] = False
    values["threads"] = 1
    return parse_params(values)


def make_workspace(root):
    """Return a workspace with annotated tables and the code that the key of a stage depends on."""
    shutil.copytree(PROJECT.root / "sparsecbm", root / "sparsecbm", ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        shutil.copy(PROJECT.root / file, root / file)
    workspace = Workspace(root)
    write_params(workspace.run_params, load_params(workspace.params))
    splits = {"train": annotated(80, 1), "validation": annotated(20, 2), "test": annotated(20, 3)}
    write_splits(workspace.annotated, splits, {"source": "tiny", "vocabulary": CONCEPTS.to_dict()})
    return workspace


def run(workspace, params):
    finetune.run(params, workspace)
    prune.run(params, workspace)
    explain.run(params, workspace)
    evaluate.run(params, workspace)


def drawn(workspace, params):
    """Return, by stage, the names of the plots that the stage `report` draws from these outputs."""
    write_validation(workspace)
    report.run(params, workspace)
    return {folder.name: {file.stem for file in folder.iterdir()} for folder in workspace.plots.iterdir()}


def written(workspace):
    """Return the sha256 of every file that the stages wrote."""
    files = [
        f
        for name in ("models", "metrics", "plots", "reports")
        for f in (workspace.root / name).rglob("*")
        if f.is_file()
    ]
    return {str(file.relative_to(workspace.root)): sha256_file(file) for file in files}


def test_the_stages_write_their_outputs_with_repeatable_bytes(params, tmp_path):
    first, second = make_workspace(tmp_path / "first"), make_workspace(tmp_path / "second")
    run(first, params)
    run(second, params)
    assert written(first) == written(second)
    for path in ("models/dense/model.safetensors", "metrics/finetune.json", "reports/explanations/explanations.jsonl"):
        assert path in written(first)
    assert not list(first.checkpoints.glob("*")), "checkpoints of a finished training are of no use"
    assert not first.plots.exists(), "only the stage `report` draws"
    assert not list(first.root.glob("models/*/README.md")), "a changed model card must not change a model"
    for file in first.root.rglob("*.json"):
        assert str(tmp_path) not in file.read_text(), file.name

    figures = read_json(first.metrics("explain"))
    assert (figures["split"], figures["texts"], set(figures["concepts"])) == ("test", 3, {"food", "noise"})
    assert figures["faithfulness"]["texts"] == 3 and set(figures["faithfulness"]["methods"]) >= {
        "leave_one_out",
        "random",
    }
    lines = (first.explanations / "explanations.jsonl").read_text(encoding="utf-8").splitlines()
    explained = {line["id"]: line for line in map(json.loads, lines)}
    test = annotated(20, 3).set_index("id")
    for row, line in explained.items():
        Draft202012Validator(json_schemas()["explanation"]).validate(line)
        gold = (line["label"]["gold"], line["concepts"]["food"]["gold"])
        assert gold == (test["label"][row], test["concept.food"][row])
        assert line["origin"]["folder"] == sha256_file(first.sparse / "checksums.json")
        assert line["origin"]["data"] == read_json(first.annotated / "manifest.json")["sha256"]
    assert set(read_parquet(first.explanations / "explanations.parquet")["id"]) == set(explained)

    scores = read_json(first.metrics("evaluate"))
    Draft202012Validator(json_schemas()["metrics-evaluate"]).validate(json.loads(json.dumps(scores)))
    assert scores["split"] == "test" and list(scores["splits"]) == ["validation"]
    table = read_split(first.annotated, "test")
    predictions = SparseCBM.from_pretrained(first.sparse).predict(table["text"].tolist())
    right = table["label"] == [prediction.label.state for prediction in predictions]
    assert scores["label"]["accuracy"] == pytest.approx(right.mean(), abs=1e-6)
    assert scores["dense"]["split"] == "test" and scores["dense"]["bag_of_words"] is None
    assert scores["causal"] is None, "these texts have no edits"
    curve = read_json(first.metrics("finetune"))
    assert [epoch["epoch"] for epoch in curve["epochs"]] == [1, 2] and curve["best"] in curve["epochs"]
    (prediction,) = SparseCBM.from_pretrained(first.dense).predict(["the food was good"])
    assert set(prediction.concepts) == {"food", "noise"}

    assert drawn(first, params) == {
        "finetune": {"curves"},
        # Two masks of equal density with a common core have equal exclusive shares in every layer, and one overlap.
        "prune": {"curves", "probe", "swap"},
        "explain": {
            "calibration",
            "effects",
            "effects-hard",
            "faithfulness",
            "heads",
            "heads-exclusive",
            "waterfall",
        },
        "evaluate": {"accuracy-test", "accuracy-validation", "confusion-test", "confusion-validation"},
    }


def test_the_stored_head_scores_like_a_head_fitted_to_the_training_texts(params, tmp_path):
    workspace = make_workspace(tmp_path / "work")
    run(workspace, params)
    model = SparseCBM.from_pretrained(workspace.sparse)
    train, validation, test = (read_split(workspace.annotated, split) for split in ("train", "validation", "test"))
    hard, held_out, unseen = (
        concatenated_activations(model.logits(frame["text"].tolist()).concepts, "hard")
        for frame in (train, validation, test)
    )
    weight, bias = fit_label_head(hard, train["label"].astype(int).to_numpy() - 1, 3)
    by_hand = (unseen @ weight.T + bias).argmax(1)
    again = (unseen @ model.hard_head.linear.weight.numpy().T + model.hard_head.linear.bias.numpy()).argmax(1)
    assert np.array_equal(by_hand, again)
    figures = read_json(workspace.metrics("evaluate"))["label_hard_refitted"]
    gold = test["label"].astype(int).to_numpy() - 1
    assert figures["accuracy"] == pytest.approx((by_hand == gold).mean(), abs=1e-6)
    assert figures["confusion"] == confusion(gold, by_hand, 3).tolist()
    T = fit_temperature(held_out @ weight.T + bias, validation["label"].astype(int).to_numpy() - 1)
    assert abs(T - 1) > 0.1
    np.testing.assert_allclose(model.hard_head.linear.weight.numpy(), weight / T, rtol=1e-3, atol=1e-5)
    assert not np.allclose(model.label_head.linear.weight.detach().numpy(), weight, atol=0.1)


def test_prune_writes_a_model_with_the_target_sparsity_and_its_control(params, tmp_path):
    workspace = make_workspace(tmp_path / "sparse")
    params = params.model_copy(update={"prune": params.prune.model_copy(update={"control": True})})
    run(workspace, params)
    model = SparseCBM.from_pretrained(workspace.sparse)
    assert set(model.masks.density().values()) == {0.25}
    figures = read_json(workspace.metrics("prune"))
    for mask_kind in ("chosen", "random"):
        scores = figures[mask_kind]
        assert scores["density"] == 0.25 and set(scores["swap"]["matrix"]["food"]) == {"food", "noise"}
        for square in (scores["swap"], scores["probe"]):
            food, noise = square["matrix"]["food"], square["matrix"]["noise"]
            assert square["own"] == pytest.approx((food["food"] + noise["noise"]) / 2, abs=2e-6)
            assert square["others"] == pytest.approx((food["noise"] + noise["food"]) / 2, abs=2e-6)
        assert scores["after"]["concepts.mean.accuracy"] == pytest.approx(scores["swap"]["own"], abs=1e-6)
    assert figures["chosen"]["before"] == figures["random"]["before"]
    assert figures["chosen"]["overlap"]["jaccard"] == figures["random"]["overlap"]["jaccard"]
    assert figures["chosen"]["overlap"]["pairs"]["food"]["noise"]["chance"] == pytest.approx(1 / 7, abs=1e-6)
    assert set(figures["excess"]) == {"swap", "probe", "ablation"}
    assert set(figures["chosen"]["own_weights"]) == {"food", "noise"} and "own_weights" not in figures["random"]
    assert all(share > 0 for share in figures["chosen"]["overlap"]["exclusive"].values())
    assert [event["prune.sparsity"] for event in figures["events"]][-1] == 0.75
    assert figures["best"] == figures["epochs"][-1] and "layers" not in figures["random"]
    layers = figures["chosen"]["layers"]
    assert set(layers) == set(model.masks.shapes)
    assert {share for layer in layers.values() for share in layer["density"].values()} == {0.25}
    for name in ("food", "noise"):
        exclusive = model.masks.exclusive(name).density_by_layer()
        rounded = {layer: round(share, 6) for layer, share in exclusive.items()}
        assert {layer: by_kind["exclusive"][name] for layer, by_kind in layers.items()} == rounded


def test_explain_lists_the_parts_of_each_subnetwork(params, tmp_path):
    workspace = make_workspace(tmp_path / "parts")
    run(workspace, params)
    model = SparseCBM.from_pretrained(workspace.sparse)
    parts = read_json(workspace.metrics("explain"))["parts"]
    assert set(parts) == {"food", "noise"}
    for name, by_kind in parts.items():
        heads = describe_subnetworks(model).heads[name]
        assert {(p["block"], p["index"]) for p in by_kind["heads"]} == {(b, h) for b in (0, 1) for h in (0, 1)}
        for part in by_kind["heads"]:
            assert part["exclusive"] == pytest.approx(heads[part["block"]].exclusive[part["index"]], abs=1e-6)
        assert len(by_kind["neurons"]) == 10
        effects = [part["effect"] for part in by_kind["neurons"]]
        assert effects == sorted(effects, reverse=True)
    assert read_json(workspace.metrics("explain"))["parts_note"] is None
    drawn(workspace, params)
    strongest = parts["food"]["neurons"][0]
    words = ", ".join(strongest["words"])
    row = f"| food | neuron {strongest['block']}.{strongest['index']} | {words} | {strongest['effect']:.2f} |"
    assert row in workspace.model_card.read_text(encoding="utf-8")


def test_a_concept_that_has_not_earned_its_weights_keeps_none(params, tmp_path):
    workspace = make_workspace(tmp_path / "earned")
    params = params.model_copy(update={"prune": params.prune.model_copy(update={"contrast": "earned"})})
    finetune.run(params, workspace)
    prune.run(params, workspace)
    chosen = read_json(workspace.metrics("prune"))["chosen"]
    assert not all(own["earned"] for own in chosen["own_weights"].values())
    for name, own in chosen["own_weights"].items():
        if not own["earned"]:
            assert chosen["overlap"]["exclusive"][name] == 0
            assert chosen["density_by_concept"][name] == chosen["overlap"]["core"], "what both concepts keep"
    assert 0.7 * 0.25 <= chosen["overlap"]["core"] < 0.25


def test_null_concepts_are_measured_and_dropped(params, tmp_path):
    """The model has its own concepts only; p counts the meaningless concepts that do as well over random masks."""
    workspace = make_workspace(tmp_path / "nulls")
    changes = {"control": True, "null_concepts": 2, "epochs": 2}
    params = params.model_copy(update={"prune": params.prune.model_copy(update=changes)})
    finetune.run(params, workspace)
    prune.run(params, workspace)
    model = SparseCBM.from_pretrained(workspace.sparse)
    assert model.concept_set.names == model.masks.concepts == ("food", "noise")
    figures = read_json(workspace.metrics("prune"))
    nulls = figures["nulls"]
    assert [score["kind"] for score in nulls["chosen"].values()] == ["permuted", "word"]
    assert [score["companion"] for score in nulls["random"].values()] == ["food", "noise"]
    for measure in ("swap", "probe", "ablation"):
        of_nulls = [estimate["value"] for estimate in nulls["excess"][measure].values()]
        for name, p in nulls["rank_p"][measure].items():
            real = figures["excess"][measure][name]["value"]
            assert p == pytest.approx((1 + sum(value >= real for value in of_nulls)) / 3, abs=1e-5)
    assert set(figures["chosen"]["density_by_concept"]) == {"food", "noise"}


def without_concepts(workspace):
    """Write the tables of a task whose concepts nobody has defined."""
    splits = {name: read_split(workspace.annotated, name) for name in ("train", "validation", "test")}
    columns = [column for column in splits["train"] if column.split(".")[0] not in ("concept", "source", "confidence")]
    splits = {name: frame[columns] for name, frame in splits.items()}
    vocabulary = CONCEPTS.without(CONCEPTS.names).to_dict()
    write_splits(workspace.annotated, splits, {"source": "tiny", "vocabulary": vocabulary})
    return workspace


def test_a_bottleneck_without_concepts_is_refused_with_both_ways_on(params, tmp_path):
    workspace = without_concepts(make_workspace(tmp_path / "none"))
    with pytest.raises(ConfigError) as caught:
        finetune.run(params, workspace)
    assert str(caught.value) == (
        "a model of mode 'joint' needs concepts, and there are none yet: `sparsecbm concepts suggest` proposes some, "
        "or `--set model.mode=standard` trains the black box, which needs none"
    )
    assert not workspace.dense.exists()


def without_labels(workspace):
    """Empty all cells of the concept `noise`."""
    splits = {
        split: frame.assign(**{"concept.noise": None, "source.noise": "blank"}).astype({"concept.noise": "str"})
        for split, frame in read_splits(workspace.annotated).items()
    }
    write_splits(workspace.annotated, splits, {"source": "tiny", "vocabulary": CONCEPTS.to_dict()})
    return workspace


def test_a_concept_without_labels_stops_the_stage_before_training(params, tmp_path):
    workspace = without_labels(make_workspace(tmp_path / "unlabelled"))
    with pytest.raises(DataError, match=r"^concept 'noise': 0 of 80 training rows.*annotate review --concept noise"):
        finetune.run(params, workspace)
    assert not workspace.dense.exists() and not workspace.metrics("finetune").exists()


@pytest.mark.parametrize(
    "prepare", [lambda workspace: workspace, without_concepts, without_labels], ids=["concepts", "none", "unlabelled"]
)
def test_a_black_box_passes_the_same_stages(params, tmp_path, prepare):
    workspace = prepare(make_workspace(tmp_path / "box"))
    box = params.model_copy(update={"model": params.model.model_copy(update={"mode": "standard"})})
    run(workspace, box)
    assert "has no concepts" in read_json(workspace.metrics("explain"))["note"]
    assert (workspace.explanations / "explanations.jsonl").read_text() == ""
    scores = read_json(workspace.metrics("evaluate"))
    assert scores["concepts"] == {} and scores["label_hard"] is None and scores["label"]["accuracy"] is not None
    assert drawn(workspace, box) == {
        "finetune": {"curves"},
        "evaluate": {"accuracy-test", "accuracy-validation", "confusion-test", "confusion-validation"},
    }


def test_without_a_test_split_the_metrics_are_on_dev(params, tmp_path):
    workspace = make_workspace(tmp_path / "dev")
    dev = annotated(20, 3).assign(edit_type=[None, "food"] * 10)
    splits = {"train": annotated(80, 1), "validation": annotated(20, 2), "dev": dev}
    write_splits(workspace.annotated, splits, {"source": "tiny", "vocabulary": CONCEPTS.to_dict()})
    run(workspace, params)
    figures = read_json(workspace.metrics("evaluate"))
    assert figures["split"] == "dev"
    Draft202012Validator(json_schemas()["metrics-evaluate"]).validate(figures)
    states = dev["concept.food"].tolist()
    assert figures["causal"]["pairs"]["pairs"] == 2 * sum(
        a != b for a, b in zip(states[::2], states[1::2], strict=True)
    )
    assert figures["causal"]["training_texts"] == 80 and figures["causal"]["skipped"] is None
    assert figures["causal"]["losing"]["errors"]["zero"]["cosine"]["value"] == 1
    assert {"mask_ablation", "word_removal"} < set(figures["causal"]["losing"]["errors"])


@pytest.mark.parametrize("empty", [("food",), ("food", "noise")])
def test_all_stages_survive_concepts_that_nobody_labelled_in_the_test_split(params, tmp_path, empty, capsys):
    workspace = make_workspace(tmp_path)
    splits = {name: read_split(workspace.annotated, name) for name in ("train", "validation", "test")}
    blank = {f"concept.{name}": None for name in empty} | {f"source.{name}": "blank" for name in empty}
    splits["test"] = splits["test"].assign(**blank).astype(splits["test"].dtypes)
    write_splits(workspace.annotated, splits, {"source": "tiny", "vocabulary": CONCEPTS.to_dict()})
    run(workspace, params)
    intervene.run(params, workspace)
    drawn(workspace, params)
    scores = read_json(workspace.metrics("evaluate"))
    assert list(scores["unmeasured"]) == list(empty)
    page, said = workspace.report.read_text(), capsys.readouterr().out
    for name in empty:
        score = scores["concepts"][name]
        assert (score["texts"], score["accuracy"], score["macro_f1"], score["majority"]) == (0, None, None, None)
        note = "not measured: people labelled 0 text(s) of the split 'test', and 20 are needed; label some with"
        assert f"concept {name!r} is {note}" in said and f"--split test --concept {name}" in page
