"""The interface of annotators: machines that say which state of each concept a text has."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import pandas as pd

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.base.errors import SparseCBMError


class IncompleteError(SparseCBMError):
    """An annotator stopped before all texts were labelled, for instance because its budget is spent.

    Attributes:
        labels: the labels until then, which are kept
    """

    def __init__(self, message: str, labels: pd.DataFrame) -> None:
        super().__init__(message)
        self.labels = labels


class AbstentionWarning(UserWarning):
    """An annotator gives no label of a concept."""


class Annotator(Protocol):
    """Gives each text a state for each concept, or abstains.

    Attributes:
        name: as `annotate.annotators` in `params.yaml` names it; it becomes the source of its labels
        learns: whether it learns from labels of people. Then it labels all texts anew when these change; else a label
            depends on its text and definition alone
        in_parts: whether texts are given to it in parts (see `shards`). One that learns, or that keeps its answers
            itself, gets them all at once
        version: hash of all that its labels depend on besides texts, definitions and labels of people, such as model,
            prompt and options; the column `prompt` of its labels holds it, where it does not learn
    """

    name: str
    learns: bool
    in_parts: bool
    version: str

    def annotate(
        self, texts: pd.DataFrame, concepts: Sequence[ConceptDefinition], people: pd.DataFrame
    ) -> pd.DataFrame:
        """Label texts.

        Args:
            texts: the texts to label and those that people labelled: columns `key` (see `labels.text_key`), `text`,
                `group`, `label` (str or null; null in evaluation splits, whose label no annotator may see) and `split`
            concepts: the concepts to label, in order
            people: labels of people on any of these texts: columns `key`, `concept`, `state`. Labels of evaluation
                splits are left out

        Returns:
            a table of labels (see `labels`) with a row for each text and concept; no state where it abstains. A text
            that people labelled gets a label, too, by a machine that did not learn from its group, so that the two
            can be compared; none where no such machine is at hand (see `few_shot`)

        Raises:
            IncompleteError: it must stop early.
        """
        ...


@runtime_checkable
class Estimating(Protocol):
    """An annotator that can say beforehand what a call costs."""

    def estimate(self, texts: pd.DataFrame, concepts: Sequence[ConceptDefinition], people: pd.DataFrame) -> list[str]:
        """What `annotate` with these arguments would learn from or ask, and what it would cost, in sentences."""
        ...
