"""Recall: what stored corrections say about new texts. They are offered, or act above a threshold of similarity.

The similarity of two texts (`likeness`) is the cosine of their vectors, as the concept's own subnetwork pools them.
A correction of one concept does not affect another. Results always say which correction acted.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from sparsecbm.base.errors import InterventionError
from sparsecbm.base.metrics import MISSING
from sparsecbm.base.published import PUBLISHED
from sparsecbm.intervene.edits import Setting, intervene
from sparsecbm.intervene.memory.index import Correction
from sparsecbm.intervene.memory.store import Memory
from sparsecbm.intervene.patches.stack import patched
from sparsecbm.intervene.reference import Reference, find_nearest, predict_concept_logits
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.prediction import state_predictions
from sparsecbm.model.prediction_form import PublishedPrediction

SIMILAR = 0.95  # similarity from which a correction acts where nobody chose another one
CONTROLS = ("corrections", "confirmed", "wrong_state", "shuffled_states", "random_texts")


@dataclass(frozen=True, config=PUBLISHED)
class Offer:
    """The stored correction that is most similar to a text."""

    likeness: Annotated[
        float, Field(ge=-1.001, le=1.001, description="cosine of the two texts as the concept pools them")
    ]
    correction: Correction


@dataclass(frozen=True, config=PUBLISHED)
class TextOffers:
    """The most similar correction of each concept for one text."""

    text: str
    offers: dict[str, Offer]


@dataclass(frozen=True, config=PUBLISHED)
class CorrectedPrediction:
    """A prediction without and with stored corrections; both are the same if no correction acted."""

    before: PublishedPrediction
    after: PublishedPrediction
    acted: Annotated[dict[str, Offer], Field(description="concept -> the correction that acted on it")]


def find_offers(
    model: ConceptBottleneck, memory: Memory, texts: Sequence[str], threshold: float = 0.0
) -> list[TextOffers]:
    """Find, for each text and concept, the most similar stored correction at or above the threshold."""
    offers: list[dict[str, Offer]] = [{} for _ in texts]
    for concept in model.concept_set.names:
        stored = memory.corrections_for(model, concept)
        if not stored:
            continue
        _, vectors = predict_concept_logits(model, concept, list(texts))
        nearest, similarity = find_nearest(vectors, _stored_vectors(memory, stored, vectors.shape[1]))
        for row, (index, cosine) in enumerate(zip(nearest, similarity, strict=True)):
            if cosine >= threshold:
                offers[row][concept] = Offer(round(float(cosine), 6), stored[index])
    return [TextOffers(text, by_concept) for text, by_concept in zip(texts, offers, strict=True)]


def _stored_vectors(memory: Memory, stored: Sequence[Correction], width: int) -> np.ndarray:
    """Return the vectors of corrections, [corrections, width].

    Raises:
        InterventionError: one is missing, altered or of another width.
    """
    vectors = [memory.vector(correction) for correction in stored]
    for correction, vector in zip(stored, vectors, strict=True):
        if len(vector) != width:
            raise InterventionError(
                f"{memory.folder}: the vector of correction {correction.id[:12]} has {len(vector)} numbers, not {width}"
            )
    return np.stack(vectors)


def predict_with_corrections(
    model: ConceptBottleneck, memory: Memory, texts: Sequence[str], threshold: float
) -> list[CorrectedPrediction]:
    """Predict texts, and let the most similar corrections at or above the threshold act.

    An edit sets the concept. A patch is applied for this text only, and the concept keeps its prediction under it.
    """
    results = []
    predictions = model.predict(list(texts))
    for before, text_offers in zip(predictions, find_offers(model, memory, texts, threshold), strict=True):
        if not text_offers.offers:
            results.append(CorrectedPrediction(before, before, {}))
            continue
        settings: dict[str, Setting] = {}
        for concept, offer in text_offers.offers.items():
            settings[concept] = offer.correction.state
            if offer.correction.kind == "patch":
                with patched(model, memory.patch(offer.correction)):
                    logits, _ = predict_concept_logits(model, concept, [text_offers.text])
                settings[concept] = state_predictions(model.concept_set[concept], logits)[0].probabilities
        after = intervene(model, [text_offers.text], settings)[0].after
        results.append(CorrectedPrediction(before, after, text_offers.offers))
    return results


def recall_rows(source: Reference, held_out: Reference, thresholds: Sequence[float], seed: int) -> list[dict]:
    """Measure what oracle edits of all wrong predictions of one table do to another table, by threshold.

    `corrections` stores the wrong predictions only. `confirmed` also stores the correct ones, as corrections to the
    predicted state; a text that is most similar to one of them stays as it is. The controls are: every correction to a
    wrong state, the states shuffled among the corrections, and as many texts drawn at random with their annotated
    states.

    Returns:
        rows: control, threshold, acted (concepts of texts), fixed, harmed, and their shares of wrong and of correct
        predictions
    """
    rows = []
    for control in CONTROLS:
        rng = np.random.default_rng(seed)
        parts = [_recall_concept(source, held_out, concept, control, rng) for concept in source.gold]
        similarity, states, gold, predicted = (np.concatenate(column) for column in zip(*parts, strict=True))
        correct, incorrect = predicted == gold, (predicted != gold) & (gold != MISSING)
        for threshold in thresholds:
            after = np.where(similarity >= threshold, states, predicted)
            harmed, fixed = int((correct & (after != gold)).sum()), int((incorrect & (after == gold)).sum())
            rows.append(
                {
                    "control": control, "threshold": threshold, "acted": int((similarity >= threshold).sum()),
                    "changed": int((after != predicted).sum()), "fixed": fixed, "harmed": harmed,
                    "fixed_share": round(fixed / max(int(incorrect.sum()), 1), 6),
                    "harmed_share": round(harmed / max(int(correct.sum()), 1), 6),
                }
            )  # fmt: skip
    return rows


def _recall_concept(
    source: Reference, held_out: Reference, concept: str, control: str, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Return, for each held-out text, the nearest correction's similarity and state, and the gold and predicted one."""
    gold, predicted = held_out.gold[concept], held_out.predicted(concept)
    stored_rows = np.flatnonzero(source.incorrect(concept))
    known_rows = np.flatnonzero(source.gold[concept] != MISSING)
    if not len(stored_rows):
        return np.full(len(gold), -np.inf), predicted, gold, predicted
    if control == "random_texts":
        stored_rows = rng.choice(known_rows, len(stored_rows), replace=False)
    if control == "confirmed":
        stored_rows = known_rows
    states, state_count = source.gold[concept][stored_rows], source.logits[concept].shape[1]
    if control == "wrong_state":
        states = (states + rng.integers(1, state_count, len(states))) % state_count
    if control == "shuffled_states":
        states = rng.permutation(states)
    nearest, similarity = find_nearest(held_out.pooled[concept], source.pooled[concept][stored_rows])
    return similarity, states[nearest], gold, predicted
