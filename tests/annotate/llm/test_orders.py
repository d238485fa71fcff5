"""Orders of states: balanced over positions, another one for each vote, and the same for the same text."""

from collections import Counter

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.labels import text_key
from sparsecbm.annotate.llm.orders import order_number, states_in_order
from tests.support.llm_annotation import CONCEPTS, FOOD, NOISE


def test_over_all_orders_each_state_is_at_each_position_equally_often():
    for concept in (FOOD, NOISE, ConceptDefinition("stars", "", dict.fromkeys("12345", "x"))):
        states = list(concept.states)
        orders = [states_in_order(concept, number) for number in range(2 * len(states))]
        assert {tuple(sorted(order)) for order in orders} == {tuple(sorted(states))}
        for position in range(len(states)):
            assert set(Counter(order[position] for order in orders).values()) == {2}
    assert len({states_in_order(FOOD, number) for number in range(6)}) == 6  # all orders of three states


def test_votes_of_a_text_see_different_orders_and_texts_spread_over_them():
    key = text_key("Nice.")
    assert len({order_number(key, vote, CONCEPTS) for vote in range(12)}) == 12
    assert order_number(key, 3, CONCEPTS) == order_number(key, 3, CONCEPTS)
    firsts = Counter(states_in_order(FOOD, order_number(text_key(f"text {n}"), 0, CONCEPTS))[0] for n in range(3000))
    assert all(900 < count < 1100 for count in firsts.values()), firsts
