"""CONCEPT=STATE, as options of several commands take it."""

from collections.abc import Sequence

from sparsecbm.base.errors import ConfigError

STATE_FORM = "give CONCEPT=STATE, such as food=Positive"
SETTING_FORM = f"{STATE_FORM}, or CONCEPT=.1,.9,0"


def parse_settings(
    arguments: Sequence[str], option: str = "--set", names: Sequence[str] = ()
) -> dict[str, str | list[float]]:
    """Parse CONCEPT=STATE, or CONCEPT=P,P,...: each concept, with its state or the probability of each state.

    A state may hold commas. If all its parts are numbers, put it in quotes: CONCEPT="1,5".

    Args:
        option: the option that took the arguments, for messages
        names: of the concepts, which tell where a name that holds `=` ends

    Raises:
        ConfigError: an argument is neither, or a concept is set twice.
    """
    settings: dict[str, str | list[float]] = {}
    for argument in arguments:
        concept, value = _split(argument, option, SETTING_FORM, names)
        probabilities = _parse_probabilities(value)
        _add(settings, concept, probabilities or _unquoted(value), f"{option} {argument}")
    return settings


def parse_states(arguments: Sequence[str], option: str, names: Sequence[str] = ()) -> dict[str, str]:
    """Parse CONCEPT=STATE; arguments as in `parse_settings`. A state may hold commas.

    Raises:
        ConfigError: an argument names no state, or a concept is set twice.
    """
    states: dict[str, str] = {}
    for argument in arguments:
        concept, value = _split(argument, option, STATE_FORM, names)
        _add(states, concept, _unquoted(value), f"{option} {argument}")
    return states


def _split(argument: str, option: str, form: str, names: Sequence[str]) -> tuple[str, str]:
    known = max((name for name in names if argument.startswith(f"{name}=")), key=len, default=None)
    concept, _, value = argument.partition("=")
    if known is not None:
        concept, value = known, argument[len(known) + 1 :]
    if not (concept and value):
        raise ConfigError(f"{option} {argument}: {form}")
    return concept, value


def _add(settings: dict, concept: str, setting: object, argument: str) -> None:
    if concept in settings:
        raise ConfigError(f"{argument}: {concept} is also set to {settings[concept]}; give it one state, once")
    settings[concept] = setting


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
