"""Which of several searches for one patch is kept: repaired first, then little harm, then few bits."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """What the flips that a search found do.

    Attributes:
        reached: whether the texts get the state
        margin: mean margin of the state over the texts
        harmed: number of protected texts whose predictions become wrong, among those that it was tried on
        bits: number of flips
    """

    reached: bool
    margin: float
    harmed: int
    bits: int


def rank(outcome: Outcome, tolerated: int) -> tuple[bool, float, int]:
    """Return a key that is smallest for the best outcome.

    Of outcomes that reach the state, the one that harms fewest texts is best, and of those that harm no more than is
    tolerated, the one of the fewest bits. Of others, the one of the largest margin is best.

    Args:
        tolerated: number of harmed texts that are as good as none
    """
    if not outcome.reached:
        return True, -outcome.margin, outcome.bits
    return False, max(outcome.harmed, tolerated), outcome.bits
