"""Keys of states: numbers, and first letters that are free."""

import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.cli.state_keys import state_keys


def test_a_letter_of_a_command_or_of_an_earlier_state_is_no_key():
    assert state_keys(["poor", "Perfect", "unknown", "5 stars", "Überraschend"]) == {
        "poor": ("1", "p"),
        "Perfect": ("2",),
        "unknown": ("3",),
        "5 stars": ("4",),
        "Überraschend": ("5", "ü"),
    }


def test_ten_states_are_too_many_for_keys():
    assert len(state_keys([str(number) for number in range(9)])) == 9
    with pytest.raises(ConfigError, match="10 states are too many for one key each"):
        state_keys([str(number) for number in range(10)])
