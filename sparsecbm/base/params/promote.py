"""The block `promote` of `params.yaml`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sparsecbm.base.params.section import Section

SCORES = ("accuracy", "macro_f1", "calibration_error")


class ScoreGate(Section):
    """A score on the held-out split: against a bound, and against the champion's score on the same texts."""

    kind: Literal["score"]
    name: str = Field(description="name of the gate in the ledger")
    of: str = Field(
        pattern=rf"^(label|concepts\.[^.]+)\.({'|'.join(SCORES)})$",
        description="`label`, `concepts.NAME`, `concepts.mean` or `concepts.*` (each concept), followed by "
        "`.accuracy`, `.macro_f1` or `.calibration_error`",
    )
    bound: float = Field(description="a challenger beyond the bound is rejected")
    margin: float = Field(
        ge=0, description="a challenger that is surely worse than the champion, or worse by more than this, is held"
    )


class FigureGate(Section):
    """A figure that a stage wrote into `metrics/FILE.json`. It needs one of `at_least`, `at_most` and `equals`."""

    kind: Literal["figure"]
    name: str = Field(description="name of the gate in the ledger")
    file: str = Field(description="`FILE` of `metrics/FILE.json`")
    key: str = Field(description="dotted key of the figure; `*` stands for every name")
    at_least: float | None = Field(default=None, description="smallest value that passes")
    at_most: float | None = Field(default=None, description="largest value that passes")
    equals: bool | str | None = Field(default=None, description="only value that passes")
    failed: Literal["reject", "hold"] = Field(description="what happens to a challenger that fails")
    required: bool = Field(description="whether a missing figure holds the challenger")

    @model_validator(mode="after")
    def _one_condition(self) -> "FigureGate":
        if sum(condition is not None for condition in (self.at_least, self.at_most, self.equals)) != 1:
            raise ValueError(f"gate {self.name!r} needs one of at_least, at_most and equals")
        return self


class CostGate(Section):
    """The cost of a model, measured in a process of its own: against a bound, and against the champion's cost."""

    kind: Literal["cost"]
    name: str = Field(description="name of the gate in the ledger")
    of: Literal["size_mb", "latency_ms"] = Field(description="size of the folder, or median time for a single text")
    bound: float = Field(gt=0, description="a challenger above the bound is rejected")
    times: float = Field(ge=1, description="a challenger above so many times the champion's cost is held")


GATES: dict[str, type[Section]] = {"score": ScoreGate, "figure": FigureGate, "cost": CostGate}
Gate = Annotated[ScoreGate | FigureGate | CostGate, Field(discriminator="kind")]


class Promote(Section):
    """Which registered model, and what a challenger must show. See [promotion.md](promotion.md)."""

    model: str = Field(default="sparsecbm", pattern=r"^[\w\-.]+$", description="name of the registered model in MLflow")
    ties: Literal["hold", "promote"] = Field(
        default="hold", description="what happens to a challenger that is nowhere better than the champion"
    )
    seconds: int = Field(default=600, ge=1, description="longest time to load a model and predict the held-out split")
    gates: tuple[Gate, ...] = Field(min_length=1, description="list of gates, each of a kind below")
