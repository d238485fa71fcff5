"""The annotator `few_shot` with a tiny model and an encoder that counts words."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sparsecbm.annotate import few_shot
from sparsecbm.annotate.annotator import AbstentionWarning
from sparsecbm.annotate.few_shot import FewShotAnnotator
from sparsecbm.annotate.labels import write_labels
from sparsecbm.annotate.learning.concept_network import predict_by_network
from sparsecbm.base.errors import DataError
from sparsecbm.base.params import Params, load_params
from sparsecbm.base.params.annotate import Annotate, FewShot
from tests.support.few_label_texts import CONCEPTS, FewLabelTask, accuracy, few_label_task
from tests.support.project import ROOT
from tests.support.tiny_models import write_backbone
from tests.support.training import finetuning
from tests.support.word_encoder import encode_words


@pytest.fixture(scope="module")
def params(tmp_path_factory) -> Params:
    """Settings of a tiny model and eight epochs."""
    backbone = str(write_backbone(tmp_path_factory.mktemp("few-shot") / "backbone"))
    params = load_params(ROOT / "params.yaml")
    return params.model_copy(
        update={
            "seed": 1,
            "threads": 1,
            "model": params.model.model_copy(update={"backbone": backbone, "max_length": 16}),
            "finetune": finetuning(),
            "annotate": Annotate(few_shot=FewShot(epochs=8)),
        }
    )


@pytest.fixture(scope="module")
def task() -> FewLabelTask:
    return few_label_task(texts=160, labelled=40)


@pytest.fixture(scope="module")
def labels(params, task) -> pd.DataFrame:
    return FewShotAnnotator(params, encode_words).annotate(task.texts, CONCEPTS, task.people)


def test_texts_that_nobody_labelled_are_labelled(labels, task):
    assert accuracy(labels, task.hidden) > 0.85


def test_it_shows_labels_of_people_only_for_texts_that_it_did_not_learn(labels, task):
    own = labels[labels["key"].isin(task.people["key"])]
    shown = own[own["probabilities"].notna()]
    assert len(own) == 80
    assert len(shown) == 16  # a fifth of 40 texts, with two concepts
    assert own["state"].isna().sum() >= 64
    groups = task.texts.set_index("key")["group"]
    assert not set(shown["key"].map(groups)) & set(own.loc[own["probabilities"].isna(), "key"].map(groups))


def test_labels_repeat_to_the_byte(labels, params, task, tmp_path):
    again = FewShotAnnotator(params, encode_words).annotate(task.texts, CONCEPTS, task.people)
    write_labels(tmp_path / "first", labels)
    write_labels(tmp_path / "second", again)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_the_network_learns_its_targets_from_training_texts_alone(params, task):
    states = np.where(task.texts["text"].str.contains("good food|pretty food"), 1, 0)
    targets = {"food": np.eye(3)[states]}
    texts = task.texts.assign(split=np.where(np.arange(160) % 2, "test", "train"))
    logits = predict_by_network(texts, targets, CONCEPTS[:1], params)["food"]
    assert logits.shape == (160, 3)
    wrong = {"food": np.where((np.arange(160) % 2 == 1)[:, None], np.eye(3)[2], targets["food"])}
    again = predict_by_network(texts, wrong, CONCEPTS[:1], params)["food"]
    assert np.array_equal(again, logits)  # targets of the evaluation split play no part
    clear = task.texts["text"].str.contains("dull food|pretty food").to_numpy()
    assert (logits.argmax(1) == states)[clear].mean() > 0.9


def test_with_too_few_labels_it_names_each_concept(params, task):
    few = task.people[:18]  # nine texts, one of which is held out
    with pytest.raises(DataError, match=r"(?s)'food' has 8 label.*'service' has 8 label.*fifth.*annotate review"):
        FewShotAnnotator(params, encode_words).annotate(task.texts, CONCEPTS, few)


def test_a_concept_with_one_state_alone_is_left_out(params, task):
    one_state = task.people.assign(state=task.people["state"].mask(task.people["concept"] == "food", "Negative"))
    with pytest.warns(AbstentionWarning, match="few_shot: concept 'food': people gave 32 'Negative'"):
        labels = FewShotAnnotator(params, encode_words).annotate(task.texts, CONCEPTS, one_state)
    assert labels.loc[labels["concept"] == "food", "probabilities"].isna().all()
    assert labels.loc[labels["concept"] == "service", "state"].notna().any()


def test_texts_with_one_label_are_refused(params, task):
    with pytest.raises(DataError, match="two different labels; there are 1"):
        FewShotAnnotator(params, encode_words).annotate(task.texts.assign(label="1"), CONCEPTS, task.people)


class Rounds:
    """Stands for the network: its logits are right with a strength that each round has."""

    def __init__(self, task: FewLabelTask, *strengths: float) -> None:
        cells = pd.concat([task.people, task.hidden])
        self.strengths, self.targets = list(strengths), []
        self.right = {
            concept.name: np.eye(3)[
                task.texts["key"]
                .map(cells[cells["concept"] == concept.name].set_index("key")["state"])
                .map(concept.concept.index)
            ]
            for concept in CONCEPTS
        }

    def __call__(self, texts, targets, concepts, params) -> dict[str, np.ndarray]:
        self.targets.append(targets)
        strength = self.strengths.pop(0)
        return {concept.name: strength * self.right[concept.name] for concept in concepts}


@pytest.mark.parametrize(("strengths", "kept"), [((1, 8, 4, 99), 8), ((8, 1, 99, 99), 8)])
def test_rounds_stop_when_held_out_labels_are_predicted_no_better(monkeypatch, params, task, strengths, kept):
    rounds = Rounds(task, *strengths)
    monkeypatch.setattr(few_shot, "predict_by_network", rounds)
    annotate = params.annotate.model_copy(update={"few_shot": FewShot(rounds=4)})
    repeated = FewShotAnnotator(params.model_copy(update={"annotate": annotate}), encode_words)
    labels = repeated.annotate(task.texts, CONCEPTS, task.people)
    assert len(rounds.targets) == strengths.index(kept) + 2  # the round after the best one is the last
    monkeypatch.setattr(few_shot, "predict_by_network", Rounds(task, kept))
    once = FewShotAnnotator(params, encode_words).annotate(task.texts, CONCEPTS, task.people)
    columns = ["key", "concept", "state", "confidence", "probabilities"]
    pd.testing.assert_frame_equal(labels[columns], once[columns])


def test_people_are_certain_in_the_targets_unless_they_are_held_out(monkeypatch, params, task):
    rounds = Rounds(task, 1.0)
    monkeypatch.setattr(few_shot, "predict_by_network", rounds)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labels = FewShotAnnotator(params, encode_words).annotate(task.texts, CONCEPTS, task.people)
    certain = rounds.targets[0]["food"].max(1) == 1.0
    food = labels[labels["concept"] == "food"].set_index("key")["probabilities"]
    learnt = task.texts["key"].isin(task.people["key"]) & task.texts["key"].map(food).isna()
    assert learnt.sum() == 32
    assert certain[learnt].all()
    assert not certain[~learnt].any()
    assert all(sum(json.loads(cell).values()) == pytest.approx(1, abs=1e-5) for cell in food.dropna())


def test_the_seed_and_the_options_are_part_of_the_version(params):
    versions = {
        FewShotAnnotator(params).version,
        FewShotAnnotator(params.model_copy(update={"seed": 2})).version,
        FewShotAnnotator(params.model_copy(update={"finetune": finetuning(batch_size=4)})).version,
    }
    assert len(versions) == 3
    assert Path(params.model.backbone).is_dir()
