"""Greedy choice of flips on small cases by hand."""

import itertools

import numpy as np

from sparsecbm.intervene.patches import moves as patch_moves
from sparsecbm.intervene.patches.moves import MoveLimits, apply_moves, choose_moves

ONE_GROUP = np.array([0, 3, 6])  # bits 0 to 2 are dropped, 3 to 5 are grown
NONE = np.zeros(6, bool)
GAINS = np.array([5.0, 4.0, 1.0, 3.0, 2.0, -1.0])
FREE = np.zeros((0, 6))


def bits(moves):
    return [move.bits for move in moves]


def test_without_protection_pairs_with_the_largest_gains_come_first():
    assert bits(choose_moves(GAINS, FREE, ONE_GROUP, NONE, MoveLimits(1.0, 6, 100.0, 2))) == [(0, 3), (1, 4)]


def test_moves_stop_if_the_gains_suffice_or_the_budget_is_used_up():
    assert bits(choose_moves(GAINS, FREE, ONE_GROUP, NONE, MoveLimits(1.0, 6, 8.0, 9))) == [(0, 3)]
    assert len(choose_moves(GAINS, FREE, ONE_GROUP, NONE, MoveLimits(1.0, 6, 8.1, 9))) == 2
    assert bits(choose_moves(GAINS, FREE, ONE_GROUP, NONE, MoveLimits(1.0, 3, 100.0, 9))) == [(0, 3)]
    assert choose_moves(GAINS, FREE, ONE_GROUP, NONE, MoveLimits(1.0, 6, 0.0, 9)) == []


def test_the_penalty_prefers_a_bit_without_effect_on_protected_texts():
    """Bit 0 changes a protected text by 3. Its value is 5 - 9/2 = .5, less than 4 of bit 1."""
    effects = np.array([[3.0, 0, 0, 0, 0, 0]])
    assert bits(choose_moves(GAINS, effects, ONE_GROUP, NONE, MoveLimits(1.0, 6, 100.0, 1))) == [(1, 3)]
    assert bits(choose_moves(GAINS, effects, ONE_GROUP, NONE, MoveLimits(0.1, 6, 100.0, 1))) == [(0, 3)]


def test_effects_that_cancel_cost_nothing():
    """Bit 0 changes the text by 3 and bit 2 reverts this. The value of bit 2 is 1 + 9 - 9/2, more than 4 of bit 1."""
    effects = np.array([[3.0, 0, -3.0, 0, 0, 0]])
    flipped = np.array([True, False, False, True, False, False])
    assert bits(choose_moves(GAINS, effects, ONE_GROUP, flipped, MoveLimits(1.0, 6, 100.0, 1))) == [(2, 4)]
    assert bits(choose_moves(GAINS, effects, ONE_GROUP, flipped, MoveLimits(0.0, 6, 100.0, 1))) == [(1, 4)]


def test_the_first_exchange_is_the_best_of_all_exchanges():
    """The oracle tries every set; the effects of leaving and of entering bits are on different texts."""
    draw = np.random.default_rng(1)
    flipped = np.array([True, True, False, False] * 2)

    def worth(chosen, gains, effects):
        return gains[chosen].sum() - 0.7 / 2 * np.square(effects[:, chosen].sum(1)).sum()

    for _ in range(50):
        gains, effects = draw.normal(size=8), np.zeros((4, 8))
        effects[:2, flipped], effects[2:, ~flipped] = draw.normal(size=(2, 2, 4))
        sets = {}
        for kind in (0, 4):
            for out, into in itertools.product((kind, kind + 1), (kind + 2, kind + 3)):
                chosen = flipped.copy()
                chosen[[out, into]] ^= True
                sets[out, into] = worth(chosen, gains, effects) - worth(flipped, gains, effects)
        best = max(sets, key=sets.get)
        chosen_moves = bits(choose_moves(gains, effects, np.array([0, 4, 8]), flipped, MoveLimits(0.7, 4, 100.0, 1)))
        assert chosen_moves == ([best] if sets[best] > 1e-3 else [])


def test_without_budget_bits_of_one_kind_are_exchanged():
    """Bits 2 and 5 are flipped; bit 0 gains 4 more than bit 2, bit 3 gains 4 more than bit 5: the first wins."""
    flipped = np.array([False, False, True, False, False, True])
    moves = choose_moves(GAINS, FREE, ONE_GROUP, flipped, MoveLimits(1.0, 2, 100.0, 9))
    assert bits(moves) == [(2, 0), (5, 3)]
    assert apply_moves(flipped, moves).tolist() == [True, False, False, True, False, False]


def test_there_is_no_exchange_without_value():
    best = np.array([True, False, False, True, False, False])
    assert choose_moves(GAINS, FREE, ONE_GROUP, best, MoveLimits(1.0, 2, 100.0, 9)) == []


def test_each_group_is_balanced_separately():
    """Group 0 has bits 0 | 1, group 1 has bits 2 | 3: 5 - 4 < 3 + 1, though bit 0 alone is the best."""
    starts = np.array([0, 1, 2, 3, 4])
    gains = np.array([5.0, -4.0, 3.0, 1.0])
    none, free = np.zeros(4, bool), np.zeros((0, 4))
    assert bits(choose_moves(gains, free, starts, none, MoveLimits(1.0, 4, 100.0, 2))) == [(2, 3), (0, 1)]


def test_a_group_without_bits_of_one_kind_does_not_take_part():
    starts = np.array([0, 0, 1, 2, 3])  # group 0 has nothing to drop
    gains = np.array([9.0, 1.0, 1.0])
    assert bits(choose_moves(gains, np.zeros((0, 3)), starts, np.zeros(3, bool), MoveLimits(1.0, 4, 9.0, 9))) == [
        (1, 2)
    ]


def test_the_first_pair_is_the_best_of_all_pairs():
    """The oracle tries every pair; the effects of drops and of grows are on different texts."""
    draw = np.random.default_rng(0)
    for _ in range(50):
        gains, effects = draw.normal(size=8), np.zeros((4, 8))
        effects[:2, :4], effects[2:, 4:] = draw.normal(size=(2, 2, 4))

        def worth(pair, gains=gains, effects=effects):
            return gains[list(pair)].sum() - 0.7 / 2 * np.square(effects[:, list(pair)].sum(1)).sum()

        pair = choose_moves(gains, effects, np.array([0, 4, 8]), np.zeros(8, bool), MoveLimits(0.7, 8, 100.0, 1))[
            0
        ].bits
        assert pair == max(itertools.product(range(4), range(4, 8)), key=worth)


def test_the_shortlist_gives_the_moves_of_all_bits_where_effects_are_small(monkeypatch):
    """The oracle compares all 1,200 bits at each move; bits that are flipped already are never left out."""
    rng = np.random.default_rng(3)
    gains, effects = rng.random(1200), 0.03 * rng.standard_normal((20, 1200))
    starts, flipped = np.array([0, 600, 1200]), np.zeros(1200, bool)
    worst = [int(gains[:600].argmin()), 600 + int(gains[600:].argmin())]
    flipped[worst] = True
    for budget in (40, 2):  # room for more bits, and exchanges alone
        limits = MoveLimits(strength=1.0, budget=budget, required_gain=100.0, max_moves=8)
        monkeypatch.setattr(patch_moves, "SHORTLIST", 400)
        shortlisted = choose_moves(gains, effects, starts, flipped, limits)
        monkeypatch.setattr(patch_moves, "SHORTLIST", 1200)
        assert choose_moves(gains, effects, starts, flipped, limits) == shortlisted
    assert set(worst) <= {bit for move in shortlisted for bit in move.bits}  # both leave
    monkeypatch.setattr(patch_moves, "SHORTLIST", 1)  # negative control: one bit of each kind is too few
    assert len(choose_moves(gains, effects, starts, flipped, MoveLimits(1.0, 40, 100.0, 8))) < 8
