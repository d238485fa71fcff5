"""What an empty concept cell means: a policy fills it, or leaves it out of loss and scores."""

from collections.abc import Iterable
from typing import Literal

import pandas as pd

from sparsecbm.base.concepts import Concept
from sparsecbm.base.errors import ConfigError
from sparsecbm.data.source_table import BLANK, HUMAN

UNKNOWN = "unknown"


def fill_blanks(
    frame: pd.DataFrame, concepts: Iterable[Concept], blank: Literal["unknown", "leave_out"]
) -> pd.DataFrame:
    """A copy of the rows in which every cell has a source, and a state if the policy gives one.

    Args:
        blank: what an empty cell means: the state `unknown`, or no state (`leave_out`). A cell that becomes `unknown`
            keeps the source `blank`, so that scores can leave it out. A cell without a majority of votes stays empty
            under both policies.

    Raises:
        ConfigError: an empty cell should become `unknown`, but its concept has no such state.
    """
    filled = {}
    for concept in concepts:
        state, source = frame[f"concept.{concept.name}"], frame[f"source.{concept.name}"]
        source = source.fillna(state.notna().map({True: HUMAN, False: BLANK}))
        empty = state.isna() & (source == BLANK)
        if blank == UNKNOWN and empty.any():
            if UNKNOWN not in concept.states:
                raise ConfigError(no_unknown(concept, int(empty.sum())))
            state = state.mask(empty, UNKNOWN)
        filled |= {f"concept.{concept.name}": state, f"source.{concept.name}": source}
    return frame.assign(**filled)


def no_unknown(concept: Concept, blank: int) -> str:
    """The message about a concept whose `blank` empty cells cannot become `unknown`."""
    return (
        f"annotate.blank: {blank} cell(s) of concept {concept.name!r} are empty, and it has no state 'unknown' (it has "
        f"{', '.join(concept.states)}); set annotate.blank to leave_out, or add unknown to the states of this concept "
        "in params.yaml or concepts.yaml. Choices: unknown, leave_out"
    )
