"""The block `prune` of `params.yaml`."""

from typing import Literal

from pydantic import Field, model_validator

from sparsecbm.base.params.section import Section, Share


class Prune(Section):
    """How each concept's mask is found. What is not said here is as in `finetune`."""

    sparsity: float = Field(ge=0, lt=1)
    initial: float = Field(ge=0, lt=1)
    schedule: Literal["cubic", "linear", "constant"]
    begin: Share
    end: Share
    events: int = Field(ge=1)
    saliency: Literal["movement", "obert", "fisher_diagonal", "magnitude", "random"]
    first_scores: Literal["fisher_diagonal", "obert", "magnitude", "random"]
    granularity: str = Field(pattern=r"^(unstructured|structured|[1-9]\d*:[1-9]\d*)$")
    threshold: Literal["layer", "global"]
    layers: list[str] = Field(min_length=1)
    masked_from: int = Field(ge=0)
    weights: Literal["frozen", "trained"]
    concepts: Literal["sampled", "split", "all"]
    core: Share
    leakage_weight: float = Field(ge=0)
    distill: float = Field(ge=0, le=1)
    head_distill: float = Field(ge=0, le=1)
    head_gamma: float = Field(gt=0)
    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    score_learning_rate: float = Field(gt=0)
    gradients: int = Field(ge=1)
    gradient_batch: int = Field(ge=1)
    block: int = Field(ge=1)
    damping: float = Field(gt=0)
    memory_mb: float = Field(gt=0)
    probe_texts: int = Field(ge=10)
    control: bool

    @model_validator(mode="after")
    def _in_order(self) -> "Prune":
        if self.begin > self.end:
            raise ValueError(f"begin {self.begin} is after end {self.end}; both are shares of all updates")
        if self.initial > self.sparsity:
            raise ValueError(f"initial {self.initial} is above sparsity {self.sparsity}")
        if ":" in self.granularity:
            kept, of = map(int, self.granularity.split(":"))
            if kept >= of:
                raise ValueError(
                    f"granularity {self.granularity} prunes nothing; N:M keeps N of M weights, as 2:4 does"
                )
            if abs(1 - kept / of - self.sparsity) > 1e-9:
                raise ValueError(
                    f"granularity {self.granularity} prunes {of - kept} of {of} weights, "
                    f"so sparsity must be {1 - kept / of:g}, not {self.sparsity:g}"
                )
            if self.threshold == "global":
                raise ValueError(f"threshold global and granularity {self.granularity}, which prunes all layers alike")
        if self.granularity != "unstructured":
            for key, off in (("core", "0"), ("control", "false")):
                if getattr(self, key):
                    raise ValueError(
                        f"{key} {getattr(self, key)} needs masks that are chosen weight by weight, and granularity is "
                        f"{self.granularity}; set prune.{key}={off}"
                    )
        return self
