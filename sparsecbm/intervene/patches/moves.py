"""Which bits to flip next, by a quadratic model of what they do.

A set x of flipped bits is worth

    gain . x - strength / 2 * |effects x|^2,

what it gives the wanted reading less what it is charged for moving protected ones. Bits are chosen greedily, each with
regard to those chosen before. A move keeps the mask as sparse as it was: it adds a bit to drop and a bit to grow, or,
when the budget is spent, exchanges a flipped bit for a better one of its kind.
"""

from dataclasses import dataclass

import numpy as np

LEAST = 1e-3  # an exchange must be worth this much more, in log-odds


@dataclass(frozen=True)
class Move:
    """Two bits whose membership in the set of flipped bits changes together."""

    bits: tuple[int, int]


def choose_moves(
    gains: np.ndarray,
    effects: np.ndarray,
    starts: np.ndarray,
    flipped: np.ndarray,
    strength: float,
    budget: int,
    need: float,
    most: int,
) -> list[Move]:
    """The best next moves, in order, until the gains add up to what is needed.

    Args:
        gains: what flipping each bit of the original mask gives, [bits]
        effects: on protected texts, [texts, bits]; the charge is half the squared norm of their sum over flipped bits
        starts: of the segments, as in `Pool`, [2 * groups + 1]
        flipped: bits that are flipped already, [bits], bool
        budget: bits that may be flipped at once
        need: gain that is wanted beyond what is there
        most: moves at most
    """
    flipped, moves = flipped.copy(), []
    moved = effects[:, flipped].sum(1)
    own = 0.5 * np.square(effects).sum(0)
    # Segment by segment: an empty one has no best bit, and reduceat would read its neighbour.
    full = np.flatnonzero(np.diff(starts))
    for _ in range(most):
        if need <= 0:
            break
        slope = moved @ effects if len(effects) else 0.0
        worth = gains - strength * (slope + own)
        enter = _best(np.where(flipped, -np.inf, worth), starts, full)
        if flipped.sum() + 2 <= budget:
            move, value = _pair(enter)
        else:
            leave = _best(np.where(flipped, -gains + strength * (slope - own), -np.inf), starts, full)
            move, value = _exchange(enter, leave)
            if value < LEAST:
                break
        if not np.isfinite(value):
            break
        for bit in move.bits:
            sign = -1 if flipped[bit] else 1
            need -= sign * gains[bit]
            moved = moved + sign * effects[:, bit]
            flipped[bit] = not flipped[bit]
        moves.append(move)
    return moves


def moved_by(flipped: np.ndarray, moves: list[Move]) -> np.ndarray:
    """The set of flipped bits after some moves."""
    flipped = flipped.copy()
    for move in moves:
        flipped[list(move.bits)] ^= True
    return flipped


@dataclass(frozen=True)
class _Best:
    """The best bit of each segment and what it is worth; -inf where a segment has none."""

    bit: np.ndarray
    value: np.ndarray


def _best(values: np.ndarray, starts: np.ndarray, full: np.ndarray) -> _Best:
    best = _Best(np.zeros(len(starts) - 1, int), np.full(len(starts) - 1, -np.inf))
    for segment in full:
        first, last = starts[segment], starts[segment + 1]
        best.bit[segment] = first + values[first:last].argmax()
        best.value[segment] = values[best.bit[segment]]
    return best


def _pair(enter: _Best) -> tuple[Move, float]:
    """The best bit to drop and the best to grow of one group."""
    values = enter.value[0::2] + enter.value[1::2]
    group = int(values.argmax())
    return Move((int(enter.bit[2 * group]), int(enter.bit[2 * group + 1]))), float(values[group])


def _exchange(enter: _Best, leave: _Best) -> tuple[Move, float]:
    """The best exchange of two bits of one kind and group."""
    values = enter.value + leave.value
    segment = int(values.argmax())
    return Move((int(leave.bit[segment]), int(enter.bit[segment]))), float(values[segment])
