"""Remedies for the same mistake, compared on the same held-out texts: a patch, an edit, and a stored correction.

An edit sets the concept of the corrected texts alone. A stored correction sets it in all texts that are similar enough.
A patch changes the concept's mask, and so may act on any text.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, computed_field
from pydantic.dataclasses import dataclass

from sparsecbm.base.concepts import Concept
from sparsecbm.base.errors import InterventionError
from sparsecbm.base.metrics import MISSING
from sparsecbm.base.published import PUBLISHED, published_form
from sparsecbm.intervene.experiments.policies import set_state
from sparsecbm.intervene.memory.recall import SIMILAR
from sparsecbm.intervene.patches.bits import toggled
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.reference import Reference, find_nearest, predict_concept_logits
from sparsecbm.model.cbm import ConceptBottleneck


@dataclass(frozen=True, config=PUBLISHED)
class StateChange:
    """A concept or the label of one text."""

    gold: Annotated[str | None, Field(description="annotated state; null if it is unknown")]
    before: str
    after: Annotated[str, Field(description="predicted state with the remedy")]

    @property
    def harmed(self) -> bool:
        """Whether the prediction was correct and is wrong now."""
        return self.gold == self.before != self.after

    @property
    def fixed(self) -> bool:
        """Whether the prediction was wrong and is correct now."""
        return self.gold == self.after != self.before


@dataclass(frozen=True, config=PUBLISHED)
class TextChange:
    """A text whose predictions a remedy changes."""

    text: str
    concept: StateChange
    label: StateChange

    @computed_field  # type: ignore[prop-decorator]
    @property
    def harmed(self) -> Annotated[bool, Field(description="concept or label was correct and is wrong now")]:
        """Whether the concept or the label is harmed."""
        return self.concept.harmed or self.label.harmed

    @property
    def fixed(self) -> bool:
        """Whether the concept or the label is fixed."""
        return self.concept.fixed or self.label.fixed


@dataclass(frozen=True, config=PUBLISHED)
class Remedy:
    """What one remedy does."""

    kind: Literal["patch", "edit", "memory"]
    likeness: Annotated[float | None, Field(description="similarity from which a stored correction acts")]
    changed: Annotated[int, Field(description="held-out texts whose concept or label is predicted differently")]
    harmed: Annotated[int, Field(description="held-out texts whose concept was correct and is wrong now")]
    fixed: Annotated[int, Field(description="held-out texts whose concept was wrong and is correct now")]
    label_harmed: int
    label_fixed: int
    texts: Annotated[
        tuple[TextChange, ...], Field(description="held-out texts that are harmed or fixed, harmed ones first")
    ]
    corrected: Annotated[tuple[TextChange, ...], Field(description="the texts that the remedy is for")]


@dataclass(frozen=True, config=PUBLISHED)
class Remedies:
    """Remedies for some texts whose concept should have another state."""

    concept: str
    state: str
    texts: Annotated[int, Field(description="held-out texts")]
    remedies: tuple[Remedy, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the published form, as `schemas/remedies.schema.json` describes it."""
        return published_form(self)

    def __getitem__(self, kind: str) -> Remedy:
        return next(remedy for remedy in self.remedies if remedy.kind == kind)


def compare_remedies(
    model: ConceptBottleneck, patch: MaskPatch, texts: Sequence[str], reference: Reference, likeness: float = SIMILAR
) -> Remedies:
    """Apply each remedy to held-out texts and to the texts that it is for; the model stays as it is.

    Args:
        patch: not in force
        texts: those that the patch was made for
        reference: predictions of the model without the patch; texts whose group holds one of `texts` are left out
        likeness: similarity from which a stored correction acts

    Raises:
        InterventionError: the reference comes from another model, or no text of it is left.
    """
    reference.check_model(model)
    texts = list(dict.fromkeys(texts))
    reference = reference.without_texts(texts)
    if not len(reference):
        raise InterventionError(
            "no text of the reference is left to compare remedies on; give it texts of other groups"
        )
    concept, state = patch.concept, model.concept_set[patch.concept].index(patch.state)
    own_logits = dict(model.logits(texts).concepts)
    _, own_vectors = predict_concept_logits(model, concept, texts)
    own = Reference(
        np.array(texts, dtype=object), np.array([""] * len(texts), dtype=object), np.full(len(texts), MISSING),
        {concept: np.full(len(texts), state)}, own_logits, {concept: own_vectors}, reference.checksum,
    )  # fmt: skip
    with toggled(model, concept, patch.flipped):
        patched, own_patched = (
            predict_concept_logits(model, concept, part.texts.tolist())[0] for part in (reference, own)
        )
    set_everywhere = set_state(model, concept, state, reference.logits[concept])
    _, similarity = find_nearest(reference.pooled[concept], own_vectors)
    remembered = np.where(similarity[:, None] >= likeness, set_everywhere, reference.logits[concept])
    own_set = set_state(model, concept, state, own_logits[concept])
    results: dict[str, tuple[np.ndarray, np.ndarray]] = {
        "patch": (patched, own_patched),
        "edit": (reference.logits[concept], own_set),
        "memory": (remembered, own_set),
    }
    remedies = []
    for kind, (logits, own_after) in results.items():
        changes = [c for c in _changes(model, concept, reference, logits) if _differs(c.concept) or _differs(c.label)]
        listed = sorted((c for c in changes if c.harmed or c.fixed), key=lambda c: (not c.harmed, not c.concept.harmed))
        remedies.append(
            Remedy(
                kind, likeness if kind == "memory" else None, len(changes),
                sum(c.concept.harmed for c in changes), sum(c.concept.fixed for c in changes),
                sum(c.label.harmed for c in changes), sum(c.label.fixed for c in changes),
                tuple(listed), tuple(_changes(model, concept, own, own_after)),
            )
        )  # fmt: skip
    return Remedies(concept, patch.state, len(reference), tuple(remedies))


def _differs(change: StateChange) -> bool:
    return change.before != change.after


def _changes(model: ConceptBottleneck, concept: str, reference: Reference, logits: np.ndarray) -> list[TextChange]:
    """The predictions of every text of a reference without and with other logits of a concept, [texts, states]."""
    labels = [
        model.label_logits({**reference.logits, concept: concept_logits}).argmax(-1)
        for concept_logits in (reference.logits[concept], logits)
    ]
    states = (reference.predicted(concept), logits.argmax(-1))
    return [
        TextChange(text, *parts)
        for text, *parts in zip(
            reference.texts.tolist(),
            _state_changes(model.concept_set[concept], reference.gold[concept], *states),
            _state_changes(model.concept_set.label, reference.label_gold, *labels),
            strict=True,
        )
    ]


def _state_changes(variable: Concept, gold: np.ndarray, before: np.ndarray, after: np.ndarray) -> list[StateChange]:
    names = variable.states
    return [
        StateChange(None if g == MISSING else names[g], names[b], names[a])
        for g, b, a in zip(gold.tolist(), before.tolist(), after.tolist(), strict=True)
    ]
