"""A state with a single example: every stage gives sound figures, and a patch says why there is none."""

import math
import shutil
from collections.abc import Iterator, Mapping

import pytest

from sparsecbm.api import PatchSettings, SparseCBM
from sparsecbm.base.errors import InterventionError
from sparsecbm.base.files import read_json
from sparsecbm.base.params import load_params, parse_params, write_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import write_splits
from sparsecbm.stages import evaluate, explain, finetune, intervene, prune
from tests.support.tiny_models import CONCEPTS
from tests.support.tiny_tables import annotated

PROJECT = Workspace.find()


def nearly_always_loud(rows, seed, quiet):
    """Return annotated rows of which only the first ones, as many as given, are quiet."""
    frame = annotated(rows, seed)
    frame["text"] = frame["text"].str.replace("quiet", "loud")
    frame["concept.noise"] = "loud"
    frame.loc[: quiet - 1, "text"] = frame.loc[: quiet - 1, "text"].str.replace("loud", "quiet")
    frame.loc[: quiet - 1, "concept.noise"] = "quiet"
    return frame


TRAINING = nearly_always_loud(80, 1, quiet=1)


@pytest.fixture(scope="module")
def workspace(backbone, tmp_path_factory):
    """Return a workspace after all stages; the state `quiet` has one example in training and one in test."""
    values = load_params(PROJECT.params).model_dump(by_alias=True)
    values["model"]["backbone"] = str(backbone)
    values["finetune"] |= {"epochs": 1, "batch_size": 8, "learning_rate": 3e-3, "freeze_embeddings": False}
    values["prune"] |= {"masked_from": 1, "events": 2, "score_learning_rate": 0.05, "probe_texts": 40}
    values["prune"]["null_concepts"] = 2
    values["explain"] |= {"texts": 2, "readings": 10, "steps": 2, "max_steps": 2, "part_texts": 6}
    values["faithfulness"] |= {"texts": 2, "sensitivity_texts": 1, "sanity_texts": 1}
    values["intervene"] |= {"texts": 1, "seeds": 1, "max_flipped_share": 0.02, "protect": 4, "training_texts": 6}
    values["evaluate"]["bootstrap"] = 100
    values["track"]["enabled"] = False
    values["threads"] = 1
    params = parse_params(values)
    workspace = Workspace(tmp_path_factory.mktemp("rare"))
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT.root / "sparsecbm", workspace.root / "sparsecbm", ignore=ignored)  # for keys of stages
    shutil.copy(PROJECT.root / "dvc.yaml", workspace.root)
    write_params(workspace.run_params, params)
    splits = {
        "train": TRAINING,
        "validation": nearly_always_loud(20, 2, quiet=0),
        "test": nearly_always_loud(20, 3, quiet=1),
    }
    write_splits(workspace.annotated, splits, {"source": "tiny", "vocabulary": CONCEPTS.to_dict()})
    for stage in (finetune, prune, explain, intervene, evaluate):
        stage.run(params, workspace)
    return workspace


def numbers(value: object) -> Iterator[float]:
    """Yield every number of a JSON value."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from numbers(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def test_all_figures_are_finite(workspace):
    for stage in ("finetune", "prune", "explain", "intervene", "evaluate"):
        figures = list(numbers(read_json(workspace.metrics(stage))))
        assert figures and all(map(math.isfinite, figures)), stage


def test_a_state_without_held_out_examples_earns_nothing(workspace):
    """All validation texts are loud, so any mask predicts noise as well as its own."""
    record = read_json(workspace.metrics("prune"))
    assert record["chosen"]["own_weights"]["noise"]["earned"] is False
    assert record["chosen"]["own_weights"]["noise"]["better"]["value"] <= 0
    assert len(record["nulls"]["chosen"]) == 2


def test_parts_are_listed_for_both_concepts(workspace):
    parts = read_json(workspace.metrics("explain"))["parts"]
    assert {name: (len(by_kind["heads"]), len(by_kind["neurons"])) for name, by_kind in parts.items()} == {
        "food": (2, 10),
        "noise": (2, 10),
    }


def test_the_smallest_set_of_a_state_that_is_always_predicted_is_empty_or_keeps_it(workspace):
    model = SparseCBM.from_pretrained(workspace.sparse)
    found = model.explain(TRAINING["text"][0], units=["sufficient"]).concepts["noise"]
    assert found.subnetwork.sufficient.only.state == found.state


def test_a_patch_towards_the_rare_state_says_why_there_is_none(workspace):
    model = SparseCBM.from_pretrained(workspace.sparse)
    frame = TRAINING.rename(columns={"label": "rating", "concept.food": "food", "concept.noise": "noise"})
    settings = PatchSettings(max_flipped_share=0.05, protected=10, seed=1)
    with pytest.raises(InterventionError, match="102 bits are too few to make 'noise' predict 'quiet'"):
        model.make_patch(frame["text"][0], "noise", "quiet", frame, options=settings)
