"""Remedies for the same mistake, compared on the same held-out texts.

An edit sets the concept of the corrected texts alone. A stored correction sets it in all texts that are similar enough.
A patch changes the concept's mask, and a head change the concept's head, and so both may act on any text.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, computed_field
from pydantic.dataclasses import dataclass

from sparsecbm.base.concepts import Concept
from sparsecbm.base.errors import InterventionError
from sparsecbm.base.metrics import MISSING
from sparsecbm.base.numbers import six_decimals
from sparsecbm.base.published import PUBLISHED, published_form
from sparsecbm.intervene.experiments.policies import set_state
from sparsecbm.intervene.head_change import find_head_change
from sparsecbm.intervene.memory.recall import SIMILAR
from sparsecbm.intervene.patches.bits import toggled
from sparsecbm.intervene.patches.make import Safeguards
from sparsecbm.intervene.patches.options import DEFAULT_MARGIN
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.reference import Reference, find_nearest, predict_concept_logits
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.checksums import model_checksum

Kind = Literal["patch", "edit", "memory", "head"]


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

    @property
    def differs(self) -> bool:
        """Whether the concept or the label is predicted differently."""
        return self.concept.before != self.concept.after or self.label.before != self.label.after


@dataclass(frozen=True, config=PUBLISHED)
class Remedy:
    """What one remedy does."""

    kind: Kind
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
    relative_size: Annotated[
        float | None, Field(description="length of a change of the head's weights over the length of these weights")
    ] = None


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
    model: ConceptBottleneck, patch: MaskPatch, texts: Sequence[str], safeguards: Safeguards, likeness: float = SIMILAR
) -> Remedies:
    """Apply each remedy to held-out texts and to the texts that it is for; the model stays as it is.

    Args:
        patch: not in force
        texts: those that the patch was made for
        safeguards: those of the patch; a head change protects the same texts. Texts of the reference whose group
            protects or holds one of `texts` are left out
        likeness: similarity from which a stored correction acts

    Raises:
        InterventionError: there is no reference, it comes from another model, or no text of it is left.
    """
    if safeguards.unseen is None:
        raise InterventionError("remedies need a reference to be measured on")
    reference = _unseen(model, texts, safeguards.unseen)
    corrected = _corrected(model, patch.concept, patch.state, texts)
    with toggled(model, patch.concept, patch.flipped):
        patched, own_patched = (
            predict_concept_logits(model, patch.concept, part.texts.tolist())[0] for part in (reference, corrected)
        )
    state = model.concept_set[patch.concept].index(patch.state)
    own_set = set_state(model, patch.concept, state, corrected.logits[patch.concept])
    unchanged = reference.logits[patch.concept]
    margin = patch.made.get("margin", DEFAULT_MARGIN)
    head = find_head_change(model, texts, patch.concept, patch.state, margin, safeguards.protection)
    with_head, own_with_head = (
        head.changed_logits(part.logits[patch.concept], part.pooled[patch.concept]) for part in (reference, corrected)
    )
    remedies = (
        _remedy(model, "patch", patch.concept, (reference, patched), (corrected, own_patched)),
        _remedy(model, "edit", patch.concept, (reference, unchanged), (corrected, own_set)),
        measure_memory(model, patch.concept, patch.state, texts, reference, likeness),
        replace(
            _remedy(model, "head", patch.concept, (reference, with_head), (corrected, own_with_head)),
            relative_size=six_decimals(head.relative_size),
        ),
    )
    return Remedies(patch.concept, patch.state, len(reference), remedies)


def measure_memory(
    model: ConceptBottleneck,
    concept: str,
    state: str,
    texts: Sequence[str],
    reference: Reference,
    likeness: float = SIMILAR,
) -> Remedy:
    """What happens to held-out texts if the state of some texts is stored as a correction; nothing is stored.

    Args:
        reference: predictions of the model; texts whose group holds one of `texts` are left out
        likeness: as in `compare_remedies`

    Raises:
        InterventionError: as `compare_remedies`.
        ConfigError: an unknown state.
    """
    reference, corrected = _unseen(model, texts, reference), _corrected(model, concept, state, texts)
    _, similarity = find_nearest(reference.pooled[concept], corrected.pooled[concept])
    logits, own_logits = (
        set_state(model, concept, model.concept_set[concept].index(state), part.logits[concept])
        for part in (reference, corrected)
    )
    acting = np.where(similarity[:, None] >= likeness, logits, reference.logits[concept])
    return _remedy(model, "memory", concept, (reference, acting), (corrected, own_logits), likeness)


def _unseen(model: ConceptBottleneck, texts: Sequence[str], reference: Reference) -> Reference:
    reference.check_model(model)
    unseen = reference.without_texts(texts)
    if not len(unseen):
        raise InterventionError(
            "no text of the reference is left to measure remedies on; give it texts of other groups"
        )
    return unseen


def _corrected(model: ConceptBottleneck, concept: str, state: str, texts: Sequence[str]) -> Reference:
    """Predict the texts that a remedy is for; the wanted state is their gold state."""
    texts = list(dict.fromkeys(texts))
    gold = np.full(len(texts), model.concept_set[concept].index(state))
    return Reference(
        np.array(texts, dtype=object), np.array(texts, dtype=object), np.full(len(texts), MISSING), {concept: gold},
        dict(model.logits(texts).concepts), {concept: predict_concept_logits(model, concept, texts)[1]},
        model_checksum(model),
    )  # fmt: skip


def _remedy(
    model: ConceptBottleneck,
    kind: Kind,
    concept: str,
    held_out: tuple[Reference, np.ndarray],
    corrected: tuple[Reference, np.ndarray],
    likeness: float | None = None,
) -> Remedy:
    """Compare predictions without and with a remedy.

    Args:
        held_out, corrected: predictions without it, and the logits of the concept with it, [texts, states]
    """
    changes = [change for change in _changes(model, concept, *held_out) if change.differs]
    listed = [change for change in changes if change.harmed or change.fixed]
    return Remedy(
        kind, likeness, len(changes),
        sum(change.concept.harmed for change in changes), sum(change.concept.fixed for change in changes),
        sum(change.label.harmed for change in changes), sum(change.label.fixed for change in changes),
        tuple(sorted(listed, key=lambda change: (not change.harmed, not change.concept.harmed))),
        tuple(_changes(model, concept, *corrected)),
    )  # fmt: skip


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
