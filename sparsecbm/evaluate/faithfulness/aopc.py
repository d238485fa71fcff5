"""Comprehensiveness and sufficiency: a concept without the words that an attribution ranks first, or with these alone.

    comprehensiveness = mean over shares q of  p(s | x) - p(s | x without its top q of words)     more is better
    sufficiency       = mean over shares q of  p(s | x) - p(s | the top q of words of x alone)    less is better

p is the probability of the predicted state s of the concept. The mean over shares is the area over the perturbation
curve (AOPC), as in DeYoung et al. (ERASER, arXiv 1911.03429, section 4). A share of words is rounded up.

A random order removes as many words from the same text by the same operator, so it is a matched control.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from sparsecbm.evaluate.faithfulness.batched_inference import Query, concept_logits_for
from sparsecbm.evaluate.faithfulness.perturbations import Perturber
from sparsecbm.explain.words import TokenizedText
from sparsecbm.model.cbm import ConceptBottleneck, Logits
from sparsecbm.model.prediction import softmax

UNKNOWN = "unknown"  # the state of a concept that a text does not mention, so no word is evidence for it


@dataclass(frozen=True)
class Item:
    """A text and a concept whose predicted state is not `unknown`.

    Attributes:
        text_index: of the text
        words: number of words of the text
        concept: name
        state: name of the predicted state
        state_index: its index among the states of the concept
    """

    text_index: int
    words: int
    concept: str
    state: str
    state_index: int


@dataclass(frozen=True, eq=False)
class Aopc:
    """Both measures of the same items and orders, [items, orders] each."""

    comprehensiveness: np.ndarray
    sufficiency: np.ndarray


def find_items(model: ConceptBottleneck, texts: Sequence[TokenizedText], logits: Logits) -> list[Item]:
    """Every text of two words or more, with every concept whose predicted state is not `unknown`.

    Args:
        logits: of the texts
    """
    items = []
    for text_index, text in enumerate(texts):
        for concept in model.concept_set:
            state_index = int(logits.concepts[concept.name][text_index].argmax())
            state = concept.states[state_index]
            if len(text.words) > 1 and state != UNKNOWN:
                items.append(Item(text_index, len(text.words), concept.name, state, state_index))
    return items


def random_orders(text: TokenizedText, draws: int, seed: int) -> list[np.ndarray]:
    """Random orders of the words of a text, [words] each. The same text and seed give the same orders."""
    generator = np.random.default_rng([seed, crc32(text.text.encode())])
    return [generator.permutation(len(text.words)) for _ in range(draws)]


def rank_words(scores: Sequence[float]) -> np.ndarray:
    """Word indices from the highest score to the lowest, [words]; ties in text order."""
    return np.argsort(-np.asarray(scores, dtype=float), kind="stable")


def measure_aopc(
    model: ConceptBottleneck,
    perturber: Perturber,
    items: Sequence[Item],
    orders: Sequence[Sequence[np.ndarray]],
    operator: str,
    shares: Sequence[float],
) -> Aopc:
    """Remove the first words of each order, and then all other words instead, by one operator.

    Args:
        model: prepared by `explain.subject.prepared`
        orders: for each item equally many orders, [words] each
        shares: of the words, each above 0 and at most 1
    """
    queries: list[Query] = []
    state_indices: list[int] = []

    def add_query(item: Item, ids: tuple[int, ...]) -> int:
        """The index of the query."""
        queries.append((ids, item.concept))
        state_indices.append(item.state_index)
        return len(queries) - 1

    def add_perturbed(item: Item, order: np.ndarray, share: float) -> tuple[int, ...]:
        top = top_words(order, share)
        texts = (perturber.without(item.text_index, removed, operator) for removed in (top, ~top))
        return tuple(add_query(item, ids) for ids in texts)

    whole = [add_query(item, perturber.texts[item.text_index].ids) for item in items]
    perturbed = [
        [[add_perturbed(item, order, share) for share in shares] for order in item_orders]
        for item, item_orders in zip(items, orders, strict=True)
    ]
    all_logits = concept_logits_for(model, queries)
    probabilities = np.array([softmax(logits)[i] for logits, i in zip(all_logits, state_indices, strict=True)])
    before = np.array([probabilities[index] for index in whole])
    order_count = len(orders[0]) if orders else 0
    after = probabilities[np.array(perturbed, dtype=int).reshape(len(items), order_count, len(shares), 2)]
    falls = (before[:, None, None, None] - after).mean(2)  # [items, orders, 2], the mean over shares
    return Aopc(falls[..., 0], falls[..., 1])


def top_words(order: np.ndarray, share: float) -> np.ndarray:
    """Which words are the first share of an order, rounded up, [words] truth values."""
    first = np.zeros(len(order), dtype=bool)
    first[order[: int(np.ceil(share * len(order) - 1e-9))]] = True
    return first
