"""The blocks `evaluate` and `track` of `params.yaml`."""

from pydantic import Field

from sparsecbm.base.params.section import Section


class Evaluate(Section):
    """How scores are computed."""

    bootstrap: int = Field(ge=100)
    calibration_bins: int = Field(ge=2)
    effect_texts: int = Field(ge=10)


class Track(Section):
    """What goes to MLflow; the server is named by MLFLOW_TRACKING_URI."""

    enabled: bool
    experiment: str
