"""The labels of all machines. Those count that were given for the definitions that `concepts.yaml` has now."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sparsecbm.annotate.labels import label_path, read_labels
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import ConfigError, DataError
from sparsecbm.data.source_table import HUMAN

COMMAND = "sparsecbm annotate"  # labels what lacks a label


@dataclass(frozen=True, eq=False)
class MachineLabels:
    """The labels of all machines.

    Attributes:
        tables: annotator -> its labels for current definitions, in the order of priority
        outdated: annotator -> concept -> number of labels for an earlier definition, which do not count
    """

    tables: Mapping[str, pd.DataFrame]
    outdated: Mapping[str, Mapping[str, int]]

    def of(self, concept: str) -> dict[str, pd.DataFrame]:
        """Annotator -> its labels for one concept."""
        return {name: table[table["concept"] == concept] for name, table in self.tables.items()}

    def origins(self) -> dict[str, dict]:
        """Annotator -> number of its labels, and the models and hashes of prompts that they come from."""
        return {
            name: {
                "labels": int(table["state"].notna().sum()),
                "models": sorted(table["model"].dropna().unique()),
                "prompts": sorted(table["prompt"].dropna().unique()),
            }
            for name, table in self.tables.items()
        }

    def notes(self) -> list[str]:
        """A sentence about each concept whose labels are outdated."""
        return [
            f"{count} label(s) of annotator {name!r} are for an earlier definition of concept {concept!r} and do not "
            f"count; `{COMMAND}` labels these texts again"
            for name, counts in self.outdated.items()
            for concept, count in counts.items()
        ]


def read_machine_labels(
    folder: Path, annotators: Iterable[str], definitions: Mapping[str, str], concept_set: ConceptSet
) -> MachineLabels:
    """Read the tables of the annotators that are machines. Labels of concepts without a definition are left out.

    Args:
        folder: `data/annotations`
        annotators: `annotate.annotators`
        definitions: concept -> hash of its definition in `concepts.yaml`

    Raises:
        ConfigError: there are no definitions, or an annotator has no table yet.
        DataError: a table is unreadable, or holds a state that its concept does not have.
    """
    tables, outdated = {}, {}
    known = {name: definitions[name] for name in concept_set.names if name in definitions}
    for name in annotators:
        if name == HUMAN:
            continue
        if not definitions:
            raise ConfigError(
                f"annotate.annotators names {name!r}, which needs definitions of concepts, and there is no "
                "concepts.yaml; `sparsecbm concepts suggest` proposes one"
            )
        path = label_path(folder, name)
        if not path.exists():
            raise ConfigError(
                f"annotate.annotators names {name!r}, which has labelled nothing yet: there is no {path}; run "
                f"`{COMMAND}`, or leave {name!r} out of annotate.annotators"
            )
        tables[name], outdated[name] = separate_outdated(read_labels(path), known)
        _check_states(tables[name], concept_set, path)
    return MachineLabels(tables, {name: counts for name, counts in outdated.items() if counts})


def separate_outdated(labels: pd.DataFrame, definitions: Mapping[str, str]) -> tuple[pd.DataFrame, dict[str, int]]:
    """The labels that were given for these definitions, and how many of each concept were given for another one.

    Args:
        labels: a table of labels; those of concepts without a definition are left out
        definitions: concept -> hash of its definition

    Returns:
        the counts in the order of the definitions, without zeros
    """
    labels = labels[labels["concept"].isin(set(definitions))]
    current = labels["definition"] == labels["concept"].map(definitions)
    counts = labels.loc[~current, "concept"].value_counts()
    outdated = {concept: int(counts[concept]) for concept in definitions if concept in counts}
    return labels[current].reset_index(drop=True), outdated


def _check_states(labels: pd.DataFrame, concept_set: ConceptSet, path: Path) -> None:
    for row in labels[labels["state"].notna()].itertuples():
        if row.state not in concept_set[row.concept].states:
            choices = ", ".join(concept_set[row.concept].states)
            raise DataError(
                f"{path}: text {row.key} has the state {row.state!r} of concept {row.concept!r}, which is none of "
                f"{choices}; remove the file and run `{COMMAND}`"
            )
