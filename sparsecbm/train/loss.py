"""The losses of the training modes. Missing labels add nothing to them.

joint: CE(u, y) + gamma * mean_k CE(logits_k, c*_k)   (Koh et al., arXiv 2007.04612, section 3)
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from sparsecbm.base.params import Finetune
from sparsecbm.model.cbm import Output
from sparsecbm.train.examples import MISSING, Batch, Examples, target_weight


@dataclass(frozen=True)
class ClassWeights:
    """Weight of each class in its cross-entropy; None weights all classes by 1."""

    label: Tensor | None = None  # [classes]
    concepts: dict[str, Tensor] | None = None  # concept -> [states]


@dataclass(frozen=True)
class Losses:
    """The total to minimise, and its parts. A part that the training mode leaves out is 0."""

    total: Tensor
    label: Tensor
    concept: Tensor


@dataclass(frozen=True)
class ConceptLoss:
    """What the loss of a concept takes besides logits and targets.

    Attributes:
        smoothing: share of each target that is spread evenly over the states
        robustness: q of the generalised cross-entropy, 0 <= q < 1; 0 is the plain cross-entropy
    """

    smoothing: float = 0.0
    robustness: float = 0.0

    @classmethod
    def of(cls, params: Finetune) -> Self:
        """The loss that a configuration asks for."""
        return cls(params.label_smoothing, params.noise.generalised_cross_entropy)


def cross_entropy(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, settings: ConceptLoss = ConceptLoss()
) -> Tensor:
    """Mean cross-entropy over the rows with a known target; without such a row 0, with a gradient of 0.

    With `robustness` q the loss of a class with probability p is (1 - p^q) / q instead of -log p. Its gradient is p^q
    times as large, so a target that contradicts the model moves it less (Zhang and Sabuncu, arXiv 1805.07836, eq. 6).

    Args:
        logits: [batch, classes]
        target: [batch, classes]; a row adds up to its weight in the mean, or to 0 if unknown
        weight: [classes]; the mean is weighted, too
    """
    mass, smoothing = target_weight(target), settings.smoothing
    smooth = torch.where(mass > 0, (1 - smoothing) * target + mass * (smoothing / target.shape[-1]), 0.0)
    if weight is not None:
        smooth = smooth * weight.to(smooth.device)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # half precision is too coarse for logarithms
    by_class, q = logits.log_softmax(-1), settings.robustness
    if q:
        by_class = torch.expm1(q * by_class) / q
    return -(smooth * by_class).sum() / smooth.sum().clamp(min=1e-12)


def mode_losses(
    output: Output,
    batch: Batch,
    mode: str,
    gamma: float,
    weights: ClassWeights,
    settings: ConceptLoss = ConceptLoss(),
) -> Losses:
    """Losses of one batch in a training mode.

    `joint` adds the label's loss and gamma times the concepts'; `standard` has the label's alone. `sequential` and
    `independent` have the concepts' alone, since their label head is fitted afterwards.

    Args:
        mode: standard | joint | sequential | independent
        gamma: weight of the concepts' loss
        settings: of the concepts' losses
    """
    zero = output.label_logits.new_zeros(())
    label = concept = zero
    if mode in ("standard", "joint"):
        label = cross_entropy(output.label_logits, batch.label, weights.label)
    if mode != "standard":
        by_concept = weights.concepts or {}
        parts = [
            cross_entropy(logits, batch.concepts[name], by_concept.get(name), settings)
            for name, logits in output.concept_logits.items()
        ]
        concept = torch.stack(parts).mean()
    total = {"standard": label, "joint": label + gamma * concept}.get(mode, concept)
    return Losses(total, label, concept)


def balanced_class_weights(data: Examples, states: dict[str, int], classes: int) -> ClassWeights:
    """Weights inverse to the frequency of each class, with mean 1 over the training texts.

    A class that no text has gets weight 0, since nothing is known of it.

    Args:
        data: the training examples
        states: number of states of each concept
        classes: number of label classes
    """

    def inverse_frequency(gold: Tensor, size: int) -> Tensor:
        counts = torch.bincount(gold[gold != MISSING], minlength=size).float()
        present = counts > 0
        return torch.where(present, counts.sum() / (present.sum() * counts.clamp(min=1)), 0.0)

    return ClassWeights(
        inverse_frequency(data.label, classes),
        {name: inverse_frequency(data.concepts[name], size) for name, size in states.items()},
    )
