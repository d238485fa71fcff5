"""What a text looks like, if it is not the csv or tsv file that it was taken for."""

import csv
import json
import re
from collections import Counter
from collections.abc import Sequence

from sparsecbm.base.params import TableFormat

SEPARATORS = (",", ";", "\t", "|")
_NAMES = {"\t": "tabs", ";": "semicolons", ",": "commas", "|": "vertical bars"}
_SAMPLE = 60
_SINGLE_QUOTED = re.compile(r"(^|[,;\t|])'[^']")


def declared_separator(line: str) -> str | None:
    """The separator of a line `sep=;`, which Excel writes above the header; None for any other line."""
    bare = line.strip("\r").strip('"')
    return bare[4] if len(bare) == 5 and bare.lower().startswith("sep=") else None


def describe(lines: Sequence[str], form: TableFormat) -> str:
    """What the lines look like, and the setting that reads them; empty if they look like `form`."""
    sample = [line.rstrip("\r").replace("\r", " ") for line in lines[:_SAMPLE]]
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
    quoting = {"quotechar": quote} if quote not in ("", separator) else {"quoting": csv.QUOTE_NONE}
    counts = [len(next(csv.reader([line], delimiter=separator, **quoting), [])) for line in lines]
    common = Counter(count for count in counts if count > 1).most_common(1)
    if not common:
        return None
    width = common[0][0]
    header = counts.index(width)
    if header == 1 and counts[0] == width - 1 > 1:  # a name is missing in a header, as in tables that R writes
        header = 0
    below = [count for count in counts[header:] if count]
    return (round(sum(count == width for count in below) / len(below), 1), width, header + 1)
