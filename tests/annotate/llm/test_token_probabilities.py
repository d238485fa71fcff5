"""Probabilities of states from those of tokens, worked out by hand."""

import math

import pytest

from sparsecbm.annotate.llm.token_probabilities import read_tokens, state_probabilities

STATES = ("Negative", "Positive", "unknown")


def token(text, probability=1.0, **others):
    """Return a token of a reply with its alternatives."""
    ranked = {text: probability} | others
    entries = [{"token": t, "logprob": math.log(p), "bytes": list(t.encode())} for t, p in ranked.items()]
    return entries[0] | {"top_logprobs": entries}


def probabilities(*entries, concept="food", states=STATES):
    answer = "".join(entry["token"] for entry in entries)
    return state_probabilities(answer, read_tokens({"logprobs": {"content": list(entries)}}), concept, states)


def test_alternatives_give_the_other_states_and_all_are_scaled_to_one():
    # .6 for Negative, .2 + .05 for Positive, .1 for unknown; .05 leads to no state.
    first = token("Neg", 0.6, Pos=0.2, unknown=0.1, P=0.05, Good=0.05)
    given = probabilities(token('{"food": "'), first, token("ative", 0.9, x=0.1), token('"}'))
    assert given == pytest.approx({"Negative": 0.6 / 0.95, "Positive": 0.25 / 0.95, "unknown": 0.1 / 0.95})


def test_states_that_begin_alike_part_later():
    # After "b" (.8, good .2), "ad" has .75 and "land" .25: bad .8 * .75, bland .8 * .25.
    states = ("bad", "bland", "good")
    given = probabilities(
        token('{"food":"'), token("b", 0.8, good=0.2), token('ad"', 0.75, land=0.25), token("}"), states=states
    )
    assert given == pytest.approx({"bad": 0.6, "bland": 0.2, "good": 0.2})
    # An alternative that begins both counts for each by half: "b" .4 beside good .6.
    given = probabilities(token('{"food":"'), token('good"', 0.6, b=0.4), token("}"), states=states)
    assert given == pytest.approx({"bad": 0.2, "bland": 0.2, "good": 0.6})


def test_a_token_may_hold_the_quote_and_a_state_may_begin_another():
    # Alternatives without the same beginning (no blank before the quote) say nothing of the state.
    states = ("good", "good enough")
    value = token(' "good', 0.5, **{' "bad': 0.2, '"good': 0.3})
    given = probabilities(token('{"food":'), value, token('"', 0.7, **{" enough": 0.3}), token("}"), states=states)
    assert given == pytest.approx({"good": 0.7, "good enough": 0.3})


def test_each_concept_has_its_own_tokens_and_characters_may_be_split():
    entries = [
        token('{"food": "'), token("Pos", 0.9, Neg=0.1), token('itive", "größe": "'),
        token("kl", 0.3, gr=0.7), token('ein"}'),
    ]  # fmt: skip
    assert probabilities(*entries) == pytest.approx({"Negative": 0.1, "Positive": 0.9, "unknown": 0})
    given = probabilities(*entries, concept="größe", states=("klein", "groß"))
    assert given == pytest.approx({"klein": 0.3, "groß": 0.7})
    halves = [{"token": "?", "logprob": 0.0, "bytes": [part], "top_logprobs": []} for part in "ü".encode()]
    tokens = read_tokens({"logprobs": {"content": [token('{"a": "'), *halves, token('"}')]}})
    assert state_probabilities('{"a": "ü"}', tokens, "a", ("ü", "o")) == {"ü": 1.0, "o": 0.0}


@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"logprobs": None},
        {"logprobs": {"content": [{"token": "a", "logprob": None, "top_logprobs": []}]}},
        {"logprobs": {"content": [{"token": "a", "logprob": 0.0}]}},
        {"logprobs": {"content": [{"token": "a", "logprob": 0.0, "bytes": [999], "top_logprobs": []}]}},
    ],
)
def test_a_reply_without_all_of_them_has_no_tokens(choice):
    assert read_tokens(choice) == ()


def test_there_are_no_probabilities_where_the_tokens_do_not_tell():
    entries = [token('{"food": "'), token("Neg", 0.6, Pos=0.4), token('ative"}')]
    tokens = read_tokens({"logprobs": {"content": entries}})
    assert state_probabilities('{"food": "Negative"}', tokens, "food", STATES) is not None
    assert state_probabilities('{"food": "Negative"} ', tokens, "food", STATES) is None, "other words"
    assert state_probabilities('{"food": "Negative"}', tokens, "noise", STATES) is None, "another concept"
    assert state_probabilities('{"food": "Negative"}', tokens, "food", ("negative", "bad")) is None, "no such state"
