"""CONCEPT=STATE, as options of several commands take it."""

from collections.abc import Sequence

from sparsecbm.base.errors import ConfigError

STATE_FORM = "give CONCEPT=STATE, such as food=Positive"
SETTING_FORM = f"{STATE_FORM}, or CONCEPT=.1,.9,0"


def parse_settings(arguments: Sequence[str], option: str = "--set") -> dict[str, str | list[float]]:
    """Parse CONCEPT=STATE, or CONCEPT=P,P,...: each concept, with its state or the probability of each state.

    Args:
        option: the option that took the arguments, for messages

    Raises:
        ConfigError: an argument is neither, or a concept is set in two ways.
    """
    return _parse(arguments, option, SETTING_FORM)


def parse_states(arguments: Sequence[str], option: str) -> dict[str, str]:
    """Parse CONCEPT=STATE as `parse_settings` does, without probabilities.

    Raises:
        ConfigError: an argument names no state, or a concept is set in two ways.
    """
    states = {}
    for concept, setting in _parse(arguments, option, STATE_FORM).items():
        if not isinstance(setting, str):
            raise ConfigError(f"{option} {concept}={','.join(map(str, setting))}: give a state, not probabilities")
        states[concept] = setting
    return states


def _parse(arguments: Sequence[str], option: str, form: str) -> dict[str, str | list[float]]:
    settings: dict[str, str | list[float]] = {}
    for argument in arguments:
        concept, _, value = argument.partition("=")
        if not (concept and value):
            raise ConfigError(f"{option} {argument}: {form}")
        setting = _parse_probabilities(value, f"{option} {argument}") if "," in value else value
        if settings.setdefault(concept, setting) != setting:
            raise ConfigError(f"{option} {argument}: {concept} is also set to {settings[concept]}; give it one state")
    return settings


def _parse_probabilities(value: str, argument: str) -> list[float]:
    try:
        return [float(part) for part in value.split(",")]
    except ValueError:
        raise ConfigError(f"{argument}: {value} is not a list of numbers, such as .1,.9,0") from None
