"""Options of the form CONCEPT=STATE."""

import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.cli.concept_states import parse_settings, parse_states


def test_states_and_probabilities_are_parsed():
    assert parse_settings(["food=Positive", "noise=.25,.75"]) == {"food": "Positive", "noise": [0.25, 0.75]}
    assert parse_settings(["food=a=b"]) == {"food": "a=b"}
    assert parse_states(["food=Positive"], "--state") == {"food": "Positive"}
    assert parse_settings([]) == {}


@pytest.mark.parametrize("argument", ["food", "food=", "=Positive", ""])
def test_a_missing_concept_or_state_is_named(argument):
    with pytest.raises(ConfigError, match=rf"^--state {argument}: give CONCEPT=STATE, such as food=Positive$"):
        parse_states([argument], "--state")


def test_a_state_may_hold_commas():
    assert parse_settings(["price=cheap, fair", "wait=1,x", 'size="1,5"']) == {
        "price": "cheap, fair", "wait": "1,x", "size": "1,5",
    }  # fmt: skip
    assert parse_states(["size=1,5", 'price="cheap, fair"', 'quote="'], "--state") == {
        "size": "1,5", "price": "cheap, fair", "quote": '"',
    }  # fmt: skip
    assert parse_settings(["size=1,5"]) == {"size": [1.0, 5.0]}, "without quotes, numbers are probabilities"


def test_a_name_that_holds_an_equals_sign_ends_where_the_concept_does():
    names = ("a", "a=b", "[bold]x[/bold] <i>*</i>", "service/quality", "\u0627\u0644")
    assert parse_settings(["a=b=c", "a=x"], names=names) == {"a=b": "c", "a": "x"}
    assert parse_states(["[bold]x[/bold] <i>*</i>=ja", "service/quality=a", "\u0627\u0644=b"], "--state", names) == {
        "[bold]x[/bold] <i>*</i>": "ja", "service/quality": "a", "\u0627\u0644": "b",
    }  # fmt: skip
    assert parse_settings(["unknown=b=c"], names=names) == {"unknown": "b=c"}


@pytest.mark.parametrize("parse", [parse_settings, lambda arguments: parse_states(arguments, "--set")])
def test_a_concept_is_set_once_even_to_one_state(parse):
    with pytest.raises(ConfigError, match=r"^--set food=a: food is also set to a; give it one state, once$"):
        parse(["food=a", "food=a"])


def test_the_error_names_contradictions():
    with pytest.raises(ConfigError, match=r"^--set food=b: food is also set to a; give it one state, once"):
        parse_settings(["food=a", "food=b"])
    with pytest.raises(ConfigError, match=r"^--set food=.1,.9: food is also set to a; give it one state, once"):
        parse_settings(["food=a", "food=.1,.9"])
    with pytest.raises(ConfigError, match=r"^--state food=b: food is also set to a; give it one state, once"):
        parse_states(["food=a", "food=b"], "--state")
