"""CONCEPT=STATE, as options of several commands take it."""

from collections.abc import Sequence

from sparsecbm.base.errors import ConfigError

STATE_FORM = "give CONCEPT=STATE, such as food=Positive"
SETTING_FORM = f"{STATE_FORM}, or CONCEPT=.1,.9,0"


def parse_settings(arguments: Sequence[str], option: str = "--set") -> dict[str, str | list[float]]:
    """Parse CONCEPT=STATE, or CONCEPT=P,P,...: each concept, with its state or the probability of each state.

    A state may hold commas. If all its parts are numbers, put it in quotes: CONCEPT="1,5".

    Args:
        option: the option that took the arguments, for messages

    Raises:
        ConfigError: an argument is neither, or a concept is set in two ways.
    """
    settings: dict[str, str | list[float]] = {}
    for argument in arguments:
        concept, value = _split(argument, option, SETTING_FORM)
        probabilities = _parse_probabilities(value)
        _add(settings, concept, probabilities or _unquoted(value), f"{option} {argument}")
    return settings


def parse_states(arguments: Sequence[str], option: str) -> dict[str, str]:
    """Parse CONCEPT=STATE. A state may hold commas.

    Raises:
        ConfigError: an argument names no state, or a concept is set in two ways.
    """
    states: dict[str, str] = {}
    for argument in arguments:
        concept, value = _split(argument, option, STATE_FORM)
        _add(states, concept, _unquoted(value), f"{option} {argument}")
    return states


def _split(argument: str, option: str, form: str) -> tuple[str, str]:
    concept, _, value = argument.partition("=")
    if not (concept and value):
        raise ConfigError(f"{option} {argument}: {form}")
    return concept, value


def _add(settings: dict, concept: str, setting: object, argument: str) -> None:
    if settings.setdefault(concept, setting) != setting:
        raise ConfigError(f"{argument}: {concept} is also set to {settings[concept]}; give it one state")


def _unquoted(value: str) -> str:
    """A state without the double quotes around it."""
    return value[1:-1] if len(value) > 2 and value[0] == value[-1] == '"' else value


def _parse_probabilities(value: str) -> list[float] | None:
    """Numbers between commas, or None if there is a part that is no number."""
    if "," not in value:
        return None
    try:
        return [float(part) for part in value.split(",")]
    except ValueError:
        return None
