"""Heads fitted to finished subnetworks, against scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sparsecbm.prune.head_fit import C, refit_concept_heads
from sparsecbm.train.examples import examples, one_hot
from sparsecbm.train.loss import cross_entropy
from sparsecbm.train.pooled import pooled_under_masks
from tests.support.tiny_models import random_masks, tiny_model
from tests.support.tiny_tables import annotated

GAMMA = 2.5


def planted(model, texts=200):
    """Examples whose concepts and label follow pooled texts that are made up, and these."""
    draw = torch.Generator().manual_seed(0)
    pooled = {name: torch.randn(texts, 16, generator=draw) * 3 + 1 for name in model.concept_set.names}
    food = (pooled["food"][:, 0] + pooled["food"][:, 1] > 2).long() + (pooled["food"][:, 2] > 3).long()
    noise = (pooled["noise"][:, 0] > 1).long()
    doubt = (pooled["noise"][:, 5] > 1).long()  # the label follows it, the concepts do not
    data = replace(
        examples(annotated(texts, seed=0), model),
        concept_targets={"food": one_hot(food, 3), "noise": one_hot(noise, 2)},
        label_target=one_hot(noise + doubt, 3),
    )
    return data, pooled, {"food": food, "noise": noise}


def losses_of(model, data, pooled):
    """Mean loss of the concepts, and of the label by the best label head on what they read."""
    logits = {name: model.concept_heads.head(name)(texts).detach() for name, texts in pooled.items()}
    concepts = np.mean([float(cross_entropy(logits[n], data.concept_targets[n])) for n in logits])
    read = torch.cat([values.softmax(-1) for values in logits.values()], dim=-1).numpy()
    gold = data.label_target.argmax(1).numpy()
    label = LogisticRegression(C=10.0, max_iter=5000).fit(read, gold).predict_proba(read)
    return concepts, -np.log(label[np.arange(len(gold)), gold]).mean()


def test_without_a_label_the_fit_is_scikit_learns_on_standardised_texts(backbone):
    model = tiny_model(backbone, mode="sequential")
    data, pooled, gold = planted(model)
    refit_concept_heads(model, data, pooled, GAMMA)
    for name, texts in pooled.items():
        standardised = ((texts.double() - texts.double().mean(0)) / texts.double().std(0)).numpy()
        # Of two classes scikit-learn keeps the difference of the rows, whose square is twice that of both.
        strength = 2 * C if name == "noise" else C
        expected = LogisticRegression(C=strength, tol=1e-10, max_iter=5000).fit(standardised, gold[name].numpy())
        ours = torch.softmax(model.concept_heads.head(name)(texts).detach(), -1).double().numpy()
        np.testing.assert_allclose(ours, expected.predict_proba(standardised), atol=1e-3)


def test_with_a_label_heads_give_up_a_little_of_the_concepts_for_it(backbone):
    found = {}
    for mode in ("sequential", "joint"):
        model = tiny_model(backbone, mode=mode)
        data, pooled, _ = planted(model)
        refit_concept_heads(model, data, pooled, GAMMA)
        found[mode] = losses_of(model, data, pooled)
    assert found["joint"][1] < found["sequential"][1] - 0.01
    assert found["sequential"][0] < found["joint"][0] < found["sequential"][0] + 0.2


def test_the_larger_gamma_the_less_heads_give_up(backbone):
    model = tiny_model(backbone)
    data, pooled, _ = planted(model)
    concepts, label = zip(*(_after(model, data, pooled, gamma) for gamma in (0.5, 2.5, 1e6)), strict=True)
    assert concepts[0] > concepts[1] > concepts[2]
    assert label[0] < label[1] < label[2]
    alone = tiny_model(backbone, mode="sequential")
    assert concepts[2] == pytest.approx(_after(alone, data, pooled, 1e6)[0], abs=1e-4)


def _after(model, data, pooled, gamma):
    refit_concept_heads(model, data, pooled, gamma)
    return losses_of(model, data, pooled)


def test_each_head_is_fitted_under_its_own_mask_and_nothing_else_changes(model):
    model.masks = random_masks(model)
    data = examples(annotated(60, seed=0), model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pooled = pooled_under_masks(model, data)
    own = model.represent(*_batch(model, data))
    torch.testing.assert_close(pooled["noise"][:3], own["noise"], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(pooled["noise"], pooled["food"], atol=1e-3)
    refit_concept_heads(model, data, pooled, GAMMA)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {f"concept_heads.heads.{i}.{part}" for i in (0, 1) for part in ("weight", "bias")}


def _batch(model, data):
    from sparsecbm.model.batches import pad

    return pad(data.rows[:3], model.tokenizer.pad_token_id)
