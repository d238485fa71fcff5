"""Texts pooled under every mask."""

import numpy as np
import pytest
import torch

from sparsecbm.base.errors import ModelError
from sparsecbm.evaluate.pooled import pooled_texts
from sparsecbm.model.batches import encode, pad
from tests.support.tiny_models import random_masks, tiny_model
from tests.support.tiny_tables import annotated


@pytest.fixture
def frame():
    """Return a table with texts of several lengths."""
    frame = annotated(11, seed=3)
    frame["text"] = [" ".join(text.split()[: 3 + i]) for i, text in enumerate(frame["text"])]
    return frame


def test_every_text_is_pooled_under_every_mask_in_order(model, frame):
    model.masks = random_masks(model)
    frame.loc[2, "concept.food"] = None
    pooled = pooled_texts(model, frame, batch_size=4)
    assert list(pooled.texts) == ["food", "noise"] and pooled.texts["food"].shape == (11, 16)
    for row, text in enumerate(frame["text"]):
        with torch.no_grad():
            alone = model.represent(*pad(encode(model.tokenizer, [text], 16), model.tokenizer.pad_token_id))
        for name in pooled.texts:
            np.testing.assert_allclose(pooled.texts[name][row], alone[name][0].numpy(), atol=1e-5)
    assert not np.allclose(pooled.texts["food"], pooled.texts["noise"], atol=1e-3)
    assert pooled.ids == tuple(frame["id"])
    assert pooled.gold["food"][2] == -100 and (np.delete(pooled.gold["food"], 2) >= 0).all()
    assert pooled.clusters["noise"].tolist() == frame["group"].tolist()


def test_dropout_is_off_and_the_mode_is_restored(backbone, frame):
    model = tiny_model(backbone, dropout=0.5)
    model.masks = random_masks(model)
    still = pooled_texts(model, frame)
    model.train()
    assert model.backbone.embeddings.dropout.p > 0
    np.testing.assert_array_equal(pooled_texts(model, frame).texts["food"], still.texts["food"])
    assert model.training and model.backbone.training


def test_a_dense_model_is_an_error(model, frame):
    with pytest.raises(ModelError, match="the model is dense"):
        pooled_texts(model, frame)
