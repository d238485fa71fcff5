"""Comprehensiveness and sufficiency: a concept when the words that an attribution ranks first go, or alone stay.

    comprehensiveness = mean over shares q of  p(s | x) - p(s | x without its top q of words)     more is better
    sufficiency       = mean over shares q of  p(s | x) - p(s | the top q of words of x alone)    less is better

p is the probability of the state s that the concept was read as. The mean over shares is the area over the perturbation
curve (AOPC), after DeYoung et al. (ERASER, arXiv 1911.03429, section 4). A share of words is rounded up.

An order at random takes just as many words out of the same text by the same operator: that is what matches it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from sparsecbm.evaluate.faithfulness.batched_inference import Question, read_asked
from sparsecbm.evaluate.faithfulness.perturbations import Perturber
from sparsecbm.explain.words import TokenizedText
from sparsecbm.model.cbm import ConceptBottleneck, Logits
from sparsecbm.model.prediction import softmax

UNKNOWN = "unknown"  # the state of a concept that a text says nothing about: there is no evidence to take away


@dataclass(frozen=True)
class Item:
    """A text and a concept of which it was read to say something.

    Attributes:
        number: of the text
        words: how many the text has
        concept, state: as read
        place: of the state among those of the concept
    """

    number: int
    words: int
    concept: str
    state: str
    place: int


@dataclass(frozen=True, eq=False)
class Aopc:
    """Both measures of the same items and orders, [items, orders] each."""

    comprehensiveness: np.ndarray
    sufficiency: np.ndarray


def items_of(model: ConceptBottleneck, texts: Sequence[TokenizedText], logits: Logits) -> list[Item]:
    """Every text of two words or more with every concept that is read as another state than `unknown`.

    Args:
        logits: of the texts
    """
    found = []
    for number, text in enumerate(texts):
        for concept in model.concept_set:
            place = int(logits.concepts[concept.name][number].argmax())
            if len(text.words) > 1 and concept.states[place] != UNKNOWN:
                found.append(Item(number, len(text.words), concept.name, concept.states[place], place))
    return found


def random_orders(text: TokenizedText, draws: int, seed: int) -> list[np.ndarray]:
    """Orders of the words of a text at random, [words] each; the same for the same text and seed."""
    generator = np.random.default_rng([seed, crc32(text.text.encode())])
    return [generator.permutation(len(text.words)) for _ in range(draws)]


def order_of(scores: Sequence[float]) -> np.ndarray:
    """Words from the highest score to the lowest, [words]; ties as they stand in the text."""
    return np.argsort(-np.asarray(scores, dtype=float), kind="stable")


def measure_aopc(
    model: ConceptBottleneck,
    perturber: Perturber,
    items: Sequence[Item],
    orders: Sequence[Sequence[np.ndarray]],
    operator: str,
    shares: Sequence[float],
) -> Aopc:
    """Take the first words of each order away, and all others, by one operator.

    Args:
        model: as `explain.subject.prepared` gives it
        orders: of each item equally many, each [words]
        shares: of the words, each above 0 and at most 1
    """
    read = _Probabilities(model)
    whole = [(item, read.ask(item, perturber.texts[item.number].ids)) for item in items]
    asked = [
        [[_ask_both(read, perturber, item, order, share, operator) for share in shares] for order in of_item]
        for item, of_item in zip(items, orders, strict=True)
    ]
    values, count = read.answers(), len(orders[0]) if orders else 0
    before = np.array([values[place] for _, place in whole])
    after = values[np.array(asked, dtype=int).reshape(len(items), count, len(shares), 2)]  # [items, orders, shares, 2]
    falls = (before[:, None, None, None] - after).mean(2)
    return Aopc(falls[..., 0], falls[..., 1])


def top_words(order: np.ndarray, share: float) -> np.ndarray:
    """Which words are the first share of an order, rounded up, [words] truth values."""
    first = np.zeros(len(order), dtype=bool)
    first[order[: int(np.ceil(share * len(order) - 1e-9))]] = True
    return first


class _Probabilities:
    """Collects questions about the state of items, and answers them all at once."""

    def __init__(self, model: ConceptBottleneck):
        self._model = model
        self._questions: list[Question] = []
        self._places: list[int] = []

    def ask(self, item: Item, ids: tuple[int, ...]) -> int:
        """The place of the answer."""
        self._questions.append((ids, item.concept))
        self._places.append(item.place)
        return len(self._questions) - 1

    def answers(self) -> np.ndarray:
        """Probabilities of the items' states, [questions]."""
        read = read_asked(self._model, self._questions)
        return np.array([softmax(logits)[place] for logits, place in zip(read, self._places, strict=True)])


def _ask_both(
    read: _Probabilities, perturber: Perturber, item: Item, order: np.ndarray, share: float, operator: str
) -> tuple[int, int]:
    top = top_words(order, share)
    return tuple(read.ask(item, perturber.without(item.number, gone, operator)) for gone in (top, ~top))
