"""The concepts of `concepts.yaml` join those of the source, before anybody has labelled them."""

from dataclasses import replace

from sparsecbm.annotate.concept_file import ConceptFile, read_concept_file
from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.errors import ConfigError
from sparsecbm.base.params import HubSource, Source, TableSource
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.source_table import SourceTable, canonical
from sparsecbm.data.sources.registry import load_with_faults


def load_defined(source: Source, workspace: Workspace) -> SourceTable:
    """Load a source with the concepts that `concepts.yaml` defines, if there is such a file.

    The cells of a concept without a column are blank: people and machines label them later. The cells of a concept that
    has a column, too, are labels by people.

    Raises:
        DataError: a file or column of the source is missing, unreadable or of the wrong kind.
        ConfigError: `concepts.yaml` is not valid, or the source gives a concept other states.
    """
    if not workspace.concept_file.is_file():
        return load_with_faults(source, workspace.root)
    file = read_concept_file(workspace.concept_file)
    return add_defined(load_with_faults(with_defined_states(source, file), workspace.root), file)


def with_defined_states(source: Source, file: ConceptFile) -> Source:
    """A source whose concept columns have the defined states, where the mapping names none."""
    if not isinstance(source, TableSource | HubSource):
        return source
    states = {definition.name: definition.concept.states for definition in file.concepts}
    concepts = {
        name: column.model_copy(update={"states": column.states or states.get(name)})
        for name, column in source.columns.concepts.items()
    }
    return source.model_copy(update={"columns": source.columns.model_copy(update={"concepts": concepts})})


def add_defined(table: SourceTable, file: ConceptFile) -> SourceTable:
    """A table with the defined concepts that it lacks, all cells blank; its own concepts come first.

    Raises:
        ConfigError: a concept is named like the label, or has other states in the source.
    """
    defined = [definition.concept for definition in file.concepts]
    label, present = table.concept_set.label, table.concept_set.names
    for concept in defined:
        if concept.name == label.name:
            raise ConfigError(f"concepts.yaml: concept {concept.name!r} has the name of the label; rename it")
        if concept.name in present:
            _check_states(concept, table.concept_set[concept.name])
    missing = tuple(concept for concept in defined if concept.name not in present)
    concept_set = ConceptSet((*table.concept_set.concepts, *missing), label)
    columns = {f"concept.{concept.name}": None for concept in missing}
    frame = canonical(table.frame.assign(**columns), concept_set)
    return replace(table, frame=frame, concept_set=concept_set, definitions=file.hashes)


def _check_states(defined: Concept, present: Concept) -> None:
    if set(defined.states) != set(present.states):
        raise ConfigError(
            f"concept {defined.name!r} has the states {', '.join(defined.states)} in concepts.yaml and "
            f"{', '.join(present.states)} in the source; name the same states in both"
        )
