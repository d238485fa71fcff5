"""Options of the form CONCEPT=STATE."""

import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.cli.concept_states import parse_settings, parse_states


def test_states_and_probabilities_are_parsed():
    assert parse_settings(["food=Positive", "noise=.25,.75"]) == {"food": "Positive", "noise": [0.25, 0.75]}
    assert parse_settings(["food=a=b", "food=a=b"]) == {"food": "a=b"}
    assert parse_states(["food=Positive"], "--state") == {"food": "Positive"}
    assert parse_settings([]) == {}


@pytest.mark.parametrize("argument", ["food", "food=", "=Positive", ""])
def test_a_missing_concept_or_state_is_named(argument):
    with pytest.raises(ConfigError, match=rf"^--state {argument}: give CONCEPT=STATE, such as food=Positive$"):
        parse_states([argument], "--state")


def test_the_error_names_contradictions_and_invalid_probabilities():
    with pytest.raises(ConfigError, match=r"^--set food=b: food is also set to a; give it one state"):
        parse_settings(["food=a", "food=b"])
    with pytest.raises(ConfigError, match=r"^--set food=a,b: a,b is not a list of numbers"):
        parse_settings(["food=a,b"])
    with pytest.raises(ConfigError, match=r"^--set food=0.1,0.9: give a state, not probabilities"):
        parse_states(["food=.1,.9"], "--set")
