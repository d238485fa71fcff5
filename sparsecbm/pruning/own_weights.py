"""Which concepts have earned weights of their own.

Contrast gives every concept weights that no other keeps, whether or not they serve it. Two questions to held-out texts
tell whether a concept has earned them. Both compare with matched random masks, whose heads are fitted in the same way:

better     does its mask predict the concept better than a random mask of the same size?
needed     does the concept lose more without its exclusive weights than under a random mask without as many?

Both count right predictions. Log-probabilities would punish a good mask for heads that are too sure of themselves.

A concept without meaning fails the first question, and one that reads common weights fails the second. With
`prune.contrast: earned` the mask of such a concept keeps the common weights alone.
"""

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import false_discovery_control, permutation_test
from torch import Tensor

from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.exclusive_weights import without_exclusive
from sparsecbm.model.inference import inference_mode
from sparsecbm.model.masked_copy import with_masks
from sparsecbm.model.masks import MaskSet
from sparsecbm.pruning.head_fit import refit_concept_heads
from sparsecbm.pruning.random_control import matched_random_of
from sparsecbm.pruning.required_masks import require_masks
from sparsecbm.train.examples import MISSING, Examples
from sparsecbm.train.pooled import pooled_under_masks

FALSE_DISCOVERIES = 0.05  # expected share of concepts that are called earned and are not
PERMUTATIONS = 1_999


@dataclass(frozen=True)
class Lead:
    """How far chosen masks lead random ones on held-out texts.

    Attributes:
        value: difference of the shares of texts whose state is predicted right
        p: of a lead this large by chance, one-sided; signs are flipped by groups of texts
    """

    value: float
    p: float


@dataclass(frozen=True)
class OwnWeights:
    """Whether a concept has earned weights of its own.

    Attributes:
        better: lead of its mask over a random one
        needed: what it loses without its exclusive weights, beyond the loss under random masks
        earned: whether both are significant, at a false discovery rate of 5 % over the concepts
    """

    better: Lead
    needed: Lead
    earned: bool


@dataclass(frozen=True)
class HeldOut:
    """Texts that masks were not trained on: their examples, and the group of each, [texts]."""

    examples: Examples
    groups: np.ndarray


@dataclass(frozen=True)
class PooledTexts:
    """Texts, and each of them as every concept's subnetwork pools it: concept -> [texts, hidden]."""

    examples: Examples
    pooled: Mapping[str, Tensor]


def judge_own_weights(
    model: ConceptBottleneck,
    training: PooledTexts,
    held_out: HeldOut,
    families: Sequence[Sequence[str]],
    granularity: str,
    seed: int,
) -> dict[str, OwnWeights]:
    """Judge the own weights of every concept of a masked model. The model does not change.

    Args:
        training: the texts on which heads are fitted, as the model pools them
        families: names of the concepts; the false discovery rate is controlled within each family. Exclusive weights
            are those that no other concept of the first family keeps
        granularity: of the masks: unstructured | hierarchical
        seed: of random masks and permutations
    """
    real = families[0]
    examples, masks = training.examples, require_masks(model)
    random_masks = matched_random_of(model, masks, granularity, seed)
    under_random = PooledTexts(examples, pooled_under_masks(with_masks(model, random_masks), examples))
    chosen = _right(model, masks, training, held_out.examples, real)
    random = _right(model, random_masks, under_random, held_out.examples, real)
    judged = {}
    for names in families:
        leads = {}
        for name in names:
            (whole, cut), (random_whole, random_cut) = chosen[name], random[name]
            leads[name] = (
                _lead(whole - random_whole, held_out.groups, seed),
                _lead((whole - cut) - (random_whole - random_cut), held_out.groups, seed),
            )
        adjusted = false_discovery_control([max(lead.p for lead in pair) for pair in leads.values()] or [1.0])
        for (name, (better, needed)), p in zip(leads.items(), adjusted, strict=False):
            judged[name] = OwnWeights(better, needed, bool(p <= FALSE_DISCOVERIES))
    return judged


def with_common_weights(masks: MaskSet, earned: Collection[str], real: Sequence[str]) -> MaskSet:
    """Masks in which concepts that have not earned weights of their own keep the common ones alone.

    Common are those that at least two of the real concepts with earned weights keep; if fewer than two have earned
    theirs, of all real concepts. So no weight stops being exclusive to another concept.

    Args:
        earned: names of the concepts that have earned their weights; their masks stay
        real: names of the concepts that mean something
    """
    keepers = [name for name in real if name in earned]
    keepers = keepers if len(keepers) > 1 else list(real)
    chosen = {mask.name: dict(mask.items()) for mask in masks}
    for layer in masks.shapes:
        common = torch.stack([masks[name][layer] for name in keepers]).sum(0) >= min(2, len(keepers))
        for name in masks.concepts:
            if name not in earned:
                chosen[name][layer] = common
    return MaskSet.from_masks(chosen)


def _right(
    model: ConceptBottleneck, masks: MaskSet, training: PooledTexts, held_out: Examples, real: Sequence[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Whether a concept is predicted right, with its mask and without its exclusive weights.

    Returns:
        concept -> two arrays of 0 and 1, [texts]; nan where the state is unknown
    """
    masked = with_masks(model, masks)
    masked.concept_heads = copy.deepcopy(model.concept_heads)  # the copy shares all other weights with the model
    refit_concept_heads(masked, training.examples, training.pooled, gamma=None)
    cut = with_masks(masked, without_exclusive(masks, masks.concepts, real))
    whole, without = (pooled_under_masks(each, held_out) for each in (masked, cut))
    return {
        name: (
            _of_gold(masked, name, whole[name], held_out.concepts[name]),
            _of_gold(masked, name, without[name], held_out.concepts[name]),
        )
        for name in masks.concepts
    }


def _of_gold(model: ConceptBottleneck, name: str, pooled: Tensor, gold: Tensor) -> np.ndarray:
    with inference_mode(model):
        predicted = model.concept_heads({name: pooled.to(model.device)})[name].argmax(-1).cpu()
    return np.where((gold == MISSING).numpy(), np.nan, (predicted == gold).numpy())


def _lead(differences: np.ndarray, groups: np.ndarray, seed: int) -> Lead:
    known = np.isfinite(differences)
    if not known.any():
        return Lead(0.0, 1.0)
    values, codes = differences[known], np.unique(groups[known], return_inverse=True)[1]
    sums = np.bincount(codes, weights=values)
    if not sums.any():
        return Lead(0.0, 1.0)
    test = permutation_test(
        (sums,), np.sum, permutation_type="samples", alternative="greater", n_resamples=PERMUTATIONS,
        vectorized=True, rng=np.random.default_rng(seed),
    )  # fmt: skip
    return Lead(float(values.mean()), float(test.pvalue))
