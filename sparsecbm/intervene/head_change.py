"""Head change: the smallest change of a concept head that gives texts a state. A measured alternative to a patch.

The head predicts `logits = W x`, with the pooled text x and a 1 for the bias, [hidden + 1]. A change D of W,
[states, hidden + 1], must give every text i the target state t by the margin m. Among all such changes it minimises

    rho |D|^2 + strength * sum_r a_r (q_r . D x_r)^2     subject to   (e_t - e_s) . (W + D) x_i >= m,   s != t.

The sum is the penalty of a patch (`patches/protection.py`): `q_r . D x_r` is the movement of the log-odds of protected
text r to first order, and q_r the gradient of the log-odds by the logits. rho makes both terms comparable: it is the
mean square that a random D of length 1 would move the protected texts by.

With `M = rho I + strength * sum_r a_r v_r v_r'`, v_r = q_r x_r' as one vector, and its Cholesky factor `M = L L'`, the
vector z = L' D is the shortest one that satisfies `B z >= h`, which is least-distance programming. The nonnegative
least squares `min_u |[B' ; h'] u - [0 ; 1]|` with the residual r give `z = -r[:-1] / r[-1]` (Lawson and Hanson, Solving
Least Squares Problems, 1974, chapter 23). The solution is exact and always exists: a large enough bias of t is one.

The pooled texts do not depend on the head, so predictions with the change need no pass through the backbone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import solve_triangular
from scipy.optimize import nnls

from sparsecbm.base.errors import InterventionError
from sparsecbm.intervene.patches.bits import mask_checksum
from sparsecbm.intervene.patches.factors import log_odds
from sparsecbm.intervene.patches.options import PROTECTION_STRENGTH
from sparsecbm.intervene.patches.protection import Protection
from sparsecbm.intervene.reference import predict_concept_logits
from sparsecbm.model.cbm import ConceptBottleneck


@dataclass(frozen=True, eq=False)
class HeadChange:
    """What is added to the head of one concept.

    Attributes:
        weight: D without its last column, [states, hidden]
        bias: the last column of D, [states]
        relative_size: |D| / |W|
    """

    concept: str
    state: str
    weight: np.ndarray
    bias: np.ndarray
    relative_size: float

    def changed_logits(self, logits: np.ndarray, pooled: np.ndarray) -> np.ndarray:
        """The logits of the concept with the change.

        Args:
            logits: without it, [texts, states]
            pooled: [texts, hidden], as the concept's subnetwork pools them
        """
        changed: np.ndarray = (logits + pooled @ self.weight.T + self.bias).astype(logits.dtype)
        return changed


def find_head_change(
    model: ConceptBottleneck,
    texts: Sequence[str],
    concept: str,
    state: str,
    margin: float,
    protection: Protection | None = None,
) -> HeadChange:
    """Find the smallest change of a concept's head that makes the model predict a state for texts; nothing is changed.

    Args:
        margin: how far the logit of the state must exceed the others, in every text
        protection: correct predictions that should move little; without it, |D| alone is as small as possible

    Raises:
        InterventionError: no texts, or a protection of another concept or mask.
        ConfigError: an unknown state.
    """
    target = model.concept_set[concept].index(state)
    if not texts:
        raise InterventionError("no text was given to change a head for")
    if protection is not None and (
        protection.concept != concept or protection.mask != mask_checksum(model.masks[concept])
    ):
        raise InterventionError(f"the protection belongs to another concept or mask; compute it again for {concept!r}")
    logits, pooled = predict_concept_logits(model, concept, list(dict.fromkeys(texts)))
    contrasts = np.delete(np.eye(logits.shape[1])[target] - np.eye(logits.shape[1]), target, axis=0)
    rows = _outer(np.repeat(contrasts[None], len(pooled), 0), _with_bias(pooled)[:, None])
    needed = margin - logits.astype(float) @ contrasts.T
    change = _smallest_change(rows.reshape(-1, rows.shape[-1]), needed.ravel(), _protected_moves(protection))
    parts = change.reshape(logits.shape[1], -1)
    head = model.concept_heads.head(concept)
    size = float(torch.cat([head.weight, head.bias[:, None]], dim=1).detach().norm())
    return HeadChange(concept, state, parts[:, :-1], parts[:, -1], float(np.linalg.norm(change)) / size)


def _smallest_change(rows: np.ndarray, needed: np.ndarray, moves: np.ndarray | None) -> np.ndarray:
    """Minimise `rho |D|^2 + strength |moves D|^2` subject to `rows D >= needed`.

    Args:
        rows: [constraints, weights]
        needed: [constraints]
        moves: sqrt(a_r) v_r, [protected texts, weights]
    """
    if moves is None:
        return _shortest(rows, needed)
    gram = PROTECTION_STRENGTH * moves.T @ moves
    gram[np.diag_indices_from(gram)] += (moves**2).sum() / moves.shape[1]
    factor = np.linalg.cholesky(gram)
    shortest = _shortest(solve_triangular(factor, rows.T, lower=True).T, needed)
    change: np.ndarray = solve_triangular(factor, shortest, lower=True, trans="T")
    return change


def _shortest(rows: np.ndarray, needed: np.ndarray) -> np.ndarray:
    """The shortest z that satisfies `rows z >= needed`; it is a combination of the rows."""
    basis, triangle = np.linalg.qr(rows.T)
    stacked = np.vstack([triangle, needed])
    wanted = np.append(np.zeros(len(triangle)), 1.0)
    multipliers, _ = nnls(stacked, wanted)
    residual = stacked @ multipliers - wanted
    shortest: np.ndarray = basis @ (residual[:-1] / -residual[-1])
    return shortest


def _protected_moves(protection: Protection | None) -> np.ndarray | None:
    """sqrt(a_r) v_r of each protected text, [texts, states * (hidden + 1)]."""
    if protection is None:
        return None
    logits = protection.logits.detach().clone().requires_grad_()
    with torch.enable_grad():
        (slopes,) = torch.autograd.grad(log_odds(logits, protection.gold).sum(), logits)
    weights = protection.weights.double().sqrt().numpy()[:, None]
    return _outer(weights * slopes.numpy(), _with_bias(protection.pooled.numpy()))


def _with_bias(pooled: np.ndarray) -> np.ndarray:
    return np.pad(pooled.astype(float), ((0, 0), (0, 1)), constant_values=1.0)


def _outer(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The products of two vectors as one, [..., states] and [..., hidden] -> [..., states * hidden]."""
    products = left[..., :, None] * right[..., None, :]
    return products.reshape(*products.shape[:-2], -1)
