"""Saliencies: what each weight is worth to a concept. All score weights through one interface."""

import hashlib
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sparsecbm.base.errors import ConfigError, PruningError, unknown
from sparsecbm.pruning.fisher import check_gradients, check_settings, compute_inverse_diagonal


@dataclass(frozen=True)
class SaliencySettings:
    """Settings of all saliencies; each one uses what it needs.

    Attributes:
        block: B, weights in a block of the Fisher matrix
        damping: added to the diagonal of the Fisher matrix
        memory_mb: working memory of the Fisher matrix, beyond gradients and scores
        seed: of random scores
    """

    block: int = 50
    damping: float = 1e-7
    memory_mb: float = 64
    seed: int = 0


class ScoreFunction(Protocol):
    """Scores the weights of one layer for one concept."""

    def __call__(self, weights: Tensor, gradients: Tensor | None, settings: SaliencySettings, where: str) -> Tensor:
        """Score weights; the largest scores stay.

        Args:
            weights: [n]
            gradients: [m, n], one row for each batch; None is enough for saliencies that need no gradients. One that
                needs activations gets [1, n], the norm of the input that each weight is multiplied with
            where: names the layer and the concept; it is part of messages and of the seed of random scores

        Returns:
            [n], float32

        Raises:
            ConfigError: block, damping or memory are out of range.
            PruningError: gradients are missing, not finite, all zero, too large for the damping, or do not fit.
        """


@dataclass(frozen=True)
class Saliency:
    """A way to score weights, and whether it needs gradients, or norms of activations in their place."""

    score: ScoreFunction
    needs_gradients: bool
    needs_activations: bool = False


def score_by_obert(weights: Tensor, gradients: Tensor | None, settings: SaliencySettings, where: str) -> Tensor:
    """rho_j = w_j^2 / (2 [F^-1]_jj), with a block Fisher matrix (oBERT, Kurtic et al., arXiv 2203.07259, section 3).

    It is the rise of the loss when w_j alone is dropped and the other weights of its block compensate.
    """
    gradients = _checked(weights, gradients, where)
    inverse = compute_inverse_diagonal(gradients, settings.block, settings.damping, settings.memory_mb, where)
    return weights.float().square().div_(inverse.mul_(2).float())


def score_by_fisher_diagonal(
    weights: Tensor, gradients: Tensor | None, settings: SaliencySettings, where: str
) -> Tensor:
    """rho_j = w_j^2 (damping + (1/m) sum_i g_ij^2) / 2: oBERT with blocks of one weight, where [F^-1]_jj = 1 / F_jj."""
    check_settings(1, settings.damping)
    gradients = _checked(weights, gradients, where)
    check_gradients(gradients, where)
    squares = torch.zeros_like(weights, dtype=torch.float32)
    for row in gradients:  # one row at a time: the squares of all rows would need as much memory as the gradients
        squares.addcmul_(row.float(), row.float())
    return squares.div_(len(gradients)).add_(settings.damping).mul_(weights.float().square()).div_(2)


def score_by_movement(weights: Tensor, gradients: Tensor | None, settings: SaliencySettings, where: str) -> Tensor:
    """-w_j sum_i g_ij: positive where a descent step makes |w_j| larger (Sanh et al., arXiv 2005.07683, section 4).

    These are the gradients of one moment. A caller that has several moments adds up their scores.
    """
    gradients = _checked(weights, gradients, where)
    check_gradients(gradients, where)
    return gradients.sum(0).float().mul_(weights.float()).neg_()


def score_by_magnitude(weights: Tensor, gradients: Tensor | None, settings: SaliencySettings, where: str) -> Tensor:
    """|w_j|, the same for every concept: the baseline for saliencies with gradients."""
    return weights.float().abs()


def score_by_activation_norm(
    weights: Tensor, gradients: Tensor | None, settings: SaliencySettings, where: str
) -> Tensor:
    """|w_ij| ||X_j||: the size of what a weight adds to its output (Wanda, Sun et al., arXiv 2306.11695, eq. 1)."""
    return weights.float().abs().mul_(_checked(weights, gradients, where)[0])


def score_at_random(weights: Tensor, gradients: Tensor | None, settings: SaliencySettings, where: str) -> Tensor:
    """Uniform in [0, 1): the control for every saliency. The seed, `where` and n determine the scores."""
    digest = hashlib.sha256(f"{settings.seed}/{where}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
    return torch.rand(len(weights), generator=generator).to(weights.device)


SALIENCIES = {
    "obert": Saliency(score_by_obert, needs_gradients=True),
    "fisher_diagonal": Saliency(score_by_fisher_diagonal, needs_gradients=True),
    "activation_norm": Saliency(score_by_activation_norm, needs_gradients=False, needs_activations=True),
    "magnitude": Saliency(score_by_magnitude, needs_gradients=False),
    # Not used by `prune.saliency: movement`, which learns its scores during training (see `LearntMasks`).
    "movement": Saliency(score_by_movement, needs_gradients=True),
    "random": Saliency(score_at_random, needs_gradients=False),
}


def get_saliency(name: str) -> Saliency:
    """The saliency with a name.

    Raises:
        ConfigError: the name is unknown; the message lists the choices.
    """
    if name not in SALIENCIES:
        raise ConfigError(unknown("saliency", name, SALIENCIES))
    return SALIENCIES[name]


def _checked(weights: Tensor, gradients: Tensor | None, where: str) -> Tensor:
    """The gradients, if there is one value for each weight: [m, n] for [n] weights; else raises PruningError."""
    if gradients is None:
        raise PruningError(f"{where}: this saliency needs gradients")
    if weights.dim() != 1 or gradients.shape[1:] != weights.shape:
        raise PruningError(
            f"{where}: weights {list(weights.shape)} and gradients {list(gradients.shape)} do not fit; "
            "expected [n] and [m, n]"
        )
    return gradients
