"""Null concepts: concepts that mean nothing, with masks of their own, against which real ones are compared.

Whatever a search finds for a concept without meaning shows what the search alone produces (a criticism of
arXiv 2511.13653). There are two kinds, in turn:

permuted   the states of a real concept, moved between groups of texts. State shares are those of the real concept, and
           texts say nothing about the states.
word       whether a text holds a frequent word that says as little as possible about concepts and label. Texts do say
           it, but nobody asked, and the backbone was not trained for it.

Each null concept accompanies a real one: it is matched to its state shares, and its mask is trained with the same texts
in the same updates. Masks of real concepts are chosen as if there were no null concepts. Masks of null concepts are
contrasted with those of the real ones.
"""

import copy
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import pandas as pd
import torch
from scipy.stats.contingency import association

from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.errors import ConfigError
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.heads import LabelHead

ABSENT, PRESENT = WORD_STATES = ("absent", "present")
WORD = re.compile(r"\w+")
RARE = 0.05  # words in fewer texts than this share, or missing in fewer, are not considered

Model = TypeVar("Model", bound=ConceptBottleneck)


@dataclass(frozen=True)
class NullConcept:
    """A concept without meaning.

    Attributes:
        concept: its name and states
        companion: the real concept that it accompanies
        kind: permuted | word
        word: of kind `word`, in lower case
        seed: of kind `permuted`, of the permutation
    """

    concept: Concept
    companion: str
    kind: Literal["permuted", "word"]
    word: str = ""
    seed: int = 0

    @property
    def name(self) -> str:
        """Name of the concept."""
        return self.concept.name

    def states(self, frame: pd.DataFrame) -> pd.Series:
        """Its state for each row of an annotated table; of a permuted one, as many are null as of the companion."""
        if self.kind == "word":
            present = [self.word in _words(text) for text in frame["text"]]
            return pd.Series(np.where(present, PRESENT, ABSENT), index=frame.index, dtype=object)
        return _permuted(frame[f"concept.{self.companion}"], frame["group"], self.seed)


def choose_null_concepts(
    training: pd.DataFrame, concept_set: ConceptSet, count: int, seed: int
) -> tuple[NullConcept, ...]:
    """Choose null concepts for a task: permuted and word in turn, each with the next real concept as companion.

    Of the words in 5 to 95 % of the texts, a null concept takes the one with the smallest sum of two shares: its
    largest association with a concept or the label (Cramér's V, 0 to 1), and the distance between the share of texts
    that hold it and the share of the companion's most frequent state.

    Args:
        training: the annotated table on which words are chosen
        count: number of null concepts

    Raises:
        ConfigError: the texts have too few frequent words or groups, or a real concept has the name of a null concept.
    """
    if count and training["group"].nunique() < 2:
        raise ConfigError("prune.null_concepts: permuting states needs texts of at least two groups; set it to 0")
    chosen: list[NullConcept] = []
    candidates = _frequent_words(training) if count > 1 else {}
    associations = {word: _association(present, training, concept_set) for word, present in candidates.items()}
    for index in range(count):
        companion = concept_set.concepts[index % len(concept_set)]
        if index % 2 == 0:
            concept = Concept(f"permuted {companion.name} {index + 1}", companion.states)
            null = NullConcept(concept, companion.name, "permuted", seed=seed * 1_009 + index)
        else:
            share = training[f"concept.{companion.name}"].value_counts(normalize=True).max()
            taken = {other.word for other in chosen}
            free = {w: associations[w] + abs(p.mean() - share) for w, p in candidates.items() if w not in taken}
            if not free:
                words = sum(other.kind == "word" for other in chosen)
                raise ConfigError(
                    f"prune.null_concepts {count} is more than the texts allow: only {words} word(s) stand in "
                    f"{RARE:.0%} to {1 - RARE:.0%} of the training texts; set it to at most {index}"
                )
            word = min(free, key=lambda w: (free[w], w))
            null = NullConcept(Concept(f"word {word}", WORD_STATES), companion.name, "word", word=word)
        if null.name in concept_set.names:
            raise ConfigError(
                f"prune.null_concepts: a concept has the name of a null concept, {null.name!r}; rename it"
            )
        chosen.append(null)
    return tuple(chosen)


def with_null_states(frame: pd.DataFrame, nulls: Sequence[NullConcept]) -> pd.DataFrame:
    """An annotated table with one more column for each null concept."""
    return frame.assign(**{f"concept.{null.name}": null.states(frame) for null in nulls})


def with_null_concepts(dense: Model, nulls: Sequence[NullConcept]) -> Model:
    """A copy of a dense model with new heads for null concepts. Its label stays a function of the real concepts."""
    concepts = ConceptSet((*dense.concept_set.concepts, *(null.concept for null in nulls)), dense.concept_set.label)
    model = type(dense)(copy.deepcopy(dense.backbone), dense.tokenizer, concepts, dense.settings, dense.means)
    model.to(dense.device)
    copy_concept_heads(dense, model)
    _widen(dense.label_head, model.label_head)
    return model


def without_null_concepts(model: Model, concept_set: ConceptSet) -> Model:
    """A copy of a masked model with the concepts of a concept set alone, each with its mask and head."""
    assert model.masks is not None
    masks = model.masks.of(concept_set.names)
    real = type(model)(copy.deepcopy(model.backbone), model.tokenizer, concept_set, model.settings, model.means)
    real.to(model.device)
    real.masks = masks
    copy_concept_heads(model, real)
    with torch.no_grad():
        columns = [model.label_head.V(name) for name in concept_set.names]
        real.label_head.set(torch.cat(columns, dim=1), model.label_head.linear.bias)
    return real


def copy_concept_heads(source: ConceptBottleneck, target: ConceptBottleneck) -> None:
    """Copy the heads of the concepts that both models have."""
    for name in source.concept_set.names:
        if name in target.concept_set.names:
            target.concept_heads.head(name).load_state_dict(source.concept_heads.head(name).state_dict())


def _widen(source: LabelHead, target: LabelHead) -> None:
    """Give a label head for more concepts the weights of a smaller one; the weights of the others are 0."""
    weight = torch.zeros_like(target.linear.weight)
    weight[:, : source.linear.weight.shape[1]] = source.linear.weight.detach()
    target.set(weight, source.linear.bias.detach())


def _words(text: str) -> set[str]:
    return set(WORD.findall(text.lower()))


def _frequent_words(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Frequent words, and for each whether a text holds it, [texts], bool."""
    by_text = [_words(text) for text in frame["text"]]
    counts = Counter(word for words in by_text for word in words)
    frequent = [word for word, n in counts.items() if RARE * len(frame) <= n <= (1 - RARE) * len(frame)]
    return {word: np.array([word in words for words in by_text]) for word in sorted(frequent)}


def _association(present: np.ndarray, frame: pd.DataFrame, concept_set: ConceptSet) -> float:
    """Cramér's V of a word with the variable that it tells most about, from 0 to 1."""
    columns = ["label", *(f"concept.{name}" for name in concept_set.names)]
    tables = [pd.crosstab(present, frame[column]).to_numpy() for column in columns]
    return max((float(association(t, method="cramer")) for t in tables if min(t.shape) > 1), default=0.0)


def _permuted(states: pd.Series, groups: pd.Series, seed: int) -> pd.Series:
    """States moved between groups: those of all groups in random order, given to the texts in the order of groups."""
    codes, names = pd.factorize(groups)
    order = np.random.default_rng(seed).permutation(len(names))
    giving = np.argsort(order[codes], kind="stable")
    receiving = np.argsort(codes, kind="stable")
    moved = states.to_numpy(dtype=object).copy()
    moved[receiving] = states.to_numpy(dtype=object)[giving]
    return pd.Series(moved, index=states.index, dtype=object)


def companions_of(nulls: Sequence[NullConcept]) -> Mapping[str, str]:
    """Null concept -> the real concept that it accompanies, by name."""
    return {null.name: null.companion for null in nulls}
