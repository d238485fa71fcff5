"""Messages about a table name keys of `params.yaml`; `sparsecbm init` has options instead, which these become."""

import json
import re
import shlex

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.yaml_reader import parse_yaml

_FORM = re.compile(r"source\.format: (\{[^{}]*\})")
_STATES = re.compile(r"source\.columns\.labels: (\[[^\[\]]*\])")
_OPTIONS = {
    "source.path": "--table",
    "source.format.": "--format ",
    "source.format": "--format",
    "source.columns.labels": "--labels",
    **{f"source.columns.{name}": f"--{name}" for name in ("text", "label", "id", "group", "split")},
}
_KEY = re.compile(r"source\.(path\b|format\b(\.(?=\w))?|columns\.(text|labels?|id|group|split)(?!\w|\.\w|: \[))")
_LATER = (
    "\n`sparsecbm init` has no option for a key that begins with source.columns: leave such a column out, and add it "
    "in params.yaml of the workspace"
)


def in_options(message: str) -> str:
    """A message with the options of `sparsecbm init` in place of the keys that they stand for."""
    message = _FORM.sub(lambda match: _format_options(match[1]) or match[0], message)
    message = _STATES.sub(lambda match: _labels_option(match[1]) or match[0], message)
    message = _KEY.sub(lambda match: _OPTIONS[match[0]], message)
    message = message.replace("source.columns.concepts: ", "--concept: ").replace("under source.columns", "of columns")
    return message + (_LATER if "source.columns" in message else "")


def _format_options(pairs: str) -> str:
    try:
        settings = parse_yaml(pairs, "source.format")
    except ConfigError:
        return ""
    return " ".join(f"--format {key}={_written(value)}" for key, value in settings.items())


def _labels_option(states: str) -> str:
    """`--labels A,B`, unless a state holds a comma."""
    try:
        named = json.loads(states)
    except ValueError:
        return ""
    return "" if any("," in state for state in named) else f"--labels {shlex.quote(','.join(named))}"


def _written(value: object) -> str:
    """A value as a shell takes it."""
    if isinstance(value, str) and not value.isprintable():
        return f"$'{value.encode('unicode_escape').decode()}'"  # a tab, say
    return str(value).lower() if isinstance(value, bool) else shlex.quote(str(value))
