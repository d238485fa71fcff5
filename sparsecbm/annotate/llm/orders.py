"""The order in which the states of each concept are shown, since small models favour the first."""

import math
from collections.abc import Sequence

from sparsecbm.annotate.concept_file import ConceptDefinition


def order_number(key: str, vote: int, concepts: Sequence[ConceptDefinition]) -> int:
    """Which of the orders a text and a vote get; the votes of a text get one after the other.

    Args:
        key: of the text, in hex digits
        vote: from 0

    Returns:
        0 to one less than the number of orders: each rotation, forwards and backwards
    """
    return (int(key, 16) + vote) % (2 * math.lcm(*(len(concept.states) for concept in concepts)))


def states_in_order(concept: ConceptDefinition, number: int) -> tuple[str, ...]:
    """The states of a concept in an order. Over all orders, each state is at each position equally often.

    The few orders are the reason why a server can reuse the beginning of a prompt.
    """
    rotation, backwards = divmod(number, 2)
    states = list(concept.states)
    start = rotation % len(states)
    turned = states[start:] + states[:start]
    return tuple(turned[::-1] if backwards else turned)
