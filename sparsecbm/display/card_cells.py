"""Headers, tables and cells of cards, as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from sparsecbm.base.markdown import markdown

NOT_MEASURED = "not measured"


def yaml_header(content: Mapping[str, Any]) -> str:
    """A YAML header between two lines of dashes, with keys in the order of `content`."""
    yaml, text = YAML(), StringIO()
    yaml.dump(dict(content), text)
    return f"---\n{text.getvalue()}---\n"


def quoted(texts: Iterable[str]) -> list[str]:
    """Texts that a header quotes: readers of YAML 1.1 take the language `no` for false."""
    return [DoubleQuotedScalarString(text) for text in texts]


def number(value: float | None) -> str:
    """A figure with three decimals."""
    return NOT_MEASURED if value is None else f"{value:.3f}"


def percent(share: float | None, digits: int = 0) -> str:
    """A share as a percentage."""
    return NOT_MEASURED if share is None else f"{100 * share:.{digits}f} %"


def bounds(interval: Sequence[float | None] | None) -> str:
    """An interval, such as 0.1 to 0.2."""
    if not interval or interval[0] is None or interval[1] is None:
        return NOT_MEASURED
    return f"{interval[0]:.3f} to {interval[1]:.3f}"


def table(header: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    """A table; every cell is escaped."""
    head = [markdown(cell) for cell in header]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(markdown(cell) for cell in row)} |" for row in rows)]) + "\n"
