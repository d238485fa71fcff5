"""What the stage `annotate` measures about labels: agreement of sources, and how many labels are probably wrong."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import Field

from sparsecbm.annotate.combine import combine_held_out, state_probabilities
from sparsecbm.annotate.fill import FILLED
from sparsecbm.annotate.label_noise import (
    MIN_CELLS,
    WORDS,
    JudgedCells,
    NoiseEstimate,
    estimate_noise,
    judge_by_words,
)
from sparsecbm.annotate.labels import text_key
from sparsecbm.annotate.machine_labels import MachineLabels
from sparsecbm.annotate.people import labels_of_people
from sparsecbm.annotate.quality import (
    COMBINED,
    ConceptQuality,
    Quality,
    QualitySettings,
    SourceLabels,
    measure_concept,
    summarise_quality,
)
from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.form import Form
from sparsecbm.base.progress import progress
from sparsecbm.data.source_table import BLANK, HUMAN

MACHINES = "machines"
LISTED = 20  # suspicious labels of a concept
MAX_CHARACTERS = 300  # of a text in the list


class ConceptNoise(Form):
    """Estimates for labels of people and of machines; null where there are too few labels."""

    people: NoiseEstimate | None = Field(description="labels of people in all splits")
    machines: NoiseEstimate | None = Field(description="labels of machines in the training splits")


@dataclass(frozen=True, eq=False)
class Labels:
    """All labels of a workspace.

    Attributes:
        splits: annotated tables
        machines: what each machine says
        method: how their labels were combined
    """

    splits: Mapping[str, pd.DataFrame]
    machines: MachineLabels
    method: str


def measure_quality(labels: Labels, concept_set: ConceptSet, settings: QualitySettings) -> Quality | None:
    """Agreement of people and machines on each concept; None without machines."""
    if not labels.machines.tables:
        return None
    texts = pd.concat(labels.splits.values())
    groups = pd.Series(texts["group"].to_numpy(), texts["text"].map(text_key))
    groups = groups[~groups.index.duplicated()]
    people = labels_of_people(labels.splits, concept_set)
    measured = {
        concept.name: _measure_concept(concept, people[people["concept"] == concept.name], labels, groups, settings)
        for concept in progress(list(concept_set), "quality of labels", "concept")
    }
    return summarise_quality(measured)


def _measure_concept(
    concept: Concept, people: pd.DataFrame, labels: Labels, groups: pd.Series, settings: QualitySettings
) -> ConceptQuality:
    given = labels.machines.of(concept.name)
    trusted = people[people["split"].isin(FILLED)]
    combined = combine_held_out(given, concept, labels.method, trusted).cells
    tables = {name: table[table["state"].notna()].set_index("key") for name, table in given.items()}
    sources = {
        name: SourceLabels(table["state"], table["confidence"])
        for name, table in {**tables, COMBINED: combined}.items()
        for table in [table[table.index.isin(groups.index)]]
    }
    return measure_concept(concept, SourceLabels(people.set_index("key")["state"]), sources, groups, settings)


def measure_noise(labels: Labels, concept_set: ConceptSet) -> dict[str, ConceptNoise]:
    """Concept -> how many labels of people and of machines are probably wrong.

    Machines judge people where they gave probabilities for at least half of their labels; else the words of the texts
    do. Machines are judged by words, which sees single errors and not an error that a machine always makes.
    """
    return {
        concept.name: _concept_noise(labels, concept)
        for concept in progress(list(concept_set), "noise of labels", "concept")
    }


def _concept_noise(labels: Labels, concept: Concept) -> ConceptNoise:
    columns = {"state": f"concept.{concept.name}", "source": f"source.{concept.name}"}
    rows = pd.concat(
        [
            frame[["id", "text", "group"]].assign(split=split, **{k: frame[c] for k, c in columns.items()})
            for split, frame in labels.splits.items()
        ],
        ignore_index=True,
    )
    rows = rows[rows["state"].notna() & (rows["source"] != BLANK)].reset_index(drop=True)
    if len(rows) < MIN_CELLS:
        return ConceptNoise(people=None, machines=None)
    human = (rows["source"] == HUMAN).to_numpy()
    by_machines = _mean_probabilities(rows["text"].map(text_key), labels.machines.of(concept.name), concept)
    judged = human & np.isfinite(by_machines).all(1)
    shown = rows.assign(text=rows["text"].str.slice(0, MAX_CHARACTERS))
    mostly = 2 * judged.sum() >= human.sum()
    people, machines = JudgedCells(shown[judged], by_machines[judged], MACHINES), None
    if not (mostly and human.all()):
        by_words = judge_by_words(rows["text"], rows["state"], rows["group"], concept)
        machines = JudgedCells(shown[~human], by_words[~human], WORDS)
        people = people if mostly else JudgedCells(shown[human], by_words[human], WORDS)
    return ConceptNoise(
        people=estimate_noise(people, concept, LISTED),
        machines=None if machines is None else estimate_noise(machines, concept, LISTED),
    )


def _mean_probabilities(keys: pd.Series, tables: Mapping[str, pd.DataFrame], concept: Concept) -> np.ndarray:
    """The mean of the machines' probabilities, [rows, states]; nan in rows for which no machine gave any."""
    given = [
        state_probabilities(table, concept).set_axis(table["key"], axis=0).reindex(keys).to_numpy()
        for table in tables.values()
    ]
    if not given:
        return np.full((len(keys), len(concept)), np.nan)
    stacked = np.stack(given)
    known = np.isfinite(stacked).all(2, keepdims=True)
    return np.divide(
        np.where(known, stacked, 0.0).sum(0),
        known.sum(0),
        out=np.full(stacked.shape[1:], np.nan),
        where=known.sum(0) > 0,
    )
