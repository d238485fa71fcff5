"""Corrections that the workbench remembers: they are offered for similar texts, and change no reading by themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from sparsecbm.api import SparseCBM
from sparsecbm.base.workspace import Workspace
from sparsecbm.intervene.edits import intervene
from sparsecbm.intervene.memory.index import Correction
from sparsecbm.intervene.memory.recall import SIMILAR, find_offers
from sparsecbm.intervene.memory.store import Memory
from sparsecbm.intervene.patches.split_safeguards import predict_split
from sparsecbm.intervene.reference import Reference
from sparsecbm.intervene.remedies import Remedy, measure_memory
from sparsecbm.model.checksums import model_checksum, text_checksum

FOLDER = "memory"  # in the state folder; `sparsecbm memory list .sparsecbm/memory` shows it
SPLIT = "validation"


@dataclass(frozen=True)
class TextOffer:
    """A remembered correction that says something else of a text than the model.

    Attributes:
        likeness: similarity of its text
        text: its text; "" if nobody keeps it
        label: what the label would be with it
    """

    concept: str
    predicted: str
    state: str
    likeness: float
    author: str
    note: str
    text: str
    label: str


class Remembered:
    """The memory of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self._memory = workspace, Memory(workspace.state / FOLDER)
        self._reference: Reference | None = None
        self._measuring = Lock()

    def entries(self, model: SparseCBM) -> list[Correction]:
        """What acts on texts that this model reads; entries of other models do not."""
        if not model.has_bottleneck or not len(self._memory):
            return []
        return [entry for name in model.concept_set.names for entry in self._memory.corrections_for(model, name)]

    def entry(self, model: SparseCBM, identity: str) -> Correction | None:
        """An entry by the start of its id."""
        return next((entry for entry in self.entries(model) if entry.id.startswith(identity)), None)

    def add(self, model: SparseCBM, record: Mapping[str, Any], concept: str, author: str) -> Correction:
        """Remember one concept of a correction. A state that is remembered already is kept once.

        Raises:
            InterventionError, ConfigError: as `Memory.add`.
        """
        text, state = record["text"], record["concepts"][concept]
        same = (text_checksum(text), concept, state)
        for entry in self.entries(model):
            if (entry.text, entry.concept, entry.state) == same:
                return entry
        return self._memory.add(model, text, concept, state, author, record["reason"])

    def remove(self, identity: str) -> Correction:
        """Remember an entry no longer.

        Raises:
            InterventionError: there is no such entry.
        """
        return self._memory.remove(identity)

    def effects(self, model: SparseCBM, entry: Correction, text: str) -> tuple[Remedy, int]:
        """Measure which readings of the validation split an entry changes.

        Args:
            text: of the entry

        Returns:
            what it does, and the number of texts that it was measured on

        Raises:
            DataError: there is no such split.
            InterventionError: no text of another group is in it.
        """
        with self._measuring:  # the texts of the split are predicted once for each model
            if self._reference is None or self._reference.checksum != model_checksum(model):
                self._reference = predict_split(model, self._workspace.annotated, SPLIT)
            reference = self._reference
        remedy = measure_memory(model, entry.concept, entry.state, [text], reference)
        return remedy, len(reference.without_texts([text]))

    def offers(self, model: SparseCBM, text: str, texts: Mapping[str, str]) -> list[TextOffer]:
        """The entries of similar texts that differ from what the model reads.

        Args:
            texts: sha256 -> text of the corrections that are kept
        """
        if not self.entries(model):
            return []
        (found,), (prediction,) = find_offers(model, self._memory, [text], SIMILAR), model.predict([text])
        offers = []
        for concept, offer in found.offers.items():
            entry, predicted = offer.correction, prediction.concepts[concept].state
            if entry.state != predicted and entry.kind == "edit":
                label = intervene(model, [text], {concept: entry.state})[0].after.label.state
                offers.append(
                    TextOffer(
                        concept, predicted, entry.state, offer.likeness, entry.author, entry.note,
                        texts.get(entry.text, ""), label,
                    )
                )  # fmt: skip
        return offers


def by_correction(records: Sequence[Mapping[str, Any]], entries: Sequence[Correction]) -> dict[str, list[Correction]]:
    """Id of a correction -> the entries that remember it."""
    return {
        record["id"]: [
            entry
            for entry in entries
            if entry.text == text_checksum(record["text"]) and record["concepts"].get(entry.concept) == entry.state
        ]
        for record in records
    }
