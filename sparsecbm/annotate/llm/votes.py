"""One state from several answers about one cell."""

from collections.abc import Sequence
from dataclasses import dataclass

from sparsecbm.annotate.llm.question import Cell
from sparsecbm.annotate.llm.wire import most_probable


@dataclass(frozen=True)
class Verdict:
    """The state of a cell.

    Attributes:
        state: None without a majority
        confidence: probability of the state or share of the votes for it; None for a single answer without
            probabilities, which says nothing of it
        probabilities: state -> probability or share of votes; None in the same case
    """

    state: str | None
    confidence: float | None
    probabilities: dict[str, float] | None


def count_votes(cells: Sequence[Cell], states: Sequence[str]) -> Verdict:
    """The state of a single answer; of several, the one that most give, or that is most probable on average.

    In such an average, an answer without probabilities is certain of its state. An answer without a state does not
    vote. Of states with equally many votes, none is taken.
    """
    valid = [cell for cell in cells if cell.state is not None or cell.probabilities is not None]
    if not valid:
        return Verdict(None, None, None)
    if len(cells) == 1 and valid[0].probabilities is None:
        return Verdict(valid[0].state, None, None)
    votes = [cell.probabilities or {cell.state: 1.0} for cell in valid]
    shares = {state: sum(vote.get(state, 0.0) for vote in votes) / len(votes) for state in states}
    state = valid[0].state if len(cells) == 1 else most_probable(shares)
    return Verdict(state, shares[state] if state is not None else None, shares)
