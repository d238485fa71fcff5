"""The mask of one concept as a file, on a hub, and on other models."""

import pytest
import torch
from huggingface_hub import ModelCard

from sparsecbm import SharedMask
from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.model.checksums import weights_checksum
from tests.support.tiny_models import random_masks

NAME = "acme/food-mask"


@pytest.fixture
def sparse(model):
    model.masks = random_masks(model)
    return model


def test_a_saved_mask_replaces_the_one_of_its_concept_only(sparse, tmp_path):
    sparse.mask_of("food").save(tmp_path / "food.mask")
    other = sparse.with_mask(sparse.mask_of("food"))
    assert other.masks == sparse.masks
    other.masks = random_masks(sparse, seed=9)
    assert other.masks != sparse.masks
    back = other.with_mask(SharedMask.load(tmp_path / "food.mask"))
    for layer in sparse.masks.shapes:
        assert torch.equal(back.masks["food"][layer], sparse.masks["food"][layer])
        assert torch.equal(back.masks["noise"][layer], other.masks["noise"][layer])


def test_a_mask_on_other_weights_names_both_checksums(sparse, tmp_path):
    mask = sparse.mask_of("food")
    before = weights_checksum(sparse)
    with torch.no_grad():
        sparse.label_head.linear.bias += 1
    after = weights_checksum(sparse)
    with pytest.raises(
        ModelError, match=f"'food' belongs to weights with the checksum {before}, .* have {after}; load"
    ):
        sparse.with_mask(mask)


def test_what_does_not_fit_is_one_message(sparse, tmp_path):
    with pytest.raises(ConfigError, match="unknown concept 'soup'"):
        sparse.mask_of("soup")
    one_layer = {layer: sparse.masks["food"][layer] for layer in list(sparse.masks.shapes)[:1]}
    few = SharedMask(type(sparse.masks).from_masks({"food": one_layer}), weights_checksum(sparse))
    with pytest.raises(ModelError, match="is for other layers"):
        sparse.with_mask(few)
    sparse.masks.save(tmp_path / "all.safetensors")
    with pytest.raises(ModelError, match="holds the masks of a model, not that of one concept"):
        SharedMask.load(tmp_path / "all.safetensors")
    with pytest.raises(ModelError, match="does not exist"):
        SharedMask.load(tmp_path / "nothing")


def test_a_mask_goes_to_a_hub_and_back(hub, sparse):
    mask = sparse.mask_of("food")
    pushed = mask.push_to_hub(NAME)
    assert pushed.files == ("README.md", "mask.safetensors") and pushed.private
    loaded = SharedMask.load(pushed.address)
    assert (loaded.concept, loaded.weights) == ("food", weights_checksum(sparse)) and loaded.masks == mask.masks
    card = hub.repositories[NAME].files["README.md"].decode()
    assert ModelCard(card).data.library_name == "sparsecbm" and mask.weights in card
    assert f"keeps {sparse.masks['food'].density:.1%} of" in card


def test_an_altered_mask_of_a_hub_is_refused(hub, sparse):
    sparse.mask_of("food").push_to_hub(NAME)
    repository = hub.repositories[NAME]
    content = bytearray(repository.files["mask.safetensors"])
    content[-1] ^= 1
    repository.commit({**repository.files, "mask.safetensors": bytes(content)})
    with pytest.raises(ModelError, match="was altered: its bits do not match the sha256"):
        SharedMask.load(f"{NAME}@main")


def test_a_model_is_no_place_for_a_mask(hub, sparse):
    sparse.push_to_hub("acme/reviews")
    with pytest.raises(ModelError, match=r"acme/reviews holds '.*', which this would not replace"):
        sparse.mask_of("food").push_to_hub("acme/reviews")
    with pytest.raises(ModelError, match=r"acme/reviews@main holds no mask: the repository has no mask\.safetensors"):
        SharedMask.load("acme/reviews@main")
