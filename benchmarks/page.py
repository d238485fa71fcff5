"""Write docs/benchmarks.md from the JSON files in benchmarks/results/.

    python -m benchmarks.page            # write the page
    python -m benchmarks.page --check    # exit with 1 if the page differs from what the files give

`benchmarks/claims.yaml` lists the topics of the page, their prose, and for each claim the file and the paths of its
figures. A result file with the key `claims` (figures of runs that wrote no JSON) provides finished rows for its topic.

A result text such as "{1/label/accuracy:share} on dev" takes figures by path. A part of a path may be a pattern
(`[123]`, `*`); then the figures of all matching keys are listed. `mean(path)`, `median(path)`, `min(path)`,
`max(path)` and `positive(path)` (how many are above 0) reduce such a list, and "path over path" is a ratio.
A figure that has an interval is shown with it.
"""

import argparse
import re
import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import fmean, median
from typing import Any

import yaml

from benchmarks.attempts import summarise_attempts
from sparsecbm.base.files import read_json

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
CLAIMS = Path(__file__).parent / "claims.yaml"
RESULTS = Path(__file__).parent / "results"

Record = dict[str, Any]  # one claim, or one object of a JSON or YAML file

COLUMNS = ("claim", "target", "result", "command", "date", "machine")
FIGURE = re.compile(r"\{([^{}]+):([^{}:]+)\}")
REDUCED = re.compile(r"(mean|median|min|max|positive)\((.+)\)")
BOUND = re.compile(r"(.+) (>=|<=|>|<) (\S+)")
REDUCTIONS: dict[str, Callable[[list[float]], float]] = {
    "mean": fmean,
    "median": median,
    "min": min,
    "max": max,
    "positive": lambda figures: sum(figure > 0 for figure in figures),
}
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda figure, bound: figure >= bound,
    "<=": lambda figure, bound: figure <= bound,
    ">": lambda figure, bound: figure > bound,
    "<": lambda figure, bound: figure < bound,
}
FORMATS: dict[str, Callable[[float], str]] = {
    "share": lambda figure: re.sub(r"^(-?)0\.", r"\1.", f"{figure:.3f}"),
    "short": lambda figure: re.sub(r"^(-?)0\.", r"\1.", f"{figure:.2f}"),
    "points": lambda figure: f"{100 * figure:+.1f}",
    "percent": lambda figure: f"{100 * figure:.2f} %",
    "MB": lambda figure: f"{figure / 1e6:,.1f} MB",
    "kB": lambda figure: f"{figure / 1e3:.1f} kB",
    "ms": lambda figure: f"{1e3 * figure:.1f} ms",
}


def render_page(claims: Path = CLAIMS, results: Path = RESULTS) -> str:
    """Return the whole page as Markdown."""
    table = yaml.safe_load(claims.read_text(encoding="utf-8"))
    records = [data for path in sorted(results.glob("*.json")) if "claims" in (data := read_json(path))]
    titles = [topic["title"] for topic in table["topics"]]
    if unknown := {record["topic"] for record in records} - set(titles):
        raise SystemExit(f"no topic of {claims.name} is named {', '.join(sorted(unknown))}")
    parts = [table["introduction"]]
    for topic in table["topics"]:
        rows = [render_row(row, results) for row in expand_groups(topic.get("groups", []))]
        for record in records:
            if record["topic"] == topic["title"]:
                rows += [format_row(row) for row in record["claims"]]
        parts += [f"## {topic['title']}\n", topic.get("before", ""), render_table(rows), topic.get("after", "")]
    return "\n".join(part.strip("\n") + "\n" for part in parts if part)


def expand_groups(groups: list[Record]) -> list[Record]:
    """Return the claims of all groups, each with the file, command, date and machine of its group.

    A claim with `each` (a mapping from names to keys) stands for one claim for each of its entries: the name takes the
    place of "$name", and the key that of "$key".
    """
    rows = []
    for group in groups:
        shared = {key: value for key, value in group.items() if key not in ("about", "claims")}
        about = f"{group['about']}: " if "about" in group else ""
        for claim in group["claims"]:
            for name, key in claim.get("each", {"": ""}).items():
                filled = {field: fill_in(value, name, key) for field, value in claim.items() if field != "each"}
                rows.append(shared | filled | {"claim": about + filled["claim"]})
    return rows


def fill_in(value: Any, name: str, key: str) -> Any:
    """Return a text, or each text of a list, with the name and the key of one entry of `each`."""
    if isinstance(value, list):
        return [fill_in(item, name, key) for item in value]
    return value.replace("$name", name).replace("$key", key) if isinstance(value, str) else value


def render_row(row: Record, results: Path) -> str:
    """Return one line of a table with figures from the result file of the row."""
    data = load_results(row, results)
    result = FIGURE.sub(lambda match: format_figures(select(data, match[1]), match[2]), row["result"])
    return format_row(row | {"result": result, "met": is_met(data, row["met"]) if "met" in row else None})


def load_results(row: Record, results: Path) -> Any:
    """Return the content of the row's file, or the summary of the attempts in several files."""
    if "attempts" in row:
        return summarise_attempts([read_json(results / name) for name in row["attempts"]])
    return read_json(results / row["file"])


def select(data: Any, expression: str) -> Any:
    """Return the figure at a path, the list of figures that match a pattern, a reduction, or a ratio.

    Raises:
        KeyError: the path names a key that is not there
    """
    if " over " in expression:
        above, below = expression.split(" over ")
        return select(data, above) / select(data, below)
    if reduced := REDUCED.fullmatch(expression):
        return REDUCTIONS[reduced[1]](select(data, reduced[2]))
    key, _, rest = expression.partition("/")
    if any(character in key for character in "*?["):
        children = data.items() if isinstance(data, dict) else ((str(i), child) for i, child in enumerate(data))
        matches = [child for name, child in children if fnmatchcase(name, key)]
        if not matches:
            raise KeyError(f"no key matches {key}")
        return [select(child, rest) if rest else child for child in matches]
    child = data[int(key)] if isinstance(data, list) else data[key]
    return select(child, rest) if rest else child


def format_figures(figure: Any, form: str) -> str:
    """Return a figure as text; a list gives all figures, and an interval its two ends in parentheses."""
    if isinstance(figure, list):
        return ", ".join(format_figures(each, form) for each in figure)
    if isinstance(figure, dict):
        value = next(key for key in ("value", "difference", "accuracy") if key in figure)
        low, high = figure["interval"] if "interval" in figure else figure[f"{value}_interval"]
        return f"{format_figures(figure[value], form)} ({format_figures(low, form)} to {format_figures(high, form)})"
    return FORMATS[form](figure) if form in FORMATS else format(figure, form)


def is_met(data: Any, bounds: str | list[str]) -> bool:
    """Return whether figures are within all bounds, such as "mean(*/label/accuracy) >= 0.66"."""
    if isinstance(bounds, list):
        return all(is_met(data, bound) for bound in bounds)
    parts = BOUND.fullmatch(bounds)
    if parts is None:
        raise ValueError(f"not a comparison: {bounds}")
    return COMPARISONS[parts[2]](select(data, parts[1]), float(parts[3]))


def format_row(row: Record) -> str:
    """Return one line of a table from a finished claim."""
    verdict = {True: ": met", False: ": **missed**", None: ""}[row.get("met")]
    target = f"{row['target']}{verdict}" if row.get("target") else ""
    result = f"{row['result']}; {row['note']}" if row.get("note") else row["result"]
    cells = (row["claim"], target, result, f"`{row['command']}`", str(row["date"]), row["machine"])
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def render_table(rows: list[str]) -> str:
    """Return the rows under the names of the columns."""
    return "\n".join(["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS), *rows]) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Write the page, or compare it with the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the page is out of date")
    check, page = parser.parse_args(arguments).check, render_page()
    if not check:
        PAGE.write_text(page, encoding="utf-8")
    elif page != PAGE.read_text(encoding="utf-8"):
        sys.exit(f"{PAGE.relative_to(ROOT)} differs from benchmarks/results: run python -m benchmarks.page")


if __name__ == "__main__":
    main()
