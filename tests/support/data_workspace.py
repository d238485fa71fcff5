"""A workspace with a small table as its source, for tests of the data stages."""

import csv
from pathlib import Path

import yaml

from sparsecbm.base.params import Params, parse_params
from sparsecbm.base.workspace import Workspace

REPOSITORY = Path(__file__).parents[2]


def write_source(root: Path, rows: list[dict]) -> None:
    """Write the source file of the workspace."""
    (root / "raw").mkdir(exist_ok=True)
    with open(root / "raw" / "reviews.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def source_rows(count: int = 60) -> list[dict]:
    """Return valid rows with the states in turn."""
    return [
        {
            "comment": f"the soup of table {i} was fine",
            "stars": 1 + i % 3,
            "f": ("Negative", "Positive", "unknown")[i % 3],
            "p": ("low", "high")[i % 2],
        }
        for i in range(count)
    ]


def make_workspace(root: Path, rows: list[dict] | None = None, **changes) -> tuple[Params, Workspace]:
    """Make a workspace with the parameters of the project and a small table; `changes` replaces whole blocks."""
    content = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    content["source"] = {
        "name": "table",
        "path": "raw/reviews.csv",
        "columns": {
            "text": "comment",
            "label": "stars",
            "concepts": {
                "food": {"column": "f", "states": ["Negative", "Positive", "unknown"]},
                "price": {"column": "p"},
            },
        },
    }
    root.mkdir(parents=True, exist_ok=True)
    write_source(root, source_rows() if rows is None else rows)
    return parse_params(content | changes), Workspace(root)


def files_of(folder: Path) -> dict[str, bytes]:
    """Return path -> bytes of every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
