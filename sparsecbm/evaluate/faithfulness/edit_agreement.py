"""Do attributions find the words that somebody edited?

A counterfactual pair is a base text and an edit of it that changes one concept. The words that differ carried the old
state of the concept (`edited_words`). So an attribution of the base text for that concept and state should rank them
first. Only pairs count whose edit replaced or deleted a single run of words, and whose old state is not `unknown`: no
word carries that state.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.evaluate.causal.counterfactuals import pairs_if_any
from sparsecbm.evaluate.faithfulness.aopc import UNKNOWN
from sparsecbm.evaluate.faithfulness.edited_words import (
    Edit,
    EditedWordScores,
    RankedWord,
    edited_words,
    score_edited_words,
)
from sparsecbm.explain.attribution import attribute
from sparsecbm.explain.methods import AttributionOptions
from sparsecbm.model.cbm import ConceptBottleneck


@dataclass(frozen=True, eq=False)
class Edits:
    """Edits of single spans; all lists are [edits].

    Attributes:
        texts: base texts
        concept: name of the concept that was edited
        state: its old state
        edits: the words that differ
        groups: edits of one group are not independent
    """

    texts: list[str]
    concept: list[str]
    state: list[str]
    edits: list[Edit]
    groups: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    def sample(self, most: int, seed: int) -> "Edits":
        """A random sample of at most so many edits, in their order."""
        if len(self) <= most:
            return self
        rows = sorted(np.random.default_rng(seed).choice(len(self), most, replace=False).tolist())
        return Edits(
            *([column[i] for i in rows] for column in (self.texts, self.concept, self.state, self.edits, self.groups))
        )


def single_span_edits(frame: pd.DataFrame, concept_set: ConceptSet) -> Edits:
    """All edits of an annotated table; none if it has no counterfactual pairs.

    Two counterfactuals that differ from one base text in the same words count once.
    """
    edits: dict[tuple, tuple] = {}
    pairs, texts = pairs_if_any(frame, concept_set), frame["text"].tolist()
    if pairs is None:
        return Edits([], [], [], [], [])
    for row, other, concept, state, group in zip(
        pairs.base, pairs.counterfactual, pairs.concept, pairs.before, pairs.group, strict=True
    ):
        edit = edited_words(texts[row], texts[other])
        if edit.single_span and state != UNKNOWN:
            edits.setdefault((row, concept, edit.spans), (texts[row], str(concept), str(state), edit, str(group)))
    return Edits(*map(list, zip(*edits.values(), strict=True))) if edits else Edits([], [], [], [], [])


def rank_base_texts(
    model: ConceptBottleneck, edits: Edits, method: str, options: AttributionOptions
) -> list[list[RankedWord]]:
    """The words of each base text, with their scores for the old state of the edited concept."""
    rankings: list[list[RankedWord]] = [[] for _ in edits.texts]
    for name in dict.fromkeys(edits.concept):
        rows = [i for i, concept in enumerate(edits.concept) if concept == name]
        states = {name: [edits.state[i] for i in rows]}
        attributions = attribute(model, [edits.texts[i] for i in rows], [name], states, method, options)
        for i, by_concept in zip(rows, attributions, strict=True):
            attribution = by_concept[name]
            rankings[i] = [(*span, score) for span, score in zip(attribution.spans, attribution.scores, strict=True)]
    return rankings


def measure_edit_agreement(
    model: ConceptBottleneck,
    edits: Edits,
    methods: Sequence[str],
    options: AttributionOptions,
    resamples: int,
    seed: int,
) -> dict[str, dict[str, EditedWordScores]]:
    """Hit rates and reciprocal ranks: method -> by concept, and `all` edits together. Without edits it is empty."""
    scores: dict[str, dict[str, EditedWordScores]] = {}
    by_concept = {name: [i for i, c in enumerate(edits.concept) if c == name] for name in dict.fromkeys(edits.concept)}
    for method in methods if len(edits) else ():
        rankings = rank_base_texts(model, edits, method, options)
        scores[method] = {
            name: score_edited_words(
                [edits.edits[i] for i in rows],
                [rankings[i] for i in rows],
                np.array([edits.groups[i] for i in rows]),
                resamples,
                seed,
            )
            for name, rows in {**by_concept, "all": list(range(len(edits)))}.items()
        }
    return scores
