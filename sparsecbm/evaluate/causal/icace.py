"""ICaCE error: how far the estimates of explainers are from the effects of counterfactual texts (method, section 6).

The individual causal concept effect of a pair is probs(counterfactual) - probs(base), [classes]. The error of an
estimate has three distances: L2, the cosine distance (1 if either vector is zero), and the difference of the norms.
Each is averaged over the pairs (Abraham et al., arXiv 2205.14140, section 3). Flat probabilities alone make L2 small.
So explainers are compared on one model only, and the error of `zero` says how much there is to explain.
"""

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from sparsecbm.base.errors import DataError, unknown
from sparsecbm.base.form import Form
from sparsecbm.base.metrics import interval, resampled_means
from sparsecbm.base.numbers import Number
from sparsecbm.evaluate.causal.counterfactuals import Pairs
from sparsecbm.evaluate.causal.effect_baselines import conexp, random_effects, s_learner, state_means, zero
from sparsecbm.evaluate.causal.effects import Explainer, TextPredictions, concept_changes, concept_edit
from sparsecbm.evaluate.evidence import Estimate
from sparsecbm.model.cbm import ConceptBottleneck

DISTANCES = ("l2", "cosine", "norm")
REFERENCE = "concept_edit"


class IcaceScores(Form):
    """Errors of explainers on the same pairs; intervals are 95 %, by bootstrap over groups, paired."""

    pairs: int
    groups: int
    pairs_by_concept: dict[str, int]
    errors: dict[str, dict[str, Estimate]] = Field(description="explainer -> l2 | cosine | norm; less is better")
    by_concept: dict[str, dict[str, dict[str, Number]]] = Field(description="explainer -> concept -> distance")
    reference: str = Field(description="the explainer that the others are compared with")
    lead: dict[str, dict[str, Estimate]] = Field(
        description="error of each other explainer minus that of the reference; above 0 where the reference is nearer"
    )


def make_explainers(model: ConceptBottleneck, training: TextPredictions, seed: int = 0) -> dict[str, Explainer]:
    """The explainers that every bottleneck has, by name.

    concept_edit            c_k one-hot in the new state, the other activations as predicted
    concept_edit_typical    c_k as the mean activation of training texts of the new state
    concept_edit_gold       all concepts one-hot, from the gold states
    concept_edit_hard       all concepts one-hot, from the predicted states, through `hard_head`
    concept_edit_hard_gold  the same from the gold states
    s_learner, s_learner_gold, conexp, random, zero

    A model without `hard_head` has no hard ones. Activations of kind `logits` have no one-hot form, so `concept_edit`
    is the typical one there.

    Args:
        training: the predictions for the training texts

    Raises:
        DataError: the training texts lack a state, or all have the same predicted label.
    """
    head, hard = model.label_head, model.hard_head
    typical = concept_edit(head, by_state=state_means(training, training.activations))
    edits = {"concept_edit": typical}
    if model.settings.activation != "logits":
        edits = {
            "concept_edit": concept_edit(head),
            "concept_edit_typical": typical,
            "concept_edit_gold": concept_edit(head, "gold"),
        }
    if hard is not None:
        edits |= {
            "concept_edit_hard": concept_edit(hard, "hard"),
            "concept_edit_hard_gold": concept_edit(hard, "gold"),
        }
    return edits | {
        "s_learner": s_learner(training),
        "s_learner_gold": s_learner(training, "gold"),
        "conexp": conexp(training),
        "random": random_effects(seed),
        "zero": zero,
    }


def measure_icace(
    model: ConceptBottleneck,
    texts: TextPredictions,
    pairs: Pairs,
    explainers: Mapping[str, Explainer],
    resamples: int = 1000,
    seed: int = 0,
) -> IcaceScores:
    """Let explainers estimate the effects of pairs, and score the estimates.

    Args:
        texts: the predictions for the table of the pairs
        explainers: by name, such as from `make_explainers`; the others are compared with `REFERENCE`
        resamples: bootstrap resamples for each interval
        seed: of the resamples

    Raises:
        DataError: as `score_icace`.
    """
    changes = concept_changes(model, texts, pairs)
    estimates = {name: explain(changes) for name, explain in explainers.items()}
    return score_icace(true_effects(texts, pairs), estimates, pairs, REFERENCE, resamples, seed)


def true_effects(texts: TextPredictions, pairs: Pairs) -> np.ndarray:
    """ICaCE of pairs of rows of a table, [pairs, classes], from the table's predictions."""
    return texts.label[pairs.counterfactual] - texts.label[pairs.base]


def distances(true: np.ndarray, estimated: np.ndarray) -> np.ndarray:
    """Errors of estimated effects, [pairs, 3] in the order of `DISTANCES`.

    Args:
        true, estimated: [pairs, classes]
    """
    norms = np.linalg.norm(true, axis=-1), np.linalg.norm(estimated, axis=-1)
    product = norms[0] * norms[1]
    cosine = np.divide((true * estimated).sum(-1), product, out=np.zeros_like(product), where=product > 0)
    return np.stack([np.linalg.norm(true - estimated, axis=-1), 1 - cosine, np.abs(norms[0] - norms[1])], axis=-1)


def score_icace(
    true: np.ndarray,
    estimates: Mapping[str, np.ndarray],
    pairs: Pairs,
    reference: str = REFERENCE,
    resamples: int = 1000,
    seed: int = 0,
) -> IcaceScores:
    """Score estimated effects against the true ones.

    Args:
        true: [pairs, classes]
        estimates: explainer -> [pairs, classes]

    Raises:
        DataError: there is no pair or no such reference, or an estimate is not finite or of another shape.
    """
    if not len(pairs):
        raise DataError("there is no counterfactual pair to measure explainers on")
    if reference not in estimates:
        raise DataError(unknown("explainer", reference, estimates))
    for name, estimated in estimates.items():
        if estimated.shape != true.shape or not np.isfinite(estimated).all():
            raise DataError(
                f"explainer {name!r} gave effects of shape {list(estimated.shape)}, and "
                f"{int((~np.isfinite(estimated)).sum())} of them are not finite; the shape must be {list(true.shape)}, "
                "and all effects finite"
            )
    errors = {name: distances(true, estimated) for name, estimated in estimates.items()}
    drawn = resampled_means(np.concatenate(list(errors.values()), axis=1), pairs.group, resamples, seed)
    draws = dict(zip(errors, np.split(drawn, len(errors), axis=1), strict=True))  # each [resamples, 3]
    means = {name: values.mean(0) for name, values in errors.items()}
    rows_by_concept = {str(name): pairs.concept == name for name in np.unique(pairs.concept)}
    return IcaceScores(
        pairs=len(pairs),
        groups=len(np.unique(pairs.group)),
        pairs_by_concept={name: int(rows.sum()) for name, rows in rows_by_concept.items()},
        errors={name: _estimates(means[name], draws[name]) for name in errors},
        by_concept={
            name: {concept: _by_distance(values[rows].mean(0)) for concept, rows in rows_by_concept.items()}
            for name, values in errors.items()
        },
        reference=reference,
        lead={
            name: _estimates(means[name] - means[reference], draws[name] - draws[reference])
            for name in errors
            if name != reference
        },
    )


def _by_distance(values: np.ndarray) -> dict[str, float]:
    return dict(zip(DISTANCES, values, strict=True))


def _estimates(means: np.ndarray, draws: np.ndarray) -> dict[str, Estimate]:
    """Estimates by distance, from means, [3], and resampled means, [resamples, 3]."""
    return {name: Estimate(value=means[i], interval=interval(draws[:, i])) for i, name in enumerate(DISTANCES)}
