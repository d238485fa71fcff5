"""What stored corrections say about new texts: offered, or applied above a likeness, never in silence.

Likeness is the cosine of two texts as the concept's own subnetwork pools them. A correction of one concept says nothing
of another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsecbm.base.metrics import MISSING
from sparsecbm.intervene.edits import intervene
from sparsecbm.intervene.memory.store import Correction, Memory
from sparsecbm.intervene.patches.stack import patched
from sparsecbm.intervene.reference import Reference, nearest, read_concept
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.prediction import Prediction, state_predictions

CONTROLS = ("corrections", "confirmed", "wrong_state", "shuffled_states", "random_texts")


@dataclass(frozen=True)
class Offer:
    """The stored correction nearest to a text, and how alike the two texts are to the concept, from -1 to 1."""

    correction: Correction
    likeness: float


@dataclass(frozen=True)
class Corrected:
    """A prediction and what stored corrections did to it.

    Attributes:
        before, after: without and with them; the same if none acted
        acted: concept -> the correction that acted on it
    """

    before: Prediction
    after: Prediction
    acted: dict[str, Offer]


def offers(
    model: ConceptBottleneck, memory: Memory, texts: Sequence[str], threshold: float = 0.0
) -> list[dict[str, Offer]]:
    """For each text and concept, the nearest stored correction that is at least so alike."""
    found: list[dict[str, Offer]] = [{} for _ in texts]
    for concept in model.concept_set.names:
        stored = memory.fitting(model, concept)
        if not stored:
            continue
        _, vectors = read_concept(model, concept, list(texts))
        which, likeness = nearest(vectors, np.stack([memory.vector(correction) for correction in stored]))
        for row, (number, value) in enumerate(zip(which, likeness, strict=True)):
            if value >= threshold:
                found[row][concept] = Offer(stored[number], round(float(value), 6))
    return found


def corrected(model: ConceptBottleneck, memory: Memory, texts: Sequence[str], threshold: float) -> list[Corrected]:
    """Read texts, and let the nearest corrections that are at least so alike act; each result says which did.

    An edit sets the concept. A patch is put on for this text, and the concept reads what it then reads.
    """
    results = []
    for text, found in zip(texts, offers(model, memory, texts, threshold), strict=True):
        before = model.predict([text])[0]
        if not found:
            results.append(Corrected(before, before, {}))
            continue
        settings = {}
        for concept, offer in found.items():
            settings[concept] = offer.correction.state
            if offer.correction.kind == "patch":
                with patched(model, memory.patch(offer.correction)):
                    logits, _ = read_concept(model, concept, [text])
                settings[concept] = state_predictions(model.concept_set[concept], logits)[0].probabilities
        results.append(Corrected(before, intervene(model, text, settings).after, found))
    return results


def recall_rows(source: Reference, held_out: Reference, thresholds: Sequence[float], seed: int) -> list[dict]:
    """What oracle edits of all misread texts of one table do to another, as the threshold moves.

    `confirmed` stores the right readings as well, as corrections to what is read: a text that is nearest to one of them
    is left alone. Controls: every correction to a wrong state, the states shuffled among the corrections, and as many
    texts drawn at random, with their annotated states, in the place of the misread ones.

    Returns:
        rows: control, threshold, acted (concepts of texts), fixed, harmed, and their shares of wrong and right readings
    """
    rows = []
    for control in CONTROLS:
        draw = np.random.default_rng(seed)
        parts = [_recalled(source, held_out, concept, control, draw) for concept in source.gold]
        likeness, said, gold, read = (np.concatenate(column) for column in zip(*parts, strict=True))
        right, wrong = read == gold, (read != gold) & (gold != MISSING)
        for threshold in thresholds:
            after = np.where(likeness >= threshold, said, read)
            harmed, fixed = int((right & (after != gold)).sum()), int((wrong & (after == gold)).sum())
            rows.append(
                {
                    "control": control, "threshold": threshold, "acted": int((likeness >= threshold).sum()),
                    "changed": int((after != read).sum()), "fixed": fixed, "harmed": harmed,
                    "fixed_share": round(fixed / max(int(wrong.sum()), 1), 6),
                    "harmed_share": round(harmed / max(int(right.sum()), 1), 6),
                }
            )  # fmt: skip
    return rows


def _recalled(
    source: Reference, held_out: Reference, concept: str, control: str, draw: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """For one concept and every held-out text: likeness of the nearest correction, its state, gold and read state."""
    gold, read = held_out.gold[concept], held_out.read(concept)
    members = np.flatnonzero(source.wrong(concept))
    known = np.flatnonzero(source.gold[concept] != MISSING)
    if not len(members):
        return np.full(len(gold), -np.inf), read, gold, read
    if control == "random_texts":
        members = draw.choice(known, len(members), replace=False)
    if control == "confirmed":
        members = known
    states, many = source.gold[concept][members], source.logits[concept].shape[1]
    if control == "wrong_state":
        states = (states + draw.integers(1, many, len(states))) % many
    if control == "shuffled_states":
        states = draw.permutation(states)
    which, likeness = nearest(held_out.pooled[concept], source.pooled[concept][members])
    return likeness, states[which], gold, read
