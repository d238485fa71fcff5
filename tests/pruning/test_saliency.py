"""Every saliency by hand through one interface, and the case in which oBERT ranks like magnitude."""

import math
import warnings

import pytest
import torch

from sparsecbm.base.errors import ConfigError, DegenerateSaliencyWarning, PruningError
from sparsecbm.pruning import degeneracy
from sparsecbm.pruning.degeneracy import magnitude_correlation, warn_if_magnitude
from sparsecbm.pruning.saliency import SALIENCIES, SaliencySettings, get_saliency

WHERE = "layer 0, concept food"
# Two gradients of three weights.
WEIGHTS = torch.tensor([3.0, -2.0, 1.0])
GRADIENTS = torch.tensor([[1.0, 2.0, 0.0], [1.0, 0.0, -2.0]])


def scores(name, weights=WEIGHTS, gradients=GRADIENTS, where=WHERE, **settings):
    return get_saliency(name).score(weights, gradients, SaliencySettings(**settings), where)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_magnitude_by_hand():
    assert scores("magnitude", gradients=None).tolist() == [3, 2, 1]


def test_activation_norm_by_hand():
    assert scores("activation_norm", gradients=torch.tensor([[1.0, 2.0, 5.0]])).tolist() == [3, 4, 5]


def test_movement_by_hand():
    # The gradients add up to (2, 2, -2). Descent shrinks 3 and moves -2 and 1 away from zero.
    assert scores("movement").tolist() == [-6, 4, 2]


def test_fisher_diagonal_by_hand():
    # Mean squares (1, 2, 2) and a damping of .5 times w^2 / 2 = (4.5, 2, .5).
    assert scores("fisher_diagonal", damping=0.5).tolist() == pytest.approx([4.5 * 1.5, 2 * 2.5, 0.5 * 2.5])


def test_obert_by_hand():
    # Weights 0 and 1 share a block: F = I + [[1, 1], [1, 2]] = [[2, 1], [1, 3]] and diag(F^-1) = (3/5, 2/5).
    # Weight 2 is alone with F = 1 + 2. rho = w^2 / (2 [F^-1]_jj).
    expected = [4.5 * 5 / 3, 2 * 5 / 2, 0.5 * 3]
    assert scores("obert", block=2, damping=1.0).tolist() == pytest.approx(expected)


def test_fisher_diagonal_is_obert_with_blocks_of_one():
    weights, gradients = normal(200), normal(7, 200, seed=1)
    one = scores("obert", weights, gradients, block=1, damping=1e-4)
    torch.testing.assert_close(scores("fisher_diagonal", weights, gradients, damping=1e-4), one, rtol=1e-5, atol=0)
    # Control: blocks of two give other scores.
    assert not torch.allclose(scores("obert", weights, gradients, block=2, damping=1e-4), one, rtol=1e-2)


def test_obert_predicts_the_rise_of_a_quadratic_loss():
    """The oracle sets w_j to zero and moves the rest of the block to the lowest loss."""
    weights, gradients, damping = normal(5).double(), normal(9, 5, seed=1).double(), 0.1
    hessian = damping * torch.eye(5, dtype=torch.float64) + gradients.T @ gradients / 9
    rises = []
    for j in range(5):
        rest = [i for i in range(5) if i != j]
        # Minimise e^T H e / 2 with e_j = -w_j.
        e = torch.zeros(5, dtype=torch.float64)
        e[j] = -weights[j]
        e[rest] = torch.linalg.solve(hessian[rest][:, rest], -hessian[rest][:, j] * e[j])
        rises.append(float(e @ hessian @ e / 2))
    assert scores("obert", weights, gradients, block=5, damping=damping).tolist() == pytest.approx(rises, rel=1e-5)


def test_random_scores_depend_on_seed_and_layer():
    weights = torch.zeros(1000)
    first = scores("random", weights, None)
    assert torch.equal(scores("random", weights, None), first)
    assert first.sort().values.tolist() == pytest.approx(torch.linspace(0, 1, 1000).tolist(), abs=0.06)  # uniform
    for other in (
        scores("random", weights, None, seed=1),
        scores("random", weights, None, where="layer 0, concept noise"),
    ):
        assert abs(float(torch.corrcoef(torch.stack([first, other]))[0, 1])) < 0.15
    before = torch.random.get_rng_state()
    scores("random", weights, None)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_all_saliencies_have_the_same_interface():
    weights, gradients = normal(50), normal(3, 50, seed=1)
    before = weights.clone(), gradients.clone()
    assert set(SALIENCIES) == {"obert", "fisher_diagonal", "activation_norm", "magnitude", "movement", "random"}
    assert {name for name in SALIENCIES if SALIENCIES[name].needs_gradients} == {"obert", "fisher_diagonal", "movement"}
    for name in SALIENCIES:
        argument = gradients if get_saliency(name).needs_gradients else None
        argument = gradients[:1] if get_saliency(name).needs_activations else argument
        values = get_saliency(name).score(weights, argument, SaliencySettings(), WHERE)
        assert values.shape == (50,) and values.dtype == torch.float32, name
    assert torch.equal(weights, before[0]) and torch.equal(gradients, before[1])


def test_an_unknown_saliency_raises_an_error():
    with pytest.raises(ConfigError, match=r"unknown saliency 'obrt'. Did you mean 'obert'\? Choices: obert, fisher_"):
        get_saliency("obrt")


@pytest.mark.parametrize("name", ["obert", "fisher_diagonal", "movement"])
def test_the_error_for_invalid_gradients_names_layer_and_concept(name):
    with pytest.raises(PruningError, match="layer 0, concept food: this saliency needs gradients"):
        scores(name, gradients=None)
    with pytest.raises(PruningError, match="layer 0, concept food: gradients hold NaN"):
        scores(name, gradients=torch.tensor([[1.0, float("nan"), 0.0]]))
    with pytest.raises(PruningError, match="layer 0, concept food: all gradients are zero"):
        scores(name, gradients=torch.zeros(2, 3))
    with pytest.raises(PruningError, match=r"layer 0, concept food: weights \[3\] and gradients \[2, 4\] do not fit"):
        scores(name, gradients=torch.ones(2, 4))


def test_rank_correlation_by_hand():
    # |w| has ranks 1, 2, 3, 4; scores have 2, 1, 4, 3: 1 - 6 * 4 / (4 * 15) = .6
    weights = torch.tensor([[1.0, -2.0], [3.0, -4.0]])
    assert magnitude_correlation(torch.tensor([[20.0, 10.0], [40.0, 30.0]]), weights) == pytest.approx(0.6)
    # Any rising function of |w| gives 1; equal values share a rank: (1.5, 1.5, 3) with (1, 2, 3) gives sqrt(3) / 2.
    assert magnitude_correlation(weights**2 / 7, weights) == pytest.approx(1)
    assert magnitude_correlation(torch.tensor([5.0, 5, 9]), torch.tensor([1.0, 2, 3])) == pytest.approx(3**0.5 / 2)


def test_rank_correlation_of_the_weights_in_use():
    weights, values = torch.tensor([1.0, 2, 3, 4, 5]), torch.tensor([1.0, 2, 3, 0, -1])
    assert magnitude_correlation(values, weights, torch.tensor([True, True, True, False, False])) == pytest.approx(1)
    # Ranks 3, 4, 5, 2, 1 against 1 to 5: 1 - 6 * (4 + 4 + 4 + 4 + 16) / (5 * 24) = -.6
    assert magnitude_correlation(values, weights) == pytest.approx(-0.6)
    # Ranks are undefined for one weight, for none, and for equal scores.
    for mask in ([True, False, False, False, False], [False] * 5):
        assert math.isnan(magnitude_correlation(values, weights, torch.tensor(mask)))
    assert math.isnan(magnitude_correlation(torch.ones(5), weights))
    with pytest.raises(PruningError, match=r"scores \[4\] and weights \[5\] do not fit"):
        magnitude_correlation(values[:4], weights)


def test_rank_correlation_of_a_sample(monkeypatch):
    # Every 20th score has the opposite sign. A sample in steps of 20 weights would contain all of these or none.
    weights = normal(20_000)
    values = weights.abs()
    values[::20] *= -1
    full = magnitude_correlation(values, weights)
    monkeypatch.setattr(degeneracy, "SAMPLE", 1000)
    sampled = magnitude_correlation(values, weights)
    assert sampled == magnitude_correlation(values, weights)
    assert 0 < abs(sampled - full) < 0.05


@pytest.mark.parametrize("name", ["obert", "fisher_diagonal"])
def test_a_large_damping_gives_a_warning(name):
    # Gradients are near 0.001 and differ in size between weights, as in models.
    weights = normal(2000)
    gradients = normal(16, 2000, seed=1) * 1e-3 * normal(2000, seed=2).exp()
    damped = magnitude_correlation(scores(name, weights, gradients, damping=1.0), weights)
    with pytest.warns(DegenerateSaliencyWarning, match=r"layer 0, concept food: .*lower prune.damping"):
        warn_if_magnitude(damped, WHERE)
    # With a damping below the squares of the gradients, the gradients matter.
    undamped = magnitude_correlation(scores(name, weights, gradients, damping=1e-10), weights)
    assert undamped < 0.97 < 0.999 < damped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_magnitude(undamped, WHERE)
        warn_if_magnitude(float("nan"), WHERE)
