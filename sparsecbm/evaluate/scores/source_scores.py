"""Score a saved model on any source, with the data prepared as in the pipeline."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import DataError, ModelError, unknown
from sparsecbm.base.params import HubSource, Params, Source, TableSource
from sparsecbm.data.blanks import fill_blanks
from sparsecbm.data.ingest import ingest
from sparsecbm.data.validation import validate
from sparsecbm.evaluate.scores.bag_of_words import fit_bag_of_words
from sparsecbm.evaluate.scores.scores import ScoredTable, SplitScores, score_split
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.train.reproducible import reproducible


def evaluate_source(model: ConceptBottleneck, params: Params, source: Source, split: str, root: Path) -> SplitScores:
    """Score a model on one split of a source.

    Rows that validation moves to quarantine are left out, so the scores are those of the stage `evaluate` on the same
    split. A source without a split `train` has no bag of words to compare with.

    Args:
        root: the folder that paths of the source are relative to

    Raises:
        DataError: the source cannot be loaded, fails validation, or has no such split.
        ModelError: the source has other concepts, states or labels than the model.
    """
    with reproducible(params.seed, params.threads):
        frames = annotated_splits(model.concept_set, params, source, root)
        require_split(frames, split, source)
        words = fit_bag_of_words(frames["train"], model.concept_set) if "train" in frames else None
        return score_split(model, ScoredTable(split, frames[split]), params.evaluate, params.seed, words)


def annotated_splits(concept_set: ConceptSet, params: Params, source: Source, root: Path) -> dict[str, pd.DataFrame]:
    """The splits of a source with the concepts of a model, without the rows that validation moves to quarantine.

    Args:
        concept_set: of the model
        root: the folder that paths of the source are relative to

    Raises:
        DataError: the source cannot be loaded, or fails validation.
        ModelError: the source has other concepts, states or labels than the model.
    """
    splits, manifest = ingest(with_states_of(concept_set, source), params.split, params.seed, root)
    require_same_concepts(concept_set, ConceptSet.from_dict(manifest["vocabulary"]))
    validated = validate(splits, concept_set, params.validate_)
    if validated.refusal is not None:
        raise DataError(validated.refusal)
    return {name: fill_blanks(frame, concept_set, params.annotate.blank) for name, frame in validated.splits.items()}


def require_split(splits: Mapping[str, object], split: str, source: Source) -> None:
    """Check that a source has a split.

    Raises:
        DataError: it has none of this name; the message lists those that it has.
    """
    if split not in splits:
        raise DataError(f"source {source.name}: {unknown('split', split, splits)}")


def with_states_of(concept_set: ConceptSet, source: Source) -> Source:
    """A source whose label and concepts have the states of a concept set, in its order.

    A batch need not hold every state that the model knows. A source that names a state which the model does not know
    stays as it is.
    """
    if not isinstance(source, TableSource | HubSource):
        return source
    columns = source.columns
    known = {concept.name: concept.states for concept in concept_set}
    concepts = {
        name: column.model_copy(update={"states": _states_for(column.states, known.get(name))})
        for name, column in columns.concepts.items()
    }
    changes = {"labels": _states_for(columns.labels, concept_set.label.states), "concepts": concepts}
    return source.model_copy(update={"columns": columns.model_copy(update=changes)})


def _states_for(named: tuple[str, ...] | None, known: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return known if known is not None and set(named or ()) <= set(known) else named


def require_same_concepts(model_set: ConceptSet, source_set: ConceptSet) -> None:
    """Insist that a model and a source have the same concepts and label, with the same states.

    Raises:
        ModelError: they do not; the message names the first difference.
    """
    if model_set.names != source_set.names:
        raise ModelError(
            f"the model has the concepts {', '.join(model_set.names)}; "
            f"the source has {', '.join(source_set.names)}; evaluate on a source with the same concepts"
        )
    for mine, theirs in zip((model_set.label, *model_set), (source_set.label, *source_set), strict=True):
        if mine.states != theirs.states:
            raise ModelError(
                f"{mine.name!r} has the states {', '.join(mine.states)} in the model "
                f"and {', '.join(theirs.states)} in the source; leave these states out of source.columns, and those of "
                "the model count"
            )
