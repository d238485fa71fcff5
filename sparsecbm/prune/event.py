"""One pruning event: new masks for every concept, at the sparsity that the schedule asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from torch import Tensor

from sparsecbm.base.params import Prune
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masked import prunable_layers
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.units import find_units
from sparsecbm.prune.contrast import contrasted
from sparsecbm.prune.degeneracy import magnitude_correlation, warn_if_magnitude
from sparsecbm.prune.gradients import concept_gradients
from sparsecbm.prune.n_of_m import prune_n_of_m
from sparsecbm.prune.saliency.base import Settings
from sparsecbm.prune.saliency.registry import saliency
from sparsecbm.prune.select import prune_to
from sparsecbm.prune.structured import select_units
from sparsecbm.train.examples import Batch

Scores = Mapping[str, Mapping[str, Tensor]]  # concept -> layer -> [weight's shape], larger stays


@dataclass(frozen=True)
class Scored:
    """Scores of all weights, and by concept their rank correlation with the magnitude (mean over layers)."""

    scores: dict[str, dict[str, Tensor]]
    correlations: dict[str, float]


def score_weights(model: ConceptBottleneck, params: Prune, batches: Sequence[Batch], seed: int) -> Scored:
    """Score every prunable weight for every concept by the configured saliency.

    Args:
        model: a masked model
        batches: small batches, one gradient each; not read where the saliency needs no gradients
    """
    method = saliency(params.saliency)
    settings = Settings(params.block, params.damp, params.memory_mb, seed)
    layers = prunable_layers(model.backbone, params.layers, params.masked_from)
    scores: dict[str, dict[str, Tensor]] = {}
    correlations = {}
    for name in model.concept_set.names:
        scores[name], found = {}, []
        pairs = (
            concept_gradients(model, name, batches, params.memory_mb)
            if method.needs_gradients
            else ((layer, None) for layer in layers)
        )
        for layer, gradients in pairs:
            weights = layers[layer].weight.detach().cpu()
            where = f"layer {layer}, concept {name!r}"
            values = method.score(weights.reshape(-1), gradients, settings, where).view(weights.shape)
            scores[name][layer] = values
            correlation = magnitude_correlation(values, weights, model.masks[name][layer].cpu())
            if method.needs_gradients and isfinite(correlation):
                found.append(correlation)
        if found:
            correlations[name] = sum(found) / len(found)
            warn_if_magnitude(correlations[name], f"concept {name!r}")
    return Scored(scores, correlations)


def choose_masks(
    model: ConceptBottleneck, params: Prune, scores: Scores, sparsity: float, regrow: bool = False
) -> MaskSet:
    """New masks for every concept from scores, at a sparsity and in the configured granularity.

    On its way to 2:4, a sparsity that 4 does not divide is rounded down: 4:4, 3:4, 2:4. Whole units round to half of
    the smallest (see `select_units`).

    Args:
        model: a masked model
        regrow: let a pruned weight come back

    Raises:
        ConfigError, PruningError: the pattern does not fit a layer, or more is pruned already than asked for.
    """
    current = {mask.name: {layer: kept.cpu() for layer, kept in mask.items()} for mask in model.masks}
    if params.granularity == "unstructured":
        if params.core:
            return MaskSet.from_masks(contrasted(scores, current, sparsity, params.core, params.threshold, regrow))
        chosen = {n: prune_to(scores[n], current[n], sparsity, params.threshold, regrow) for n in scores}
    elif params.granularity == "structured":
        units = find_units(model.backbone)
        chosen = {
            n: select_units(units, scores[n], sparsity, params.threshold, None if regrow else current[n]).masks
            for n in scores
        }
    else:
        of = int(params.granularity.split(":")[1])
        kept = of - int(sparsity * of + 1e-6)
        layers = prunable_layers(model.backbone, params.layers, params.masked_from)
        turned = {layer for layer, module in layers.items() if module.input_first}

        def turn(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
            """[out, in] of each layer, or back: the pattern runs along the inputs."""
            return {layer: value.T if layer in turned else value for layer, value in values.items()}

        chosen = {n: turn(prune_n_of_m(turn(scores[n]), turn(current[n]), kept, of, regrow)) for n in scores}
    return MaskSet.from_masks(chosen)
