"""One text as the page shows it: the label, and each concept with its probabilities, contribution and setting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparsecbm.api import SparseCBM
from sparsecbm.explain.contributions import contributions_from_logits
from sparsecbm.intervene.edits import edits_from_logits, set_in_logits
from sparsecbm.model.cbm import Logits
from sparsecbm.serve.questions import Question, Row


@dataclass(frozen=True)
class ConceptReading:
    """One concept of a text.

    Attributes:
        probabilities: state -> probability, as the model predicts them
        set_to: the state that a person set; None if the prediction stands
        contribution: of the concept, as predicted or set, to the logit of the label that follows
        length: size of the contribution against the largest one, 0 to 1
    """

    name: str
    probabilities: Mapping[str, float]
    predicted: str
    set_to: str | None
    contribution: float
    length: float

    @property
    def state(self) -> str:
        """The state that counts: the one that was set, or the predicted one."""
        return self.set_to or self.predicted


@dataclass(frozen=True)
class Reading:
    """A text, read by one version of a model.

    Attributes:
        label: name of the label
        predicted, confidence: the label that the model predicts
        state, probabilities: the label that follows with the concepts that were set, and the probability of each
        bare: the label that the states alone give, without their probabilities; None if the model cannot tell
    """

    text: str
    version: str
    label: str
    predicted: str
    confidence: float
    state: str
    probabilities: Mapping[str, float]
    bare: str | None
    concepts: tuple[ConceptReading, ...]

    @property
    def settings(self) -> dict[str, str]:
        """Concept -> the state that was set."""
        return {concept.name: concept.set_to for concept in self.concepts if concept.set_to is not None}


def ask_reading(text: str, settings: Mapping[str, str]) -> Question:
    """Ask what a model reads in a text, and which label follows if some concepts are set."""

    def answer(model: SparseCBM, part: Sequence[str], logits: Logits) -> list[Row]:
        before = model.predictions(part, logits)
        changed = set_in_logits(model, logits, settings) if settings else logits
        after = model.predictions(part, changed)
        bare = _bare_labels(model, part, logits, settings)
        steps = contributions_from_logits(model, changed)
        return [
            {
                "before": before[row].to_dict(),
                "after": after[row].to_dict(),
                "bare": bare[row],
                "contributions": {name: values[after[row].label.state] for name, values in steps[row].steps.items()},
            }
            for row in range(len(part))
        ]

    return Question((text,), (), answer)


def _bare_labels(
    model: SparseCBM, texts: Sequence[str], logits: Logits, settings: Mapping[str, str]
) -> list[str | None]:
    if model.hard_head is None:
        return [None] * len(texts)
    # Every concept is set, so the edit changes nothing by itself if nobody set one.
    name = model.concept_set.names[0]
    own = settings or {name: model.predictions(texts, logits)[0].concepts[name].state}
    return [edit.after.label.state for edit in edits_from_logits(model, texts, logits, own, "hard")]


def reading_of(row: Mapping[str, Any], version: str, label: str, settings: Mapping[str, str]) -> Reading:
    """Make a reading of the answer to `ask_reading`.

    Args:
        label: name of the label
    """
    before, after = row["before"], row["after"]
    largest = max(map(abs, row["contributions"].values())) or 1.0
    concepts = tuple(
        ConceptReading(
            name, concept["probabilities"], concept["state"],
            settings.get(name) if settings.get(name) != concept["state"] else None,
            row["contributions"][name], abs(row["contributions"][name]) / largest,
        )
        for name, concept in before["concepts"].items()
    )  # fmt: skip
    return Reading(
        before["text"], version, label, before["label"], before["confidence"], after["label"], after["probabilities"],
        row["bare"], concepts,
    )  # fmt: skip
