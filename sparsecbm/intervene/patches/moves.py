"""Which bits to flip next, by a quadratic model of what flips do.

A set x of flipped bits is worth

    gain . x - strength / 2 * |effects x|^2,

which is what it adds to the logit of the target state, less a penalty for moving protected ones. Bits are chosen
greedily, each given those chosen before. A move keeps the mask as sparse as it was. It adds one bit to drop and one to
grow; once the budget is spent, it exchanges a flipped bit for a better one of the same kind.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

MIN_EXCHANGE_VALUE = 1e-3  # an exchange must add this much, in log-odds
SHORTLIST = 400  # bits of each segment that moves of one call choose from; all others are compared once


@dataclass(frozen=True)
class Move:
    """Two bits that enter or leave the set of flipped bits together."""

    bits: tuple[int, int]


@dataclass(frozen=True)
class MoveLimits:
    """When to stop, and how much protection counts.

    Attributes:
        strength: weight of the penalty
        budget: bits that may be flipped at once
        required_gain: the gains of the moves need not add up to more
        max_moves: number of moves
    """

    strength: float
    budget: int
    required_gain: float
    max_moves: int


def choose_moves(
    gains: np.ndarray, effects: np.ndarray, starts: np.ndarray, flipped: np.ndarray, limits: MoveLimits
) -> list[Move]:
    """Return the best next moves, in order, until their gains add up to what is required.

    Args:
        gains: what flipping each bit of the original mask adds, [bits]
        effects: on protected texts, [texts, bits]; the penalty is half the squared norm of their sum over flipped bits
        starts: of the segments, as in `Candidates`, [2 * groups + 1]
        flipped: bits that are flipped already, [bits], bool
    """
    shift = effects[:, flipped].sum(1)
    value = gains - limits.strength * (_product(shift, effects) + _own_penalty(effects))
    listed = _shortlist(value, starts, flipped)
    moves = _choose_listed(
        gains[listed], effects[:, listed], np.searchsorted(listed, starts), flipped[listed], limits, shift
    )
    return [Move((int(listed[move.bits[0]]), int(listed[move.bits[1]]))) for move in moves]


def _product(shift: np.ndarray, effects: np.ndarray) -> np.ndarray:
    """Return shift @ effects, [bits], by PyTorch: numpy's threads would fight with those of the model for the cores."""
    product: np.ndarray = torch.mv(torch.from_numpy(effects).T, torch.from_numpy(shift)).numpy()
    return product


def _own_penalty(effects: np.ndarray) -> np.ndarray:
    """Return half the squared norm of each bit's effects, [bits]."""
    return 0.5 * np.einsum("tb,tb->b", effects, effects)


def _shortlist(value: np.ndarray, starts: np.ndarray, flipped: np.ndarray) -> np.ndarray:
    """Return the best bits of each segment, and all flipped ones, in their order."""
    listed = flipped.copy()
    for first, last in pairwise(starts):
        best = np.argsort(-value[first:last], kind="stable")[:SHORTLIST]
        listed[first + best] = True
    return np.flatnonzero(listed)


def _choose_listed(
    gains: np.ndarray,
    effects: np.ndarray,
    starts: np.ndarray,
    flipped: np.ndarray,
    limits: MoveLimits,
    shift: np.ndarray,
) -> list[Move]:
    """Choose moves among some bits; `shift` is the sum of the effects of flipped bits, [texts]."""
    flipped, moves, required_gain, strength = flipped.copy(), [], limits.required_gain, limits.strength
    own_penalty = _own_penalty(effects)
    # Segment by segment: an empty segment has no best bit, and reduceat would return its neighbour's.
    filled = np.flatnonzero(np.diff(starts))
    for _ in range(limits.max_moves):
        if required_gain <= 0:
            break
        slope = _product(shift, effects)
        value_to_enter = gains - strength * (slope + own_penalty)
        enter = _best_by_segment(np.where(flipped, -np.inf, value_to_enter), starts, filled)
        if flipped.sum() + 2 <= limits.budget:
            move, value = _best_pair(enter)
        else:
            value_to_leave = -gains + strength * (slope - own_penalty)
            leave = _best_by_segment(np.where(flipped, value_to_leave, -np.inf), starts, filled)
            move, value = _best_exchange(enter, leave)
            if value < MIN_EXCHANGE_VALUE:
                break
        if not np.isfinite(value):
            break
        for bit in move.bits:
            sign = -1 if flipped[bit] else 1
            required_gain -= sign * gains[bit]
            shift = shift + sign * effects[:, bit]
            flipped[bit] = not flipped[bit]
        moves.append(move)
    return moves


def apply_moves(flipped: np.ndarray, moves: list[Move]) -> np.ndarray:
    """Return the set of flipped bits after some moves."""
    flipped = flipped.copy()
    for move in moves:
        flipped[list(move.bits)] ^= True
    return flipped


@dataclass(frozen=True)
class _BestBits:
    """The best bit of each segment and its value; -inf where a segment has none."""

    bit: np.ndarray
    value: np.ndarray


def _best_by_segment(values: np.ndarray, starts: np.ndarray, filled: np.ndarray) -> _BestBits:
    best = _BestBits(np.zeros(len(starts) - 1, int), np.full(len(starts) - 1, -np.inf))
    for segment in filled:
        first, last = starts[segment], starts[segment + 1]
        best.bit[segment] = first + values[first:last].argmax()
        best.value[segment] = values[best.bit[segment]]
    return best


def _best_pair(enter: _BestBits) -> tuple[Move, float]:
    """Return the best bit to drop and the best to grow of one group."""
    values = enter.value[0::2] + enter.value[1::2]
    group = int(values.argmax())
    return Move((int(enter.bit[2 * group]), int(enter.bit[2 * group + 1]))), float(values[group])


def _best_exchange(enter: _BestBits, leave: _BestBits) -> tuple[Move, float]:
    """Return the best exchange of two bits of one kind and group."""
    values = enter.value + leave.value
    segment = int(values.argmax())
    return Move((int(leave.bit[segment]), int(enter.bit[segment]))), float(values[segment])
