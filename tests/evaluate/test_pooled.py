"""Texts pooled under every mask, and the same model under other masks."""

import numpy as np
import pytest
import torch

from sparsecbm.base.errors import ModelError
from sparsecbm.evaluate.pooled import pooled_texts, under
from sparsecbm.model.batches import encode, pad
from tests.support.tiny_models import random_masks, tiny_model
from tests.support.tiny_tables import annotated


@pytest.fixture
def frame():
    """Texts of several lengths."""
    frame = annotated(11, seed=3)
    frame["text"] = [" ".join(text.split()[: 3 + i]) for i, text in enumerate(frame["text"])]
    return frame


def test_batches_keep_the_order_and_every_text_is_pooled_under_every_mask(model, frame):
    model.masks = random_masks(model)
    frame.loc[2, "concept.food"] = None
    found = pooled_texts(model, frame, batch_size=4)
    assert list(found.texts) == ["food", "noise"] and found.texts["food"].shape == (11, 16)
    for row, text in enumerate(frame["text"]):
        with torch.no_grad():
            alone = model.represent(*pad(encode(model.tokenizer, [text], 16), model.tokenizer.pad_token_id))
        for name in found.texts:
            np.testing.assert_allclose(found.texts[name][row], alone[name][0].numpy(), atol=1e-5)
    assert not np.allclose(found.texts["food"], found.texts["noise"], atol=1e-3)
    assert found.ids == tuple(frame["id"])
    assert found.gold["food"][2] == -100 and (np.delete(found.gold["food"], 2) >= 0).all()
    assert found.clusters["noise"].tolist() == frame["group"].tolist()


def test_dropout_is_off_and_the_mode_comes_back(backbone, frame):
    model = tiny_model(backbone, dropout=0.5)
    model.masks = random_masks(model)
    still = pooled_texts(model, frame)
    model.train()
    assert model.backbone.embeddings.dropout.p > 0
    np.testing.assert_array_equal(pooled_texts(model, frame).texts["food"], still.texts["food"])
    assert model.training and model.backbone.training


def test_a_dense_model_is_refused(model, frame):
    with pytest.raises(ModelError, match="the model is dense"):
        pooled_texts(model, frame)


def test_other_masks_share_the_weights_and_leave_the_model_as_it_is(model, frame):
    texts = frame["text"].tolist()
    dense = model.logits(texts).concepts["food"]
    first, second = random_masks(model, seed=1), random_masks(model, seed=2)
    masked = under(model, first)
    assert model.masks is None and masked.masks == first
    np.testing.assert_array_equal(model.logits(texts).concepts["food"], dense)
    again = under(masked, second)
    assert masked.masks == first and again.masks == second
    own, others = dict(model.named_parameters()), dict(again.named_parameters())
    assert own.keys() == others.keys() and all(others[name] is own[name] for name in own)
    model.masks = second
    np.testing.assert_array_equal(again.logits(texts).concepts["food"], model.logits(texts).concepts["food"])
    assert not np.allclose(masked.logits(texts).concepts["food"], dense, atol=1e-3)
