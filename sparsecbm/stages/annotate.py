"""Stage `annotate`: give every text a state for each concept, with its source and confidence."""

import numpy as np
import pandas as pd

from sparsecbm.annotate.combine import CombinedLabels, combine_labels
from sparsecbm.annotate.correction import correct_targets, count_doubted
from sparsecbm.annotate.fill import FILLED, fill_splits, shares_last
from sparsecbm.annotate.human_labels import HUMAN_FILE, current_labels, read_decisions
from sparsecbm.annotate.inspection import Labels, measure_noise, measure_quality
from sparsecbm.annotate.machine_labels import MachineLabels, read_machine_labels
from sparsecbm.annotate.people import apply_decisions, known_decisions, labels_of_people
from sparsecbm.annotate.quality import QualitySettings
from sparsecbm.annotate.summary import summarise
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.files import write_json
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.blanks import fill_blanks
from sparsecbm.data.schemas import AnnotatedTable, check
from sparsecbm.data.source_table import BLANK, share_columns
from sparsecbm.data.tables import DEFINITIONS, read_manifest, read_splits, write_splits

JUDGE = "embedding"  # its probabilities of a text never learnt from the labels of this text or its group
Splits = dict[str, pd.DataFrame]


def run(params: Params, workspace: Workspace) -> None:
    """Write `data/annotated` and `metrics/annotate.json`.

    Labels of people come first: those of the source, and the decisions in `data/annotations/human.jsonl`. Machine
    labels fill the blank cells of training and validation rows. `annotate.blank` decides about what is blank then, in
    concepts that the source has labels for.

    Raises:
        ConfigError: an annotator has labelled nothing yet, or a blank cell should be `unknown`, and cannot.
    """
    manifest = read_manifest(workspace.validated)
    definitions = manifest.pop(DEFINITIONS, {})
    concept_set = ConceptSet.from_dict(manifest["vocabulary"])
    section = params.annotate
    validated = read_splits(workspace.validated)
    splits = _with_decisions(workspace, validated, concept_set)
    machines = read_machine_labels(workspace.annotations, section.annotators, definitions, concept_set)
    for note in machines.notes():
        print(note)
    people = labels_of_people(splits, concept_set)
    combined = _combine(machines, people, concept_set, section.combine)
    splits = fill_splits(splits, combined, concept_set)
    splits = _apply_policy(splits, validated, concept_set, section.blank)
    settings = {"annotators": list(section.annotators), "blank": section.blank}
    if section.correct_targets:
        splits = _correct(splits, machines.tables[JUDGE], concept_set)
    for name, frame in splits.items():
        check(frame, AnnotatedTable, concept_set, f"split {name!r}")
    if machines.tables:
        settings["combine"] = section.combine
    write_splits(workspace.annotated, splits, {**manifest, **settings})
    summary = {name: summarise(frame, concept_set) for name, frame in splits.items()}
    labels = Labels(splits, machines, section.combine)
    measured = QualitySettings(params.evaluate.bootstrap, params.evaluate.calibration_bins, params.seed)
    quality = measure_quality(labels, concept_set, measured)
    noise = {name: estimate.to_dict() for name, estimate in measure_noise(labels, concept_set).items()}
    record = {**settings, "outdated": machines.outdated, "splits": summary, "noise": noise}
    if machines.tables:
        record["machines"] = machines.origins()
    if section.correct_targets:
        record["doubted"] = count_doubted(splits["train"], concept_set)
    write_json(workspace.metrics("annotate"), {**record, "quality": quality and quality.to_dict()})


def _with_decisions(workspace: Workspace, splits: Splits, concept_set: ConceptSet) -> Splits:
    decisions = current_labels(read_decisions(workspace.annotations / HUMAN_FILE))
    known, others = known_decisions(decisions, concept_set)
    if len(others):
        concepts = ", ".join(sorted(others["concept"].unique()))
        print(f"{len(others)} decision(s) of people name concepts or states that are no longer there ({concepts})")
    return {name: apply_decisions(frame, known, concept_set) for name, frame in splits.items()}


def _combine(
    machines: MachineLabels, people: pd.DataFrame, concept_set: ConceptSet, method: str
) -> dict[str, CombinedLabels]:
    """Concept -> labels. Labels of people in evaluation splits have no part in it."""
    trusted = people[people["split"].isin(FILLED)]
    return {
        concept.name: combine_labels(
            machines.of(concept.name),
            concept,
            method,
            trusted[trusted["concept"] == concept.name].set_index("key")["state"],
        )
        for concept in concept_set
        if machines.tables
    }


def _correct(splits: Splits, judge: pd.DataFrame, concept_set: ConceptSet) -> Splits:
    """Correct the targets of training rows. The other splits get the columns that they lack, without values."""
    by_concept = {name: judge[judge["concept"] == name] for name in concept_set.names}
    corrected = correct_targets(splits["train"], by_concept, concept_set)
    shares = [column for column in share_columns(concept_set) if column in corrected]
    return {
        name: shares_last(
            corrected if name == "train" else frame.assign(**{c: np.nan for c in shares if c not in frame}), concept_set
        )
        for name, frame in splits.items()
    }


def _apply_policy(splits: Splits, validated: Splits, concept_set: ConceptSet, blank: str) -> Splits:
    """Apply `annotate.blank` where the source has labels; elsewhere a blank cell waits for a label."""
    given = [
        concept
        for concept in concept_set
        if any((frame[f"source.{concept.name}"] != BLANK).any() for frame in validated.values())
    ]
    waiting = [concept for concept in concept_set if concept not in given]
    return {name: fill_blanks(fill_blanks(frame, given, blank), waiting, "leave_out") for name, frame in splits.items()}
