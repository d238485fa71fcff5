"""The bill of a patch: what else it changes, on texts that had no part in making it.

Only the edited concept is read again; the others have masks of their own, and their readings are known.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from sparsecbm.base.errors import InterventionError
from sparsecbm.base.metrics import MISSING, interval, resampled_means
from sparsecbm.base.numbers import six_decimals
from sparsecbm.intervene.edits import label_logits
from sparsecbm.intervene.patches.bits import Positions, toggled
from sparsecbm.intervene.reference import Reference, nearest, read_concept
from sparsecbm.model.cbm import ConceptBottleneck


@dataclass(frozen=True)
class Share:
    """How many of some texts, and which share of them, with its 95 % interval by bootstrap over groups."""

    count: int
    of: int
    share: float | None
    interval: tuple[float | None, float | None]


@dataclass(frozen=True)
class Change:
    """An accuracy without and with a patch, and the 95 % interval of the difference by paired bootstrap over groups."""

    before: float | None
    after: float | None
    interval: tuple[float | None, float | None]


@dataclass(frozen=True)
class Neighbours:
    """The texts of the reference nearest to those that the patch was made for, as the concept pools them."""

    texts: int
    fixed: int
    harmed: int


@dataclass(frozen=True)
class Bill:
    """Side effects of a patch on a reference.

    Attributes:
        texts: of the reference, without the examples and what was to be left out
        bits: flipped
        share: of the mask's bits that are flipped
        concept, label: accuracies
        harmed: readings of the concept that were right and are wrong now, among those that were right
        fixed: the other way round, among those that were wrong
        label_harmed, label_fixed: the same of the label
        neighbours: how it generalises
    """

    texts: int
    bits: int
    share: float
    concept: Change
    label: Change
    harmed: Share
    fixed: Share
    label_harmed: Share
    label_fixed: Share
    neighbours: Neighbours

    def to_dict(self) -> dict:
        """Plain form, as JSON holds it."""
        plain = asdict(self)
        for part in ("concept", "label", "harmed", "fixed", "label_harmed", "label_fixed"):
            plain[part]["interval"] = list(plain[part]["interval"])
        return plain


def make_bill(
    model: ConceptBottleneck,
    concept: str,
    flips: Positions,
    reference: Reference,
    examples: Sequence[str] = (),
    leave_out: Collection[str] = (),
    neighbours: int = 20,
    resamples: int = 1000,
    seed: int = 0,
) -> Bill:
    """Read the reference with the flips in force, and compare.

    Args:
        flips: as in `MaskPatch.flipped`; not in force
        reference: as the model reads it without them
        examples: texts that the flips were chosen for; they and all of their groups are left out
        leave_out: groups that had another part in choosing them
        neighbours: how many nearest texts
        resamples, seed: of the bootstrap

    Raises:
        InterventionError: another model read the reference, or nothing of it is left.
    """
    reference.check(model)
    reference = reference.without(leave_out).without_texts(examples)
    if not len(reference):
        raise InterventionError("no text of the reference is left to bill the patch on; give it texts of other groups")
    with toggled(model, concept, flips):
        logits, _ = read_concept(model, concept, reference.texts.tolist())
    gold = reference.gold[concept]
    before, after = _correct(gold, reference.logits[concept]), _correct(gold, logits)
    label_before, label_after = (
        _correct(reference.label_gold, label_logits(model, {**reference.logits, concept: read}))
        for read in (reference.logits[concept], logits)
    )
    harmed, fixed = _turned(before, after, 1), _turned(before, after, 0)
    label_harmed, label_fixed = _turned(label_before, label_after, 1), _turned(label_before, label_after, 0)
    columns = np.stack([after - before, label_after - label_before, harmed, fixed, label_harmed, label_fixed], axis=1)
    draws = resampled_means(columns, reference.groups, resamples, seed)
    intervals = [tuple(six_decimals(end) for end in interval(draws[:, column])) for column in range(columns.shape[1])]
    near = _nearest(model, concept, list(examples), reference, neighbours)
    bits = sum(len(positions) for positions in flips.values())
    return Bill(
        len(reference),
        bits,
        bits / model.masks.size,
        Change(_mean(before), _mean(after), intervals[0]),
        Change(_mean(label_before), _mean(label_after), intervals[1]),
        _share(harmed, intervals[2]),
        _share(fixed, intervals[3]),
        _share(label_harmed, intervals[4]),
        _share(label_fixed, intervals[5]),
        Neighbours(len(near), int(np.nansum(fixed[near])), int(np.nansum(harmed[near]))),
    )


def _correct(gold: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """1 where logits read the gold state, 0 where another, nan where nobody knows it, [texts]."""
    return np.where(gold == MISSING, np.nan, logits.argmax(-1) == gold)


def _turned(before: np.ndarray, after: np.ndarray, was: int) -> np.ndarray:
    """Among the texts that were right (1) or wrong (0) before, which are the other way round now; else nan."""
    return np.where(before == was, after == 1 - was, np.nan)


def _nearest(
    model: ConceptBottleneck, concept: str, examples: list[str], reference: Reference, count: int
) -> np.ndarray:
    """Rows of the reference most like any example, by the cosine of the pooled texts."""
    if not examples:
        return np.zeros(0, int)
    _, vectors = read_concept(model, concept, examples)
    likeness = nearest(reference.pooled[concept], vectors)[1]
    return np.argsort(-likeness, kind="stable")[:count]


def _share(values: np.ndarray, ends: tuple[float | None, float | None]) -> Share:
    known = np.isfinite(values)
    return Share(int(np.nansum(values)), int(known.sum()), _mean(values), ends)


def _mean(values: np.ndarray) -> float | None:
    known = np.isfinite(values)
    return six_decimals(values[known].mean()) if known.any() else None
