"""A saved model on any source: read, validate and annotate as the pipeline does, then score one split."""

from pathlib import Path

from sparsecbm.annotate.annotator import make_annotator
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import DataError, ModelError, unknown
from sparsecbm.base.params import Params, Source
from sparsecbm.data.ingest import ingest
from sparsecbm.data.validation import validate
from sparsecbm.evaluate.scores.bag_of_words import fit_bag_of_words
from sparsecbm.evaluate.scores.scores import SplitScores, score_split
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.train.reproducible import make_reproducible


def evaluate_source(model: ConceptBottleneck, params: Params, source: Source, split: str, root: Path) -> SplitScores:
    """Score a model on one split of a source.

    Rows that validation would move to quarantine are left out here too, so the figures are those of the
    stage `evaluate` on the same split. A source without a split `train` gives no bag of words to compare with.

    Args:
        root: what a relative path in the source is relative to

    Raises:
        DataError: the source cannot be read, fails validation, or has no such split.
        ModelError: the source is about other concepts, states or labels than the model.
    """
    make_reproducible(params.seed, params.threads)
    splits, manifest = ingest(source, params.split, params.seed, root)
    if split not in splits:
        raise DataError(f"source {source.name}: {unknown('split', split, splits)}")
    concept_set = ConceptSet.from_dict(manifest["vocabulary"])
    require_same_concepts(model.concept_set, concept_set)
    validated = validate(splits, concept_set, params.validate_)
    if validated.refusal is not None:
        raise DataError(validated.refusal)
    annotator = make_annotator(params.annotate)
    frames = {name: annotator.annotate(frame, concept_set) for name, frame in validated.splits.items()}
    words = fit_bag_of_words(frames["train"], concept_set) if "train" in frames else None
    return score_split(model, frames[split], split, params.evaluate, params.seed, words)


def require_same_concepts(of_model: ConceptSet, of_source: ConceptSet) -> None:
    """Insist that a model and a source speak of the same concepts and label, with the same states.

    Raises:
        ModelError: naming the first difference.
    """
    if of_model.names != of_source.names:
        raise ModelError(
            f"the model reads the concepts {', '.join(of_model.names)}; "
            f"the source has {', '.join(of_source.names)}; evaluate on a source with the same concepts"
        )
    for mine, theirs in zip((of_model.label, *of_model), (of_source.label, *of_source), strict=True):
        if mine.states != theirs.states:
            raise ModelError(
                f"{mine.name!r} has the states {', '.join(mine.states)} in the model "
                f"and {', '.join(theirs.states)} in the source"
            )
