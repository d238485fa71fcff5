"""Forms of learnt scores: what is learnt for the weights of one layer and one concept, and how much memory it takes.

A score says how much a concept needs a weight. Every form gives a score for each weight of the layer, and learns from
the same gradient of the loss by the scores, G [rows, columns]. The forms differ in what they may change:

    full      every score by itself
    low_rank  S = S_0 + A B + r 1^T + 1 c^T, with A [rows, rank], B [rank, columns]      (Li et al., arXiv 2205.11005)
    blocks    one number for each square of 32 x 32 weights, added to S_0

The last two keep the start S_0 in one byte for each weight, without a gradient and moments of AdamW. So they take 1
byte for each weight and concept, where full scores take 16.
"""

from typing import Protocol

import torch
from torch import Tensor, nn

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.params import Prune
from sparsecbm.pruning.contrast import rank_scores

BLOCK = 32  # rows and columns of a square
LEVELS = 255  # of a start in one byte


class LayerScores(Protocol):
    """The scores of one layer for one concept."""

    parameters: dict[str, nn.Parameter]  # what is learnt, by name

    def values(self) -> Tensor:
        """The score of each weight, in the weight's shape."""

    def add_gradient(self, change: Tensor) -> None:
        """Add the gradients of what is learnt, given the gradient of the loss by the scores, in the weight's shape."""


class FullScores:
    """A score for every weight. They start from the ranks of a saliency, from 0 to 1."""

    def __init__(self, saliency: Tensor):
        self._scores = nn.Parameter(rank_scores(saliency))
        self.parameters = {"score": self._scores}

    def values(self) -> Tensor:
        """The scores themselves."""
        return self._scores.detach()

    def add_gradient(self, change: Tensor) -> None:
        """Add the gradient itself."""
        _add(self._scores, change)


class LowRankScores:
    """A start that stays, and a learnt change of low rank with a term for each row and each column.

    A starts at random and B at 0, so that the scores start from the ranks, and both learn.

    Raises:
        ConfigError: the rank is larger than the layer's width.
    """

    def __init__(self, saliency: Tensor, rank: int, seed: int):
        rows, columns = saliency.shape
        if rank > min(rows, columns):
            raise ConfigError(
                f"prune.score_rank: {rank} is larger than a layer of {rows} x {columns} weights allows; "
                f"the largest rank is {min(rows, columns)}"
            )
        self._start = _ranks_in_bytes(saliency)
        left = torch.randn(rows, rank, generator=torch.Generator().manual_seed(seed)) / rank**0.5
        zeros = {"right": (rank, columns), "row": (rows, 1), "column": (1, columns)}
        self.parameters = {"left": nn.Parameter(left.to(saliency.device))} | {
            name: nn.Parameter(torch.zeros(shape, device=saliency.device)) for name, shape in zeros.items()
        }

    def values(self) -> Tensor:
        """S_0 + A B + r 1^T + 1 c^T."""
        left, right, row, column = (self.parameters[name].detach() for name in ("left", "right", "row", "column"))
        return (self._start.float() / LEVELS).addmm_(left, right).add_(row).add_(column)

    def add_gradient(self, change: Tensor) -> None:
        """dL/dA = G B^T, dL/dB = A^T G; rows and columns get the sums of G."""
        left, right = self.parameters["left"], self.parameters["right"]
        gradients = {
            "left": change @ right.detach().T,
            "right": left.detach().T @ change,
            "row": change.sum(1, keepdim=True),
            "column": change.sum(0, keepdim=True),
        }
        for name, gradient in gradients.items():
            _add(self.parameters[name], gradient)


class BlockScores:
    """A start that stays, and one learnt change for each square of 32 x 32 weights; squares at the edge are smaller."""

    def __init__(self, saliency: Tensor):
        self._start = _ranks_in_bytes(saliency)
        squares = [-(-size // BLOCK) for size in saliency.shape]
        self._changes = nn.Parameter(torch.zeros(squares, device=saliency.device))
        self.parameters = {"block": self._changes}

    def values(self) -> Tensor:
        """The start and the change of each weight's square."""
        rows, columns = self._start.shape
        spread = self._changes.detach().repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
        return (self._start.float() / LEVELS).add_(spread[:rows, :columns])

    def add_gradient(self, change: Tensor) -> None:
        """Add the sum of G over each square."""
        rows, columns = self._changes.shape
        whole = change.new_zeros(rows * BLOCK, columns * BLOCK)
        whole[: change.shape[0], : change.shape[1]] = change
        _add(self._changes, whole.view(rows, BLOCK, columns, BLOCK).sum((1, 3)))


def start_scores(saliency: Tensor, params: Prune, seed: int) -> LayerScores:
    """Scores of the configured form that start from the ranks of a saliency.

    Args:
        saliency: [rows, columns], the larger the more a weight is needed
        seed: of the random start of low-rank scores

    Raises:
        ConfigError: the rank is larger than the layer's width.
    """
    if params.scores == "low_rank":
        return LowRankScores(saliency, params.score_rank, seed)
    return BlockScores(saliency) if params.scores == "blocks" else FullScores(saliency)


def _ranks_in_bytes(saliency: Tensor) -> Tensor:
    """Ranks from 0 to 255, in whole numbers."""
    return (rank_scores(saliency) * LEVELS).round_().to(torch.uint8)


def _add(parameter: nn.Parameter, gradient: Tensor) -> None:
    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
