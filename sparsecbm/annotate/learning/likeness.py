"""Features of a text for a concept: how much its clauses are like what the definitions of states say.

Automatic concept scoring (CB-LLM, Sun et al., arXiv 2412.07992) compares a whole text with a phrase for each concept.
Here every clause is compared with every sentence of every definition, since a text speaks of several concepts, and the
clauses that speak of a concept say how it is judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV

from sparsecbm.annotate.clauses import split_clauses
from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.learning.embedded_texts import EmbeddedTexts
from sparsecbm.annotate.sentence_encoder import Encode
from sparsecbm.data.blanks import UNKNOWN

SHARPNESS = 20.0  # of the weights by which clauses that speak of a concept stand out
PENALTIES = np.logspace(-1, 2, 7)  # of the ridge regression on the label, the best of which is taken


@dataclass(frozen=True)
class Prototypes:
    """What the states of a concept sound like.

    Attributes:
        vectors: state -> [sentences, width]: its definition, sentence by sentence, and its examples
    """

    vectors: dict[str, np.ndarray]

    @property
    def every(self) -> np.ndarray:
        """All sentences, [sentences, width], in the order of the states."""
        return np.concatenate(list(self.vectors.values()))

    @property
    def mentions(self) -> list[np.ndarray]:
        """The sentences of each state that speaks of the concept, which `unknown` does not."""
        return [vectors for state, vectors in self.vectors.items() if state != UNKNOWN]


def embed_definitions(encode: Encode, concepts: Sequence[ConceptDefinition]) -> dict[str, Prototypes]:
    """The prototypes of each concept."""
    prototypes = {}
    for concept in concepts:
        by_state = {}
        for state, definition in concept.states.items():
            examples = [text for text, of_state in concept.examples if of_state == state]
            by_state[state] = encode([*split_clauses(definition), *examples])
        prototypes[concept.name] = Prototypes(by_state)
    return prototypes


class Tone:
    """What a clause says about the label of its text, learnt from texts: a linear map from its vector to the classes.

    Args:
        vectors: [texts, width]
        labels: [texts], null where unknown; with fewer than two classes the tone has no columns
    """

    def __init__(self, vectors: np.ndarray, labels: pd.Series) -> None:
        classes = sorted(labels.dropna().unique())
        self.regression = None
        if len(classes) > 1:
            known = labels.notna().to_numpy()
            one_hot = np.stack([labels[known] == name for name in classes], axis=1).astype(float)
            self.regression = RidgeCV(PENALTIES).fit(vectors[known], one_hot)

    def of(self, vectors: np.ndarray) -> np.ndarray:
        """[vectors, classes]; a row adds up to about 1."""
        return np.zeros((len(vectors), 0)) if self.regression is None else self.regression.predict(vectors)


@dataclass(frozen=True)
class Views:
    """Two sets of features of each text for one concept. What one gets wrong the other often gets right.

    Attributes:
        comparisons: [texts, features]: likeness with the definitions of all concepts
        content: [texts, features]: likeness with the concept's own, and the vector of the clauses that speak of it
    """

    comparisons: np.ndarray
    content: np.ndarray


def make_views(texts: EmbeddedTexts, tone: Tone, prototypes: dict[str, Prototypes]) -> dict[str, Views]:
    """Features of each text for each concept."""
    every = _likeness(texts, np.concatenate([of_concept.every for of_concept in prototypes.values()]))
    strengths = {name: _strengths(texts, of_concept) for name, of_concept in prototypes.items()}
    tone_of_text, tone_of_clauses = tone.of(texts.texts), tone.of(texts.clauses)
    views = {}
    for name, own in prototypes.items():
        by_clause = np.max([(texts.clauses @ vectors.T).max(1) for vectors in own.mentions], axis=0)
        mention, weights = texts.best_clause(by_clause[:, None]), _mention_weights(texts, by_clause)
        tone_of_mention = texts.weighted_sum(tone_of_clauses, weights)
        shared = [_likeness(texts, own.every), strengths[name] - strengths[name].mean(1, keepdims=True)]
        shared += [mention, mention**2, tone_of_mention, tone_of_mention * mention, tone_of_text]
        shared += [strengths[other].max(1, keepdims=True) for other in prototypes if other != name]
        shared += [np.bincount(texts.owners)[:, None]]
        content = texts.weighted_sum(texts.clauses, weights)
        views[name] = Views(np.hstack([*shared, every]), np.hstack([*shared, content]))
    return views


def _likeness(texts: EmbeddedTexts, prototypes: np.ndarray) -> np.ndarray:
    """Cosines of each text, and of its best clause, with prototypes, [texts, 2 * prototypes]."""
    return np.hstack([texts.texts @ prototypes.T, texts.best_clause(texts.clauses @ prototypes.T)])


def _strengths(texts: EmbeddedTexts, prototypes: Prototypes) -> np.ndarray:
    """How much the best clause of each text is like the best sentence of each state that speaks of the concept."""
    return np.hstack([texts.best_clause(texts.clauses @ vectors.T).max(1)[:, None] for vectors in prototypes.mentions])


def _mention_weights(texts: EmbeddedTexts, by_clause: np.ndarray) -> np.ndarray:
    """[clauses], the weight of each clause in its text: large where it speaks of the concept, 1 in sum for a text."""
    weights = np.exp(SHARPNESS * (by_clause - 1))
    total = texts.weighted_sum(np.ones((len(weights), 1)), weights)
    return weights / total[texts.owners, 0]
