"""Comparisons of two models with known differences."""

import math
from dataclasses import asdict

import pytest
import torch

from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.errors import ModelError
from sparsecbm.cli.inspection.compare import Sides, ValueDifference, compare_models
from sparsecbm.model.masks import MaskSet
from tests.support.small_masks import KEY, QUERY, first_rows
from tests.support.tiny_models import CONCEPTS, batch_of, tiny_model, write_backbone

TEXTS = ["the food was good", "slow service", "a loud place"]
FOOD, NOISE = CONCEPTS
SAME = ValueDifference(0, 9, 0.0)


@pytest.fixture
def compared(tmp_path):
    """Compare two models by their folders."""

    def compared(a, b, texts=()):
        for model, name in ((a, "a"), (b, "b")):
            model.save_pretrained(tmp_path / name)
        return compare_models(tmp_path / "a", tmp_path / "b", texts)

    return compared


def test_a_model_does_not_differ_from_itself(model, backbone, compared):
    model.masks = first_rows(food={QUERY: 4}, noise={QUERY: 0})
    other = tiny_model(backbone)
    other.masks = model.masks
    difference = compared(model, other, TEXTS)
    assert (
        difference.files
        == difference.settings
        == difference.concepts
        == difference.unmatched
        == difference.weights
        == {}
    )
    assert difference.layers == 4 + 2 * 8 + 2  # embeddings and their norm, eight layers per block, heads
    assert asdict(difference.masks["food"]) == {
        "differing": 0, "bits": 256, "jaccard": 1.0, "density": {"a": 0.25, "b": 0.25}
    }  # fmt: skip
    assert difference.masks["noise"].jaccard == 1.0  # two empty masks
    assert {"food": SAME, "noise": ValueDifference(0, 6, 0.0)} == difference.label_head.V
    assert difference.predictions.differing == 0
    assert difference.predictions.label.largest == 0.0


@torch.no_grad()
def test_weights_differ_by_layer(model, backbone, compared):
    other = tiny_model(backbone)
    other.backbone.get_submodule(QUERY).weight[0, :2] += torch.tensor([0.5, -0.25])
    other.backbone.get_submodule(QUERY).bias[3] -= 2.0
    other.concept_heads.head("noise").bias[0] += 1.0
    other.label_head.V("food")[1, 2] -= 3.0
    other.label_head.linear.bias += 0.5
    difference = compared(model, other)
    assert difference.files.keys() == {"model.safetensors", "README.md"}  # the card names the model's checksum
    assert difference.weights.keys() == {QUERY, "concept_heads.noise"}
    assert difference.weights[QUERY] == ValueDifference(3, 16 * 16 + 16, 2.0)
    assert difference.weights["concept_heads.noise"].differing == 1
    assert difference.label_head.V["food"].differing == 1
    assert difference.label_head.V["food"].largest == pytest.approx(3.0)
    assert difference.label_head.V["noise"] == ValueDifference(0, 6, 0.0)
    assert difference.label_head.b.differing == 3
    assert difference.hard_head is None
    assert difference.masks == {}
    assert difference.predictions is None


@torch.no_grad()
def test_heads_for_hard_concepts_are_compared(model, backbone, compared):
    other = tiny_model(backbone)
    model.add_hard_head()
    difference = compared(model, other)
    assert difference.files.keys() == {"README.md", "model.safetensors"}  # the card counts parameters
    assert difference.hard_head is None
    other.add_hard_head().V("noise")[2, 1] = 0.5
    difference = compared(model, other)
    assert {"food": SAME, "noise": ValueDifference(1, 6, 0.5)} == difference.hard_head.V
    assert difference.label_head.V["noise"].differing == 0


@torch.no_grad()
def test_a_weight_that_is_not_a_number_makes_the_layer_differ(model, backbone, compared):
    other = tiny_model(backbone)
    other.backbone.get_submodule(QUERY).weight[0, 0] = math.nan
    assert compared(model, other).weights == {QUERY: ValueDifference(1, 272, None)}


def test_masks_differ_by_concept(model, backbone, compared):
    other = tiny_model(backbone)
    model.masks = first_rows(food={QUERY: 4, KEY: 16}, noise={QUERY: 8, KEY: 8})
    other.masks = first_rows(food={QUERY: 6, KEY: 12}, noise={QUERY: 8, KEY: 8})
    difference = compared(model, other).masks
    assert (difference["food"].differing, difference["food"].bits) == ((2 + 4) * 16, 512)
    assert difference["food"].jaccard == (4 + 12) / (6 + 16)
    assert difference["food"].density == Sides(20 / 32, 18 / 32)
    assert difference["noise"].differing == 0


def test_a_layer_without_masks_keeps_every_weight(model, backbone, compared):
    other = tiny_model(backbone)
    other.masks = first_rows(food={QUERY: 4}, noise={QUERY: 16})
    difference = compared(model, other)
    assert difference.files.keys() == {"README.md", "masks.safetensors"}
    assert difference.masks["food"].differing == 12 * 16
    assert difference.masks["food"].density == Sides(1.0, 0.25)
    assert difference.masks["noise"].differing == 0
    model.masks = first_rows(food={KEY: 8}, noise={KEY: 16})
    difference = compared(model, other).masks["food"]
    assert (difference.differing, difference.bits, difference.jaccard) == ((12 + 8) * 16, 512, (4 + 8) / 32)


def test_concepts_are_matched_by_name_in_any_order(model, backbone, compared):
    other = tiny_model(backbone, ConceptSet((NOISE, FOOD), CONCEPTS.label))
    other.backbone.load_state_dict(model.backbone.state_dict())
    for name in CONCEPTS.names:
        other.concept_heads.head(name).load_state_dict(model.concept_heads.head(name).state_dict())
    other.label_head.set(torch.cat([model.label_head.V("noise"), model.label_head.V("food")], 1), torch.zeros(3))
    model.masks = first_rows(food={QUERY: 4}, noise={QUERY: 9})
    other.masks = first_rows(noise={QUERY: 9}, food={QUERY: 4})
    difference = compared(model, other, TEXTS)
    assert "concepts.json" in difference.files
    assert difference.concepts == difference.settings == difference.weights == {}
    assert [mask.differing for mask in difference.masks.values()] == [0, 0]
    assert [values.differing for values in difference.label_head.V.values()] == [0, 0]
    assert difference.predictions.differing == 0


def test_concepts_with_other_states_are_listed_and_not_compared_further(model, backbone, compared):
    loudness = Concept("noise", ("quiet", "loud"))
    difference = compared(model, tiny_model(backbone, ConceptSet((FOOD, loudness), CONCEPTS.label)), TEXTS)
    assert difference.concepts == {"noise": Sides(["loud", "quiet"], ["quiet", "loud"])}
    assert difference.layers == 21
    assert difference.label_head.V.keys() == difference.predictions.concepts.keys() == {"food"}
    stars = Concept("stars", ("1", "2", "3", "4"))
    difference = compared(model, tiny_model(backbone, ConceptSet((FOOD,), stars)), TEXTS)
    assert difference.concepts == {
        "noise": Sides(["loud", "quiet"], None), "label": Sides(["1", "2", "3"], ["1", "2", "3", "4"])
    }  # fmt: skip
    assert difference.settings == {"label": Sides("rating", "stars")}
    assert difference.label_head is difference.predictions.label is None


def test_models_with_another_backbone_are_compared(model, tmp_path, compared):
    other = tiny_model(write_backbone(tmp_path / "narrow", intermediate_size=24), pooling="cls")
    into = "encoder.layer.0.intermediate.dense"
    other.masks = MaskSet.dense(CONCEPTS.names, {into: (24, 16)})
    difference = compared(model, other)
    assert difference.settings == {"backbone.intermediate_size": Sides(32, 24), "pooling": Sides("mean", "cls")}
    assert difference.unmatched[into] == Sides({"weight": [32, 16], "bias": [32]}, {"weight": [24, 16], "bias": [24]})
    assert len(difference.unmatched) == 4
    assert difference.layers == 18
    assert difference.masks == {}


def test_black_boxes_are_compared(model, backbone, compared):
    box = tiny_model(backbone, mode="standard")
    other = tiny_model(backbone, mode="standard")
    with torch.no_grad():
        other.direct_head.bias[0] += 100
    difference = compared(box, other, TEXTS)
    assert difference.weights.keys() == {"direct_head"}
    assert difference.label_head is None
    assert (difference.predictions.concepts, difference.predictions.label.largest > 0.1) == ({}, True)
    difference = compared(model, box, TEXTS)
    assert difference.settings["mode"] == Sides("joint", "standard")
    assert difference.predictions.label is not None


@torch.no_grad()
def test_predictions_differ_by_label_and_concept(model, backbone, compared):
    """Large biases move the label from 1 to 3 and noise from loud to quiet; food stays."""
    other = tiny_model(backbone)
    for changed, label, state in ((model, 0, 0), (other, 2, 1)):
        changed.label_head.linear.bias[label] = 100
        changed.concept_heads.head("noise").bias[state] = 100
    difference = compared(model, other, TEXTS).predictions
    assert (difference.texts, difference.differing) == (3, 3)
    assert (difference.label.differing, difference.label.changes) == (3, {"1": {"3": 3}})
    assert difference.concepts["noise"].changes == {"loud": {"quiet": 3}}
    assert difference.concepts["noise"].largest == pytest.approx(1.0)
    assert asdict(difference.concepts["food"]) == {"differing": 0, "largest": 0.0, "changes": {}}


@torch.no_grad()
def test_two_of_three_texts_are_predicted_differently(model, backbone, compared):
    other = tiny_model(backbone)
    for changed in (model, other):
        changed.label_head.linear.weight[:] = 0  # the label depends on no concept
    model.concept_heads.head("noise").bias[0] = 100  # loud for every text
    head, pooled = other.concept_heads.head("noise"), other.represent(*batch_of(other, TEXTS))["noise"]
    head.weight[0] = torch.linalg.lstsq(pooled, torch.tensor([[9.0], [-9.0], [-9.0]])).solution.squeeze()
    head.weight[1], head.bias[:] = 0, 0  # loud for the first text only
    difference = compared(model, other, TEXTS).predictions
    assert (difference.texts, difference.differing, difference.label.differing) == (3, 2, 0)
    assert difference.concepts["noise"].differing == 2
    assert difference.concepts["noise"].changes == {"loud": {"quiet": 2}}
    assert difference.concepts["food"].differing == 0


def test_the_error_names_a_folder_without_a_model(model, tmp_path):
    model.save_pretrained(tmp_path / "a")
    with pytest.raises(ModelError, match="nowhere does not exist"):
        compare_models(tmp_path / "a", tmp_path / "nowhere")
