"""The blocks `evaluate` and `track` of `params.yaml`."""

from pydantic import Field

from sparsecbm.base.params.section import Section


class Evaluate(Section):
    """How scores are computed."""

    bootstrap: int = Field(default=1000, ge=100, description="resamples for each interval")
    calibration_bins: int = Field(default=10, ge=2, description="bins of the calibration error")
    subgroups: tuple[str, ...] = Field(
        default=(),
        description="columns of the source by whose values the scores are split, such as a region; also `edit_type` "
        "and `file`",
    )
    effect_texts: int = Field(
        default=400, ge=10, description="training texts that the explainers of causal effects are fitted on"
    )


class Track(Section):
    """What goes to MLflow. The environment variable `MLFLOW_TRACKING_URI` names the server."""

    enabled: bool = Field(default=True, description="whether runs are recorded in MLflow")
    experiment: str = Field(default="sparsecbm", description="name of the experiment")
