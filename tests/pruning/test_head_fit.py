"""Heads fitted to finished subnetworks equal those of scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sparsecbm.model.batches import pad
from sparsecbm.pruning.head_fit import INVERSE_STRENGTH, refit_concept_heads
from sparsecbm.train.examples import build_examples, one_hot
from sparsecbm.train.loss import cross_entropy
from sparsecbm.train.pooled import pooled_under_masks
from tests.support.tiny_models import random_masks, tiny_model
from tests.support.tiny_tables import annotated

GAMMA = 2.5


def planted(model, texts=200):
    """Return random pooled texts, and examples whose concepts and label depend on them."""
    draw = torch.Generator().manual_seed(0)
    pooled = {name: torch.randn(texts, 16, generator=draw) * 3 + 1 for name in model.concept_set.names}
    food = (pooled["food"][:, 0] + pooled["food"][:, 1] > 2).long() + (pooled["food"][:, 2] > 3).long()
    noise = (pooled["noise"][:, 0] > 1).long()
    doubt = (pooled["noise"][:, 5] > 1).long()  # the label depends on this, the concepts do not
    data = replace(
        build_examples(annotated(texts, seed=0), model),
        concept_targets={"food": one_hot(food, 3), "noise": one_hot(noise, 2)},
        label_target=one_hot(noise + doubt, 3),
    )
    return data, pooled, {"food": food, "noise": noise}


def losses_of(model, data, pooled):
    """Return the mean loss of the concepts, and the loss of the best label head on the predicted concepts."""
    logits = {name: model.concept_heads.head(name)(texts).detach() for name, texts in pooled.items()}
    concepts = np.mean([float(cross_entropy(logits[n], data.concept_targets[n])) for n in logits])
    probabilities = torch.cat([values.softmax(-1) for values in logits.values()], dim=-1).numpy()
    gold = data.label_target.argmax(1).numpy()
    label = LogisticRegression(C=10.0, max_iter=5000).fit(probabilities, gold).predict_proba(probabilities)
    return concepts, -np.log(label[np.arange(len(gold)), gold]).mean()


def test_without_a_label_the_fit_equals_scikit_learn_on_standardised_texts(backbone):
    model = tiny_model(backbone, mode="sequential")
    data, pooled, gold = planted(model)
    refit_concept_heads(model, data, pooled, GAMMA)
    for name, texts in pooled.items():
        standardised = ((texts.double() - texts.double().mean(0)) / texts.double().std(0)).numpy()
        # For two classes scikit-learn keeps the difference of the rows; its square is twice that of both rows.
        strength = 2 * INVERSE_STRENGTH if name == "noise" else INVERSE_STRENGTH
        expected = LogisticRegression(C=strength, tol=1e-10, max_iter=5000).fit(standardised, gold[name].numpy())
        ours = torch.softmax(model.concept_heads.head(name)(texts).detach(), -1).double().numpy()
        np.testing.assert_allclose(ours, expected.predict_proba(standardised), atol=1e-3)


def test_with_a_label_heads_accept_concept_loss_for_less_label_loss(backbone):
    losses = {}
    for mode in ("sequential", "joint"):
        model = tiny_model(backbone, mode=mode)
        data, pooled, _ = planted(model)
        refit_concept_heads(model, data, pooled, GAMMA)
        losses[mode] = losses_of(model, data, pooled)
    assert losses["joint"][1] < losses["sequential"][1] - 0.01
    assert losses["sequential"][0] < losses["joint"][0] < losses["sequential"][0] + 0.2


def test_a_larger_gamma_favours_the_concepts(backbone):
    model = tiny_model(backbone)
    data, pooled, _ = planted(model)
    concepts, label = zip(*(losses_after_fit(model, data, pooled, gamma) for gamma in (0.5, 2.5, 1e6)), strict=True)
    assert concepts[0] > concepts[1] > concepts[2]
    assert label[0] < label[1] < label[2]
    alone = tiny_model(backbone, mode="sequential")
    assert concepts[2] == pytest.approx(losses_after_fit(alone, data, pooled, 1e6)[0], abs=1e-4)


def losses_after_fit(model, data, pooled, gamma):
    refit_concept_heads(model, data, pooled, gamma)
    return losses_of(model, data, pooled)


def test_each_head_is_fitted_under_its_own_mask_and_nothing_else_changes(model):
    model.masks = random_masks(model)
    data = build_examples(annotated(60, seed=0), model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pooled = pooled_under_masks(model, data)
    expected = model.represent(*pad(data.rows[:3], model.tokenizer.pad_token_id))
    torch.testing.assert_close(pooled["noise"][:3], expected["noise"], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(pooled["noise"], pooled["food"], atol=1e-3)
    refit_concept_heads(model, data, pooled, GAMMA)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {f"concept_heads.heads.{i}.{part}" for i in (0, 1) for part in ("weight", "bias")}


def test_the_fit_of_heads_respects_the_weights_of_labels(backbone):
    """The fit on weighted targets is that of scikit-learn with sample weights, up to the scale of the penalty."""
    model = tiny_model(backbone, mode="sequential")
    data, pooled, gold = planted(model)
    draw = np.random.default_rng(0)
    by_text = draw.choice([0.2, 1.0], len(data))
    weighted = {n: t * torch.tensor(by_text, dtype=t.dtype)[:, None] for n, t in data.concept_targets.items()}
    refit_concept_heads(model, replace(data, concept_targets=weighted), pooled, GAMMA)
    texts = pooled["food"]
    standardised = ((texts.double() - texts.double().mean(0)) / texts.double().std(0)).numpy()
    # scikit-learn adds weighted losses up; ours are averaged by their weight, so the penalty is per text.
    strength = INVERSE_STRENGTH * len(data) / by_text.sum()
    expected = LogisticRegression(C=strength, tol=1e-10, max_iter=5000)
    expected.fit(standardised, gold["food"].numpy(), sample_weight=by_text)
    ours = torch.softmax(model.concept_heads.head("food")(texts).detach(), -1).double().numpy()
    np.testing.assert_allclose(ours, expected.predict_proba(standardised), atol=1e-3)
    unweighted = LogisticRegression(C=INVERSE_STRENGTH, tol=1e-10, max_iter=5000).fit(
        standardised, gold["food"].numpy()
    )
    assert np.abs(ours - unweighted.predict_proba(standardised)).max() > 0.02
