"""Forms of learnt scores: values by hand, gradients equal to autograd's, and what bad ranks get."""

import pytest
import torch

from sparsecbm.base.errors import ConfigError
from sparsecbm.pruning.score_forms import BLOCK, BlockScores, FullScores, LowRankScores, start_scores
from tests.support.prune_settings import pruning

SALIENCY = torch.tensor([[0.3, -2.0, 7.0], [5.0, 0.0, 1.0]])  # ranks 2, 0, 5; 4, 1, 3
RANKS = torch.tensor([[2.0, 0, 5], [4, 1, 3]]) / 5  # 255 divides by 5, so a byte holds them exactly


@pytest.mark.parametrize("form", [FullScores(SALIENCY), LowRankScores(SALIENCY, 2, seed=0), BlockScores(SALIENCY)])
def test_scores_start_from_the_ranks_of_the_saliency(form):
    torch.testing.assert_close(form.values(), RANKS)


def test_values_of_low_rank_scores_by_hand():
    form = LowRankScores(SALIENCY, 1, seed=0)
    with torch.no_grad():
        form.parameters["left"].copy_(torch.tensor([[1.0], [2.0]]))
        form.parameters["right"].copy_(torch.tensor([[10.0, 20.0, 30.0]]))
        form.parameters["row"].copy_(torch.tensor([[100.0], [200.0]]))
        form.parameters["column"].copy_(torch.tensor([[1000.0, 2000.0, 3000.0]]))
    torch.testing.assert_close(form.values() - RANKS, torch.tensor([[1110.0, 2120, 3130], [1220, 2240, 3260]]))


def test_gradients_of_low_rank_scores_are_those_of_autograd():
    torch.manual_seed(0)
    change, saliency = torch.randn(6, 4), torch.randn(6, 4)
    form = LowRankScores(saliency, 3, seed=1)
    with torch.no_grad():
        for parameter in form.parameters.values():
            parameter.add_(torch.randn_like(parameter))
    leaves = {name: value.detach().clone().requires_grad_() for name, value in form.parameters.items()}
    ((leaves["left"] @ leaves["right"] + leaves["row"] + leaves["column"]) * change).sum().backward()
    form.add_gradient(change)
    for name, leaf in leaves.items():
        torch.testing.assert_close(form.parameters[name].grad, leaf.grad)
    form.add_gradient(change)  # of the next accumulated batch
    for name, leaf in leaves.items():
        torch.testing.assert_close(form.parameters[name].grad, 2 * leaf.grad)


def test_a_square_of_weights_has_one_change_also_at_the_edge():
    rows, columns = BLOCK + 3, 2 * BLOCK + 1
    form = BlockScores(torch.zeros(rows, columns))
    start = form.values()
    assert form.parameters["block"].shape == (2, 3)
    with torch.no_grad():
        form.parameters["block"].copy_(torch.tensor([[1.0, 2, 3], [4, 5, 6]]))
    changes = form.values() - start
    for row, column, expected in [(0, 0, 1), (31, 63, 2), (5, 64, 3), (32, 31, 4), (34, 32, 5), (34, 64, 6)]:
        assert changes[row, column].item() == pytest.approx(expected)
    form.add_gradient(torch.ones(rows, columns))
    expected = torch.tensor([[BLOCK * BLOCK, BLOCK * BLOCK, BLOCK], [3 * BLOCK, 3 * BLOCK, 3]])
    assert torch.equal(form.parameters["block"].grad, expected.float())


def test_what_is_learnt_and_kept_is_far_smaller_than_full_scores():
    saliency = torch.rand(384, 1536)
    learnt = {
        name: sum(value.numel() for value in start_scores(saliency, pruning(scores=name), 0).parameters.values())
        for name in ("full", "low_rank", "blocks")
    }
    assert learnt == {"full": 384 * 1536, "low_rank": (8 + 1) * (384 + 1536), "blocks": 12 * 48}


def test_a_rank_above_the_width_of_a_layer_is_refused():
    with pytest.raises(
        ConfigError, match=r"prune.score_rank: 3 is larger than a layer of 2 x 3 weights allows; .* is 2"
    ):
        start_scores(SALIENCY, pruning(scores="low_rank", score_rank=3), 0)


def test_the_random_start_is_repeated_by_its_seed():
    lefts = [LowRankScores(SALIENCY, 2, seed).parameters["left"] for seed in (5, 5, 6)]
    assert torch.equal(lefts[0], lefts[1]) and not torch.equal(lefts[0], lefts[2])
