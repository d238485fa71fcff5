"""Side effects of a patch: what else it changes, on texts that had no part in making it.

Only the patched concept is predicted again. The other concepts have masks of their own, so their predictions are known.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from sparsecbm.base.errors import InterventionError
from sparsecbm.base.metrics import MISSING, interval, resampled_means, wilson_interval
from sparsecbm.base.numbers import six_decimals
from sparsecbm.base.published import PUBLISHED, published_form
from sparsecbm.intervene.patches.bits import Positions, toggled
from sparsecbm.intervene.reference import Reference, find_nearest, predict_concept_logits
from sparsecbm.model.cbm import ConceptBottleneck

Interval = tuple[float | None, float | None]


@dataclass(frozen=True, config=PUBLISHED)
class Share:
    """A number of texts, and their share of some texts with its 95 % interval by bootstrap over groups.

    Where all or none count, no resample differs, so the interval is Wilson's for as many cases as there are groups.
    """

    count: int
    of: Annotated[int, Field(description="number of the texts that the share refers to")]
    share: float | None
    interval: Interval


@dataclass(frozen=True, config=PUBLISHED)
class Change:
    """An accuracy without and with a patch; 95 % interval of the difference by paired bootstrap over groups."""

    before: float | None
    after: float | None
    interval: Interval


@dataclass(frozen=True, config=PUBLISHED)
class Neighbours:
    """Texts of the reference that are most similar to those that the patch was made for, as the concept pools them."""

    texts: int
    fixed: int
    harmed: int


@dataclass(frozen=True, config=PUBLISHED)
class SideEffects:
    """Side effects of a patch on a reference."""

    texts: Annotated[int, Field(description="texts of the reference, without those that the patch was made for")]
    bits: Annotated[int, Field(description="number of flipped bits")]
    share: Annotated[float, Field(description="share of the mask's bits that are flipped")]
    concept: Annotated[Change, Field(description="accuracy of the concept")]
    label: Annotated[Change, Field(description="accuracy of the label")]
    harmed: Annotated[Share, Field(description="wrong now, of the concept's predictions that were correct")]
    fixed: Annotated[Share, Field(description="correct now, of the concept's predictions that were wrong")]
    label_harmed: Annotated[Share, Field(description="wrong now, of the labels that were correct")]
    label_fixed: Annotated[Share, Field(description="correct now, of the labels that were wrong")]
    neighbours: Neighbours

    def to_dict(self) -> dict[str, Any]:
        """Return the published form, as `schemas/patch-test.schema.json` describes it."""
        return published_form(self)


@dataclass(frozen=True)
class SideEffectOptions:
    """How side effects are measured.

    Attributes:
        neighbours: number of most similar texts
        resamples, seed: of the bootstrap
    """

    neighbours: int = 20
    resamples: int = 1000
    seed: int = 0


DEFAULT_OPTIONS = SideEffectOptions()


def measure_side_effects(
    model: ConceptBottleneck,
    concept: str,
    flips: Positions,
    reference: Reference,
    examples: Sequence[str] = (),
    options: SideEffectOptions = DEFAULT_OPTIONS,
) -> SideEffects:
    """Predict the reference with the flips in force, and compare.

    Args:
        flips: as in `MaskPatch.flipped`; they are not in force
        reference: predictions of the model without the flips, on texts that had no other part in choosing them
        examples: texts that the flips were chosen for; these and their whole groups are left out

    Raises:
        InterventionError: the reference comes from another model, or no text of it is left.
    """
    reference.check_model(model)
    reference = reference.without_texts(examples)
    if not len(reference):
        raise InterventionError(
            "no text of the reference is left to measure side effects on; give it texts of other groups"
        )
    with toggled(model, concept, flips):
        logits, _ = predict_concept_logits(model, concept, reference.texts.tolist())
    effects = measure_changed_logits(model, concept, logits, reference, examples, options)
    bits = sum(len(positions) for positions in flips.values())
    return replace(effects, bits=bits, share=bits / model.masks.size)


def measure_changed_logits(
    model: ConceptBottleneck,
    concept: str,
    logits: np.ndarray,
    reference: Reference,
    examples: Sequence[str] = (),
    options: SideEffectOptions = DEFAULT_OPTIONS,
) -> SideEffects:
    """Compare the reference with other logits of a concept, wherever they come from; the number of flipped bits is 0.

    Args:
        logits: of the reference's texts, [texts, states]
        reference: predictions of this model
        examples: texts that the change is for, to find their neighbours; no group of the reference holds one
    """
    gold = reference.gold[concept]
    before, after = _correctness(gold, reference.logits[concept]), _correctness(gold, logits)
    label_before, label_after = (
        _correctness(reference.label_gold, model.label_logits({**reference.logits, concept: concept_logits}))
        for concept_logits in (reference.logits[concept], logits)
    )
    harmed, fixed = _turned(before, after, 1), _turned(before, after, 0)
    label_harmed, label_fixed = _turned(label_before, label_after, 1), _turned(label_before, label_after, 0)
    columns = np.stack([after - before, label_after - label_before, harmed, fixed, label_harmed, label_fixed], axis=1)
    draws = resampled_means(columns, reference.groups, options.resamples, options.seed)
    intervals = [_interval(draws[:, column]) for column in range(columns.shape[1])]
    neighbours = _nearest_rows(model, concept, list(examples), reference, options.neighbours)
    return SideEffects(
        len(reference),
        0,
        0.0,
        Change(_mean(before), _mean(after), intervals[0]),
        Change(_mean(label_before), _mean(label_after), intervals[1]),
        _share(harmed, intervals[2], reference.groups),
        _share(fixed, intervals[3], reference.groups),
        _share(label_harmed, intervals[4], reference.groups),
        _share(label_fixed, intervals[5], reference.groups),
        Neighbours(len(neighbours), int(np.nansum(fixed[neighbours])), int(np.nansum(harmed[neighbours]))),
    )


def _correctness(gold: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return 1 where logits predict the gold state, 0 where another, nan where it is unknown, [texts]."""
    return np.where(gold == MISSING, np.nan, logits.argmax(-1) == gold)


def _turned(before: np.ndarray, after: np.ndarray, start: int) -> np.ndarray:
    """Return which texts turned, among those that were correct (1) or wrong (0) at the start; nan for the others."""
    return np.where(before == start, after == 1 - start, np.nan)


def _nearest_rows(
    model: ConceptBottleneck, concept: str, examples: list[str], reference: Reference, count: int
) -> np.ndarray:
    """Return rows of the reference most similar to any example, by the cosine of the pooled texts."""
    if not examples:
        return np.zeros(0, int)
    _, vectors = predict_concept_logits(model, concept, examples)
    _, similarity = find_nearest(reference.pooled[concept], vectors)
    return np.argsort(-similarity, kind="stable")[:count]


def _share(values: np.ndarray, ends: Interval, groups: np.ndarray) -> Share:
    known = np.isfinite(values)
    if known.any() and np.ptp(values[known]) == 0:
        cases = len(set(groups[known]))
        low, high = wilson_interval(cases * int(values[known][0]), cases)
        ends = six_decimals(low), six_decimals(high)
    return Share(int(np.nansum(values)), int(known.sum()), _mean(values), ends)


def _mean(values: np.ndarray) -> float | None:
    known = np.isfinite(values)
    return six_decimals(values[known].mean()) if known.any() else None


def _interval(draws: np.ndarray) -> Interval:
    low, high = (six_decimals(end) for end in interval(draws))
    return low, high
