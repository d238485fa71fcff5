"""Where the masks of a pruning event come from: learnt scores, a computed saliency, or a finished training."""

from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from sparsecbm.base.params import Prune
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masks import MaskSet
from sparsecbm.pruning.event import choose_masks, score_weights, stream_scores
from sparsecbm.pruning.gradients import draw_gradient_batches
from sparsecbm.pruning.mask_scores import MaskScores
from sparsecbm.pruning.random_control import matched_random_of
from sparsecbm.train.examples import Examples
from sparsecbm.train.processes import writes


class MaskSource(Protocol):
    """Gives the masks of each pruning event."""

    name: str  # of the training, shown next to the progress bar

    def start_scores(self, model: ConceptBottleneck) -> MaskScores | None:
        """Scores to be learnt while the model trains, or None. Called once, before the first event."""

    def new_masks(self, model: ConceptBottleneck, step: int, sparsity: float) -> tuple[MaskSet, dict[str, float]]:
        """The masks of the event at a step, and figures for the curves."""


class ComputedMasks:
    """Masks by a saliency that each event computes from gradients. A dropped weight stays dropped.

    Args:
        params: the saliency and how masks are chosen by it
        data: the training examples; gradients come from them
        seed: of the texts for gradients, and of random scores
        folder: gets the masks of each event, as `STEP.safetensors`
        null_concepts: names of the model's concepts that mean nothing
    """

    name = "prune"

    def __init__(self, params: Prune, data: Examples, seed: int, folder: Path, null_concepts: Collection[str] = ()):
        self.params, self.data, self.seed, self.folder = params, data, seed, folder
        self.null_concepts = null_concepts

    def start_scores(self, model: ConceptBottleneck) -> None:
        """None: nothing is learnt."""

    def new_masks(self, model: ConceptBottleneck, step: int, sparsity: float) -> tuple[MaskSet, dict[str, float]]:
        """Score all weights and keep the best of those that are in use."""
        batches = draw_gradient_batches(model, self.data, self.params, self.seed, step)
        scored = score_weights(model, self.params, batches, self.seed + step)
        masks = choose_masks(model, self.params, scored.scores, sparsity, null_concepts=self.null_concepts)
        if writes():
            masks.save(self.folder / f"{step}.safetensors")
        correlations = {f"prune.magnitude_correlation.{name}": r for name, r in scored.correlations.items()}
        return masks, _figures(masks, sparsity) | correlations


class LearntMasks:
    """Masks by learnt scores (saliency `movement`), which start from another saliency. A dropped weight may come back.

    Args:
        params: the first saliency, `first_scores`, and how masks are chosen
        data: the training examples; the gradients of the first saliency come from them
        seed: of the texts for gradients, and of random first scores
        folder: gets the masks of each event, as `STEP.safetensors`
        null_concepts: names of the model's concepts that mean nothing
    """

    name = "prune"

    def __init__(self, params: Prune, data: Examples, seed: int, folder: Path, null_concepts: Collection[str] = ()):
        self.params, self.data, self.seed, self.folder = params, data, seed, folder
        self.null_concepts = null_concepts
        self.scores = MaskScores({})

    def start_scores(self, model: ConceptBottleneck) -> MaskScores:
        """Ranks by a saliency of the dense model."""
        params = self.params.model_copy(update={"saliency": self.params.first_scores})
        batches = draw_gradient_batches(model, self.data, params, self.seed, step=0)
        self.scores = MaskScores.start(model, stream_scores(model, params, batches, self.seed), params, self.seed)
        return self.scores

    def new_masks(self, model: ConceptBottleneck, step: int, sparsity: float) -> tuple[MaskSet, dict[str, float]]:
        """Keep the weights with the highest scores, dropped ones included."""
        scores = self.scores.by_concept(model.concept_set.names)
        masks = choose_masks(model, self.params, scores, sparsity, True, self.null_concepts)
        if writes():
            masks.save(self.folder / f"{step}.safetensors")
        return masks, _figures(masks, sparsity)


class ShuffledMasks:
    """The masks of a finished training's events, shuffled within each layer: the matched random control.

    Densities, cores, overlaps and patterns are those of the finished training at every step. Only the choice of weights
    differs.

    Args:
        chosen: the folder with the masks of the finished training's events
        granularity: of these masks
        seed: of the shuffle
    """

    name = "control"

    def __init__(self, chosen: Path, granularity: str, seed: int):
        self.chosen, self.granularity, self.seed = chosen, granularity, seed

    def start_scores(self, model: ConceptBottleneck) -> None:
        """None: nothing is learnt."""

    def new_masks(self, model: ConceptBottleneck, step: int, sparsity: float) -> tuple[MaskSet, dict[str, float]]:
        """Load and shuffle the masks of the same step.

        Raises:
            ModelError: the finished training has no event at this step.
        """
        masks = MaskSet.load(self.chosen / f"{step}.safetensors")
        masks = matched_random_of(model, masks, self.granularity, self.seed)
        return masks, {"control.sparsity": sparsity}


def make_mask_source(
    params: Prune, data: Examples, seed: int, folder: Path, null_concepts: Collection[str] = ()
) -> MaskSource:
    """The source of the configured saliency."""
    kind = LearntMasks if params.saliency == "movement" else ComputedMasks
    return kind(params, data, seed, folder, null_concepts)


def _figures(masks: MaskSet, sparsity: float) -> dict[str, float]:
    densities = {f"prune.density.{name}": share for name, share in masks.density().items()}
    return {"prune.sparsity": sparsity} | densities
