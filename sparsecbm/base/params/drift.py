"""The block `drift` of `params.yaml`."""

from typing import Annotated

from pydantic import Field

from sparsecbm.base.params.section import Section

Effect = Annotated[float, Field(ge=0, le=1)]


class DriftEffects(Section):
    """The smallest effect of each kind that counts as drift, however small its p-value is."""

    rates: Effect = Field(default=0.05, description="share of texts that changed their state (total variation)")
    confidence: Effect = Field(default=0.1, description="Kolmogorov-Smirnov distance of two confidences")
    disagreement: Effect = Field(
        default=0.05, description="change of the share of texts whose soft and hard label differ"
    )
    separability: Effect = Field(
        default=0.1, description="area under the ROC curve, above one half, of a classifier that tells the texts apart"
    )
    kernel: Effect = Field(default=0.01, description="squared maximum mean discrepancy; 0 is none, 2 is all")
    vocabulary: Effect = Field(default=0.02, description="change of the mean share of words unknown in training")
    length: Effect = Field(default=0.15, description="Kolmogorov-Smirnov distance of the numbers of words")
    language: Effect = Field(default=0.05, description="share of texts that changed their language")
    accuracy: Effect = Field(default=0.05, description="fall of an accuracy on freshly annotated texts")


class Drift(Section):
    """When new texts count as drift. See [drift.md](drift.md)."""

    reference: list[str] = Field(
        default=[], description="splits that new texts are compared with; by default all but `train`"
    )
    alpha: float = Field(default=0.05, gt=0, lt=1, description="largest Holm-corrected p-value that counts as drift")
    windows: int = Field(default=2, ge=1, description="windows running in which a figure drifts before it triggers")
    sample: int = Field(default=800, ge=50, description="texts of each side whose representations are compared")
    permutations: int = Field(default=999, ge=99, description="most permutations behind the p-value of the kernel test")
    least_texts: int = Field(default=100, ge=20, description="fewest texts of a window")
    least_annotated: int = Field(default=30, ge=10, description="fewest annotated texts behind a test of accuracy")
    effects: DriftEffects = Field(default=DriftEffects(), description="smallest effects that count")
