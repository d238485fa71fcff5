"""What every saliency offers."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from sparsecbm.base.errors import PruningError


@dataclass(frozen=True)
class Settings:
    """What saliencies can be told; each reads what it needs.

    Attributes:
        block: B, weights in a block of the Fisher matrix
        damping: what is added to the diagonal of the Fisher matrix
        memory_mb: working memory of the Fisher matrix, beyond gradients and scores
        seed: of random scores
    """

    block: int = 50
    damping: float = 1e-7
    memory_mb: float = 64
    seed: int = 0


@dataclass(frozen=True)
class Saliency:
    """A way to score weights.

    Attributes:
        score: (weights [n], gradients [m, n] or None, settings, where) -> scores [n], float32; larger is kept.
            `where` names the layer and the concept, in messages and to tell random scores apart.
        needs_gradients: gradients may be None where this is False
    """

    score: Callable[[Tensor, Tensor | None, Settings, str], Tensor]
    needs_gradients: bool


def check_shapes(weights: Tensor, gradients: Tensor, where: str) -> None:
    """Raises PruningError unless there is one gradient value a weight, [n] and [m, n]."""
    if weights.dim() != 1 or gradients.shape[1:] != weights.shape:
        raise PruningError(
            f"{where}: weights {list(weights.shape)} and gradients {list(gradients.shape)} do not fit; "
            "expected [n] and [m, n]"
        )
