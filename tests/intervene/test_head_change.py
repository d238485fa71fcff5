"""The smallest change of a head, compared with a closed form and with a general solver."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from sparsecbm.base.errors import ConfigError, InterventionError
from sparsecbm.intervene.head_change import find_head_change
from sparsecbm.intervene.patches.factors import log_odds
from sparsecbm.intervene.patches.options import PROTECTION_STRENGTH
from sparsecbm.intervene.patches.protection import protect
from sparsecbm.intervene.patches.side_effects import measure_changed_logits
from sparsecbm.intervene.reference import predict_concept_logits, predict_reference
from sparsecbm.model.checksums import model_checksum
from tests.support.patches import other_food_state
from tests.support.tiny_tables import annotated

TEXTS = ["the food was bad the place was loud and slow quick", "the food was good the place was quiet"]
MARGIN = 0.3


@pytest.fixture
def reference(lively):
    return predict_reference(lively, annotated(30, seed=5))


def margins(logits, target):
    others = np.delete(logits, target, axis=1)
    return logits[:, target] - others.max(1)


def flat(change):
    return np.concatenate([change.weight, change.bias[:, None]], axis=1).ravel()


def with_bias(pooled):
    return np.concatenate([pooled, np.ones((len(pooled), 1))], axis=1).astype(float)


def test_the_change_of_one_text_and_two_states_is_the_closed_form(lively):
    """Least norm: D = h u x' / (|u|^2 |x|^2), with u = e_t - e_s and h what the margin lacks."""
    logits, pooled = predict_concept_logits(lively, "noise", TEXTS[:1])
    target = int(logits[0].argmin())
    change = find_head_change(lively, TEXTS[:1], "noise", ("loud", "quiet")[target], MARGIN)
    (x,), u = with_bias(pooled), np.where(np.arange(2) == target, 1.0, -1.0)
    lacking = MARGIN - float(u @ logits[0])
    assert flat(change) == pytest.approx((lacking / (2 * x @ x)) * np.outer(u, x).ravel(), abs=1e-7)
    assert margins(change.changed_logits(logits, pooled), target) == pytest.approx([MARGIN], abs=1e-5)


@pytest.mark.parametrize("protected", [False, True])
def test_the_change_is_the_one_that_a_general_solver_finds(lively, reference, protected):
    protection = protect(lively, reference, "food", texts=12) if protected else None
    state = other_food_state(lively, TEXTS[0])
    target = lively.concept_set["food"].index(state)
    logits, pooled = predict_concept_logits(lively, "food", TEXTS)
    x, shape = with_bias(pooled), (3, pooled.shape[1] + 1)
    quadratic = np.eye(shape[0] * shape[1])
    if protected:
        odds = []  # the gradient of the log-odds by the logits: 1 for the gold state, less the softmax of the others
        for row, gold in zip(protection.logits.numpy().astype(float), protection.gold.tolist(), strict=True):
            others = np.where(np.arange(3) == gold, 0, np.exp(row))
            odds.append(np.eye(3)[gold] - others / others.sum())
        moves = np.einsum("rs,rh->rsh", odds, with_bias(protection.pooled.numpy())).reshape(len(odds), -1)
        penalty = moves.T @ np.diag(protection.weights.numpy()) @ moves
        quadratic = np.trace(penalty) / len(penalty) * quadratic + PROTECTION_STRENGTH * penalty

    def missing(flat_change):
        after = logits + x @ flat_change.reshape(shape).T
        return (after[:, [target]] - np.delete(after, target, axis=1) - MARGIN).ravel()

    scale = np.trace(quadratic) / len(quadratic)
    solved = minimize(
        lambda d: d @ quadratic @ d / scale, np.zeros(len(quadratic)), jac=lambda d: 2 * quadratic @ d / scale,
        constraints={"type": "ineq", "fun": missing}, method="SLSQP", options={"ftol": 1e-14, "maxiter": 2000},
    )  # fmt: skip
    change = find_head_change(lively, TEXTS, "food", state, MARGIN, protection)
    cost = flat(change) @ quadratic @ flat(change) / scale
    assert solved.success and missing(flat(change)).min() > -1e-6
    assert cost == pytest.approx(solved.fun, rel=1e-4) and cost > 0
    assert missing(0.99 * flat(change)).min() < -1e-4  # a smaller one does not suffice


def test_protected_texts_move_less_than_without_protection(lively, reference):
    protection = protect(lively, reference, "food", texts=12)
    state = other_food_state(lively, TEXTS[0])
    loose, tight = (find_head_change(lively, TEXTS[:1], "food", state, MARGIN, each) for each in (None, protection))
    moved = []
    for change in (loose, tight):
        after = change.changed_logits(protection.logits.numpy(), protection.pooled.numpy())
        movement = log_odds(torch.from_numpy(after), protection.gold) - protection.gold_log_odds
        moved.append(float((protection.weights * movement**2).sum().sqrt()))
    assert moved[1] < 0.2 * moved[0]
    assert np.linalg.norm(flat(tight)) > np.linalg.norm(flat(loose))


def test_the_logits_are_those_of_a_model_with_that_head_and_the_given_model_stays(lively, reference):
    checksum, state = model_checksum(lively), other_food_state(lively, TEXTS[0])
    change = find_head_change(lively, TEXTS, "food", state, MARGIN)
    told = change.changed_logits(reference.logits["food"], reference.pooled["food"])
    effects = measure_changed_logits(lively, "food", told, reference)
    assert model_checksum(lively) == checksum
    head = lively.concept_heads.head("food")
    size = float(torch.cat([head.weight, head.bias[:, None]], dim=1).detach().norm())
    assert change.relative_size == pytest.approx(float(np.linalg.norm(flat(change))) / size)
    with torch.no_grad():
        head.weight += torch.from_numpy(change.weight)
        head.bias += torch.from_numpy(change.bias)
    after, _ = predict_concept_logits(lively, "food", reference.texts.tolist())
    assert told == pytest.approx(after, abs=1e-5)
    right, right_after = reference.correct("food"), after.argmax(1) == reference.gold["food"]
    assert effects.harmed.count == (right & ~right_after).sum() > 0
    assert effects.fixed.count == (~right & right_after).sum()
    assert (effects.bits, effects.share, effects.texts) == (0, 0.0, len(reference))
    assert {each.concepts["food"].state for each in lively.predict(TEXTS)} == {state}


def test_nothing_changes_if_the_texts_have_the_state_already(lively):
    (read,) = lively.predict(TEXTS[:1])
    change = find_head_change(lively, TEXTS[:1], "food", read.concepts["food"].state, -100.0)
    assert not flat(change).any() and change.relative_size == 0


def test_what_does_not_fit_is_refused(lively, reference):
    noise = protect(lively, reference, "noise", texts=3)
    with pytest.raises(InterventionError, match="another concept or mask"):
        find_head_change(lively, TEXTS, "food", "unknown", MARGIN, noise)
    with pytest.raises(InterventionError, match="no text"):
        find_head_change(lively, [], "food", "unknown", MARGIN)
    with pytest.raises(ConfigError, match="Negative"):
        find_head_change(lively, TEXTS, "food", "Superb", MARGIN)
