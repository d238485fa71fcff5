"""Do attributions find the words that somebody edited?

A counterfactual pair is a base text and what somebody made of it to change one concept. The words that differ carried
the state that the concept had (`edited_words`), so an attribution of the base text for that concept and state should
rank them first. Taken are pairs whose edit replaced or deleted a single run of words and whose base says something of
the concept: where the state was `unknown`, no word carried it.
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
        concept, state: what was edited, and the state that it had
        edits: what differs
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
        """At most so many of them, drawn at random, in their order."""
        if len(self) <= most:
            return self
        rows = sorted(np.random.default_rng(seed).choice(len(self), most, replace=False).tolist())
        return Edits(
            *([column[i] for i in rows] for column in (self.texts, self.concept, self.state, self.edits, self.groups))
        )


def single_span_edits(frame: pd.DataFrame, concept_set: ConceptSet) -> Edits:
    """All of an annotated table; none where it has no counterfactual pairs.

    Two counterfactuals of one base that differ from it in the same words count once.
    """
    found: dict[tuple, tuple] = {}
    pairs, texts = pairs_if_any(frame, concept_set), frame["text"].tolist()
    if pairs is None:
        return Edits([], [], [], [], [])
    for row, other, concept, state, group in zip(
        pairs.base, pairs.counterfactual, pairs.concept, pairs.before, pairs.group, strict=True
    ):
        edit = edited_words(texts[row], texts[other])
        if edit.single_span and state != UNKNOWN:
            found.setdefault((row, concept, edit.spans), (texts[row], str(concept), str(state), edit, str(group)))
    return Edits(*map(list, zip(*found.values(), strict=True))) if found else Edits([], [], [], [], [])


def rankings(
    model: ConceptBottleneck, edits: Edits, method: str, options: AttributionOptions
) -> list[list[RankedWord]]:
    """The words of each base text with their scores for what was edited, all edits of a concept in one call."""
    found: list[list[RankedWord]] = [[] for _ in edits.texts]
    for name in dict.fromkeys(edits.concept):
        rows = [i for i, concept in enumerate(edits.concept) if concept == name]
        states = {name: [edits.state[i] for i in rows]}
        explained = attribute(model, [edits.texts[i] for i in rows], [name], states, method, options)
        for i, of_text in zip(rows, explained, strict=True):
            result = of_text[name]
            found[i] = [(*span, score) for span, score in zip(result.spans, result.scores, strict=True)]
    return found


def measure_edit_agreement(
    model: ConceptBottleneck,
    edits: Edits,
    methods: Sequence[str],
    options: AttributionOptions,
    resamples: int,
    seed: int,
) -> dict[str, dict[str, EditedWordScores]]:
    """Hit rates and reciprocal ranks: method -> by concept, and `all` edits together; nothing without edits."""
    found: dict[str, dict[str, EditedWordScores]] = {}
    of_concept = {name: [i for i, c in enumerate(edits.concept) if c == name] for name in dict.fromkeys(edits.concept)}
    for method in methods if len(edits) else ():
        ranked = rankings(model, edits, method, options)
        found[method] = {
            name: score_edited_words(
                [edits.edits[i] for i in rows],
                [ranked[i] for i in rows],
                np.array([edits.groups[i] for i in rows]),
                resamples,
                seed,
            )
            for name, rows in {**of_concept, "all": list(range(len(edits)))}.items()
        }
    return found
