"""The absolute bound of a score gate: a number, or what always answering the commonest state would score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsecbm.base.metrics import MISSING
from sparsecbm.base.params.promote import ScoreGate
from sparsecbm.evaluate.variables import VariablePredictions
from sparsecbm.promote.version_scores import SMALLER_IS_BETTER


@dataclass(frozen=True)
class Bound:
    """A bound on one figure.

    Attributes:
        wanted: what the gate asks for, in words
        kept: whether a score keeps it
        fault: how a score that does not is called, such as "below 0.4"
    """

    wanted: str
    kept: bool
    fault: str


def check_bound(gate: ScoreGate, score: float, variables: Sequence[VariablePredictions]) -> Bound:
    """Compare a score with the bound of its gate.

    Args:
        variables: those that the score is the average of
    """
    if gate.bound == "majority":
        bound = float(np.mean([_commonest_share(variable.gold) for variable in variables]))
        fault = f"not above {bound:.3f}, the accuracy of always answering this split's commonest state"
        return Bound(f"above {bound:.3f} (commonest state)", score > bound, fault)
    if gate.of.rpartition(".")[2] in SMALLER_IS_BETTER:
        return Bound(f"at most {gate.bound:g}", score <= gate.bound, f"above {gate.bound:g}")
    return Bound(f"at least {gate.bound:g}", score >= gate.bound, f"below {gate.bound:g}")


def _commonest_share(gold: np.ndarray) -> float:
    """The share of the commonest state among the texts that have one."""
    counts = np.bincount(gold[gold != MISSING])
    return counts.max() / counts.sum()
