"""The keys of each state of a concept: its number, and its first letter if that is free."""

from collections.abc import Sequence

from sparsecbm.base.errors import ConfigError

UNDO, SKIP, CANNOT_DECIDE, MACHINES, QUIT = "u", "s", "?", "m", "q"
COMMANDS = {CANNOT_DECIDE: "cannot decide", SKIP: "skip", UNDO: "undo", MACHINES: "what machines say", QUIT: "quit"}
MAX_STATES = 9


def state_keys(states: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """State -> its keys. A letter that is a command, or that an earlier state has, is no key of a state.

    >>> state_keys(["Negative", "Positive", "unknown"])
    {'Negative': ('1', 'n'), 'Positive': ('2', 'p'), 'unknown': ('3',)}

    Raises:
        ConfigError: there are more than nine states.
    """
    if len(states) > MAX_STATES:
        raise ConfigError(
            f"{len(states)} states are too many for one key each; label in a file: `sparsecbm annotate export`"
        )
    taken = set(COMMANDS)
    keys = {}
    for number, state in enumerate(states, start=1):
        letter = state[0].lower()
        keys[state] = (str(number), letter) if letter.isalpha() and letter not in taken else (str(number),)
        taken.add(letter)
    return keys
