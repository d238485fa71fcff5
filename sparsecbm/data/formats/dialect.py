"""What a text looks like, if it is not the csv or tsv file that it was taken for."""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence

from sparsecbm.base.params import TableFormat

SEPARATORS = (",", ";", "\t", "|")
_NAMES = {"\t": "tabs", ";": "semicolons", ",": "commas", "|": "vertical bars"}
_SAMPLE = 60
_MAX_HEADER = 1 << 16  # characters; a cell of more than twice as many is an error of the parser
_SINGLE_QUOTED = re.compile(r"(^|[,;\t|])'[^']")


def declared_separator(line: str) -> str | None:
    """The separator of a line `sep=;`, which Excel writes above the header; None for any other line."""
    bare = line.strip("\r").strip('"')
    return bare[4] if len(bare) == 5 and bare.lower().startswith("sep=") else None


def separator_by_names(lines: Sequence[str], quote: str, usual: str, known: Callable[[str], bool]) -> str:
    """The separator by which the header, the first line that is not blank, splits into the most known names.

    Args:
        usual: the separator if the header holds no known name, or if others do as well
        known: whether a column may have this name
    """
    header = next((_plain(line[:_MAX_HEADER]) for line in lines if line.strip()), "")

    def found(separator: str) -> tuple[int, int]:
        names = _fields(header, separator, quote)
        count = sum(map(known, names))
        return count, len(names) if count else 0

    return max((usual, *SEPARATORS), key=found)


def describe(lines: Sequence[str], form: TableFormat) -> str:
    """What the lines look like, and the setting that reads them; empty if they look like `form`."""
    sample = [_plain(line) for line in lines[:_SAMPLE]]
    single = sum(_SINGLE_QUOTED.search(line) is not None for line in sample)
    quote = "'" if form.quote == '"' and 2 * single > len(sample) else form.quote
    best: tuple[float, int, str, int] | None = None
    for separator in SEPARATORS:
        shape = _shape(sample, separator, quote)
        if shape is not None and (best is None or shape[:2] > best[:2]):
            best = (*shape[:2], separator, shape[2])
    if best is None:
        return ""
    _, _, separator, header = best
    settings: dict[str, object] = {}
    looks = []
    if separator != form.separator:
        settings["separator"] = separator
        looks.append(f"has its cells between {_NAMES[separator]}")
    if header > form.header > 0:
        settings["header"] = header
        looks.append(f"has its header in line {header}, below other lines")
    if quote != form.quote:
        settings["quote"] = quote
        looks.append("has its cells between single quotes")
    if not settings and not form.skip_blanks and f"{separator} " in sample[header - 1]:
        settings["skip_blanks"] = True
        looks.append("has blanks after its separators")
    if not settings:
        return ""
    pairs = ", ".join(f"{key}: {json.dumps(value)}" for key, value in settings.items())
    return f"It looks as if it {' and '.join(looks)}; then set source.format: {{{pairs}}}"


def _shape(lines: Sequence[str], separator: str, quote: str) -> tuple[float, int, int] | None:
    """How many lines from the header on have its number of fields, this number, and the header's line from 1."""
    counts = [len(_fields(line, separator, quote)) for line in lines]
    common = Counter(count for count in counts if count > 1).most_common(1)
    if not common:
        return None
    width = common[0][0]
    header = counts.index(width)
    if header == 1 and counts[0] == width - 1 > 1:  # a name is missing in a header, as in tables that R writes
        header = 0
    below = [count for count in counts[header:] if count]
    return (round(sum(count == width for count in below) / len(below), 1), width, header + 1)


def _plain(line: str) -> str:
    """A line without returns, which the parser takes for line ends."""
    return line.rstrip("\r").replace("\r", " ")


def _fields(line: str, separator: str, quote: str) -> list[str]:
    quoting = {"quotechar": quote} if quote not in ("", separator) else {"quoting": csv.QUOTE_NONE}
    return next(csv.reader([line], delimiter=separator, **quoting), [])
