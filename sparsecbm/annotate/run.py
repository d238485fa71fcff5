"""Run one annotator on what lacks its label, and keep the result in its table."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sparsecbm.annotate.annotator import AbstentionWarning, Annotator, IncompleteError
from sparsecbm.annotate.annotator_input import AnnotatorInput
from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.labels import label_table, read_labels, write_labels
from sparsecbm.annotate.machine_labels import separate_outdated
from sparsecbm.annotate.shards import Sharding, annotate_in_shards


@dataclass(frozen=True)
class Work:
    """Texts that lack the labels of the same concepts."""

    texts: pd.DataFrame
    concepts: tuple[ConceptDefinition, ...]

    @property
    def cells(self) -> int:
        return len(self.texts) * len(self.concepts)


@dataclass(frozen=True)
class Outcome:
    """What a run of an annotator came to, in cells (a text and a concept).

    Attributes:
        kept: cells that had a valid label before
        labelled: cells that got a state
        abstained: cells that the annotator left without a state
        stopped: why it stopped early, or None
        notes: what a person should know about the labels, in sentences
    """

    annotator: str
    kept: int
    labelled: int
    abstained: int
    stopped: str | None = None
    notes: tuple[str, ...] = ()


def pending_work(
    annotator: Annotator, given: AnnotatorInput, concepts: Sequence[ConceptDefinition], path: Path
) -> list[Work]:
    """What lacks a valid label: one that was given by this version of the annotator for this definition.

    An annotator that learns labels everything anew.

    Args:
        path: the annotator's table of labels
    """
    if annotator.learns:
        return [Work(given.texts, tuple(concepts))] if len(given.texts) else []
    hashes = {concept.name: concept.hash for concept in concepts}
    current, _ = separate_outdated(read_labels(path), hashes)
    valid = current[current["prompt"] == annotator.version]
    has: dict[str, set[str]] = {}
    for key, name in zip(valid["key"], valid["concept"], strict=True):
        has.setdefault(key, set()).add(name)
    lacking = given.texts["key"].map(lambda key: tuple(name for name in hashes if name not in has.get(key, ())))
    by_name = {concept.name: concept for concept in concepts}
    return [
        Work(given.texts[lacking == names].reset_index(drop=True), tuple(by_name[name] for name in names))
        for names in sorted(set(lacking) - {()})
    ]


def run_annotator(
    annotator: Annotator, given: AnnotatorInput, concepts: Sequence[ConceptDefinition], path: Path, sharding: Sharding
) -> Outcome:
    """Label what lacks a label, and write the table of the annotator; labels that are valid stay.

    If the annotator stops early, the labels until then are written, and the outcome says why it stopped.

    Raises:
        SparseCBMError: it cannot work at all; the table stays as it was.
    """
    pending = pending_work(annotator, given, concepts, path)
    kept = len(given.texts) * len(concepts) - sum(work.cells for work in pending)
    before, fresh, notes, stopped = read_labels(path), [], [], None
    for work in pending:
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", AbstentionWarning)
                if annotator.in_parts:
                    fresh.append(annotate_in_shards(annotator, work.texts, work.concepts, sharding))
                else:
                    fresh.append(annotator.annotate(work.texts, work.concepts, given.people))
        except IncompleteError as error:
            fresh.append(error.labels)
            stopped = str(error)
        for warning in caught:
            if warning.category is AbstentionWarning:
                notes.append(str(warning.message))
            else:
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        notes += getattr(annotator, "notes", [])
        if stopped is not None:
            break
    if fresh:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_labels(path, label_table([row for table in (before, *fresh) for row in table.to_dict("records")]))
    labelled = sum(int(table["state"].notna().sum()) for table in fresh)
    left_open = sum(map(len, fresh)) - labelled
    return Outcome(annotator.name, kept, labelled, left_open, stopped, tuple(notes))
