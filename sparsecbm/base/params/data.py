"""The blocks `split` and `validate` of `params.yaml`."""

from pydantic import Field

from sparsecbm.base.params.section import Section, Share


class Split(Section):
    """How rows are held out of `train` if the source has no such split: by group, stratified by label."""

    validation: Share = Field(default=0.1, description="share of the rows for validation")
    test: Share = Field(default=0.2, description="share of the rows for the test split")


class Validate(Section):
    """When rows and whole tables are refused."""

    max_words: int = Field(default=2000, ge=1, description="texts with more words go to quarantine")
    quarantine_share: Share = Field(
        default=0.02, description="the stage fails if a larger share of the rows goes to quarantine"
    )
    min_state_share: Share = Field(
        default=0.02, description="a state or label that is rarer than this causes a warning"
    )
