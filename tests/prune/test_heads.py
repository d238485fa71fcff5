"""Heads fitted to finished subnetworks, against scikit-learn."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from sparsecbm.prune.heads import C, _fitted, refit_concept_heads
from sparsecbm.train.examples import examples, one_hot
from sparsecbm.train.pooled import pooled_under_masks
from tests.model.test_masked import random_masks
from tests.tiny_tables import annotated


def test_the_fit_is_scikit_learns_on_standardised_texts():
    draw = torch.Generator().manual_seed(0)
    texts = torch.randn(200, 6, generator=draw) * 3 + 1
    gold = (texts[:, 0] + texts[:, 1] > 2).long() + (texts[:, 2] > 3).long()
    weight, bias = _fitted(texts, one_hot(gold, 3))
    standardised = ((texts.double() - texts.double().mean(0)) / texts.double().std(0)).numpy()
    expected = LogisticRegression(C=C, tol=1e-10, max_iter=5000).fit(standardised, gold.numpy())
    ours = torch.softmax(texts.double() @ weight.T + bias, -1).numpy()
    np.testing.assert_allclose(ours, expected.predict_proba(standardised), atol=1e-3)


def test_each_head_is_fitted_under_its_own_mask_and_nothing_else_changes(model):
    model.masks = random_masks(model)
    data = examples(annotated(60, seed=0), model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pooled = pooled_under_masks(model, data)
    own = model.represent(*_batch(model, data))
    torch.testing.assert_close(pooled["noise"][:3], own["noise"], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(pooled["noise"], pooled["food"], atol=1e-3)
    refit_concept_heads(model, data, pooled)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {f"concept_heads.heads.{i}.{part}" for i in (0, 1) for part in ("weight", "bias")}


def _batch(model, data):
    from sparsecbm.model.batches import pad

    return pad(data.rows[:3], model.tokenizer.pad_token_id)
