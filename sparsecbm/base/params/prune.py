"""The block `prune` of `params.yaml`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sparsecbm.base.params.section import Section, Share, matching


class Prune(Section):
    """How each concept's mask is found. Other settings are those of `finetune`. See [masks.md](masks.md)."""

    sparsity: float = Field(default=0.75, ge=0, lt=1, description="share of the weights that each concept drops")
    initial: float = Field(default=0.0, ge=0, lt=1, description="sparsity at the first event")
    schedule: Literal["cubic", "linear", "constant"] = Field(
        default="cubic", description="how sparsity grows from `initial` to `sparsity`"
    )
    begin: Share = Field(default=0.0, description="first pruning event, as a share of all updates")
    end: Share = Field(default=0.6, description="last pruning event, as a share of all updates")
    events: int = Field(default=16, ge=1, description="pruning events, at most one for each update")
    saliency: Literal["movement", "obert", "fisher_diagonal", "activation_norm", "magnitude", "random"] = Field(
        default="movement", description="what ranks the weights; `movement` learns scores"
    )
    first_scores: Literal["fisher_diagonal", "obert", "activation_norm", "magnitude", "random"] = Field(
        default="fisher_diagonal", description="the saliency that learnt scores start from"
    )
    scores: Literal["full", "low_rank", "blocks"] = Field(
        default="full",
        description="what is learnt: `full`, a score for every weight; `low_rank`, a change of low rank with a term "
        "for each row and column; `blocks`, a change for each 32 x 32 weights. The last two need about a tenth and a "
        "sixteenth of the memory",
    )
    score_rank: int = Field(default=8, ge=1, description="rank of `low_rank` scores")
    granularity: Annotated[
        str,
        matching(
            r"unstructured|structured|hierarchical|[1-9]\d*:[1-9]\d*",
            "unstructured, structured, hierarchical or N:M, such as 2:4",
        ),
    ] = Field(
        default="unstructured",
        description="`unstructured` (single weights), `structured` (whole heads and neurons), `hierarchical` (single "
        "weights inside heads and neurons that all concepts keep), or `N:M`, such as `2:4`",
    )
    threshold: Literal["layer", "global"] = Field(
        default="layer", description="whether each layer reaches the sparsity, or all layers together"
    )
    layers: list[str] = Field(
        default=["*"],
        min_length=1,
        description="name patterns of the linear maps that are pruned; a pattern without a match is an error",
    )
    masked_from: int = Field(
        default=3, ge=0, description="first block with masks; the blocks below are shared and run once"
    )
    weights: Literal["frozen", "trained"] = Field(
        default="frozen", description="whether weights stay frozen or are trained under the masks"
    )
    concepts: Literal["sampled", "split", "all"] = Field(
        default="sampled",
        description="`sampled`: each batch uses one concept's mask, and the concept changes from batch to batch. "
        "`split`: each text of a batch uses one mask. `all`: each text uses every mask, which takes K times as long "
        "and needs 1/K of `score_learning_rate`",
    )
    core: Share = Field(
        default=0.7,
        description="share of each concept's weights that all concepts keep; the rest is chosen by contrast. "
        "0: no core",
    )
    contrast: Literal["earned", "fixed"] = Field(
        default="fixed",
        description="which concepts keep weights of their own: `fixed`, all; `earned`, those that on the validation "
        "split predict better than under random masks and need these weights more",
    )
    leakage_weight: float = Field(
        default=0.2,
        ge=0,
        description="weight of the loss term that makes the other concepts' heads predict the average frequencies "
        "under a concept's mask",
    )
    distill: float = Field(
        default=0.0, ge=0, le=1, description="share of the dense model's predictions in the targets of the masks"
    )
    head_distill: float = Field(default=0.25, ge=0, le=1, description="the same share in the final fit of the heads")
    head_gamma: float = Field(
        default=5.0,
        gt=0,
        description="weight of the concept loss against the label loss in that fit; labels by one person need more",
    )
    epochs: int = Field(default=1, ge=1, description="epochs of training under masks")
    learning_rate: float = Field(default=1e-4, gt=0, description="of the weights, if they are trained")
    score_learning_rate: float = Field(default=1e-2, gt=0, description="of learnt scores")
    gradients: int = Field(default=32, ge=1, description="gradients m for saliencies that need them")
    gradient_batch: int = Field(default=4, ge=1, description="texts in each of these gradients")
    block: int = Field(default=50, ge=1, description="weights B in a block of the Fisher matrix")
    damping: float = Field(default=1e-7, gt=0, description="damping of the Fisher matrix")
    memory_mb: float = Field(default=1500, gt=0, description="memory for gradients; less memory takes more time")
    probe_texts: int = Field(default=400, ge=10, description="training texts of a probe")
    null_concepts: int = Field(
        default=0,
        ge=0,
        le=16,
        description="concepts without meaning whose masks are trained along, for comparison, and then dropped; "
        "each takes the time of one more concept",
    )
    control: bool = Field(
        default=False,
        description="train again under matched random masks, and report the gain over random masks",
    )

    @property
    def contrasts(self) -> bool:
        """Whether masks are chosen by contrast: weight by weight, with a core."""
        return self.core > 0  # others have no core

    @property
    def pattern(self) -> tuple[int, int] | None:
        """N and M of masks that keep N of M neighbouring inputs; None for masks without such a pattern."""
        kept, colon, group = self.granularity.partition(":")
        return (int(kept), int(group)) if colon else None

    @model_validator(mode="after")
    def _fits_together(self) -> "Prune":
        if self.begin > self.end:
            raise ValueError(f"begin {self.begin} is after end {self.end}; both are shares of all updates")
        if self.events == 1 and self.begin < self.end:
            raise ValueError(
                f"events 1 is a single event, and begin {self.begin} and end {self.end} are two; set prune.events=2 or "
                "more, or prune.begin and prune.end to the same share"
            )
        if self.initial > self.sparsity:
            raise ValueError(f"initial {self.initial} is above sparsity {self.sparsity}")
        if self.null_concepts and (self.concepts == "all" or self.weights == "trained"):
            raise ValueError(
                f"null_concepts {self.null_concepts} would change what real concepts learn if texts go through all "
                "masks or weights are trained; set prune.concepts=sampled and prune.weights=frozen, or "
                "prune.null_concepts=0"
            )
        if self.scores != "full" and self.saliency != "movement":
            raise ValueError(
                f"scores {self.scores} are learnt, and saliency is {self.saliency}; set prune.saliency=movement, or "
                "prune.scores=full"
            )
        if self.pattern:
            self._check_n_of_m(*self.pattern)
        if self.granularity not in ("unstructured", "hierarchical") and self.core:
            raise ValueError(
                f"core {self.core} needs masks that are chosen weight by weight, and granularity is "
                f"{self.granularity}; set prune.core=0"
            )
        return self

    def _check_n_of_m(self, kept: int, group: int) -> None:
        if kept >= group:
            raise ValueError(f"granularity {self.granularity} prunes nothing; N:M keeps N of M weights, as 2:4 does")
        if abs(1 - kept / group - self.sparsity) > 1e-9:
            raise ValueError(
                f"granularity {self.granularity} prunes {group - kept} of {group} weights, "
                f"so sparsity must be {1 - kept / group:g}, not {self.sparsity:g}"
            )
        if self.threshold == "global":
            raise ValueError(f"threshold global and granularity {self.granularity}, which prunes all layers alike")
