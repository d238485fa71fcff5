"""The fewest, least harmful flips that make a concept read a wanted state; weights never change.

The effects of flips are known to first order only, so the search goes in rounds: choose a few moves by the gradients
at the mask as it is now, flip, read again. The charge for moving protected readings starts high and is lowered while
the budget does not suffice, so the search ends with the most protection that reaches the state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import log2

import numpy as np
import torch

from sparsecbm.base.errors import ConfigError, InterventionError, unknown
from sparsecbm.intervene.patches.bits import Positions, concept_index, masked_layers, toggled
from sparsecbm.intervene.patches.factors import Factors, compute_factors
from sparsecbm.intervene.patches.moves import choose_moves, moved_by
from sparsecbm.intervene.patches.pool import SCOPES, Pool, make_pool
from sparsecbm.intervene.patches.protection import Protection
from sparsecbm.model.cbm import ConceptBottleneck

POOL = 4000  # bits of each kind that are looked at
PROTECTION_STRENGTH = 256.0  # strength of the charge to start from; it falls by 2 to the least
LEAST_STRENGTH = 0.25
MOVES = 8  # a round, two bits each
ROUNDS = 10  # a strength


@dataclass(frozen=True)
class Aim:
    """What the flips are to reach, and with what.

    Attributes:
        budget: bits that may be flipped, dropped and grown ones together
        margin: by how much the logit of the wanted state must exceed all others
        share: of the texts for which it must
        layers: shell patterns over the names of masked layers whose bits may be flipped
        scope: `global`, as many bits are dropped as grown in all layers together, or `layer`, in each of them
        caution: strength of the charge for moving protected readings to start from; more costs bits and time
    """

    budget: int
    margin: float = 0.05
    share: float = 1.0
    layers: tuple[str, ...] = ("*",)
    scope: str = "global"
    protection_strength: float = PROTECTION_STRENGTH

    @property
    def strengths(self) -> list[float]:
        """Of the charge, from most to least protection."""
        steps = round(max(0.0, log2(self.protection_strength / LEAST_STRENGTH)))
        return [self.protection_strength / 2**step for step in range(steps + 1)]

    def __post_init__(self) -> None:
        if self.protection_strength <= 0:
            raise ConfigError(f"caution is above 0, not {self.caution}; without protection leave the protection out")
        if self.budget < 2:
            raise InterventionError(
                f"a budget of {self.budget} bits allows no patch: it takes one bit dropped and one grown at least"
            )
        if not 0 < self.share <= 1:
            raise ConfigError(f"the share of texts to reach is in (0, 1], not {self.share}")
        if self.scope not in SCOPES:
            raise ConfigError(unknown("scope", self.scope, SCOPES))


@dataclass(frozen=True, eq=False)
class Found:
    """Where a search ended.

    Attributes:
        reached: whether the wanted state wins by the margin in the wanted share of texts
        dropped, grown: flipped bits by layer
        before, after: logits of the texts, [texts, states]
        margins_before, margins: wanted logit less the largest other, of each text, [texts]
        strength: of the charge for moving protected readings under which the search ended
        rounds: forward and backward passes that it took
    """

    reached: bool
    dropped: dict[str, tuple[int, ...]]
    grown: dict[str, tuple[int, ...]]
    before: np.ndarray
    after: np.ndarray
    margins_before: np.ndarray
    margins: np.ndarray
    strength: float
    rounds: int

    @property
    def flipped(self) -> dict[str, tuple[int, ...]]:
        """All flipped bits by layer."""
        layers = sorted(self.dropped.keys() | self.grown.keys())
        return {layer: (*self.dropped.get(layer, ()), *self.grown.get(layer, ())) for layer in layers}

    @property
    def bits(self) -> int:
        """How many bits are flipped."""
        return sum(len(positions) for positions in self.flipped.values())


@dataclass(frozen=True, eq=False)
class _Read:
    """The texts as read under some flips; each counts by 1 - p of its wanted state, as in cross-entropy."""

    logits: torch.Tensor
    factors: dict[str, Factors]
    margins: np.ndarray
    weights: torch.Tensor

    def reaches(self, aim: Aim) -> bool:
        return bool((self.margins >= aim.margin).mean() >= aim.share)


def search(
    model: ConceptBottleneck,
    concept: str,
    texts: Sequence[str],
    states: Sequence[int],
    aim: Aim,
    protection: Protection | None = None,
    flipped_positions: Positions | None = None,
) -> Found:
    """Look for flips; the model's mask is as it was afterwards.

    Args:
        texts: few; they are read in one batch
        states: index of the state that each is to be read as, [texts]
        protection: right readings to be left alone
        untouchable: bits that stay as they are

    Raises:
        ConfigError: a layer pattern matches no masked layer.
        InterventionError: the concept is unknown, or the model has no masks.
    """
    layers = chosen_layers(model, aim.layers)
    reader = _Reader(model, concept, list(texts), torch.as_tensor(states))
    start = now = reader.read({})
    taken = flipped_positions or {}
    pool = make_pool(model, concept, start.factors, start.weights, layers, POOL, aim.scope, protection, taken)
    flipped = np.zeros(len(pool), bool)
    best = flipped, now
    for strength in (0.0,) if protection is None else aim.strengths:
        flipped, now = _rounds(reader, pool, flipped, now, aim, strength)
        if now.margins.mean() > best[1].margins.mean() or now.reaches(aim):
            best = flipped, now
        if now.reaches(aim):
            break
    flipped, now = best
    kinds = np.repeat(np.arange(len(pool.starts) - 1) % 2, np.diff(pool.starts))
    dropped, grown = (
        {layer: tuple(sorted(map(int, places))) for layer, places in pool.positions(flipped & (kinds == kind)).items()}
        for kind in (0, 1)
    )
    return Found(
        reached=now.reaches(aim),
        dropped=dropped,
        grown=grown,
        before=start.logits.numpy(),
        after=now.logits.numpy(),
        margins_before=start.margins,
        margins=now.margins,
        strength=strength,
        rounds=reader.passes,
    )


def chosen_layers(model: ConceptBottleneck, patterns: Sequence[str]) -> list[str]:
    """The masked layers whose names match one of the patterns."""
    layers = masked_layers(model)
    for pattern in patterns:
        if not any(fnmatchcase(layer, pattern) for layer in layers):
            raise ConfigError(unknown("layer pattern", pattern, layers))
    return [layer for layer in layers if any(fnmatchcase(layer, pattern) for pattern in patterns)]


class _Reader:
    """Reads the texts under flips of the mask, and counts how often."""

    def __init__(self, model: ConceptBottleneck, concept: str, texts: list[str], states: torch.Tensor):
        concept_index(model, concept)
        self.model, self.concept, self.texts, self.states = model, concept, texts, states
        self.passes = 0

    def read(self, positions: Positions) -> _Read:
        with toggled(self.model, self.concept, positions):
            logits, factors = compute_factors(self.model, self.concept, self.texts, self.states)
        self.passes += 1
        logits = logits.float().cpu()
        wanted = logits.gather(1, self.states[:, None]).squeeze(1)
        others = logits.scatter(1, self.states[:, None], -torch.inf).max(1).values
        missing = 1 - logits.softmax(-1).gather(1, self.states[:, None]).squeeze(1)
        return _Read(logits, factors, (wanted - others).numpy(), missing / missing.sum().clamp(min=1e-30))


def _rounds(
    reader: _Reader, pool: Pool, flipped: np.ndarray, now: _Read, aim: Aim, strength: float
) -> tuple[np.ndarray, _Read]:
    """Rounds under one strength, until the aim is reached or nothing gets better."""
    for _ in range(ROUNDS):
        need = float(now.weights @ torch.from_numpy(aim.margin - now.margins).clamp(min=0))
        spent = flipped.sum() + 2 > aim.budget
        moves = choose_moves(
            pool.gains(now.factors, now.weights), pool.effects, pool.starts, flipped, strength, aim.budget, need, MOVES
        )
        if not moves:
            break
        previous, before = flipped, now
        flipped = moved_by(flipped, moves)
        now = reader.read(pool.positions(flipped))
        if now.reaches(aim):
            return _fewest(reader, pool, previous, moves, aim)
        if spent and now.margins.mean() < before.margins.mean() + 0.02:
            break
    return flipped, now


def _fewest(reader: _Reader, pool: Pool, flipped: np.ndarray, moves: list, aim: Aim) -> tuple[np.ndarray, _Read]:
    """The shortest start of the last round's moves that reaches the aim, found by bisection."""
    low, high, best = 0, len(moves), None
    while high - low > 1 or best is None:
        middle = high if best is None else (low + high) // 2
        tried = moved_by(flipped, moves[:middle])
        now = reader.read(pool.positions(tried))
        if now.reaches(aim):
            high, best = middle, (tried, now)
        else:
            low = middle
    return best
