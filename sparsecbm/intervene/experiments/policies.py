"""Policies: which concept of a text a person should look at first.

A policy scores every concept of every text, and the concept with the highest score is edited first. The scores are:

    uncertainty      entropy divided by the log of the number of states (UCP)
    expected_change  E_{s ~ c_k} KL(p(y | c_k := s) || p(y)) (ECTP)
    contribution     sum_y |V_k[y] . c_k| (CCTP; Shin et al., arXiv 2302.14260)
    cooperative      uncertainty and expected change together (CooP; Chauhan et al., arXiv 2212.07430)
    oracle_worst     distance to the annotated state (LCP): a bound, which nobody can follow without annotations
"""

from collections.abc import Callable

import numpy as np
import torch

from sparsecbm.base.errors import InterventionError, unknown
from sparsecbm.base.metrics import MISSING
from sparsecbm.intervene.edits import edited_logits
from sparsecbm.intervene.reference import Reference
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.heads import activate
from sparsecbm.model.prediction import softmax

Scores = np.ndarray  # [texts, concepts]


def edit_order(policy: str, model: ConceptBottleneck, reference: Reference, rng: np.random.Generator) -> np.ndarray:
    """Return the indices of each text's concepts in the order in which they are edited, [texts, concepts].

    Args:
        rng: for `random`; no other policy draws

    Raises:
        InterventionError: the policy is unknown; the message lists the choices.
    """
    scorers = {**POLICIES, **ORACLE_POLICIES}
    if policy == "random":
        scores = rng.random((len(reference), len(model.concept_set)))
    elif policy in scorers:
        scores = scorers[policy](model, reference)
    else:
        raise InterventionError(unknown("policy", policy, ("random", *scorers)))
    return np.argsort(-scores, axis=1, kind="stable")


def uncertainty(model: ConceptBottleneck, reference: Reference) -> Scores:
    """Entropy of each concept's prediction, from 0 (certain) to 1 (all states alike)."""

    def normalised_entropy(name: str) -> np.ndarray:
        p = softmax(reference.logits[name])
        return -(p * np.log(p.clip(min=1e-300))).sum(-1) / np.log(p.shape[-1])

    return _score_concepts(model, normalised_entropy)


def expected_change(model: ConceptBottleneck, reference: Reference) -> Scores:
    """Expected movement of the label (KL) when the concept is set to a state drawn from its own prediction."""
    before = softmax(model.label_logits(reference.logits))

    def expected_divergence(name: str) -> np.ndarray:
        probabilities, total = softmax(reference.logits[name]), np.zeros(len(reference))
        for state in range(probabilities.shape[-1]):
            set_logits = set_state(model, name, state, reference.logits[name])
            after = softmax(model.label_logits({**reference.logits, name: set_logits}))
            divergence = (after * np.log(after.clip(min=1e-300) / before.clip(min=1e-300))).sum(-1)
            total += probabilities[:, state] * divergence
        return total

    return _score_concepts(model, expected_divergence)


def contribution(model: ConceptBottleneck, reference: Reference) -> Scores:
    """Sum of the absolute contributions of the concept's activation to the label's logits."""

    def absolute_contribution(name: str) -> np.ndarray:
        activation = activate(torch.from_numpy(reference.logits[name]), model.settings.activation).numpy()
        return np.abs(activation @ model.label_head.V(name).detach().cpu().numpy().T).sum(-1)

    return _score_concepts(model, absolute_contribution)


def cooperative(model: ConceptBottleneck, reference: Reference) -> Scores:
    """Uncertainty plus expected change, each divided by its mean so that both count alike."""
    return _divide_by_mean(uncertainty(model, reference)) + _divide_by_mean(expected_change(model, reference))


def oracle_worst(model: ConceptBottleneck, reference: Reference) -> Scores:
    """One less the probability of the annotated state; 0 where it is unknown. Needs gold."""

    def missing_probability(name: str) -> np.ndarray:
        gold, p = reference.gold[name], softmax(reference.logits[name])
        missing = 1 - np.take_along_axis(p, gold.clip(min=0)[:, None], axis=1)[:, 0]
        return np.where(gold == MISSING, 0.0, missing)

    return _score_concepts(model, missing_probability)


POLICIES: dict[str, Callable[[ConceptBottleneck, Reference], Scores]] = {
    "uncertainty": uncertainty,
    "expected_change": expected_change,
    "contribution": contribution,
    "cooperative": cooperative,
}
ORACLE_POLICIES: dict[str, Callable[[ConceptBottleneck, Reference], Scores]] = {"oracle_worst": oracle_worst}


def set_state(model: ConceptBottleneck, name: str, state: int, logits: np.ndarray) -> np.ndarray:
    """Return the logits of one concept, [texts, states], with the concept set to a state in every text."""
    one_hot = np.eye(len(model.concept_set[name]))[state]
    return edited_logits(model, one_hot, torch.from_numpy(logits)).numpy()


def _score_concepts(model: ConceptBottleneck, score: Callable[[str], np.ndarray]) -> Scores:
    return np.stack([score(name) for name in model.concept_set.names], axis=1)


def _divide_by_mean(scores: Scores) -> Scores:
    return scores / max(float(scores.mean()), 1e-12)
