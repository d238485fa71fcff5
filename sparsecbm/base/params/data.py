"""The blocks `split`, `validate` and `annotate` of `params.yaml`: what happens to the data."""

from typing import Literal

from pydantic import Field

from sparsecbm.base.params.section import Section, Share


class Split(Section):
    """Shares held out, by group and stratified by label, where the source brings no such split."""

    validation: Share
    test: Share


class Validate(Section):
    """When data is refused."""

    max_words: int = Field(ge=1)
    quarantine_share: Share
    min_state_share: Share


class Annotate(Section):
    """Where concept labels come from, and what an empty cell means."""

    annotator: Literal["human"]
    blank: Literal["unknown", "leave_out"]
