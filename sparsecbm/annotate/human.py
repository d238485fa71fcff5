"""The labels that the source has pass through; a policy says what its empty cells mean."""

from typing import Literal

import pandas as pd

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import ConfigError
from sparsecbm.data.source_table import BLANK

UNKNOWN = "unknown"


class HumanAnnotator:
    """Pass human labels through, with where they come from and how many agreed.

    Args:
        blank: What an empty cell means: the state `unknown`, or nothing at all (`leave_out`). A filled cell
            keeps the source `blank`, so that scores on annotated cells only remain possible. People who did
            not agree (`no majority`) leave a cell empty under either policy.
    """

    name = "human"

    def __init__(self, blank: Literal["unknown", "leave_out"]) -> None:
        self.blank = blank

    def annotate(self, frame: pd.DataFrame, concept_set: ConceptSet) -> pd.DataFrame:
        """A copy of the rows whose every cell has a source, and a state where the policy gives one.

        Raises:
            ConfigError: an empty cell is to be `unknown`, but its concept has no such state.
        """
        filled = {}
        for concept in concept_set:
            state, source = frame[f"concept.{concept.name}"], frame[f"source.{concept.name}"]
            source = source.fillna(state.notna().map({True: self.name, False: BLANK}))
            blank = state.isna() & (source == BLANK)
            if self.blank == UNKNOWN and blank.any():
                if UNKNOWN not in concept.states:
                    raise ConfigError(
                        f"annotate.blank: {int(blank.sum())} cell(s) of concept {concept.name!r} are empty, and it has "
                        f"no state 'unknown' (it has {', '.join(concept.states)}); "
                        "set annotate.blank to leave_out, or add that state. Choices: unknown, leave_out"
                    )
                state = state.mask(blank, UNKNOWN)
            filled |= {f"concept.{concept.name}": state, f"source.{concept.name}": source}
        return frame.assign(**filled)
