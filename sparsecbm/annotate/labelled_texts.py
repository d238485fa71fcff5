"""What people are shown who label: the texts, with the labels of the source and of machines."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from sparsecbm.annotate.concept_file import ConceptDefinition, read_concept_file
from sparsecbm.annotate.labels import label_paths, read_labels
from sparsecbm.annotate.machine_labels import separate_outdated
from sparsecbm.annotate.texts import distinct_texts, read_checked
from sparsecbm.base.errors import ConfigError, DataError, unknown
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.blanks import UNKNOWN, fill_blanks
from sparsecbm.data.source_table import BLANK, HUMAN
from sparsecbm.data.tables import read_concepts


@dataclass(frozen=True)
class LabelledTexts:
    """Texts and what is known about them, apart from decisions of people in the workspace.

    Attributes:
        frame: one row for each different text: `key`, `text`, `group`, `label` (null without one), `split`, and for
            each concept `concept.NAME`, the state that the source gives (null without one)
        concepts: the concepts to label, in order
        machines: annotator -> its table of labels (see `labels`); labels for another definition are left out
    """

    frame: pd.DataFrame
    concepts: tuple[ConceptDefinition, ...]
    machines: dict[str, pd.DataFrame]

    def concept(self, name: str) -> ConceptDefinition:
        """The definition of a concept.

        Raises:
            ConfigError: there is no such concept; the message lists the choices.
        """
        for concept in self.concepts:
            if concept.name == name:
                return concept
        raise ConfigError(unknown("concept", name, [concept.name for concept in self.concepts]))


def load_labelled_texts(workspace: Workspace, splits: Sequence[str] | None = None) -> LabelledTexts:
    """Load the texts of splits, all by default. Of equal texts the first one counts.

    The concepts are those of `concepts.yaml`; without this file, those of the source.

    Raises:
        DataError: `data/validated` is not there, or there is no such split.
        ConfigError: `concepts.yaml` is not valid.
    """
    every = read_checked(workspace)
    for split in splits or ():
        if split not in every:
            raise DataError(f"{workspace.validated}: {unknown('split', split, every)}")
    concepts = load_definitions(workspace)
    fills = _blank_means_unknown(workspace)
    filled = [c.name for c in concepts if fills and any(_is_given(frame, c.name) for frame in every.values())]
    chosen = {
        split: every[split].assign(
            **{f"concept.{c.name}": _people_states(every[split], c, c.name in filled) for c in concepts}
        )
        for split in (every if splits is None else splits)
    }
    frame = distinct_texts(chosen, [f"concept.{concept.name}" for concept in concepts])
    return LabelledTexts(frame, concepts, _machines(workspace, concepts))


def load_definitions(workspace: Workspace) -> tuple[ConceptDefinition, ...]:
    """The concepts of `concepts.yaml`, or of the source, whose states have no definition."""
    if workspace.concept_file.exists():
        return read_concept_file(workspace.concept_file).concepts
    return tuple(ConceptDefinition(c.name, "", dict.fromkeys(c.states, "")) for c in read_concepts(workspace.validated))


def _blank_means_unknown(workspace: Workspace) -> bool:
    """Whether an empty cell of the source is the state `unknown`, as the stage `annotate` takes it without machines."""
    settings = load_params(workspace.params).annotate
    return settings.blank == UNKNOWN and settings.annotators == (HUMAN,)


def _is_given(frame: pd.DataFrame, concept: str) -> bool:
    """Whether the source has a column of the concept with labels."""
    return f"concept.{concept}" in frame and (frame[f"source.{concept}"].fillna(BLANK) != BLANK).any()


def _people_states(frame: pd.DataFrame, concept: ConceptDefinition, fill: bool) -> pd.Series:
    """The states of people in a table of validated rows, null without one.

    Args:
        fill: whether an empty cell is the state `unknown`
    """
    if f"concept.{concept.name}" not in frame:
        return pd.Series(None, index=frame.index, dtype="str")
    filled = fill_blanks(frame, [concept.concept], UNKNOWN if fill else "leave_out")
    return filled[f"concept.{concept.name}"]


def _machines(workspace: Workspace, concepts: Sequence[ConceptDefinition]) -> dict[str, pd.DataFrame]:
    hashes = {concept.name: concept.hash for concept in concepts}
    tables = {name: read_labels(path) for name, path in label_paths(workspace.annotations).items()}
    return {name: separate_outdated(table, hashes)[0] for name, table in tables.items()}
