"""One pruning event: new masks for every concept, at the sparsity of the schedule."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan

from torch import Tensor

from sparsecbm.base.params import Prune
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masked import masked_layers
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.units import find_units, select_pruned_units
from sparsecbm.pruning.activation_norms import stream_activation_norms
from sparsecbm.pruning.contrast import Contrast, choose_contrasting_masks
from sparsecbm.pruning.degeneracy import magnitude_correlation, warn_if_magnitude
from sparsecbm.pruning.gradients import stream_gradients
from sparsecbm.pruning.hierarchical import common_units
from sparsecbm.pruning.n_of_m import prune_n_of_m
from sparsecbm.pruning.required_masks import require_masks
from sparsecbm.pruning.saliency import SaliencySettings, get_saliency
from sparsecbm.pruning.select import prune_to
from sparsecbm.pruning.structured import select_units
from sparsecbm.train.examples import Batch

Scores = Mapping[str, Mapping[str, Tensor]]  # concept -> layer -> [weight's shape]; the largest stay


@dataclass(frozen=True)
class ScoredWeights:
    """Scores of all weights, and the rank correlation with magnitude of each concept, as the mean over layers."""

    scores: dict[str, dict[str, Tensor]]
    correlations: dict[str, float]


@dataclass(frozen=True)
class LayerScore:
    """The scores of one layer for one concept, and their rank correlation with magnitude; nan if it is unknown."""

    concept: str
    layer: str
    values: Tensor
    correlation: float


def score_weights(model: ConceptBottleneck, params: Prune, batches: Sequence[Batch], seed: int) -> ScoredWeights:
    """Score every prunable weight for every concept by the configured saliency.

    Args and errors are those of `stream_scores`.
    """
    scores: dict[str, dict[str, Tensor]] = {name: {} for name in model.concept_set.names}
    correlations: dict[str, list[float]] = {}
    for score in stream_scores(model, params, batches, seed):
        scores[score.concept][score.layer] = score.values
        if isfinite(score.correlation):
            correlations.setdefault(score.concept, []).append(score.correlation)
    return ScoredWeights(scores, {name: sum(values) / len(values) for name, values in correlations.items()})


def stream_scores(model: ConceptBottleneck, params: Prune, batches: Sequence[Batch], seed: int) -> Iterator[LayerScore]:
    """Score the prunable weights layer by layer, since the scores of all concepts may take more than the model.

    Args:
        model: a masked model
        batches: small batches, each for one gradient, or for the norms of activations; not used by other saliencies

    Raises:
        ConfigError, PruningError: as the saliency; or the model has no masks.
    """
    saliency = get_saliency(params.saliency)
    settings = SaliencySettings(params.block, params.damping, params.memory_mb, seed)
    layers, masks = masked_layers(model.backbone), require_masks(model)
    for name in model.concept_set.names:
        by_layer = []
        gradients_by_layer: Iterable[tuple[str, Tensor | None]] = ((layer, None) for layer in layers)
        if saliency.needs_gradients:
            gradients_by_layer = stream_gradients(model, name, batches, params.memory_mb)
        elif saliency.needs_activations:
            gradients_by_layer = stream_activation_norms(model, name, batches)
        for layer, gradients in gradients_by_layer:
            weights = layers[layer].weight.detach().cpu()
            where = f"layer {layer}, concept {name!r}"
            values = saliency.score(weights.reshape(-1), gradients, settings, where).view(weights.shape)
            correlation = nan
            if saliency.needs_gradients:
                correlation = magnitude_correlation(values, weights, masks[name][layer].cpu())
                by_layer += [correlation] if isfinite(correlation) else []
            yield LayerScore(name, layer, values, correlation)
        if by_layer:
            warn_if_magnitude(sum(by_layer) / len(by_layer), f"concept {name!r}")


def choose_masks(
    model: ConceptBottleneck,
    params: Prune,
    scores: Scores,
    sparsity: float,
    regrow: bool = False,
    null_concepts: Collection[str] = (),
) -> MaskSet:
    """New masks for every concept from scores, at a sparsity and in the configured granularity.

    N:M patterns round the sparsity down to whole weights: 2:4 goes by 4:4, 3:4, 2:4. Whole units round it to half of
    the smallest unit (see `select_units`). In `hierarchical` masks any weight may come back, as its unit may.

    Args:
        model: a masked model
        regrow: let a pruned weight come back
        null_concepts: names of the model's concepts that mean nothing; they change no mask but their own

    Raises:
        ConfigError, PruningError: the pattern does not fit a layer, or more weights are pruned already than requested.
    """
    masks = require_masks(model)
    if params.granularity in ("unstructured", "hierarchical"):
        contrast, common = Contrast(params.core, null_concepts), None
        if params.granularity == "hierarchical":
            units = select_pruned_units(find_units(model.backbone), masks.shapes)
            common, regrow = common_units(units, scores, sparsity, null_concepts), False

        def choose(layers: Sequence[str]) -> MaskSet:
            of_layers = {name: {layer: scores[name][layer] for layer in layers} for name in scores}
            current = {name: {layer: masks[name][layer].cpu() for layer in layers} for name in scores}
            if common is not None:
                current = {name: {layer: common[layer] for layer in layers} for name in scores}
            if params.contrasts:
                return MaskSet.from_masks(
                    choose_contrasting_masks(of_layers, current, sparsity, contrast, params.threshold, regrow)
                )
            return MaskSet.from_masks(
                {n: prune_to(of_layers[n], current[n], sparsity, params.threshold, regrow) for n in scores}
            )

        if params.threshold == "global":
            return choose(list(masks.shapes))
        # Layers choose for themselves, so only one of them is unpacked at a time.
        bits = {layer: choose([layer]).bits[layer] for layer in masks.shapes}
        return MaskSet(tuple(scores), masks.shapes, bits)
    current = {mask.name: {layer: kept.cpu() for layer, kept in mask.items()} for mask in masks}
    if params.pattern is None:  # whole heads and neurons
        units = find_units(model.backbone)
        chosen = {
            n: select_units(units, scores[n], sparsity, params.threshold, None if regrow else current[n]).masks
            for n in scores
        }
    else:
        m = params.pattern[1]
        kept = m - int(sparsity * m + 1e-6)
        transposed = {layer for layer, module in masked_layers(model.backbone).items() if module.input_first}

        def transpose(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
            """Turn weights [in, out] into [out, in], or back, since the pattern runs along the inputs."""
            return {layer: value.T if layer in transposed else value for layer, value in values.items()}

        chosen = {
            n: transpose(prune_n_of_m(transpose(scores[n]), transpose(current[n]), kept, m, regrow)) for n in scores
        }
    return MaskSet.from_masks(chosen)
