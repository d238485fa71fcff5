"""What is asked in one request, and what comes of it."""

from dataclasses import dataclass

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.llm.orders import order_number, states_in_order


@dataclass(frozen=True)
class Example:
    """A text that people labelled, as it is shown in a prompt.

    Attributes:
        states: concept -> state
    """

    key: str
    group: str
    text: str
    states: dict[str, str]


@dataclass(frozen=True)
class Question:
    """One text and the concepts that one request asks for.

    Attributes:
        key: of the text
        text: as it is sent
        vote: from 0; each vote shows the states in another order
        prompt: hash of all that the answer depends on besides model, text and definitions
        examples: shown before the text
    """

    key: str
    text: str
    vote: int
    concepts: tuple[ConceptDefinition, ...]
    prompt: str = ""
    examples: tuple[Example, ...] = ()

    @property
    def order(self) -> int:
        """The number of the order of states (see `orders`)."""
        return order_number(self.key, self.vote, self.concepts)

    def states(self, concept: ConceptDefinition) -> tuple[str, ...]:
        """The states of a concept in the order of this question."""
        return states_in_order(concept, self.order)


@dataclass(frozen=True)
class Cell:
    """What one answer says about one concept.

    Attributes:
        state: None where the model gives none
        probabilities: of the states, where the endpoint gives them
    """

    state: str | None
    probabilities: dict[str, float] | None = None


@dataclass(frozen=True)
class Answer:
    """What one request came to.

    Attributes:
        cells: concept -> cell; concepts without a valid state are missing
        faults: what is wrong with the answer, in words for the model
    """

    cells: dict[str, Cell]
    faults: tuple[str, ...] = ()
