"""The block `promote` of `params.yaml`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sparsecbm.base.params.section import Section, matching

SCORES = ("accuracy", "macro_f1", "calibration_error")


class ScoreGate(Section):
    """A score on the held-out split: against a bound, and against the champion's score on the same texts."""

    kind: Literal["score"]
    name: str = Field(description="name of the gate in the ledger")
    of: Annotated[
        str,
        matching(
            rf"(label|concepts\.[^.]+)\.({'|'.join(SCORES)})",
            f"label or concepts.NAME, followed by one of {', '.join(f'.{score}' for score in SCORES)}",
        ),
    ] = Field(
        description="`label`, `concepts.NAME`, `concepts.mean` or `concepts.*` (each concept), followed by "
        "`.accuracy`, `.macro_f1` or `.calibration_error`",
    )
    bound: float | Literal["majority"] = Field(
        description="a challenger beyond the bound is rejected; with `majority`, which is for accuracies, one that is "
        "right no more often than the split's commonest state is"
    )
    margin: float = Field(
        ge=0,
        description="a challenger that is significantly worse than the champion, or worse by more than this, is held",
    )

    @model_validator(mode="after")
    def _majority_of_accuracy(self) -> "ScoreGate":
        if self.bound == "majority" and not self.of.endswith(".accuracy"):
            raise ValueError(f"gate {self.name!r}: bound `majority` is for accuracies; give a number for {self.of}")
        return self


class FigureGate(Section):
    """A figure that a stage wrote into `metrics/FILE.json`. It needs one of `at_least`, `at_most` and `equals`."""

    kind: Literal["figure"]
    name: str = Field(description="name of the gate in the ledger")
    file: str = Field(description="`FILE` of `metrics/FILE.json`")
    key: str = Field(description="dotted key of the figure; `*` matches every name")
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
    """The cost of a model, measured in a separate process: against a bound, and against the champion's cost."""

    kind: Literal["cost"]
    name: str = Field(description="name of the gate in the ledger")
    of: Literal["size_mb", "latency_ms"] = Field(description="size of the folder, or median time for a single text")
    bound: float = Field(gt=0, description="a challenger above the bound is rejected")
    times: float = Field(ge=1, description="a challenger is held if it costs more than this factor times the champion")


class DriftGate(Section):
    """Texts of today must not trigger drift: `sparsecbm drift` compared them with the data of this very model."""

    kind: Literal["drift"]
    name: str = Field(description="name of the gate in the ledger")
    failed: Literal["reject", "hold"] = Field(description="what happens to a challenger that fails")
    required: bool = Field(description="whether a challenger is held if no texts were compared with its data")


class SubgroupGate(Section):
    """The worst subgroup of `evaluate.subgroups` must be good enough. Small ones are too uncertain to be judged."""

    kind: Literal["subgroup"]
    name: str = Field(description="name of the gate in the ledger")
    of: Annotated[str, matching(r"label|concepts\..+", "label or concepts.NAME")] = Field(
        description="`label`, `concepts.NAME` or `concepts.mean`, whose accuracy is judged"
    )
    at_least: float = Field(
        ge=0, le=1, description="a challenger fails if the whole interval of a subgroup's accuracy is below this"
    )
    texts: int = Field(default=30, ge=1, description="fewest texts of a subgroup that is judged")
    failed: Literal["reject", "hold"] = Field(description="what happens to a challenger that fails")
    required: bool = Field(description="whether a challenger without such scores is held")


GATES: dict[str, type[Section]] = {
    "score": ScoreGate,
    "figure": FigureGate,
    "cost": CostGate,
    "drift": DriftGate,
    "subgroup": SubgroupGate,
}
Gate = Annotated[ScoreGate | FigureGate | CostGate | DriftGate | SubgroupGate, Field(discriminator="kind")]


class Promote(Section):
    """Which model is registered, and what a challenger must achieve. See [promotion.md](promotion.md)."""

    model: Annotated[str, matching(r"[\w\-.]+", "a name of letters, digits, `_`, `-` and `.`")] | None = Field(
        default=None,
        description="name of the registered model in MLflow; by default `sparsecbm` for the embedded data, else "
        "`sparsecbm-` and the name of the data: of the source, of the file or of the data set",
    )
    ties: Literal["hold", "promote"] = Field(
        default="hold", description="what happens to a challenger that is better than the champion in no score"
    )
    seconds: int = Field(default=600, ge=1, description="longest time to load a model and predict the held-out split")
    gates: tuple[Gate, ...] = Field(min_length=1, description="list of gates, each of a kind below")
