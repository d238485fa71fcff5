"""The block `promote` of `params.yaml`: the registered model's name, and the gates that a challenger must pass."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sparsecbm.base.params.section import Section

SCORES = ("accuracy", "macro_f1", "calibration_error")


class ScoreGate(Section):
    """A score of the held-out split: absolute, and against the champion's on the same texts.

    `of` is `label.SCORE`, `concepts.NAME.SCORE`, `concepts.mean.SCORE` or `concepts.*.SCORE`, one row each.
    """

    kind: Literal["score"]
    name: str
    of: str = Field(pattern=rf"^(label|concepts\.[^.]+)\.({'|'.join(SCORES)})$")
    bound: float
    margin: float = Field(ge=0)


class FigureGate(Section):
    """A figure that a stage wrote into `metrics/FILE.json`, by its dotted key; `*` stands for every name."""

    kind: Literal["figure"]
    name: str
    file: str
    key: str
    at_least: float | None = None
    at_most: float | None = None
    equals: bool | str | None = None
    failed: Literal["reject", "hold"]
    required: bool

    @model_validator(mode="after")
    def _one_condition(self) -> "FigureGate":
        if sum(condition is not None for condition in (self.at_least, self.at_most, self.equals)) != 1:
            raise ValueError(f"gate {self.name!r} needs one of at_least, at_most and equals")
        return self


class CostGate(Section):
    """What a model costs to keep and to ask: absolute, and as a multiple of the champion's."""

    kind: Literal["cost"]
    name: str
    of: Literal["size_mb", "latency_ms"]
    bound: float = Field(gt=0)
    times: float = Field(ge=1)


GATES = {"score": ScoreGate, "figure": FigureGate, "cost": CostGate}
Gate = Annotated[ScoreGate | FigureGate | CostGate, Field(discriminator="kind")]


class Promote(Section):
    """Which registered model, and what a challenger must show."""

    model: str = Field(pattern=r"^[\w\-.]+$")
    ties: Literal["hold", "promote"]
    seconds: int = Field(ge=1)
    gates: tuple[Gate, ...] = Field(min_length=1)
