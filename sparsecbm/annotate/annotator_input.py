"""What annotators are given: the texts that machines may label, and what people say about them."""

from dataclasses import dataclass

import pandas as pd

from sparsecbm.annotate.fill import FILLED
from sparsecbm.annotate.human_labels import HUMAN_FILE, current_labels, read_decisions
from sparsecbm.annotate.people import apply_decisions, known_decisions, labels_of_people
from sparsecbm.annotate.texts import distinct_texts, read_checked
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import read_concepts


@dataclass(frozen=True)
class AnnotatorInput:
    """Texts and labels of people.

    Attributes:
        texts: one row for each text: `key`, `text`, `group`, `label` (null in evaluation splits) and `split`
        people: labels of people on texts of the training splits: `key`, `concept`, `state`
    """

    texts: pd.DataFrame
    people: pd.DataFrame


def read_annotator_input(workspace: Workspace) -> AnnotatorInput:
    """The texts of the training splits, and those of evaluation splits that people labelled.

    Texts of evaluation splits are there to measure annotators on. Neither their labels nor what people say about them
    is given to an annotator.

    Raises:
        DataError: there is no validated data yet, or the decisions of people cannot be read.
    """
    splits = read_checked(workspace)
    concept_set = read_concepts(workspace.validated)
    decisions = current_labels(read_decisions(workspace.annotations / HUMAN_FILE))
    known, _ = known_decisions(decisions, concept_set)
    people = labels_of_people(
        {name: apply_decisions(frame, known, concept_set) for name, frame in splits.items()}, concept_set
    )
    texts = distinct_texts(
        {name: frame if name in FILLED else frame.assign(label=None) for name, frame in splits.items()}
    )
    wanted = texts["split"].isin(FILLED) | texts["key"].isin(people["key"])
    taught = people[people["split"].isin(FILLED)][["key", "concept", "state"]]
    return AnnotatorInput(
        texts[wanted].reset_index(drop=True), taught.sort_values(["key", "concept"], ignore_index=True)
    )
