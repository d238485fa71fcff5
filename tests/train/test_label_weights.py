"""Weights of concept labels by hand, and what they do to training."""

import pandas as pd
import pytest
import torch

from sparsecbm.base.errors import DataError
from sparsecbm.base.params import LabelNoise
from sparsecbm.train.examples import build_examples
from sparsecbm.train.label_weights import label_weights
from sparsecbm.train.modes import fit
from tests.support.tiny_models import tiny_model
from tests.support.tiny_tables import annotated
from tests.support.training import copy_weights, equal_weights, finetuning, training_run

SOURCES = ["human", "llm", "blank", "no majority", None, "few_shot"]
CONFIDENCES = [0.6, 0.8, None, 0.4, 0.9, None]
FRAME = pd.DataFrame({"source.food": SOURCES, "confidence.food": CONFIDENCES})


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        (LabelNoise(), [1, 1, 1, 1, 1, 1]),
        (LabelNoise(machine_weight=0.5), [1, 0.5, 1, 1, 1, 0.5]),
        (LabelNoise(confidence_weights=True), [0.6, 0.8, 1, 0.4, 0.9, 1]),
        (LabelNoise(machine_weight=0.5, confidence_weights=True), [0.6, 0.4, 1, 0.4, 0.9, 0.5]),
        (LabelNoise(machine_weight=0), [1, 0, 1, 1, 1, 0]),
    ],
)
def test_weights_by_hand(noise, expected):
    assert label_weights(FRAME, "food", noise).tolist() == pytest.approx(expected)


def test_without_source_and_confidence_every_label_counts_alike():
    noise = LabelNoise(machine_weight=0.5, confidence_weights=True)
    assert label_weights(FRAME, "noise", noise).tolist() == [1] * 6


def test_weights_are_in_the_targets_of_concepts_only(model):
    frame = annotated(4, 1).assign(**{"source.food": ["human", "llm", "human", "llm"], "confidence.food": 0.5})
    plain = build_examples(frame, model)
    weighted = build_examples(frame, model, noise=LabelNoise(machine_weight=0.4, confidence_weights=True))
    rows = torch.tensor([0.5, 0.2, 0.5, 0.2])[:, None]
    torch.testing.assert_close(weighted.concept_targets["food"], rows * plain.concept_targets["food"])
    assert torch.equal(weighted.concept_targets["noise"], plain.concept_targets["noise"])
    assert torch.equal(weighted.label_target, plain.label_target)
    assert torch.equal(weighted.concepts["food"], plain.concepts["food"])  # gold states, for scores


def test_machine_labels_of_weight_0_are_left_out_of_training(backbone, tmp_path):
    """They give the bytes of a training without these labels; with weight 1 they give others."""
    frame = annotated(40, 1)
    machine = frame.index % 2 == 0
    labelled = frame.assign(**{"source.food": ["llm" if by else "human" for by in machine]})
    unlabelled = frame.assign(**{"concept.food": frame["concept.food"].mask(machine)})
    weights = {}
    for name, table, weight in (("out", labelled, 0.0), ("without", unlabelled, 1.0), ("in", labelled, 1.0)):
        model = tiny_model(backbone)
        params = finetuning(epochs=1, noise=LabelNoise(machine_weight=weight))
        fit(model, table, annotated(12, 2), params, training_run(tmp_path / name))
        weights[name] = copy_weights(model)
    assert equal_weights(weights["out"], weights["without"])
    assert not equal_weights(weights["in"], weights["without"])


def test_a_concept_whose_labels_all_have_weight_0_is_an_error(backbone, tmp_path):
    frame = annotated(16, 1).assign(**{"source.noise": "llm"})
    params = finetuning(noise=LabelNoise(machine_weight=0))
    with pytest.raises(DataError, match="'train': every label of concept 'noise' has weight 0"):
        fit(tiny_model(backbone), frame, annotated(12, 2), params, training_run(tmp_path))


def test_labels_of_people_do_not_depend_on_the_weight_of_machines(backbone, tmp_path):
    weights = []
    for number, noise in enumerate((LabelNoise(), LabelNoise(machine_weight=0.1, confidence_weights=True))):
        model = tiny_model(backbone)
        fit(
            model,
            annotated(24, 1),
            annotated(12, 2),
            finetuning(epochs=1, noise=noise),
            training_run(tmp_path / str(number)),
        )
        weights.append(copy_weights(model))
    assert equal_weights(*weights)
