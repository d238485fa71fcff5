"""The contents of `pyproject.toml`, and the import graph of this project."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
# Distributions whose name differs from that of their package.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "crowdkit": "crowd-kit",
    "ruamel": "ruamel-yaml",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


@cache
def pyproject() -> dict:
    """Return the content of `pyproject.toml`."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def layers() -> list[set[str]]:
    """Return the packages of each layer in the import contract, from top to bottom."""
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    (contract,) = (each for each in contracts if each["type"] == "layers")
    return [set(layer.split(" | ")) for layer in contract["layers"]]


@cache
def import_graph() -> grimp.ImportGraph:
    """Return the graph of all imports, including external packages and imports inside functions or `TYPE_CHECKING`."""
    return grimp.build_graph("sparsecbm", "flows", include_external_packages=True, cache_dir=None)


def requirements(*extras: str) -> set[str]:
    """Return the distributions that the core and some extras require, including nested extras."""
    project = pyproject()["project"]
    waiting = [
        *project["dependencies"],
        *(line for extra in extras for line in project["optional-dependencies"][extra]),
    ]
    names = set()
    for line in waiting:
        name, of_extras = re.match(r"([\w.-]+)(?:\[([\w,]+)\])?", line).groups()
        if name == project["name"]:
            names |= requirements(*of_extras.split(","))
        else:
            names.add(normal(name))
    return names


def normal(name: str) -> str:
    """Return the normalised name of a distribution (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def third_party_imports(path: Path) -> Iterator[tuple[str, str]]:
    """Return pairs of file and distribution for every third-party import in a file or below a folder."""
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for module in _imported(node):
                top = module.partition(".")[0]
                if top not in sys.stdlib_module_names and not (ROOT / top).is_dir():
                    yield file.relative_to(ROOT).as_posix(), normal(DISTRIBUTIONS.get(top, top))


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module]
    return []
