"""What `pyproject.toml` says about this project, and the graph of its imports."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
# Distributions that are not named like the package that they bring.
DISTRIBUTIONS = {"PIL": "pillow", "ruamel": "ruamel-yaml", "sklearn": "scikit-learn", "yaml": "pyyaml"}


@cache
def pyproject() -> dict:
    """The content of `pyproject.toml`."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def layers() -> list[set[str]]:
    """The packages of each layer, from top to bottom, as the import contract states them."""
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    (contract,) = (each for each in contracts if each["type"] == "layers")
    return [set(layer.split(" | ")) for layer in contract["layers"]]


@cache
def import_graph() -> grimp.ImportGraph:
    """All imports: of packages outside, inside functions and below `TYPE_CHECKING`, too."""
    return grimp.build_graph("sparsecbm", "flows", include_external_packages=True, cache_dir=None)


def requirements(*extras: str) -> set[str]:
    """Names of the distributions that the core and some extras require, with the extras that those name."""
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
    """The normal form of a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def third_party_imports(path: Path) -> Iterator[tuple[str, str]]:
    """Pairs of file and distribution, for every import of a package from elsewhere in a file or below a folder."""
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
