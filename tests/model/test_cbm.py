"""Predictions and label logits of the core network, for one text and for several texts."""

import numpy as np
import pytest
import torch

from sparsecbm.base.errors import ConfigError, ModelError
from tests.support.tiny_models import TEXTS, tiny_model


def test_one_text_gets_one_prediction_and_several_get_a_list(model):
    predictions = model.predict(TEXTS)
    assert [prediction.text for prediction in predictions] == TEXTS
    alone = model.predict(TEXTS[0])
    assert alone.text == TEXTS[0]
    assert alone == model.predict(TEXTS[:1])[0]
    assert alone.label.state == predictions[0].label.state


def test_logits_of_one_text_have_no_text_axis(model):
    several, one = model.logits(TEXTS[:1]), model.logits(TEXTS[0])
    assert one.label.shape == (3,) and one.concepts["food"].shape == (3,) and one.concepts["noise"].shape == (2,)
    assert np.array_equal(one.label, several.label[0])
    assert np.array_equal(one.concepts["noise"], several.concepts["noise"][0])


@pytest.mark.parametrize("activation", ["soft", "logits", "hard"])
def test_the_soft_head_gives_the_label_logits_of_the_model(backbone, activation):
    model = tiny_model(backbone, activation=activation)
    logits = model.logits(TEXTS)
    np.testing.assert_allclose(model.label_logits(logits.concepts), logits.label, atol=1e-6)


def test_the_hard_head_sees_predicted_states_only(model):
    """Each row of V is 0 to 4 plus the class, and b is (0, 10, 20). The logit is a sum over two predicted states."""
    model.add_hard_head().set(torch.arange(5.0) + torch.arange(3.0)[:, None], torch.tensor([0.0, 10.0, 20.0]))
    logits = {"food": np.array([[0.1, 0.3, 0.2], [5.0, 0.0, 0.0]], np.float32), "noise": np.array([[1.0, 2.0]] * 2)}
    expected = [[1 + 4 + 2 * y + 10 * y for y in range(3)], [0 + 4 + 2 * y + 10 * y for y in range(3)]]
    logits["noise"] = logits["noise"].astype(np.float32)
    assert model.label_logits(logits, "hard").tolist() == expected


def test_the_error_names_an_unknown_or_missing_head(model):
    logits = model.logits(TEXTS).concepts
    with pytest.raises(ConfigError, match=r"unknown label head 'bare'.*Choices: soft, hard"):
        model.label_logits(logits, "bare")
    with pytest.raises(ModelError, match="no `hard_head`"):
        model.label_logits(logits, "hard")
