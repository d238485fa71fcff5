"""Which concept of a text a person should look at first.

A policy scores every concept of every text, and the highest score is edited first. `uncertainty` is the entropy by the
log of the number of states (UCP), `expected_change` is E_{s ~ c_k} KL(p(y | c_k := s) || p(y)) (ECTP), `contribution`
is sum_y |V_k[y] . c_k| (CCTP; Shin et al., arXiv 2302.14260), `cooperative` is uncertainty and expected change together
(CooP; Chauhan et al., arXiv 2212.07430). `oracle_worst` (LCP) looks at the annotation: a bound, and no policy that
anybody could follow.
"""

from collections.abc import Callable

import numpy as np
import torch

from sparsecbm.base.errors import InterventionError, unknown
from sparsecbm.base.metrics import MISSING
from sparsecbm.intervene.edits import edited_logits, label_logits
from sparsecbm.intervene.reference import Reference
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.heads import activate
from sparsecbm.model.prediction import softmax

Scores = np.ndarray  # [texts, concepts], the highest first


def order(policy: str, model: ConceptBottleneck, reference: Reference, draw: np.random.Generator) -> np.ndarray:
    """Numbers of the concepts of each text in the order in which they are edited, [texts, concepts].

    Args:
        draw: for `random`; no other policy draws

    Raises:
        InterventionError: the policy is unknown; names the choices.
    """
    if policy == "random":
        scores = draw.random((len(reference), len(model.concept_set)))
    elif policy in {**POLICIES, **ORACLE_POLICIES}:
        scores = {**POLICIES, **ORACLE_POLICIES}[policy](model, reference)
    else:
        raise InterventionError(unknown("policy", policy, ("random", *POLICIES, *ORACLE_POLICIES)))
    return np.argsort(-scores, axis=1, kind="stable")


def uncertainty(model: ConceptBottleneck, reference: Reference) -> Scores:
    """Entropy of each concept's reading, from 0 (certain) to 1 (all states alike)."""

    def of(name: str) -> np.ndarray:
        p = softmax(reference.logits[name])
        return -(p * np.log(p.clip(min=1e-300))).sum(-1) / np.log(p.shape[-1])

    return _by_concept(model, of)


def expected_change(model: ConceptBottleneck, reference: Reference) -> Scores:
    """How far the label is expected to move (KL) when the concept is set to a state drawn from its own reading."""
    before = softmax(label_logits(model, reference.logits))

    def of(name: str) -> np.ndarray:
        chances, total = softmax(reference.logits[name]), np.zeros(len(reference))
        for state in range(chances.shape[-1]):
            after = softmax(
                label_logits(model, {**reference.logits, name: set_to(model, name, state, reference.logits[name])})
            )
            total += chances[:, state] * (after * np.log(after.clip(min=1e-300) / before.clip(min=1e-300))).sum(-1)
        return total

    return _by_concept(model, of)


def contribution(model: ConceptBottleneck, reference: Reference) -> Scores:
    """How much the concept's activation adds to the label's logits, whatever the sign."""

    def of(name: str) -> np.ndarray:
        active = activate(torch.from_numpy(reference.logits[name]), model.settings.activation).numpy()
        return np.abs(active @ model.label_head.V(name).detach().cpu().numpy().T).sum(-1)

    return _by_concept(model, of)


def cooperative(model: ConceptBottleneck, reference: Reference) -> Scores:
    """Uncertainty and expected change, each by its mean, so that both count alike."""
    return _by_mean(uncertainty(model, reference)) + _by_mean(expected_change(model, reference))


def oracle_worst(model: ConceptBottleneck, reference: Reference) -> Scores:
    """What the annotated state's probability lacks to 1; 0 where nobody knows the state. Needs gold."""

    def of(name: str) -> np.ndarray:
        gold, p = reference.gold[name], softmax(reference.logits[name])
        found = 1 - np.take_along_axis(p, gold.clip(min=0)[:, None], axis=1)[:, 0]
        return np.where(gold == MISSING, 0.0, found)

    return _by_concept(model, of)


POLICIES: dict[str, Callable[[ConceptBottleneck, Reference], Scores]] = {
    "uncertainty": uncertainty,
    "expected_change": expected_change,
    "contribution": contribution,
    "cooperative": cooperative,
}
ORACLE_POLICIES: dict[str, Callable[[ConceptBottleneck, Reference], Scores]] = {"oracle_worst": oracle_worst}


def set_to(model: ConceptBottleneck, name: str, state: int, read: np.ndarray) -> np.ndarray:
    """Logits of one concept, [texts, states], set to a state in every text, likewise."""
    one_hot = np.eye(len(model.concept_set[name]))[state]
    return edited_logits(model, one_hot, torch.from_numpy(read)).numpy()


def _by_concept(model: ConceptBottleneck, of: Callable[[str], np.ndarray]) -> Scores:
    return np.stack([of(name) for name in model.concept_set.names], axis=1)


def _by_mean(scores: Scores) -> Scores:
    return scores / max(float(scores.mean()), 1e-12)
