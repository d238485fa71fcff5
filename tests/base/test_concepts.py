"""Concepts and their states: accepted values and error messages."""

import doctest

import pytest

import sparsecbm.base.concepts
from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "states", "message"),
    [
        ("", ("a", "b"), "a concept needs a name, a text that is not empty; got ''"),
        (3, ("a", "b"), "a concept needs a name, a text that is not empty; got 3"),
        ("stars", (1, 2), "concept 'stars' has the state 1; a state is a text that is not empty, such as '1'"),
        (
            "stars",
            ("1", ""),
            "concept 'stars' has the state ''; a state is a text that is not empty, such as 'unknown'",
        ),
        ("stars", "12", "concept 'stars' needs a list of states, not the text '12'"),
        ("stars", ("1",), "concept 'stars' has 1 state(s): ['1']; a concept needs at least two"),
        ("stars", ("1", "1"), "concept 'stars' names a state twice: ['1', '1']"),
    ],
)
def test_an_invalid_concept_is_an_error(name, states, message):
    with pytest.raises(ConfigError) as error:
        Concept(name, states)
    assert str(error.value).startswith(message)


def test_a_state_has_an_index_and_an_unknown_state_raises_an_error_with_the_choices():
    stars = Concept("stars", ("1", "2", "10"))
    assert [stars.index(state) for state in ("1", "2", "10")] == [0, 1, 2] and len(stars) == 3
    with pytest.raises(ConfigError, match=r"unknown state of 'stars' '11'\. Did you mean '1'\? Choices: 1, 2, 10"):
        stars.index("11")
    with pytest.raises(ConfigError, match=r"unknown state of 'stars' 2\. Did you mean '2'\? Choices: 1, 2, 10"):
        stars.index(2)


def test_a_concept_set_from_plain_names_and_states():
    concepts = ConceptSet.of(label=("stars", ["1", "2"]), concepts={"food": None, "noise": ["loud", "quiet"]})
    assert concepts == ConceptSet((Concept("food"), Concept("noise", ("loud", "quiet"))), Concept("stars", ("1", "2")))
    assert concepts["food"].states == ("Negative", "Positive", "unknown")
    assert ConceptSet.from_dict(concepts.to_dict()) == concepts
    with pytest.raises(ConfigError, match=r"concept 'noise' has 1 state\(s\): \['loud'\]"):
        ConceptSet.of(label=("stars", ["1", "2"]), concepts={"noise": "loud"})
    assert doctest.testmod(sparsecbm.base.concepts).failed == 0


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["food", "food"], r"a concept is named twice: \['food', 'food'\]"),
        (["mean"], "a concept cannot be named 'mean': metrics use that name; rename it"),
    ],
)
def test_names_of_a_concept_set_are_checked(names, message):
    with pytest.raises(ConfigError, match=message):
        ConceptSet(tuple(Concept(name) for name in names), Concept("stars", ("1", "2")))


def test_a_task_may_have_no_concepts_and_some_can_be_left_out():
    none = ConceptSet.of(label=("stars", ["1", "2"]), concepts={})
    assert (len(none), none.names, ConceptSet.from_dict(none.to_dict())) == (0, (), none)
    both = ConceptSet.of(label=("stars", ["1", "2"]), concepts={"food": None, "noise": None})
    assert both.without(["food"]).names == ("noise",)
    assert both.without(both.names) == none


def test_an_unknown_concept_is_an_error_with_the_choices():
    concepts = ConceptSet.of(label=("stars", ["1", "2"]), concepts={"food": None, "noise": None})
    with pytest.raises(ConfigError, match=r"unknown concept 'nois'\. Did you mean 'noise'\? Choices: food, noise"):
        concepts["nois"]
